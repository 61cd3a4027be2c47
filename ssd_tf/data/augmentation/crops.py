"""Cropping an example to a random window that keeps groundtruth in view."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.sequence import Example
from ssd_tf.ops import boxes as box_ops


@dataclasses.dataclass(frozen=True)
class CropCase:
  """How one case of `ssd_random_crop` draws its window and which boxes it keeps."""

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


# The original's defaults.
SSD_CROP_CASES = tuple(
  CropCase(min_object_covered=overlap, overlap_thresh=overlap)
  for overlap in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
)


def ssd_random_crop(
  example: Example, seed: tf.Tensor, *, operations: Sequence[CropCase] = SSD_CROP_CASES
) -> Example:
  """Crops to a random window that keeps at least one box in view, by a randomly chosen case.

  Without boxes the whole image counts as the one to cover. When no window fits after 100 attempts,
  the window is the whole image.

  Args:
    example: image u8[h,w,3], the keys of `fields.PER_BOX`.
    seed: i32[2].
    operations: the cases; each is equally likely.

  Returns:
    The example with a smaller image; boxes in its frame, those outside it dropped.

  Source: SSD (arXiv:1512.02325), section 2.2, data augmentation; the original's ssd_random_crop.
  """
  case_seed, keep_seed, window_seed = tf.unstack(tf.random.split(seed, 3))
  index = tf.random.stateless_uniform([], case_seed, 0, len(operations), tf.int32)
  random_coef = tf.gather([float(case.random_coef) for case in operations], index)
  changing = (fields.IMAGE, *fields.PER_BOX)

  def crop_by(case):
    begin, size = _sample_window(example, window_seed, case)
    cropped = crop(
      example, begin, size, overlap_thresh=case.overlap_thresh, clip_boxes=case.clip_boxes
    )
    return [cropped[key] for key in changing]

  values = tf.cond(
    tf.random.stateless_uniform([], keep_seed) < random_coef,
    lambda: [example[key] for key in changing],
    lambda: tf.switch_case(index, [lambda case=case: crop_by(case) for case in operations]),
  )
  return {**example, **dict(zip(changing, values, strict=True))}


def crop(
  example: Example,
  begin: tf.Tensor,
  size: tf.Tensor,
  *,
  overlap_thresh: float = 0.0,
  clip_boxes: bool = True,
) -> Example:
  """Crops an example to a window.

  A box stays if it meets the window and area(box and window) / area(box) >= overlap_thresh.

  Args:
    example: image u8[h,w,3], the keys of `fields.PER_BOX`.
    begin: i32[2], (y, x) of the window's first pixel.
    size: i32[2], (height, width) of the window, pixels.
    overlap_thresh: least share of a box inside the window.
    clip_boxes: whether boxes are cut at the window's border.

  Returns:
    The example with image u8[height,width,3] and boxes in the window's frame.

  Source: the original's random_crop_image after its window is drawn.
  """
  image, boxes = example[fields.IMAGE], example[fields.GROUNDTRUTH_BOXES]
  window = tf.concat([begin, begin + size], 0) / tf.tile(tf.shape(image)[:2], [2])
  window = tf.cast(window, tf.float32)
  meets = tf.reduce_all((boxes[:, :2] < window[2:]) & (boxes[:, 2:] > window[:2]), axis=1)
  overlap = box_ops.pairwise_ioa(boxes, window[tf.newaxis])[:, 0]
  kept = tf.where(meets & (overlap >= overlap_thresh))[:, 0]
  cropped = {key: tf.gather(example[key], kept) for key in fields.PER_BOX}
  boxes = box_ops.change_frame(cropped[fields.GROUNDTRUTH_BOXES], window)
  if clip_boxes:
    boxes = box_ops.clip_to_window(boxes, tf.constant([0.0, 0.0, 1.0, 1.0]))
  cropped[fields.GROUNDTRUTH_BOXES] = boxes
  cropped[fields.IMAGE] = tf.ensure_shape(
    tf.slice(image, [begin[0], begin[1], 0], [size[0], size[1], -1]), [None, None, image.shape[-1]]
  )
  return {**example, **cropped}


def _sample_window(example, seed, case):
  """The window's first pixel (y, x) i32[2] and size (height, width) i32[2]."""
  boxes = tf.clip_by_value(example[fields.GROUNDTRUTH_BOXES], 0.0, 1.0)
  begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
    tf.shape(example[fields.IMAGE]),
    boxes[tf.newaxis],
    seed=seed,
    min_object_covered=case.min_object_covered,
    aspect_ratio_range=case.aspect_ratio_range,
    area_range=case.area_range,
    max_attempts=100,
    use_image_if_no_bounding_boxes=True,
  )
  return begin[:2], size[:2]
