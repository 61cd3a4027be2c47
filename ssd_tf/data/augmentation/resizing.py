"""Changes an image's size; boxes are normalized, so they stay as they are.

Rows and columns are sampled as the original does it: from their first corner, without half-pixel
centers or antialiasing. A uint8 image is rounded to whole levels, see `pixels`.
"""

import functools

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.pixels import as_type
from ssd_tf.data.augmentation.sequence import Example, apply_if, one_of, random_integers

# The names of `ResizeType` in image_resizer.proto, in lower case, and TensorFlow's own.
RESIZE_METHODS = {
  'area': tf.image.ResizeMethod.AREA,
  'bicubic': tf.image.ResizeMethod.BICUBIC,
  'bilinear': tf.image.ResizeMethod.BILINEAR,
  'nearest_neighbor': tf.image.ResizeMethod.NEAREST_NEIGHBOR,
}


def resize_image(
  example: Example,
  seed: tf.Tensor,
  *,
  new_height: int,
  new_width: int,
  method: str = 'bilinear',
) -> Example:
  """Resizes the image to a given size, by one of `RESIZE_METHODS`."""
  del seed
  return _resized(example, [new_height, new_width], method)


def random_resize_method(
  example: Example, seed: tf.Tensor, *, target_height: int, target_width: int
) -> Example:
  """Resizes the image to a given size by one of `RESIZE_METHODS`, each equally likely."""
  size = [target_height, target_width]
  changes = [functools.partial(_resized, size=size, method=method) for method in RESIZE_METHODS]
  return one_of(example, seed, changes, keys=[fields.IMAGE])


def random_image_scale(
  example: Example,
  seed: tf.Tensor,
  *,
  min_scale_ratio: float = 0.5,
  max_scale_ratio: float = 2.0,
) -> Example:
  """Scales height and width by the same random factor, bilinearly; rounded down, to at least 1.

  Source: the original's random_image_scale, which alone aligns the corners of both images.
  """
  factor = tf.random.stateless_uniform([], seed, min_scale_ratio, max_scale_ratio)
  size = _scaled_size(example, factor)
  return _resized(example, size, 'bilinear', align_corners=True)


def random_downscale_to_target_pixels(
  example: Example,
  seed: tf.Tensor,
  *,
  min_target_pixels: int = 300000,
  max_target_pixels: int = 800000,
  random_coef: float = 0.0,
) -> Example:
  """Shrinks the image to a random height * width, unless it has no more pixels than that.

  The number is less than max_target_pixels; the aspect ratio stays, sides are rounded down.
  """
  keep_seed, target_seed = tf.unstack(tf.random.split(seed, 2))
  target = random_integers(target_seed, tf.constant([min_target_pixels]), [max_target_pixels])[0]
  num_pixels = tf.reduce_prod(tf.shape(example[fields.IMAGE])[:2])
  drawn = tf.random.stateless_uniform([], keep_seed) >= random_coef

  def shrink(example):
    factor = tf.sqrt(tf.cast(target, tf.float32) / tf.cast(num_pixels, tf.float32))
    return _resized(example, _scaled_size(example, factor), 'bilinear')

  return apply_if(example, drawn & (num_pixels > target), shrink, keys=[fields.IMAGE])


def resize_pixels(
  image: tf.Tensor, size: tf.Tensor, method: str = 'bilinear', *, align_corners: bool = False
) -> tf.Tensor:
  """Resizes an image u8 or f32 [h,w,C] to (height, width) and keeps its type."""
  pixels = tf.compat.v1.image.resize(
    image, size, method=RESIZE_METHODS[method], align_corners=align_corners
  )
  return as_type(pixels, image.dtype)


def _resized(example, size, method, **options):
  return {**example, fields.IMAGE: resize_pixels(example[fields.IMAGE], size, method, **options)}


def _scaled_size(example, factor):
  size = tf.cast(tf.shape(example[fields.IMAGE])[:2], tf.float32)
  return tf.maximum(tf.cast(size * factor, tf.int32), 1)
