"""From a model's outputs to detections."""

import functools
from typing import NamedTuple

import tensorflow as tf

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


def postprocess(
  class_logits: tf.Tensor,
  box_encodings: tf.Tensor,
  anchors: tf.Tensor,
  *,
  score_converter: str,
  logit_scale: float,
  score_threshold: float,
  iou_threshold: float,
  max_detections_per_class: int,
  max_total_detections: int,
  use_class_agnostic_nms: bool,
  soft_nms_sigma: float,
  max_classes_per_detection: int = 1,
  change_coordinate_frame: bool = True,
  clip_windows: tf.Tensor | None = None,
  box_coder: box_coders.BoxCoder,
) -> dict[str, tf.Tensor]:
  """Turns logits and encodings into boxes with scores, and keeps the best of those that overlap.

  Args:
    class_logits: f32[B, A, K+1], background in column 0.
    box_encodings: f32[B, A, code size].
    anchors: f32[A, 4], normalized.
    score_converter: 'SIGMOID', 'SOFTMAX' or 'IDENTITY'.
    logit_scale: the logits are divided by it.
    score_threshold: a detection's score is above it.
    iou_threshold: a box is suppressed by a better one that it overlaps more than this.
    max_detections_per_class: at most so many of a class; not heeded without classes.
    max_total_detections: D.
    use_class_agnostic_nms: a box has its best classes only, and is suppressed, by the score of the
      best of them, by boxes of any class.
    soft_nms_sigma: above 0, overlap also lowers the score, by exp(-iou^2 / (2 sigma)).
    max_classes_per_detection: how many classes a box may have with `use_class_agnostic_nms`; each
      is a detection of its own.
    change_coordinate_frame: whether detections are normalized to the clip window; else to the
      input.
    clip_windows: f32[B, 4] or f32[4], normalized, what of the model's input is image and not
      padding: detections are clipped to it, and those outside dropped.
      None for the whole input.
    box_coder: decodes the encodings.

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

  Raises:
    ValueError: shapes do not agree, or the score converter is unknown.

  Source: the original's core/post_processing.py and builders/post_processing_builder.py; its
  classes count from 0, and it has one class for a box at most.
  """
  anchors = tf.convert_to_tensor(anchors)
  _check_shapes(class_logits, box_encodings, anchors)
  if score_converter not in SCORE_CONVERTERS:
    raise ValueError(
      f'score_converter: expected one of {list(SCORE_CONVERTERS)}, received {score_converter!r}.'
    )
  raw_scores = SCORE_CONVERTERS[score_converter](class_logits / logit_scale)
  raw_boxes = box_coder.decode(box_encodings, anchors)
  if clip_windows is None:
    clip_windows = [0.0, 0.0, 1.0, 1.0]
  detect = functools.partial(
    _detect_in_image,
    score_threshold=score_threshold,
    iou_threshold=iou_threshold,
    max_per_class=max_total_detections if use_class_agnostic_nms else max_detections_per_class,
    max_total=max_total_detections,
    max_classes=min(max_classes_per_detection, raw_scores.shape[-1] - 1)
    if use_class_agnostic_nms
    else None,
    soft_nms_sigma=soft_nms_sigma,
    change_frame=change_coordinate_frame,
  )
  detections = tf.map_fn(
    lambda image: detect(*image),
    (raw_boxes, raw_scores[..., 1:], tf.broadcast_to(clip_windows, [tf.shape(raw_boxes)[0], 4])),
    fn_output_signature=_Detections(
      boxes=tf.TensorSpec([max_total_detections, 4], tf.float32),
      scores=tf.TensorSpec([max_total_detections], tf.float32),
      class_indices=tf.TensorSpec([max_total_detections], tf.int32),
      anchor_indices=tf.TensorSpec([max_total_detections], tf.int32),
      count=tf.TensorSpec([], tf.int32),
    ),
  )
  multiclass_scores = tf.gather(raw_scores, detections.anchor_indices, batch_dims=1)
  real_mask = tf.sequence_mask(detections.count, max_total_detections)
  return {
    'detection_boxes': tf.where(real_mask[..., None], detections.boxes, 0.0),
    'detection_scores': tf.where(real_mask, detections.scores, 0.0),
    'detection_classes': tf.where(real_mask, detections.class_indices + 1, 0),
    'num_detections': detections.count,
    'detection_multiclass_scores': tf.where(real_mask[..., None], multiclass_scores, 0.0),
    'detection_anchor_indices': tf.where(real_mask, detections.anchor_indices, 0),
    'raw_detection_boxes': raw_boxes,
    'raw_detection_scores': raw_scores,
  }


def keep_best_candidates(detections: dict[str, tf.Tensor], num: int) -> dict[str, tf.Tensor]:
  """Leaves out what was not among its class's best candidates before the suppression.

  The suppression goes by falling score, so this gives what it would have given of those alone.

  Args:
    detections: as `postprocess` gives them.
    num: candidates of a class; of equal scores at the limit all are.

  Returns:
    The same keys; the remaining rows moved up, num_detections lowered, rows from there on anything.
  """
  # [B, K, A]: top_k goes over the anchors.
  scores = tf.transpose(detections['raw_detection_scores'][..., 1:], [0, 2, 1])
  least = tf.math.top_k(scores, tf.minimum(num, tf.shape(scores)[2])).values[..., -1]
  found, classes = detections['detection_scores'], detections['detection_classes']
  # Rows past the count have class 0.
  is_kept = found >= tf.gather(least, tf.maximum(classes - 1, 0), batch_dims=1)
  is_kept &= tf.sequence_mask(detections['num_detections'], tf.shape(found)[1])
  order = tf.argsort(tf.cast(~is_kept, tf.int32), axis=1, stable=True)
  moved = {
    key: tf.gather(value, order, batch_dims=1)
    for key, value in detections.items()
    if key.startswith('detection_')
  }
  return {**detections, **moved, 'num_detections': tf.reduce_sum(tf.cast(is_kept, tf.int32), 1)}


def _check_shapes(class_logits, box_encodings, anchors):
  box_ops.check_boxes(anchors, 'anchors')
  num_anchors = anchors.shape[0]
  for name, tensor in (('class_logits', class_logits), ('box_encodings', box_encodings)):
    if tensor.shape.rank != 3 or tensor.shape[1] not in (None, num_anchors):
      raise ValueError(
        f'{name}: expected shape [B, {num_anchors}, ...] ({num_anchors} anchors), received '
        f'{tensor.shape}; predictions and anchors must come from the same feature maps.'
      )


def _detect_in_image(
  boxes, class_scores, window, *, score_threshold, max_total, max_classes, **suppression
):
  """Returns the best detections of f32[A, 4] boxes with f32[A, K] scores.

  Low scores come last in the suppression and change nothing before them. So it is first done
  above the score of a few candidates alone, and if that gives enough detections they are the ones.
  """
  scores = class_scores
  if max_classes:
    scores = tf.reduce_max(class_scores, axis=1, keepdims=True)
  num_candidates = tf.minimum(max_total * _CANDIDATES_PER_DETECTION, tf.size(scores))
  cut = tf.math.top_k(tf.reshape(scores, [-1]), num_candidates, sorted=False).values
  cut = tf.maximum(tf.reduce_min(cut), score_threshold)
  detect = functools.partial(
    _detect_above, boxes, tf.transpose(scores), window, max_total=max_total, **suppression
  )
  few = detect(cut)
  detections = tf.cond(
    (few.count == max_total) | (cut == score_threshold),
    lambda: few,
    lambda: detect(tf.constant(score_threshold, tf.float32)),
  )
  if max_classes:
    return _give_classes(detections, class_scores, max_classes, max_total, score_threshold)
  return detections


def _give_classes(detections, class_scores, max_classes, max_total, score_threshold):
  """Makes a detection of each of the best classes of a box; they came with the best one's score."""
  scores, class_indices = tf.math.top_k(
    tf.gather(class_scores, detections.anchor_indices), max_classes
  )
  # What soft suppression took from the best class it takes from all.
  scores *= tf.math.divide_no_nan(detections.scores, scores[:, 0])[:, tf.newaxis]
  scores = tf.concat([detections.scores[:, tf.newaxis], scores[:, 1:]], axis=1)
  is_real = tf.sequence_mask(detections.count, max_total)[:, tf.newaxis]
  is_first = tf.range(max_classes) == 0
  valid_mask = tf.reshape(is_real & (is_first | (scores > score_threshold)), [-1])
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


def _detect_above(
  boxes,
  class_scores,
  window,
  threshold,
  *,
  iou_threshold,
  max_per_class,
  max_total,
  soft_nms_sigma,
  change_frame,
):
  """Returns the best detections of f32[A, 4] boxes with f32[K, A] scores above the threshold."""
  num_classes = class_scores.shape[0]
  max_per_class = min(max_per_class, boxes.shape[0])
  anchor_indices, scores, counts = tf.map_fn(
    lambda scores: tuple(
      tf.raw_ops.NonMaxSuppressionV5(
        boxes=boxes,
        scores=scores,
        max_output_size=max_per_class,
        iou_threshold=iou_threshold,
        score_threshold=threshold,
        soft_nms_sigma=soft_nms_sigma,
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
  framed = box_ops.change_frame(clipped, window) if change_frame else clipped
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
