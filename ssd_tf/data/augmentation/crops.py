"""Crops an example to a random window that keeps groundtruth in view."""

import dataclasses
import functools
from collections.abc import Sequence

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.boxes import boxes_in_window
from ssd_tf.data.augmentation.sequence import Example, apply_if, random_integers


@dataclasses.dataclass(frozen=True)
class CropCase:
  """How a window is drawn and which boxes it keeps."""

  # Share of at least one box that the window has to cover.
  min_object_covered: float
  # Boxes with a smaller share inside the window are dropped.
  overlap_thresh: float
  # width / height of the window, in pixels.
  aspect_ratio_range: tuple[float, float] = (0.5, 2.0)
  # Area of the window as a share of the image's.
  area_range: tuple[float, float] = (0.1, 1.0)
  # Whether boxes are cut at the window's border.
  clip_boxes: bool = True
  # Probability of leaving the example unchanged.
  random_coef: float = 0.15
  # Windows drawn before the whole image is taken.
  max_attempts: int = 100


# The original's defaults, of random_crop_image and of ssd_random_crop.
RANDOM_CROP_CASE = CropCase(1.0, 0.3, aspect_ratio_range=(0.75, 1.33), random_coef=0.0)
SSD_CROP_CASES = tuple(
  CropCase(min_object_covered=overlap, overlap_thresh=overlap)
  for overlap in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
)


def random_crop_image(
  example: Example, seed: tf.Tensor, *, case: CropCase = RANDOM_CROP_CASE
) -> Example:
  """Crops to a random window that keeps at least one box in view.

  Without boxes the whole image counts as the one to cover. When no window fits after the
  case's attempts, the window is the whole image.
  """
  return ssd_random_crop(example, seed, operations=[case])


def ssd_random_crop(
  example: Example, seed: tf.Tensor, *, operations: Sequence[CropCase] = SSD_CROP_CASES
) -> Example:
  """Crops as `random_crop_image` does, by one of the cases, each equally likely.

  Source: SSD (arXiv:1512.02325), section 2.2, data augmentation; the original's ssd_random_crop.
  """
  case_seed, keep_seed, window_seed = tf.unstack(tf.random.split(seed, 3))
  index = tf.random.stateless_uniform([], case_seed, 0, len(operations), tf.int32)
  return crop_by_case(example, keep_seed, window_seed, cases=operations, index=index)


def ssd_random_crop_fixed_aspect_ratio(
  example: Example,
  seed: tf.Tensor,
  *,
  operations: Sequence[CropCase] = SSD_CROP_CASES,
  aspect_ratio: float = 1.0,
) -> Example:
  """Crops as `ssd_random_crop` does, to windows of one aspect ratio, which every image gets.

  The cases' aspect_ratio_range is not looked at. What its case leaves whole is cropped by
  `random_crop_to_aspect_ratio`.

  Source: the original's ssd_random_crop_fixed_aspect_ratio. It always cuts boxes in the second
  crop; here it does unless every case leaves them uncut.
  """
  case_seed, ratio_seed = tf.unstack(tf.random.split(seed, 2))
  ratios = (aspect_ratio, aspect_ratio)
  cases = [dataclasses.replace(case, aspect_ratio_range=ratios) for case in operations]
  return random_crop_to_aspect_ratio(
    ssd_random_crop(example, case_seed, operations=cases),
    ratio_seed,
    aspect_ratio=aspect_ratio,
    clip_boxes=any(case.clip_boxes for case in operations),
  )


def random_crop_to_aspect_ratio(
  example: Example,
  seed: tf.Tensor,
  *,
  aspect_ratio: float = 1.0,
  overlap_thresh: float = 0.3,
  clip_boxes: bool = True,
) -> Example:
  """Crops to a random one of the largest windows of a given aspect ratio, rounded half to even."""
  size = tf.shape(example[fields.IMAGE])[:2]
  height, width = tf.unstack(tf.cast(size, tf.float32))
  largest = tf.round(tf.stack([width / aspect_ratio, height * aspect_ratio]))
  target = tf.clip_by_value(tf.cast(largest, tf.int32), 1, size)
  begin = random_integers(seed, tf.zeros_like(size), size - target + 1)
  return crop(example, begin, target, overlap_thresh=overlap_thresh, clip_boxes=clip_boxes)


def crop(
  example: Example,
  begin: tf.Tensor,
  size: tf.Tensor,
  *,
  overlap_thresh: float | tf.Tensor = 0.0,
  clip_boxes: bool | tf.Tensor = True,
) -> Example:
  """Crops an example to a window.

  Args:
    begin: i32[2], (y, x) of the window's first pixel.
    size: i32[2], (height, width) of the window, pixels.

  Source: the original's random_crop_image after its window is drawn.
  """
  image = example[fields.IMAGE]
  window = tf.concat([begin, begin + size], 0) / tf.tile(tf.shape(image)[:2], [2])
  example = boxes_in_window(
    example,
    tf.cast(window, tf.float32),
    overlap_thresh=overlap_thresh,
    clip_boxes=clip_boxes,
  )
  pixels = tf.slice(image, [begin[0], begin[1], 0], [size[0], size[1], -1])
  return {**example, fields.IMAGE: tf.ensure_shape(pixels, [None, None, image.shape[-1]])}


def crop_by_case(
  example: Example,
  keep_seed: tf.Tensor,
  window_seed: tf.Tensor,
  *,
  cases: Sequence[CropCase],
  index: tf.Tensor,
) -> Example:
  """Crops to a random window, by the case of an index i32[]."""

  def crop_to_window(example):
    begin, size = _sample_window(example, window_seed, cases, index)
    return crop(
      example,
      begin,
      size,
      overlap_thresh=chosen(cases, 'overlap_thresh', index),
      clip_boxes=chosen(cases, 'clip_boxes', index),
    )

  if all(case.random_coef <= 0 for case in cases):
    return crop_to_window(example)
  drawn = tf.random.stateless_uniform([], keep_seed)
  return apply_if(example, drawn >= chosen(cases, 'random_coef', index), crop_to_window)


def chosen(cases: Sequence, name: str, index: tf.Tensor) -> tf.Tensor:
  """The value that the case of an index has under a name."""
  return tf.gather([getattr(case, name) for case in cases], index)


def _sample_window(example, seed, cases, index):
  """The window's first pixel (y, x) i32[2] and size (height, width) i32[2]."""
  boxes = tf.clip_by_value(example[fields.GROUNDTRUTH_BOXES], 0.0, 1.0)

  def sample(aspect_ratio_range, area_range, max_attempts):
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
      tf.shape(example[fields.IMAGE]),
      boxes[tf.newaxis],
      seed=seed,
      min_object_covered=chosen(cases, 'min_object_covered', index),
      aspect_ratio_range=aspect_ratio_range,
      area_range=area_range,
      max_attempts=max_attempts,
      use_image_if_no_bounding_boxes=True,
    )
    return begin[:2], size[:2]

  ranges = [(case.aspect_ratio_range, case.area_range, case.max_attempts) for case in cases]
  if len(set(ranges)) == 1:
    return sample(*ranges[0])
  # TensorFlow's sampler takes its ranges from the graph, not from a tensor.
  return tf.switch_case(index, [functools.partial(sample, *values) for values in ranges])
