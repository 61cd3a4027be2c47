"""Pascal VOC's average precision, named as the Object Detection API reports it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from ssd_tf import fields
from ssd_tf.evaluation.image_results import ImageResult, image_results
from ssd_tf.evaluation.overlaps import overlaps


def precision_recall(
  scores: np.ndarray, true_positives: np.ndarray, num_groundtruth: float
) -> tuple[np.ndarray, np.ndarray]:
  """Precision and recall after each detection, by falling score; of equal scores the first first.

  Args:
    scores: [d].
    true_positives: [d], 1 where a detection is right and 0 where it is wrong; a weight in between
      counts as that part of a right one.
    num_groundtruth: how many there are to be found.

  Returns:
    precision: f64[d].
    recall: f64[d]; nan where there is nothing to be found.
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
    use_07_metric: whether to take the eleven points.

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
    scores: [d].
    groundtruth_boxes: [n,4].
    is_difficult: bool[n].
    is_group_of: bool[n], boxes around several objects.
    iou_threshold: 0 to 1, also of the part inside of a group.
    group_of_weight: 0 counts no group.

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


class VocEvaluator:
  """Average precision of each class at one IoU threshold, and their mean, over one pass.

  Difficult boxes are neither missed nor found. A class without groundtruth has AP nan and no part
  in the mean.

  Source: the Object Detection API's utils/object_detection_evaluation.py, whose order of equal
  scores is undefined. Unlike there, an image whose source_id comes again counts again.
  """

  def __init__(
    self,
    categories: Sequence[tuple[int, str]],
    *,
    prefix: str = 'PascalBoxes',
    split: str = '',
    score_threshold: float | None = None,
    iou_threshold: float = 0.5,
    weighted: bool = False,
    recall_bounds: tuple[float, float] = (0.0, 1.0),
  ):
    """Starts an empty evaluation.

    Args:
      categories: (id, name) of each class, ids from 1.
      prefix: of the metrics' names.
      split: the data set's name, for `details` only.
      score_threshold: below which the detector drops its detections, for `details` only.
      iou_threshold: that a detection has to reach.
      weighted: whether the mean AP is that of all detections of all classes together, so that a
        class weighs as much as it has boxes.
      recall_bounds: least and greatest recall of the points of the curve that are taken.
    """
    self._categories = dict(categories)
    self._prefix = prefix
    self._split = split
    self._score_threshold = score_threshold
    self._iou_threshold = iou_threshold
    self._weighted = weighted
    self._recall_bounds = recall_bounds
    self._num_groundtruth = dict.fromkeys(self._categories, 0.0)
    self._matches: dict[int, list[Matches]] = {id_: [] for id_ in self._categories}
    self._counts = dict.fromkeys(('images', 'groundtruth_boxes', 'difficult_boxes'), 0)
    self._counts |= {'group_of_boxes': 0, 'detections': 0, 'max_detections': 0}

  def update(self, batch: Mapping[str, Any], detections: Mapping[str, Any]) -> None:
    """Adds a batch of images with their groundtruth and detections; see `image_results`.

    Raises:
      ValueError: a key is missing, a shape does not fit, or a detection is not finite.
    """
    for image in image_results(batch, detections, max(self._categories, default=0)):
      self._add_image(self._prepared(image))
    shown = np.shape(detections[fields.DETECTION_BOXES])[1]
    self._counts['max_detections'] = max(self._counts['max_detections'], shown)

  def result(self) -> dict[str, float]:
    """Evaluates all images.

    Returns:
      The mean AP, then the AP of each class by the Object Detection API's names, in [0, 1]; nan
      where there is no groundtruth.
    """
    without = [name for id_, name in self._categories.items() if not self._num_groundtruth[id_]]
    if without:
      logging.warning(
        '%s: no groundtruth of %s: nan, and no part of the mean', self._prefix, ', '.join(without)
      )
    average = {id_: self._average_precision([id_]) for id_ in self._categories}
    defined = [value for value in average.values() if not np.isnan(value)]
    if self._weighted:
      mean = self._average_precision(list(self._categories))
    else:
      mean = float(np.mean(defined)) if defined else float('nan')
    return dict(zip(self.metric_names, [mean, *average.values()], strict=True))

  @property
  def metric_names(self) -> list[str]:
    """The names in `result`, in its order, told without one."""
    low, high = self._recall_bounds
    bounds = f'@[{low:.1f},{high:.1f}]Recall' if (low, high) != (0.0, 1.0) else ''
    of_class = f'{self._prefix}_PerformanceByCategory/AP@{self._iou_threshold}IOU'
    return [
      f'{self._prefix}_Precision/mAP@{self._iou_threshold}IOU{bounds}',
      *(f'{of_class}/{name}' for name in self._categories.values()),
    ]

  def curve(self, class_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of a class after each of its detections, f64[d] each."""
    return self._curve([class_id])

  @property
  def details(self) -> dict[str, Any]:
    """What a figure has to be read with: split, counts, score threshold, detections per image."""
    return {'split': self._split, **self._counts, 'score_threshold': self._score_threshold}

  def _prepared(self, image: ImageResult) -> ImageResult:
    """The image as these metrics see it; groups are Open Images'."""
    return dataclasses.replace(image, is_group_of=np.zeros_like(image.is_group_of))

  def _group_of_weight(self) -> float:
    return 0.0

  def _add_image(self, image):
    known = np.isin(image.groundtruth_classes, list(self._categories))
    self._counts['images'] += 1
    self._counts['groundtruth_boxes'] += int(known.sum())
    self._counts['difficult_boxes'] += int(image.is_difficult[known].sum())
    self._counts['group_of_boxes'] += int(image.is_group_of[known].sum())
    self._counts['detections'] += int(np.isin(image.classes, list(self._categories)).sum())
    size = np.array([image.height, image.width, image.height, image.width], np.float64)
    boxes, groundtruth = image.boxes * size, image.groundtruth_boxes * size
    is_box = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    for id_ in np.union1d(image.classes, image.groundtruth_classes):
      if id_ not in self._categories:
        continue
      detected, real = is_box & (image.classes == id_), image.groundtruth_classes == id_
      counted = real & ~image.is_difficult
      groups = np.sum(counted & image.is_group_of) * self._group_of_weight()
      self._num_groundtruth[id_] += np.sum(counted & ~image.is_group_of) + groups
      self._matches[id_].append(
        match_detections(
          boxes[detected],
          image.scores[detected],
          groundtruth[real],
          is_difficult=image.is_difficult[real],
          is_group_of=image.is_group_of[real],
          iou_threshold=self._iou_threshold,
          group_of_weight=self._group_of_weight(),
        )
      )

  def _curve(self, class_ids):
    # Classes without groundtruth have no part in the figure of several.
    matches = [m for id_ in class_ids if self._num_groundtruth[id_] for m in self._matches[id_]]
    if not matches:
      return np.zeros(0), np.zeros(0)
    return precision_recall(
      np.concatenate([m.scores for m in matches]),
      np.concatenate([m.true_positives for m in matches]),
      sum(self._num_groundtruth[id_] for id_ in class_ids),
    )

  def _average_precision(self, class_ids):
    if not any(self._num_groundtruth[id_] for id_ in class_ids):
      return float('nan')
    precision, recall = self._curve(class_ids)
    low, high = self._recall_bounds
    taken = (recall >= low) & (recall <= high)
    return average_precision(precision[taken], recall[taken])
