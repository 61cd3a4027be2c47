"""Changes brightness, contrast, hue, saturation and gamma, and converts to gray.

Functions on pixels are the original's: they take f32[h,w,3] and limit the result to 0 to 255;
`pixels` says how an image is rounded.
"""

from collections.abc import Callable

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.pixels import map_pixels
from ssd_tf.data.augmentation.sequence import Example, apply_if


def adjust_brightness(pixels: tf.Tensor, delta: tf.Tensor | float) -> tf.Tensor:
  """Brightens: x -> x + 255 delta, which is negative to darken."""
  return _limited(tf.image.adjust_brightness(pixels, 255.0 * delta))


def adjust_contrast(pixels: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
  """Scales the distance to each channel's mean: x -> mean + factor (x - mean)."""
  return _limited(tf.image.adjust_contrast(pixels, factor))


def adjust_hue(pixels: tf.Tensor, delta: tf.Tensor | float) -> tf.Tensor:
  """Turns the hue of HSV: h -> h + delta, modulo 1; in turns, of -1 to 1."""
  return _limited(tf.image.adjust_hue(pixels, delta))


def adjust_saturation(pixels: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
  """Scales the saturation of HSV: s -> min(1, factor s)."""
  return _limited(tf.image.adjust_saturation(pixels, factor))


def random_adjust_brightness(
  example: Example, seed: tf.Tensor, *, max_delta: float = 0.2
) -> Example:
  """Brightens or darkens, see `adjust_brightness`, by a random delta of -max_delta to max_delta."""
  return _adjusted(example, seed, adjust_brightness, -max_delta, max_delta)


def random_adjust_contrast(
  example: Example, seed: tf.Tensor, *, min_delta: float = 0.8, max_delta: float = 1.25
) -> Example:
  """Changes the contrast, see `adjust_contrast`, by a random factor."""
  return _adjusted(example, seed, adjust_contrast, min_delta, max_delta)


def random_adjust_hue(example: Example, seed: tf.Tensor, *, max_delta: float = 0.02) -> Example:
  """Turns the hues, see `adjust_hue`, by a random delta of -max_delta to max_delta."""
  return _adjusted(example, seed, adjust_hue, -max_delta, max_delta)


def random_adjust_saturation(
  example: Example, seed: tf.Tensor, *, min_delta: float = 0.8, max_delta: float = 1.25
) -> Example:
  """Changes the saturation, see `adjust_saturation`, by a random factor."""
  return _adjusted(example, seed, adjust_saturation, min_delta, max_delta)


def random_distort_color(example: Example, seed: tf.Tensor, *, color_ordering: int = 0) -> Example:
  """Changes brightness by up to 32 levels, contrast and saturation by .5 to 1.5, hue by up to .2.

  color_ordering is 0: brightness, saturation, hue, contrast; or 1: brightness, contrast,
  saturation, hue. A uint8 image is rounded once, at the end.
  """
  if color_ordering not in (0, 1):
    raise ValueError(f'color_ordering is {color_ordering}: expected 0 or 1')
  brightness, contrast, saturation, hue = tf.unstack(
    tf.random.stateless_uniform([4], seed, [-32 / 255, 0.5, 0.5, -0.2], [32 / 255, 1.5, 1.5, 0.2])
  )

  def distort(pixels):
    pixels = adjust_brightness(pixels, brightness)
    if color_ordering == 1:
      pixels = adjust_contrast(pixels, contrast)
    pixels = adjust_hue(adjust_saturation(pixels, saturation), hue)
    return adjust_contrast(pixels, contrast) if color_ordering == 0 else pixels

  return map_pixels(example, distort)


def rgb_to_gray(example: Example, seed: tf.Tensor) -> Example:
  """Turns the image gray, all 3 channels of it: .2989 red + .587 green + .114 blue.

  Source: the original's rgb_to_gray, which returns one channel: that fits no model that the
  evaluation could use. A model that takes gray images makes one channel of these three.
  """
  del seed
  return map_pixels(
    example, lambda pixels: tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(pixels))
  )


def random_rgb_to_gray(example: Example, seed: tf.Tensor, *, probability: float = 0.1) -> Example:
  """Turns the image gray, see `rgb_to_gray`, with a given probability."""
  drawn = tf.random.stateless_uniform([], seed) < probability
  return apply_if(example, drawn, lambda example: rgb_to_gray(example, seed), [fields.IMAGE])


def adjust_gamma(
  example: Example, seed: tf.Tensor, *, gamma: float = 1.0, gain: float = 1.0
) -> Example:
  """Corrects gamma: x -> 255 gain (x / 255)^gamma, limited to 0 to 255."""
  del seed
  return map_pixels(
    example, lambda pixels: _limited(255.0 * tf.image.adjust_gamma(pixels / 255.0, gamma, gain))
  )


def _adjusted(example, seed, adjust: Callable, low, high):
  """The example after a change of its pixels by an amount drawn from [low, high)."""
  amount = tf.random.stateless_uniform([], seed, low, high)
  return map_pixels(example, lambda pixels: adjust(pixels, amount))


def _limited(pixels):
  return tf.clip_by_value(pixels, 0.0, 255.0)
