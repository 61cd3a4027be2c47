"""Computes COCO's twelve figures over all classes, for each class and for groups of classes."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pycocotools.cocoeval import COCOeval


class Figure(NamedTuple):
  """One of COCO's figures.

  Attributes:
    iou_threshold: that a detection has to reach; None: the mean over .50:.05:.95.
    size: of the objects: all, small, medium or large.
  """

  name: str
  iou_threshold: float | None
  size: str
  max_detections: int

  @property
  def is_precision(self) -> bool:
    """Whether it is an average precision; otherwise it is an average recall."""
    return self.name.startswith('Precision')

  def of(self, coco_eval: COCOeval, k: int | None = None) -> float:
    """The figure of all classes, or of the k-th among params.catIds.

    In [0, 1]; -1 where there is no groundtruth of that size.
    """
    params = coco_eval.params
    at = (params.areaRngLbl.index(self.size), params.maxDets.index(self.max_detections))
    # [IoU thresholds, recalls, classes] of precisions, without the recalls of recalls.
    values = coco_eval.eval['precision' if self.is_precision else 'recall'][(..., *at)]
    if self.iou_threshold is not None:
      values = values[np.isclose(params.iouThrs, self.iou_threshold)]
    if k is not None:
      values = values[..., k]
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0

  def line(self, value: float) -> str:
    """A value in the line that pycocotools prints of it."""
    name, short = ('Precision', '(AP)') if self.is_precision else ('Recall', '(AR)')
    iou = '0.50:0.95' if self.iou_threshold is None else f'{self.iou_threshold:.2f}'
    where = f'IoU={iou:<9} | area={self.size:>6} | maxDets={self.max_detections:>3}'
    return f' Average {name:<10} {short} @[ {where} ] = {value:.3f}'


# In the order of COCOeval.stats.
FIGURES = (
  Figure('Precision/mAP', None, 'all', 100),
  Figure('Precision/mAP@.50IOU', 0.5, 'all', 100),
  Figure('Precision/mAP@.75IOU', 0.75, 'all', 100),
  Figure('Precision/mAP (small)', None, 'small', 100),
  Figure('Precision/mAP (medium)', None, 'medium', 100),
  Figure('Precision/mAP (large)', None, 'large', 100),
  Figure('Recall/AR@1', None, 'all', 1),
  Figure('Recall/AR@10', None, 'all', 10),
  Figure('Recall/AR@100', None, 'all', 100),
  Figure('Recall/AR@100 (small)', None, 'small', 100),
  Figure('Recall/AR@100 (medium)', None, 'medium', 100),
  Figure('Recall/AR@100 (large)', None, 'large', 100),
)
METRIC_NAMES = tuple(f'DetectionBoxes_{figure.name}' for figure in FIGURES)
# The same of the labeled (image, class) pairs alone: DetectionBoxes_Precision_Labeled/mAP, ...
LABELED_METRIC_NAMES = tuple(name.replace('/', '_Labeled/') for name in METRIC_NAMES)
LABELED_AVERAGE = 'DetectionBoxes_PerformanceByCategory_Labeled/mAP/{}'


def of_all_pairs(name: str) -> str:
  """The metric of all (image, class) pairs that one of the labeled pairs goes with, or itself.

  Where every class is labeled in every image the two are the same, and only that one is given.
  """
  return name.replace('_Labeled/', '/', 1)


def summary_lines(values: Sequence[float]) -> list[str]:
  """The twelve lines that pycocotools prints of the figures, in the order of FIGURES.

  Source: the layout is that of pycocotools 2.0, cocoeval.py.
  """
  return [figure.line(value) for figure, value in zip(FIGURES, values, strict=True)]


def category_metrics(
  value: Callable[[int, Figure], float],
  classes: Sequence[str],
  *,
  all_metrics: bool = False,
  super_categories: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, float]:
  """Gives the figures of each class and of groups of classes.

  Args:
    value: of a class, by its index, and a figure; -1 where there is no groundtruth.
    all_metrics: all twelve, not the AP at IoU .50:.95 alone.
    super_categories: class names by the name of their group; a group's AP is the mean over those
      of its classes that have groundtruth.

  Returns:
    By the Object Detection API's names; -1 where there is no groundtruth.

  Source: metrics/coco_tools.py there, which counts the -1 of a class without groundtruth into the
  mean of its group; here such a class is left out of it.
  """
  metrics, average = {}, {}
  for k, name in enumerate(classes):
    average[name] = value(k, FIGURES[0])
    metrics[f'DetectionBoxes_PerformanceByCategory/mAP/{name}'] = average[name]
    for figure in FIGURES if all_metrics else ():
      kind = figure.name.replace('/', ' ')
      metrics[f'DetectionBoxes_{kind} ByCategory/{name}'] = value(k, figure)
  for group, names in (super_categories or {}).items():
    values = [average[name] for name in names if average.get(name, -1.0) > -1]
    mean = float(np.mean(values)) if values else -1.0
    metrics[f'DetectionBoxes_PerformanceBySuperCategory/{group}'] = mean
  return metrics
