"""COCO's figures of each class, and of groups of classes, by the Object Detection API's names."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pycocotools.cocoeval import COCOeval

# Name -> (whether it is a precision, IoU threshold or None for the mean over all, size, detections
# per image), in the order of COCOeval.stats.
_FIGURES = {
  'Precision mAP': (True, None, 'all', 100),
  'Precision mAP@.50IOU': (True, 0.5, 'all', 100),
  'Precision mAP@.75IOU': (True, 0.75, 'all', 100),
  'Precision mAP (small)': (True, None, 'small', 100),
  'Precision mAP (medium)': (True, None, 'medium', 100),
  'Precision mAP (large)': (True, None, 'large', 100),
  'Recall AR@1': (False, None, 'all', 1),
  'Recall AR@10': (False, None, 'all', 10),
  'Recall AR@100': (False, None, 'all', 100),
  'Recall AR@100 (small)': (False, None, 'small', 100),
  'Recall AR@100 (medium)': (False, None, 'medium', 100),
  'Recall AR@100 (large)': (False, None, 'large', 100),
}

_AVERAGE = 'DetectionBoxes_PerformanceByCategory/mAP/{}'
_FIGURE = 'DetectionBoxes_{} ByCategory/{}'
_GROUP_AVERAGE = 'DetectionBoxes_PerformanceBySuperCategory/{}'


def class_average(coco_eval: COCOeval, k: int, figure: str = 'Precision mAP') -> float:
  """One of COCO's figures of one class alone.

  Args:
    coco_eval: accumulated.
    k: index of the class among params.catIds.
    figure: such as 'Precision mAP (small)' or 'Recall AR@10'.

  Returns:
    In [0, 1]; -1 where there is no groundtruth of that class and size.
  """
  is_precision, iou_threshold, size, detections = _FIGURES[figure]
  params = coco_eval.params
  at = (params.areaRngLbl.index(size), params.maxDets.index(detections))
  values = (
    coco_eval.eval['precision'][:, :, k, *at]  # [IoU thresholds, recalls]
    if is_precision
    else coco_eval.eval['recall'][:, k, *at]  # [IoU thresholds]
  )
  if iou_threshold is not None:
    values = values[np.isclose(params.iouThrs, iou_threshold)]
  defined = values[values > -1]
  return float(defined.mean()) if defined.size else -1.0


def category_metric_names(
  classes: Iterable[str],
  *,
  all_metrics: bool = False,
  super_categories: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
  """The names of what `category_metrics` gives, in its order.

  Args:
    classes: their names, in the order of ids.
    all_metrics: as there.
    super_categories: as there.

  Returns:
    The names.
  """
  names = []
  for name in classes:
    names.append(_AVERAGE.format(name))
    names += [_FIGURE.format(figure, name) for figure in _FIGURES if all_metrics]
  return names + [_GROUP_AVERAGE.format(group) for group in super_categories or {}]


def category_metrics(
  coco_eval: COCOeval,
  categories: Mapping[int, str],
  *,
  all_metrics: bool = False,
  super_categories: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, float]:
  """Gives each class's figures.

  Args:
    coco_eval: accumulated.
    categories: name by id.
    all_metrics: all twelve, not the AP at IoU .50:.95 alone.
    super_categories: class names by the name of their group; a group's AP is the mean over those
      of its classes that have groundtruth.

  Returns:
    By the Object Detection API's names; -1 where there is no groundtruth.

  Source: metrics/coco_tools.py there, which counts the -1 of a class without groundtruth into the
  mean of its group; here such a class is left out of it.
  """
  metrics, average = {}, {}
  for k, category_id in enumerate(coco_eval.params.catIds):
    name = categories[category_id]
    average[name] = class_average(coco_eval, k)
    metrics[_AVERAGE.format(name)] = average[name]
    for figure in _FIGURES if all_metrics else ():
      metrics[_FIGURE.format(figure, name)] = class_average(coco_eval, k, figure)
  for group, names in (super_categories or {}).items():
    values = [average[name] for name in names if average.get(name, -1.0) > -1]
    metrics[_GROUP_AVERAGE.format(group)] = float(np.mean(values)) if values else -1.0
  return metrics
