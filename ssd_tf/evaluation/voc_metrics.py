"""Computes Pascal VOC's and Open Images' AP, named as the Object Detection API reports it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from absl import logging

from ssd_tf import fields
from ssd_tf.evaluation.average_precision import (
  Matches,
  average_precision,
  match_detections,
  precision_recall,
)
from ssd_tf.evaluation.image_results import image_results


@dataclasses.dataclass(eq=False)
class VocEvaluator:
  """Average precision of each class at one IoU threshold, and their mean, over one pass.

  A class without groundtruth has AP nan and no part in the mean.

  Attributes:
    categories: (id, name) of each class, ids from 1.
    split: the data set's name, for `details` only.
    score_threshold: below which the detector drops its detections, for `details` only.
    weighted: whether the mean AP is that of all detections of all classes together, so that a class
      weighs as much as it has boxes.
    recall_bounds: least and greatest recall of the points of the curve that are taken.
    count_difficult: whether difficult boxes are like others, not neither missed nor found.
    group_of_weight: how much a box around a group of objects counts: 0: it need not be found, and
      what lies inside of it is left out; None: it is a box like others.
    labeled_only: whether to leave out detections of classes that are neither labeled nor there in
      their image.

  Source: the Object Detection API's utils/object_detection_evaluation.py, whose order of equal
  scores is undefined. Unlike there, an image whose source_id comes again counts again.
  """

  report: ClassVar[str] = ''  # No lines are to be shown.

  categories: Sequence[tuple[int, str]]
  _: dataclasses.KW_ONLY
  prefix: str = 'PascalBoxes'
  split: str = ''
  score_threshold: float | None = None
  iou_threshold: float = 0.5
  weighted: bool = False
  recall_bounds: tuple[float, float] = (0.0, 1.0)
  count_difficult: bool = False
  group_of_weight: float | None = None
  labeled_only: bool = False

  def __post_init__(self):
    self._names = dict(self.categories)
    self._num_groundtruth = dict.fromkeys(self._names, 0.0)
    self._matches: dict[int, list[Matches]] = {id_: [] for id_ in self._names}
    self._counts = dict.fromkeys(('images', 'groundtruth_boxes', 'difficult_boxes'), 0)
    self._counts |= {'group_of_boxes': 0, 'detections': 0, 'max_detections': 0}

  def update(self, batch: Mapping[str, Any], detections: Mapping[str, Any]) -> None:
    """Adds a batch of images with their groundtruth and detections; see `image_results`.

    Raises:
      ValueError: a key is missing, a shape does not fit, or a detection is not finite.
    """
    for image in image_results(batch, detections, max(self._names, default=0)):
      self._add_image(self._prepared(image))
    shown = np.shape(detections[fields.DETECTION_BOXES])[1]
    self._counts['max_detections'] = max(self._counts['max_detections'], shown)

  def result(self) -> dict[str, float]:
    """The mean AP, then that of each class by the Object Detection API's names, in [0, 1].

    It is nan where there is no groundtruth.
    """
    without = [name for id_, name in self._names.items() if not self._num_groundtruth[id_]]
    if without:
      logging.warning(
        '%s: no groundtruth of %s: nan, and no part of the mean', self.prefix, ', '.join(without)
      )
    average = {id_: self._average_precision([id_]) for id_ in self._names}
    defined = [value for value in average.values() if not np.isnan(value)]
    if self.weighted:
      mean = self._average_precision(list(self._names))
    else:
      mean = float(np.mean(defined)) if defined else float('nan')
    return dict(zip(self.metric_names, [mean, *average.values()], strict=True))

  @property
  def metric_names(self) -> list[str]:
    """The names in `result`, in its order, told without one."""
    low, high = self.recall_bounds
    bounds = f'@[{low:.1f},{high:.1f}]Recall' if (low, high) != (0.0, 1.0) else ''
    of_class = f'{self.prefix}_PerformanceByCategory/AP@{self.iou_threshold}IOU'
    return [
      f'{self.prefix}_Precision/mAP@{self.iou_threshold}IOU{bounds}',
      *(f'{of_class}/{name}' for name in self._names.values()),
    ]

  def curve(self, *class_ids: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall after each detection of classes, f64[d]; nan without groundtruth."""
    matches = [m for id_ in class_ids for m in self._matches[id_]]
    return precision_recall(
      np.concatenate([np.zeros(0), *(m.scores for m in matches)]),
      np.concatenate([np.zeros(0), *(m.true_positives for m in matches)]),
      sum(self._num_groundtruth[id_] for id_ in class_ids),
    )

  @property
  def details(self) -> dict[str, Any]:
    """What a figure has to be read with: split, counts, score threshold, detections per image."""
    return {'split': self.split, **self._counts, 'score_threshold': self.score_threshold}

  def _prepared(self, image):
    """The image without what these metrics do not heed."""
    none = np.zeros(len(image.groundtruth_boxes), bool)
    if self.count_difficult:
      image = dataclasses.replace(image, is_difficult=none)
    if self.group_of_weight is None:
      image = dataclasses.replace(image, is_group_of=none)
    if not self.labeled_only:
      return image
    labeled = np.union1d(np.flatnonzero(image.labeled) + 1, image.groundtruth_classes)
    kept = np.isin(image.classes, labeled)
    return dataclasses.replace(
      image, boxes=image.boxes[kept], scores=image.scores[kept], classes=image.classes[kept]
    )

  def _add_image(self, image):
    known = np.isin(image.groundtruth_classes, list(self._names))
    self._counts['images'] += 1
    self._counts['groundtruth_boxes'] += int(known.sum())
    self._counts['difficult_boxes'] += int(image.is_difficult[known].sum())
    self._counts['group_of_boxes'] += int(image.is_group_of[known].sum())
    self._counts['detections'] += int(np.isin(image.classes, list(self._names)).sum())
    size = np.array([image.height, image.width, image.height, image.width], np.float64)
    boxes, groundtruth = image.boxes * size, image.groundtruth_boxes * size
    is_box = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    weight = self.group_of_weight or 0.0
    for id_ in np.union1d(image.classes, image.groundtruth_classes):
      if id_ not in self._names:
        continue
      detected, real = is_box & (image.classes == id_), image.groundtruth_classes == id_
      counted = real & ~image.is_difficult
      groups = np.sum(counted & image.is_group_of) * weight
      self._num_groundtruth[id_] += np.sum(counted & ~image.is_group_of) + groups
      self._matches[id_].append(
        match_detections(
          boxes[detected],
          image.scores[detected],
          groundtruth[real],
          is_difficult=image.is_difficult[real],
          is_group_of=image.is_group_of[real],
          iou_threshold=self.iou_threshold,
          group_of_weight=weight,
        )
      )

  def _average_precision(self, class_ids):
    # Classes without groundtruth have no part in the figure of several.
    class_ids = [id_ for id_ in class_ids if self._num_groundtruth[id_]]
    if not class_ids:
      return float('nan')
    precision, recall = self.curve(*class_ids)
    low, high = self.recall_bounds
    taken = (recall >= low) & (recall <= high)
    return average_precision(precision[taken], recall[taken])


def open_images_evaluator(
  categories: Sequence[tuple[int, str]], *, challenge: bool = False, **settings: Any
) -> VocEvaluator:
  """Starts an empty evaluation by the rules of Open Images.

  Version 2: a detection inside of a group is left out, and groups need not be found. Challenge: a
  group is one more box to be found, by the best detection inside of it, the others being left out;
  and detections of classes that are not labeled in their image are left out.

  The hierarchy of the classes has to be expanded in the records; difficult boxes are like others.

  Source: storage.googleapis.com/openimages/web/evaluation.html; the Object Detection API's
  utils/object_detection_evaluation.py.
  """
  return VocEvaluator(
    categories,
    prefix='OpenImagesDetectionChallenge' if challenge else 'OpenImagesV2',
    count_difficult=True,
    group_of_weight=1.0 if challenge else 0.0,
    labeled_only=challenge,
    **settings,
  )
