"""Crops an example and places the rest in a larger image."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation import crops, padding
from ssd_tf.data.augmentation.sequence import Example


@dataclasses.dataclass(frozen=True)
class CropPadCase:
  """How one case of `ssd_random_crop_pad` crops and pads."""

  crop: crops.CropCase
  # Least and greatest (height, width) of the result, as shares of those before the crop.
  min_padded_size_ratio: tuple[float, float] = (1.0, 1.0)
  max_padded_size_ratio: tuple[float, float] = (2.0, 2.0)
  # Red, green, blue, of 0 to 255; None for the mean of the window.
  pad_color: tuple[float, float, float] | None = None


# The original's defaults, of random_crop_pad_image and of ssd_random_crop_pad; the latter has no
# case that covers nothing.
RANDOM_CROP_PAD_CASE = CropPadCase(crops.RANDOM_CROP_CASE)
SSD_CROP_PAD_CASES = tuple(CropPadCase(case) for case in crops.SSD_CROP_CASES[1:])


def random_crop_pad_image(
  example: Example, seed: tf.Tensor, *, case: CropPadCase = RANDOM_CROP_PAD_CASE
) -> Example:
  """Crops as `random_crop_image` does, then pads as `random_pad_image` does.

  The size of the result is drawn from shares of the size before the crop.
  """
  return ssd_random_crop_pad(example, seed, operations=[case])


def ssd_random_crop_pad(
  example: Example, seed: tf.Tensor, *, operations: Sequence[CropPadCase] = SSD_CROP_PAD_CASES
) -> Example:
  """Crops and pads as `random_crop_pad_image` does, by one of the cases, each equally likely."""
  case_seed, keep_seed, window_seed, pad_seed = tf.unstack(tf.random.split(seed, 4))
  index = tf.random.stateless_uniform([], case_seed, 0, len(operations), tf.int32)
  size = tf.cast(tf.shape(example[fields.IMAGE])[:2], tf.float32)
  cases = [case.crop for case in operations]
  example = crops.crop_by_case(example, keep_seed, window_seed, cases=cases, index=index)
  return padding.random_pad_image(
    example,
    pad_seed,
    min_image_size=tf.cast(
      size * crops.chosen(operations, 'min_padded_size_ratio', index), tf.int32
    ),
    max_image_size=tf.cast(
      size * crops.chosen(operations, 'max_padded_size_ratio', index), tf.int32
    ),
    pad_color=_pad_color(example[fields.IMAGE], operations, index),
  )


def ssd_random_crop_pad_fixed_aspect_ratio(
  example: Example,
  seed: tf.Tensor,
  *,
  operations: Sequence[crops.CropCase] = crops.SSD_CROP_CASES,
  aspect_ratio: float = 1.0,
  min_padded_size_ratio: Sequence[float] = (1.0, 1.0),
  max_padded_size_ratio: Sequence[float] = (2.0, 2.0),
) -> Example:
  """Crops as `ssd_random_crop` does, then pads as `random_pad_to_aspect_ratio` does."""
  crop_seed, pad_seed = tf.unstack(tf.random.split(seed, 2))
  return padding.random_pad_to_aspect_ratio(
    crops.ssd_random_crop(example, crop_seed, operations=operations),
    pad_seed,
    aspect_ratio=aspect_ratio,
    min_padded_size_ratio=min_padded_size_ratio,
    max_padded_size_ratio=max_padded_size_ratio,
  )


def _pad_color(image, cases, index):
  """f32[3]."""
  unset = [case.pad_color is None for case in cases]
  colors = tf.gather([case.pad_color or (0.0, 0.0, 0.0) for case in cases], index)
  return (
    tf.where(tf.gather(unset, index), padding.mean_color(image), colors) if any(unset) else colors
  )
