"""Crops random squares from an image, filled with black where they reach beyond it."""

import math

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.boxes import boxes_in_window
from ssd_tf.data.augmentation.padding import place
from ssd_tf.data.augmentation.resizing import resize_pixels
from ssd_tf.data.augmentation.sequence import Example, random_integers

_BLACK = (0.0, 0.0, 0.0)


def random_square_crop_by_scale(
  example: Example,
  seed: tf.Tensor,
  *,
  max_border: int = 128,
  scale_min: float = 0.6,
  scale_max: float = 1.3,
  num_scales: int = 8,
) -> Example:
  """Crops to a square around a random pixel, its side a random share of the image's longer one.

  The share is one of num_scales values from scale_min to scale_max, evenly spaced. The pixel keeps
  from the image's borders: max_border / 2^k, k the least that is at most half of the image.

  Source: CenterNet (arXiv:1904.07850); the original's random_square_crop_by_scale. It leaves out
  the image's last row and column where the square reaches them, and the square's last row and
  column where its side is odd; here they are there.
  """
  image = example[fields.IMAGE]
  size = tf.shape(image)[:2]
  scale_seed, center_seed = tf.unstack(tf.random.split(seed, 2))
  scales = tf.linspace(scale_min, scale_max, num_scales)
  scale = scales[tf.random.stateless_uniform([], scale_seed, 0, num_scales, tf.int32)]
  side = tf.cast(tf.cast(scale, tf.float32) * tf.cast(tf.reduce_max(size), tf.float32), tf.int32)
  border = _border(max_border, size)
  center = random_integers(center_seed, border, size - border + 1)
  first = center - side // 2
  begin, end = tf.maximum(first, 0), tf.minimum(first + side, size)
  window = tf.concat([first, first + side], 0) / tf.tile(size, [2])
  example = boxes_in_window(example, tf.cast(window, tf.float32))
  inside = image[begin[0] : end[0], begin[1] : end[1]]
  return {**example, fields.IMAGE: place(inside, begin - first, tf.stack([side, side]), _BLACK)}


def random_scale_crop_and_pad_to_square(
  example: Example,
  seed: tf.Tensor,
  *,
  output_size: int = 512,
  scale_min: float = 0.1,
  scale_max: float = 2.0,
) -> Example:
  """Scales the image at random, then takes a square of side output_size of it.

  The longer side becomes output_size times a factor, uniform in [scale_min, scale_max), bilinearly.
  Where that is more than output_size, the square lies at a random place; where it is less, the
  rest is black, below and to the right.

  Source: EfficientDet (arXiv:1911.09070); the original's random_scale_crop_and_pad_to_square.
  """
  image = example[fields.IMAGE]
  size = tf.cast(tf.shape(image)[:2], tf.float32)
  scale_seed, begin_seed = tf.unstack(tf.random.split(seed, 2))
  scale = tf.random.stateless_uniform([], scale_seed, scale_min, scale_max)
  scaled = tf.cast(scale * output_size * (size / tf.reduce_max(size)), tf.int32)
  scaled = tf.maximum(scaled, 1)
  share = tf.random.stateless_uniform([2], begin_seed)
  begin = tf.cast(share * tf.cast(tf.maximum(scaled - output_size, 0), tf.float32), tf.int32)
  window = tf.concat([begin, begin + output_size], 0) / tf.tile(scaled, [2])
  example = boxes_in_window(example, tf.cast(window, tf.float32))
  pixels = resize_pixels(image, scaled)
  pixels = pixels[begin[0] : begin[0] + output_size, begin[1] : begin[1] + output_size]
  square = place(pixels, tf.zeros([2], tf.int32), tf.constant([output_size] * 2), _BLACK)
  return {**example, fields.IMAGE: tf.ensure_shape(square, [output_size, output_size, None])}


def _border(max_border, size):
  """The pixels next to each border that no square is centered on, i32[2]."""
  ratio = 2.0 * max_border / tf.cast(size, tf.float32)
  halvings = tf.math.ceil(tf.math.log(ratio) / math.log(2.0))
  divisor = tf.clip_by_value(tf.pow(2.0, halvings), 1.0, float(max_border))
  return max_border // tf.cast(divisor, tf.int32)
