"""Computes average precision as Pascal VOC and Open Images define it."""

import dataclasses

import numpy as np

from ssd_tf.evaluation.overlaps import overlaps


def precision_recall(
  scores: np.ndarray, true_positives: np.ndarray, num_groundtruth: float
) -> tuple[np.ndarray, np.ndarray]:
  """Precision and recall after each detection, by falling score; of equal scores the first first.

  Args:
    true_positives: [d], 1 where a detection is right and 0 where it is wrong; a weight in between
      counts as that part of a right one.

  Returns:
    precision f64[d], recall f64[d], which is nan where there is nothing to be found.
  """
  ordered = np.asarray(true_positives, np.float64)[np.argsort(-np.asarray(scores), kind='stable')]
  right = np.cumsum(ordered)
  wrong = np.cumsum(ordered <= 0)
  recall = right / num_groundtruth if num_groundtruth else np.full(len(right), np.nan)
  return right / (right + wrong), recall


def average_precision(
  precision: np.ndarray, recall: np.ndarray, use_07_metric: bool = False
) -> float:
  """Area under the interpolated precision/recall curve: at a recall, the best precision from there.

  VOC2012 and the Object Detection API: the whole area. VOC2007: the mean at recalls 0, .1, ..., 1.

  Args:
    precision: [d], after each detection by falling score.
    recall: [d], rising.

  Returns:
    In [0, 1]; 0 without detections.

  Source: VOC development kits of 2007 and 2012. The fourth point is 3 * .1 in floating point there
  and here, a little above .3: a curve that ends at exactly .3 misses it.
  """
  precision, recall = np.asarray(precision, np.float64), np.asarray(recall, np.float64)
  if use_07_metric:
    points = np.arange(0.0, 1.1, 0.1)
    return float(np.mean([precision[recall >= point].max(initial=0.0) for point in points]))
  best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
  return float(np.sum(np.diff(recall, prepend=0.0) * best_from_here))


@dataclasses.dataclass(frozen=True)
class Matches:
  """The detections of one class in one image that count.

  Attributes:
    scores: f64[m].
    true_positives: f64[m]: 1 right, 0 wrong; a weight for a group that was found.
  """

  scores: np.ndarray
  true_positives: np.ndarray


def match_detections(
  boxes: np.ndarray,
  scores: np.ndarray,
  groundtruth_boxes: np.ndarray,
  *,
  is_difficult: np.ndarray,
  is_group_of: np.ndarray,
  iou_threshold: float = 0.5,
  group_of_weight: float = 0.0,
) -> Matches:
  """Tells right detections of one class in one image from wrong ones.

  By falling score, a detection looks at the one box that it overlaps most; if their IoU reaches the
  threshold, it is right where it is the first on that box, wrong where it is a further one, and
  left out where the box is difficult. A wrong one that lies inside of a group, by at least that
  part of its own area, is left out too; all those of a group count together as one right detection
  of their best score and of weight `group_of_weight`.

  Args:
    boxes: [d,4] ymin, xmin, ymax, xmax.
    groundtruth_boxes: [n,4].
    is_difficult: bool[n].
    is_group_of: bool[n], boxes around several objects.
    iou_threshold: 0 to 1, also of the part inside of a group.

  Returns:
    The detections that count, those of groups last.

  Source: VOC development kit, VOCevaldet.m, but a detection has to reach the IoU, not to exceed
  it, and the Object Detection API's utils/per_image_evaluation.py; the groups as in Open Images.
  """
  order = np.argsort(-np.asarray(scores), kind='stable')
  scores = np.asarray(scores, np.float64)[order]
  is_group_of, is_difficult = np.asarray(is_group_of, bool), np.asarray(is_difficult, bool)
  overlap = overlaps(np.asarray(boxes)[order], groundtruth_boxes, is_group_of)
  right, left_out = np.zeros(len(order), bool), np.zeros(len(order), bool)
  single = np.flatnonzero(~is_group_of)
  if len(single):
    best = single[np.argmax(overlap[:, single], axis=1)]
    hits = np.flatnonzero(overlap[np.arange(len(order)), best] >= iou_threshold)
    left_out[hits] = is_difficult[best[hits]]
    hits = hits[~left_out[hits]]
    _, first = np.unique(best[hits], return_index=True)
    right[hits[first]] = True
  groups, group_scores = np.flatnonzero(is_group_of), np.zeros(0)
  if len(groups):
    best = groups[np.argmax(overlap[:, groups], axis=1)]
    inside = ~right & ~left_out & (overlap[np.arange(len(order)), best] >= iou_threshold)
    left_out |= inside
    if group_of_weight > 0:
      _, first = np.unique(best[inside], return_index=True)
      group_scores = scores[inside][first]
  return Matches(
    np.concatenate([scores[~left_out], group_scores]),
    np.concatenate([right[~left_out], np.full(len(group_scores), group_of_weight)]),
  )
