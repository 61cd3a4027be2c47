"""Mirroring and turning an example."""

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.sequence import Example
from ssd_tf.ops import boxes as box_ops


def random_horizontal_flip(
  example: Example, seed: tf.Tensor, *, probability: float = 0.5
) -> Example:
  """Mirrors image and boxes left to right with a given probability.

  Args:
    example: image u8[h,w,3], groundtruth_boxes f32[n,4].
    seed: i32[2].
    probability: of the flip.

  Returns:
    The example.

  Source: the original's random_horizontal_flip.
  """
  boxes = example[fields.GROUNDTRUTH_BOXES]
  image, boxes = tf.cond(
    tf.random.stateless_uniform([], seed) < probability,
    lambda: (tf.reverse(example[fields.IMAGE], [1]), box_ops.flip_left_right(boxes)),
    lambda: (example[fields.IMAGE], boxes),
  )
  return {**example, fields.IMAGE: image, fields.GROUNDTRUTH_BOXES: boxes}
