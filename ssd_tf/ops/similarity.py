"""Computes the similarity of groundtruth boxes and anchors.

Source: the original's core/region_similarity_calculator.py.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from ssd_tf.ops import boxes as box_ops


class Similarity(NamedTuple):
  """A measure of similarity.

  Attributes:
    compare: (groundtruth boxes f32[B, N, 4], anchors f32[A, 4]) -> f32[B, N, A].
    least: what two boxes have that share nothing.
  """

  compare: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
  least: float


def thresholded_iou(iou_threshold: float) -> Similarity:
  """Returns the measure that is 1 where the IoU is above the threshold, else 0.

  Source: the original's ThresholdedIouSimilarity, where a groundtruth box's score is 1.
  """

  def compare(boxes, anchors):
    return tf.cast(box_ops.pairwise_iou(boxes, anchors) > iou_threshold, tf.float32)

  return Similarity(compare, 0.0)


IOU = Similarity(box_ops.pairwise_iou, 0.0)
# Of the anchor's own area.
IOA = Similarity(
  lambda boxes, anchors: tf.linalg.matrix_transpose(box_ops.pairwise_ioa(anchors, boxes)), 0.0
)
NEGATIVE_SQUARED_DISTANCE = Similarity(
  lambda boxes, anchors: -box_ops.pairwise_squared_distance(boxes, anchors), float('-inf')
)
