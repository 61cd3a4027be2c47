"""Places an image in a larger one; its boxes shrink with it."""

from collections.abc import Sequence

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.pixels import as_type
from ssd_tf.data.augmentation.sequence import Example, random_integers
from ssd_tf.ops import boxes as box_ops


def random_pad_image(
  example: Example,
  seed: tf.Tensor,
  *,
  min_image_size: Sequence[int] | tf.Tensor | None = None,
  max_image_size: Sequence[int] | tf.Tensor | None = None,
  pad_color: Sequence[float] | tf.Tensor | None = None,
) -> Example:
  """Sets an image at a random place into a larger one of random size.

  Height and width are uniform in [min_image_size, max_image_size), either limit at least that of
  the image; the image's first row and column in [0, what is missing).

  Args:
    min_image_size: (height, width); None for those of the image.
    max_image_size: (height, width); None for twice those of the image.
    pad_color: None for the image's mean.
  """
  size = tf.shape(example[fields.IMAGE])[:2]
  largest = tf.maximum(2 * size if max_image_size is None else max_image_size, size)
  least = tf.maximum(size if min_image_size is None else min_image_size, size)
  size_seed, begin_seed = tf.unstack(tf.random.split(seed, 2))
  target = random_integers(size_seed, tf.minimum(least, largest), largest)
  begin = random_integers(begin_seed, tf.zeros_like(size), target - size)
  return pad(example, begin, target, pad_color=pad_color)


def random_absolute_pad_image(
  example: Example,
  seed: tf.Tensor,
  *,
  max_height_padding: int = 1,
  max_width_padding: int = 1,
  pad_color: Sequence[float] | tf.Tensor | None = None,
) -> Example:
  """Sets an image at a random place into one that is larger by less than so many pixels."""
  largest = tf.shape(example[fields.IMAGE])[:2] + [max_height_padding, max_width_padding]
  return random_pad_image(example, seed, max_image_size=largest, pad_color=pad_color)


def random_pad_to_aspect_ratio(
  example: Example,
  seed: tf.Tensor,
  *,
  aspect_ratio: float = 1.0,
  min_padded_size_ratio: Sequence[float] = (1.0, 1.0),
  max_padded_size_ratio: Sequence[float] = (2.0, 2.0),
) -> Example:
  """Pads with black, below and to the right, to a given aspect ratio and a random size.

  The smallest such image is scaled by a factor, uniform in a range that keeps height and width
  between both ratios times those of the image, as far as the aspect ratio allows. Sides are rounded
  half to even.
  """
  size = tf.cast(tf.shape(example[fields.IMAGE])[:2], tf.float32)
  height, width = tf.unstack(size)
  smallest = tf.maximum(size, tf.stack([width / aspect_ratio, height * aspect_ratio]))
  low = tf.reduce_min(tf.maximum(size * min_padded_size_ratio, smallest) / smallest)
  high = tf.reduce_min(tf.maximum(size * max_padded_size_ratio, smallest) / smallest)
  scale = tf.random.stateless_uniform([], seed, tf.minimum(low, high), high)
  target = tf.cast(tf.round(scale * smallest), tf.int32)
  return pad(example, tf.zeros([2], tf.int32), target, pad_color=(0.0, 0.0, 0.0))


def pad(
  example: Example,
  begin: tf.Tensor,
  size: tf.Tensor,
  *,
  pad_color: Sequence[float] | tf.Tensor | None = None,
) -> Example:
  """Sets an image at a given place into a larger one.

  Args:
    begin: i32[2], (y, x) that the image's first pixel gets.
    size: i32[2], (height, width) of the larger image.
    pad_color: None for the image's mean.

  Source: the original's random_pad_image after its numbers are drawn.
  """
  image = example[fields.IMAGE]
  if pad_color is None:
    pad_color = mean_color(image)
  image_size = tf.shape(image)[:2]
  window = tf.concat([-begin, size - begin], 0) / tf.tile(image_size, [2])
  boxes = box_ops.change_frame(example[fields.GROUNDTRUTH_BOXES], tf.cast(window, tf.float32))
  return {
    **example,
    fields.IMAGE: place(image, begin, size, pad_color),
    fields.GROUNDTRUTH_BOXES: boxes,
  }


def mean_color(image: tf.Tensor) -> tf.Tensor:
  """The mean of each channel, f32[3], of an image u8 or f32 [h,w,3]."""
  return tf.reduce_mean(tf.cast(image, tf.float32), axis=[0, 1])


def place(
  image: tf.Tensor, begin: tf.Tensor, size: tf.Tensor, color: Sequence[float] | tf.Tensor
) -> tf.Tensor:
  """Sets an image, as `pad` does, into a larger one of one color f32[3]."""
  channels = image.shape[-1]
  height, width = tf.unstack(size)
  # Rows of bands beside and around the image: 20 times as fast as a mask over all pixels.
  row = tf.tile(as_type(tf.convert_to_tensor(color, tf.float32), image.dtype), [width])

  def band(num_rows, num_columns):
    length = num_columns * channels
    return tf.broadcast_to(row[:length], [num_rows, length])

  rows, columns = tf.unstack(tf.shape(image)[:2])
  pixels = tf.reshape(image, [rows, columns * channels])
  left, right = band(rows, begin[1]), band(rows, width - begin[1] - columns)
  middle = tf.concat([left, pixels, right], axis=1)
  top, bottom = band(begin[0], width), band(height - begin[0] - rows, width)
  return tf.reshape(tf.concat([top, middle, bottom], axis=0), [height, width, channels])
