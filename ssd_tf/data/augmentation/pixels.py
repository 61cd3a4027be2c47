"""Changes pixel values: their range, noise, compression artifacts, patches.

The original's images are float32, of 0 to 255, through its whole chain. Here an image stays uint8
as long as it can: every change is computed in float32 and then rounded to whole levels, so it is
within half a level of the original's. `normalize_image` and `subtract_channel_mean` leave the range
of uint8; from there on an image is float32, and nothing is rounded.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.sequence import Example, apply_if


def map_pixels(example: Example, function: Callable[[tf.Tensor], tf.Tensor]) -> Example:
  """Changes an example's pixels f32[h,w,3]; a uint8 image is rounded and limited to 0 to 255."""
  image = example[fields.IMAGE]
  return {**example, fields.IMAGE: as_type(function(tf.cast(image, tf.float32)), image.dtype)}


def as_type(pixels: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
  """Casts pixels of any shape, f32 or u8; to uint8 by rounding to the nearest level."""
  if dtype.is_integer and pixels.dtype.is_floating:
    pixels = tf.round(pixels)
  return tf.saturate_cast(pixels, dtype)


def normalize_image(
  example: Example,
  seed: tf.Tensor,
  *,
  original_minval: float,
  original_maxval: float,
  target_minval: float = 0.0,
  target_maxval: float = 1.0,
) -> Example:
  """Maps pixel values linearly from one range to another, without limiting them to it.

  x -> (x - original_minval) * (target_maxval - target_minval)
       / (original_maxval - original_minval) + target_minval

  The backbone's own normalization, which expects 0 to 255, still follows.
  """
  del seed
  scale = (target_maxval - target_minval) / (original_maxval - original_minval)
  pixels = tf.cast(example[fields.IMAGE], tf.float32)
  return {**example, fields.IMAGE: (pixels - original_minval) * scale + target_minval}


def subtract_channel_mean(example: Example, seed: tf.Tensor, *, means: Sequence[float]) -> Example:
  """Subtracts from each of the 3 channels a value on the image's scale."""
  del seed
  pixels = tf.cast(example[fields.IMAGE], tf.float32)
  return {**example, fields.IMAGE: pixels - tf.constant(means, tf.float32)}


def random_pixel_value_scale(
  example: Example, seed: tf.Tensor, *, minval: float = 0.9, maxval: float = 1.1
) -> Example:
  """Multiplies every value of every pixel by a random number of its own; limited to 0 to 255."""

  def scale(pixels):
    factors = tf.random.stateless_uniform(tf.shape(pixels), seed, minval, maxval)
    return tf.clip_by_value(pixels * factors, 0.0, 255.0)

  return map_pixels(example, scale)


def random_jpeg_quality(
  example: Example,
  seed: tf.Tensor,
  *,
  random_coef: float = 0.0,
  min_jpeg_quality: int = 0,
  max_jpeg_quality: int = 100,
) -> Example:
  """Encodes the image as a JPEG of a random quality below max_jpeg_quality, and decodes it again.

  Source: the original's random_jpeg_quality; a float32 image is rounded here, cut off there.
  """
  keep_seed, quality_seed = tf.unstack(tf.random.split(seed))
  quality = tf.random.stateless_uniform(
    [], quality_seed, min_jpeg_quality, max_jpeg_quality, tf.int32
  )
  image = example[fields.IMAGE]

  def encode(example):
    encoded = tf.image.adjust_jpeg_quality(as_type(image, tf.uint8), quality)
    return {**example, fields.IMAGE: as_type(encoded, image.dtype)}

  drawn = tf.random.stateless_uniform([], keep_seed) >= random_coef
  return apply_if(example, drawn, encode, [fields.IMAGE])


def random_patch_gaussian(
  example: Example,
  seed: tf.Tensor,
  *,
  random_coef: float = 0.0,
  min_patch_size: int = 1,
  max_patch_size: int = 250,
  min_gaussian_stddev: float = 0.0,
  max_gaussian_stddev: float = 1.0,
) -> Example:
  """Adds Gaussian noise inside a square at a random place, limited to 0 to 255.

  The center, drawn evenly over the image, is row and column size // 2 of the square; what lies
  outside the image is cut off. Its side is less than max_patch_size; standard deviations are shares
  of 255.

  Source: Lopes et al., Patch Gaussian (arXiv:1906.02611); the original's random_patch_gaussian.
  """
  keep_seed, size_seed, stddev_seed, center_seed, noise_seed = tf.unstack(tf.random.split(seed, 5))
  image = example[fields.IMAGE]
  size = tf.random.stateless_uniform([], size_seed, min_patch_size, max_patch_size, tf.int32)
  stddev = 255 * tf.random.stateless_uniform(
    [], stddev_seed, min_gaussian_stddev, max_gaussian_stddev
  )
  height_width = tf.shape(image)[:2]
  center = tf.random.stateless_uniform([2], center_seed) * tf.cast(height_width, tf.float32)
  begin = tf.cast(center, tf.int32) - size // 2

  def add_noise(example):
    start = tf.maximum(begin, 0)
    end = tf.minimum(begin + size, height_width)
    patch = tf.cast(image[start[0] : end[0], start[1] : end[1]], tf.float32)
    patch += stddev * tf.random.stateless_normal(tf.shape(patch), noise_seed)
    patch = as_type(tf.clip_by_value(patch, 0.0, 255.0), image.dtype)
    return {**example, fields.IMAGE: paste(image, patch, start)}

  drawn = tf.random.stateless_uniform([], keep_seed) >= random_coef
  return apply_if(example, drawn, add_noise, [fields.IMAGE])


def random_black_patches(
  example: Example,
  seed: tf.Tensor,
  *,
  max_black_patches: int = 10,
  probability: float = 0.5,
  size_to_image_ratio: float = 0.1,
) -> Example:
  """Blackens squares inside the image, each with a probability; the size is a share of its side."""
  used_seed, place_seed = tf.unstack(tf.random.split(seed))
  image = example[fields.IMAGE]
  height_width = tf.shape(image)[:2]
  sides = tf.cast(height_width, tf.float32)
  size = tf.cast(size_to_image_ratio * tf.reduce_min(sides), tf.int32)
  used = tf.random.stateless_uniform([max_black_patches], used_seed) < probability
  places = tf.random.stateless_uniform(
    [max_black_patches, 2], place_seed, 0.0, 1.0 - size_to_image_ratio
  )
  begin = tf.boolean_mask(tf.cast(places * sides, tf.int32), used)
  rows = _between(height_width[0], begin[:, :1], size)
  columns = _between(height_width[1], begin[:, 1:], size)
  # black[y, x]: some square has both row y and column x.
  black = tf.matmul(rows, columns, transpose_a=True) > 0
  image = tf.where(black[..., tf.newaxis], tf.zeros([], image.dtype), image)
  return {**example, fields.IMAGE: image}


def paste(image: tf.Tensor, patch: tf.Tensor, begin: tf.Tensor) -> tf.Tensor:
  """Puts a patch [h',w',3] into an image [h,w,3], from a pixel (y, x) i32[2] on; it fits inside."""
  after = tf.shape(image)[:2] - begin - tf.shape(patch)[:2]
  paddings = [[begin[0], after[0]], [begin[1], after[1]], [0, 0]]
  inside = tf.pad(tf.ones_like(patch[..., :1], tf.bool), paddings)
  return tf.where(inside, tf.pad(patch, paddings), image)


def _between(count, begin, size):
  """f32[n,count]: 1 where begin <= i < begin + size; begin i32[n,1]."""
  positions = tf.range(count)
  return tf.cast((positions >= begin) & (positions < begin + size), tf.float32)
