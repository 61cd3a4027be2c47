"""The augmentation of SSD-Tensorflow: its crop and its distortion of colors.

A training takes them in this order: ssd_tensorflow_crop, resize_image (bilinear, to the network's
input), random_horizontal_flip, ssd_tensorflow_color.
"""

import functools

import numpy as np
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.crops import CropCase, random_crop_image
from ssd_tf.data.augmentation.pixels import map_pixels
from ssd_tf.data.augmentation.sequence import Example, one_of

COLOR_ORDERS = (
  ('brightness', 'saturation', 'hue', 'contrast'),
  ('saturation', 'brightness', 'contrast', 'hue'),
  ('contrast', 'hue', 'brightness', 'saturation'),
  ('hue', 'saturation', 'contrast', 'brightness'),
)
_ADJUST = {
  'brightness': tf.image.adjust_brightness,
  'saturation': tf.image.adjust_saturation,
  'hue': tf.image.adjust_hue,
  'contrast': tf.image.adjust_contrast,
}


def ssd_tensorflow_crop(
  example: Example,
  seed: tf.Tensor,
  *,
  min_object_covered: float = 0.25,
  min_aspect_ratio: float = 0.6,
  max_aspect_ratio: float = 1.67,
  min_area: float = 0.1,
  max_area: float = 1.0,
  overlap_thresh: float = 0.5,
  max_attempts: int = 200,
) -> Example:
  """Crops to a random window; boxes reach beyond it, and may be all gone.

  Without boxes the whole image counts as the one to cover. When no window fits after max_attempts,
  the window is the whole image.

  Args:
    min_object_covered: share of at least one box that the window has to cover.
    min_aspect_ratio: least width / height of the window, in pixels.
    min_area: least area of the window, as a share of the image's.
    overlap_thresh: only boxes of which a larger share lies in the window stay.

  Returns:
    The example with a smaller image; boxes in its frame, not cut at its border.

  Source: SSD-Tensorflow's distorted_bounding_box_crop.
  """
  case = CropCase(
    min_object_covered=min_object_covered,
    # More than the threshold, where the other crops keep the threshold itself.
    overlap_thresh=float(np.nextafter(np.float32(overlap_thresh), np.float32(2.0))),
    aspect_ratio_range=(min_aspect_ratio, max_aspect_ratio),
    area_range=(min_area, max_area),
    clip_boxes=False,
    random_coef=0.0,
    max_attempts=max_attempts,
  )
  return random_crop_image(example, seed, case=case)


def ssd_tensorflow_color(example: Example, seed: tf.Tensor) -> Example:
  """Changes brightness by up to 32 levels, saturation and contrast by .5 to 1.5, hue by up to .2.

  In one of `COLOR_ORDERS`, each equally likely; values are limited only at the end.

  Returns:
    The example; a uint8 image is rounded once, at the end.

  Source: SSD-Tensorflow's distort_color.
  """
  amount_seed, order_seed = tf.unstack(tf.random.split(seed, 2))
  amounts = tf.random.stateless_uniform(
    [4], amount_seed, [-32 / 255, 0.5, -0.2, 0.5], [32 / 255, 1.5, 0.2, 1.5]
  )
  amounts = dict(zip(COLOR_ORDERS[0], tf.unstack(amounts), strict=True))
  changes = [
    functools.partial(
      map_pixels, function=functools.partial(_distort, amounts=amounts, order=order)
    )
    for order in COLOR_ORDERS
  ]
  return one_of(example, order_seed, changes, keys=[fields.IMAGE])


def _distort(pixels, amounts, order):
  pixels = pixels / 255.0
  for name in order:
    pixels = _ADJUST[name](pixels, amounts[name])
  return 255.0 * tf.clip_by_value(pixels, 0.0, 1.0)
