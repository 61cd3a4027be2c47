"""Converts a model's outputs to detections."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.ops import box_coder as box_coders
from ssd_tf.ops import boxes as box_ops

SCORE_CONVERTERS = {
  'IDENTITY': tf.identity,
  'SIGMOID': tf.nn.sigmoid,
  'SOFTMAX': tf.nn.softmax,
}

# Suppression first looks at this many candidates for each detection asked for.
_CANDIDATES_PER_DETECTION = 10


class _Detections(NamedTuple):
  """An image's detections by falling score; past `count` anything."""

  boxes: tf.Tensor  # f32[D, 4], in the frame of the window
  scores: tf.Tensor  # f32[D]
  class_indices: tf.Tensor  # i32[D], from 0
  anchor_indices: tf.Tensor  # i32[D]
  count: tf.Tensor  # i32[]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PostProcessor:
  """Turns logits and encodings into boxes with scores, and keeps the best of those that overlap.

  Attributes:
    score_converter: 'SIGMOID', 'SOFTMAX' or 'IDENTITY'.
    iou_threshold: a box is suppressed by a better one that it overlaps more than this.
    max_detections_per_class: at most so many of a class; not heeded without classes.
    use_class_agnostic_nms: a box has its best classes only, and is suppressed, by the score of the
      best of them, by boxes of any class.
    soft_nms_sigma: above 0, overlap also lowers the score, by exp(-iou^2 / (2 sigma)).
    max_classes_per_detection: how many classes a box may have with `use_class_agnostic_nms`; each
      is a detection of its own.
    change_coordinate_frame: whether detections are normalized to the clip window; else to the
      input.
    max_candidates_per_class: what was not among so many best candidates of its class before the
      suppression is left out; of equal scores at the limit all are among them. None: nothing is.

  Source: the original's core/post_processing.py and builders/post_processing_builder.py; its
  classes count from 0, and it has one class for a box at most.
  """

  box_coder: box_coders.BoxCoder
  score_converter: str
  logit_scale: float
  score_threshold: float
  iou_threshold: float
  max_detections_per_class: int
  max_total_detections: int
  use_class_agnostic_nms: bool
  soft_nms_sigma: float
  max_classes_per_detection: int = 1
  change_coordinate_frame: bool = True
  max_candidates_per_class: int | None = None

  def __post_init__(self):
    if self.score_converter not in SCORE_CONVERTERS:
      raise ValueError(
        f'score_converter: expected one of {list(SCORE_CONVERTERS)}, received '
        f'{self.score_converter!r}.'
      )

  def __call__(
    self,
    outputs: Mapping[str, tf.Tensor],
    anchors: tf.Tensor,
    clip_windows: tf.Tensor | None = None,
  ) -> dict[str, tf.Tensor]:
    """Detects on a batch.

    Args:
      outputs: of the network: class_logits f32[B, A, K+1], background in column 0; box_encodings
        f32[B, A, code size].
      anchors: f32[A, 4], normalized.
      clip_windows: f32[B, 4] or f32[4], normalized, what of the model's input is image and not
        padding: detections are clipped to it, and those outside dropped. None for the whole input.

    Returns:
      By name, rows from `num_detections` on being 0:
        detection_boxes: f32[B, D, 4], clipped to the window.
        detection_scores: f32[B, D], falling.
        detection_classes: i32[B, D], 1..K.
        num_detections: i32[B].
        detection_multiclass_scores: f32[B, D, K+1], all scores of the detection's anchor.
        detection_anchor_indices: i32[B, D].
        raw_detection_boxes: f32[B, A, 4], normalized to the input, neither suppressed nor clipped.
        raw_detection_scores: f32[B, A, K+1].
    """
    anchors = tf.convert_to_tensor(anchors)
    class_logits, box_encodings = outputs[fields.CLASS_LOGITS], outputs[fields.BOX_ENCODINGS]
    _check_shapes(class_logits, box_encodings, anchors)
    raw_scores = SCORE_CONVERTERS[self.score_converter](class_logits / self.logit_scale)
    raw_boxes = self.box_coder.decode(box_encodings, anchors)
    if clip_windows is None:
      clip_windows = [0.0, 0.0, 1.0, 1.0]
    detections = tf.map_fn(
      lambda image: self._detect_in_image(*image),
      (raw_boxes, raw_scores[..., 1:], tf.broadcast_to(clip_windows, [tf.shape(raw_boxes)[0], 4])),
      fn_output_signature=_Detections(
        boxes=tf.TensorSpec([self.max_total_detections, 4], tf.float32),
        scores=tf.TensorSpec([self.max_total_detections], tf.float32),
        class_indices=tf.TensorSpec([self.max_total_detections], tf.int32),
        anchor_indices=tf.TensorSpec([self.max_total_detections], tf.int32),
        count=tf.TensorSpec([], tf.int32),
      ),
    )
    if self.max_candidates_per_class is not None:
      detections = _keep_best_candidates(
        detections, raw_scores[..., 1:], self.max_candidates_per_class
      )
    multiclass_scores = tf.gather(raw_scores, detections.anchor_indices, batch_dims=1)
    real_mask = tf.sequence_mask(detections.count, self.max_total_detections)
    return {
      fields.DETECTION_BOXES: tf.where(real_mask[..., None], detections.boxes, 0.0),
      fields.DETECTION_SCORES: tf.where(real_mask, detections.scores, 0.0),
      fields.DETECTION_CLASSES: tf.where(real_mask, detections.class_indices + 1, 0),
      fields.NUM_DETECTIONS: detections.count,
      fields.DETECTION_MULTICLASS_SCORES: tf.where(real_mask[..., None], multiclass_scores, 0.0),
      fields.DETECTION_ANCHOR_INDICES: tf.where(real_mask, detections.anchor_indices, 0),
      fields.RAW_DETECTION_BOXES: raw_boxes,
      fields.RAW_DETECTION_SCORES: raw_scores,
    }

  def _detect_in_image(self, boxes, class_scores, window):
    """Returns the best detections of f32[A, 4] boxes with f32[A, K] scores.

    Low scores come last in the suppression and change nothing before them. So it is first done
    above the score of a few candidates alone, and if that gives enough detections they are the
    ones.
    """
    max_total, scores = self.max_total_detections, class_scores
    if self.use_class_agnostic_nms:
      scores = tf.reduce_max(class_scores, axis=1, keepdims=True)
    num_candidates = tf.minimum(max_total * _CANDIDATES_PER_DETECTION, tf.size(scores))
    cut = tf.math.top_k(tf.reshape(scores, [-1]), num_candidates, sorted=False).values
    cut = tf.maximum(tf.reduce_min(cut), self.score_threshold)
    scores = tf.transpose(scores)
    few = self._detect_above(boxes, scores, window, cut)
    detections = tf.cond(
      (few.count == max_total) | (cut == self.score_threshold),
      lambda: few,
      lambda: self._detect_above(
        boxes, scores, window, tf.constant(self.score_threshold, tf.float32)
      ),
    )
    if self.use_class_agnostic_nms:
      return self._give_classes(detections, class_scores)
    return detections

  def _give_classes(self, detections, class_scores):
    """Returns a detection of each of a box's best classes; they came with the best one's score."""
    max_total = self.max_total_detections
    max_classes = min(self.max_classes_per_detection, class_scores.shape[-1])
    scores, class_indices = tf.math.top_k(
      tf.gather(class_scores, detections.anchor_indices), max_classes
    )
    # What soft suppression took from the best class it takes from all.
    scores *= tf.math.divide_no_nan(detections.scores, scores[:, 0])[:, tf.newaxis]
    scores = tf.concat([detections.scores[:, tf.newaxis], scores[:, 1:]], axis=1)
    is_real = tf.sequence_mask(detections.count, max_total)[:, tf.newaxis]
    is_first = tf.range(max_classes) == 0
    valid_mask = tf.reshape(is_real & (is_first | (scores > self.score_threshold)), [-1])
    scores = tf.where(valid_mask, tf.reshape(scores, [-1]), scores.dtype.min)
    scores, order = tf.math.top_k(scores, max_total)
    rows = order // max_classes
    return _Detections(
      boxes=tf.gather(detections.boxes, rows),
      scores=scores,
      class_indices=tf.gather(tf.reshape(class_indices, [-1]), order),
      anchor_indices=tf.gather(detections.anchor_indices, rows),
      count=tf.minimum(tf.reduce_sum(tf.cast(valid_mask, tf.int32)), max_total),
    )

  def _detect_above(self, boxes, class_scores, window, threshold):
    """Returns the best detections of f32[A, 4] boxes with f32[K, A] scores above the threshold."""
    num_classes = class_scores.shape[0]
    max_total = self.max_total_detections
    max_per_class = max_total if self.use_class_agnostic_nms else self.max_detections_per_class
    max_per_class = min(max_per_class, boxes.shape[0])
    anchor_indices, scores, counts = tf.map_fn(
      lambda scores: tuple(
        tf.raw_ops.NonMaxSuppressionV5(
          boxes=boxes,
          scores=scores,
          max_output_size=max_per_class,
          iou_threshold=self.iou_threshold,
          score_threshold=threshold,
          soft_nms_sigma=self.soft_nms_sigma,
          pad_to_max_output_size=True,
        )
      ),
      class_scores,
      fn_output_signature=(
        tf.TensorSpec([max_per_class], tf.int32),
        tf.TensorSpec([max_per_class], tf.float32),
        tf.TensorSpec([], tf.int32),
      ),
    )
    clipped = box_ops.clip_to_window(tf.gather(boxes, anchor_indices), window)
    valid_mask = tf.sequence_mask(counts, max_per_class) & (box_ops.area(clipped) > 0)
    framed = box_ops.change_frame(clipped, window) if self.change_coordinate_frame else clipped
    # Of equal scores the first class comes first, and top_k keeps that order.
    scores = tf.reshape(tf.where(valid_mask, scores, scores.dtype.min), [-1])
    num_best = min(max_total, num_classes * max_per_class)
    scores, order = tf.math.top_k(scores, num_best)
    padding = [[0, max_total - num_best]]
    return _Detections(
      boxes=tf.pad(tf.gather(tf.reshape(framed, [-1, 4]), order), [*padding, [0, 0]]),
      scores=tf.pad(scores, padding),
      class_indices=tf.pad(order // max_per_class, padding),
      anchor_indices=tf.pad(tf.gather(tf.reshape(anchor_indices, [-1]), order), padding),
      count=tf.minimum(tf.reduce_sum(tf.cast(valid_mask, tf.int32)), num_best),
    )


def _keep_best_candidates(detections, class_scores, num):
  """Leaves out what was not among its class's best candidates of f32[B, A, K] scores.

  The suppression goes by falling score, so this gives what it would have given of those alone.
  """
  # [B, K, A]: top_k goes over the anchors.
  scores = tf.transpose(class_scores, [0, 2, 1])
  least = tf.math.top_k(scores, tf.minimum(num, tf.shape(scores)[2])).values[..., -1]
  is_kept = detections.scores >= tf.gather(least, detections.class_indices, batch_dims=1)
  is_kept &= tf.sequence_mask(detections.count, tf.shape(is_kept)[1])
  order = tf.argsort(tf.cast(~is_kept, tf.int32), axis=1, stable=True)
  rows = (tf.gather(values, order, batch_dims=1) for values in detections[:-1])
  return _Detections(*rows, count=tf.reduce_sum(tf.cast(is_kept, tf.int32), axis=1))


def _check_shapes(class_logits, box_encodings, anchors):
  box_ops.check_boxes(anchors, 'anchors')
  num_anchors = anchors.shape[0]
  for name, tensor in (('class_logits', class_logits), ('box_encodings', box_encodings)):
    if tensor.shape.rank != 3 or tensor.shape[1] not in (None, num_anchors):
      raise ValueError(
        f'{name}: expected shape [B, {num_anchors}, ...] ({num_anchors} anchors), received '
        f'{tensor.shape}; predictions and anchors must come from the same feature maps.'
      )
