"""Changes groundtruth boxes alone: clips or drops them at a window, and adds noise."""

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.sequence import Example
from ssd_tf.ops import boxes as box_ops

# Mode of `random_jitter_boxes` -> the factors that it draws from are 1 + ratio * these.
JITTER_MODES = {
  'default': (-1.0, 1.0),
  'expand': (0.0, 1.0),
  'shrink': (-1.0, 0.0),
  'expand_symmetric': (0.0, 1.0),
  'shrink_symmetric': (-1.0, 0.0),
  'expand_symmetric_xy': (0.0, 1.0),
  'shrink_symmetric_xy': (-1.0, 0.0),
}


def boxes_in_window(
  example: Example,
  window: tf.Tensor,
  *,
  overlap_thresh: float | tf.Tensor = 0.0,
  clip_boxes: bool | tf.Tensor = True,
) -> Example:
  """Brings the boxes into the frame of a window f32[4] of the image, which may reach beyond it.

  A box stays if it meets the window and area(box and window) / area(box) >= overlap_thresh. The
  image is still the old one.

  Source: the original's prune_completely_outside_window, prune_non_overlapping_boxes,
  change_coordinate_frame and clip_to_window, which its crops call one after the other.
  """
  boxes = example[fields.GROUNDTRUTH_BOXES]
  meets = tf.reduce_all((boxes[:, :2] < window[2:]) & (boxes[:, 2:] > window[:2]), axis=1)
  overlap = box_ops.pairwise_ioa(boxes, window[tf.newaxis])[:, 0]
  kept = tf.where(meets & (overlap >= overlap_thresh))[:, 0]
  changed = {key: tf.gather(example[key], kept) for key in fields.PER_BOX}
  boxes = box_ops.change_frame(changed[fields.GROUNDTRUTH_BOXES], window)
  boxes = tf.where(clip_boxes, tf.clip_by_value(boxes, 0.0, 1.0), boxes)
  return {**example, **changed, fields.GROUNDTRUTH_BOXES: boxes}


def random_jitter_boxes(
  example: Example, seed: tf.Tensor, *, ratio: float = 0.05, jitter_mode: str = 'default'
) -> Example:
  """Moves the sides of every box by a random share of its height or width, at most to the border.

  A side's distance to the box's center is multiplied by 1 + ratio u, so it moves by ratio / 2 of
  the box's side at most. u is uniform in [-1, 1], with 'expand' in [0, 1], with 'shrink' in
  [-1, 0]; drawn for each of the four sides, with 'symmetric' for height and width, with
  'symmetric_xy' for the box. A symmetric mode keeps the center: what would cross the image's border
  on one side grows less on both.
  """
  low, high = JITTER_MODES[jitter_mode]
  boxes = example[fields.GROUNDTRUTH_BOXES]
  center = (boxes[:, :2] + boxes[:, 2:]) / 2.0
  # The original's least side, against a division by 0.
  size = tf.maximum(tf.abs(boxes[:, 2:] - boxes[:, :2]), 1e-6)
  num_drawn = 1 if jitter_mode.endswith('_xy') else 2 if 'symmetric' in jitter_mode else 4
  factors = tf.random.stateless_uniform(
    [tf.shape(boxes)[0], num_drawn], seed, 1.0 + ratio * low, 1.0 + ratio * high
  )
  if num_drawn < 4:
    limits = 2.0 * tf.minimum(center, 1.0 - center) / size
    if num_drawn == 1:
      limits = tf.reduce_min(limits, axis=1, keepdims=True)
    factors = tf.tile(tf.minimum(factors, limits), [1, 4 // num_drawn])
  half = tf.tile(size / 2.0, [1, 2]) * factors
  boxes = tf.concat([center - half[:, :2], center + half[:, 2:]], axis=1)
  return {**example, fields.GROUNDTRUTH_BOXES: tf.clip_by_value(boxes, 0.0, 1.0)}
