"""Localization losses of single anchors: not weighted, not reduced over anchors."""

import tensorflow as tf


def smooth_l1(box_encodings: tf.Tensor, box_targets: tf.Tensor, *, delta: float) -> tf.Tensor:
  """Returns the Huber loss of the encodings, summed over the four.

  With d the distance: d^2 / 2 up to delta, then delta * d - delta^2 / 2.

  Args:
    box_encodings: f32[B, A, 4].
    box_targets: f32[B, A, 4].
    delta: where the parabola becomes a line.

  Returns:
    f32[B, A].

  Source: Girshick, Fast R-CNN, equation 3 (delta 1).
  """
  _check_same_shape(box_encodings, box_targets)
  distance = tf.abs(box_encodings - box_targets)
  bent = tf.minimum(distance, delta)
  return tf.reduce_sum(bent * (distance - 0.5 * bent), axis=-1)


def l2(box_encodings: tf.Tensor, box_targets: tf.Tensor) -> tf.Tensor:
  """Returns half the squared distance of the encodings, summed over the four.

  Args:
    box_encodings: f32[B, A, 4].
    box_targets: f32[B, A, 4].

  Returns:
    f32[B, A].

  Source: the original's weighted_l2, which weights before it squares: there a weight of 0.5
  counts as 0.25, here it counts as 0.5.
  """
  _check_same_shape(box_encodings, box_targets)
  return 0.5 * tf.reduce_sum(tf.math.squared_difference(box_encodings, box_targets), axis=-1)


def _check_same_shape(box_encodings, box_targets):
  if box_encodings.shape.rank != 3 or not box_encodings.shape.is_compatible_with(box_targets.shape):
    raise ValueError(
      f'box_encodings, box_targets: expected one shape of rank 3, received {box_encodings.shape} '
      f'and {box_targets.shape}.'
    )
