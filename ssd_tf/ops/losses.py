"""Computes localization losses of single anchors: not weighted, not reduced over anchors.

Of encodings, or for `iou` and `giou` of the boxes that they stand for, each beside its target:
f32[B, A, 4] twice -> f32[B, A].
"""

import tensorflow as tf

from ssd_tf.ops import boxes as box_ops


def smooth_l1(box_encodings: tf.Tensor, box_targets: tf.Tensor, *, delta: float) -> tf.Tensor:
  """Returns the Huber loss of the encodings, summed over the four.

  With d the distance: d^2 / 2 up to delta, then delta * d - delta^2 / 2.

  Source: Girshick, Fast R-CNN, equation 3 (delta 1).
  """
  _check_same_shape(box_encodings, box_targets)
  distance = tf.abs(box_encodings - box_targets)
  bent = tf.minimum(distance, delta)
  return tf.reduce_sum(bent * (distance - 0.5 * bent), axis=-1)


def l2(box_encodings: tf.Tensor, box_targets: tf.Tensor) -> tf.Tensor:
  """Returns half the squared distance of the encodings, summed over the four.

  Source: the original's weighted_l2, which weights before it squares: there a weight of 0.5
  counts as 0.25, here it counts as 0.5.
  """
  _check_same_shape(box_encodings, box_targets)
  return 0.5 * tf.reduce_sum(tf.math.squared_difference(box_encodings, box_targets), axis=-1)


def l1(box_encodings: tf.Tensor, box_targets: tf.Tensor) -> tf.Tensor:
  """Returns the absolute distance of the encodings, summed over the four."""
  _check_same_shape(box_encodings, box_targets)
  return tf.reduce_sum(tf.abs(box_encodings - box_targets), axis=-1)


def iou(boxes: tf.Tensor, target_boxes: tf.Tensor) -> tf.Tensor:
  """Returns 1 - intersection over union of each box with its target.

  In [0, 1]; 1, without a gradient, where the two do not touch.

  Source: Yu et al., UnitBox, with 1 - IoU for its -ln IoU, as the original's weighted_iou.
  """
  _check_same_shape(boxes, target_boxes)
  return 1.0 - box_ops.matched_iou(boxes, target_boxes)


def giou(boxes: tf.Tensor, target_boxes: tf.Tensor) -> tf.Tensor:
  """Returns 1 - generalized intersection over union of each box with its target, in [0, 2].

  With C the smallest box around both: GIoU = IoU - (C - union) / C.

  Source: Rezatofighi et al., Generalized Intersection over Union, algorithm 1.
  """
  _check_same_shape(boxes, target_boxes)
  return 1.0 - box_ops.matched_giou(boxes, target_boxes)


def _check_same_shape(box_encodings, box_targets):
  if box_encodings.shape.rank != 3 or not box_encodings.shape.is_compatible_with(box_targets.shape):
    raise ValueError(
      f'box_encodings, box_targets: expected one shape of rank 3, received {box_encodings.shape} '
      f'and {box_targets.shape}.'
    )
