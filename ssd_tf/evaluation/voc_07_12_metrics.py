"""Computes VOC2007's and VOC2012's average precision side by side, by SSD-Tensorflow's names."""

from typing import Any, NamedTuple

import numpy as np
from absl import logging

from ssd_tf.evaluation.average_precision import average_precision
from ssd_tf.evaluation.voc_metrics import VocEvaluator

KINDS = {'AP_VOC07': True, 'AP_VOC12': False}  # Name -> whether it is that of eleven points.


class ClassResult(NamedTuple):
  """What was measured of one class.

  Attributes:
    num_groundtruth: boxes to be found, without difficult ones.
    precision: f64[d], after each detection that counts, by falling score.
    recall: f64[d]; nan without groundtruth.
    average_precision: by the names of `KINDS`; nan without groundtruth.
  """

  name: str
  num_groundtruth: int
  precision: np.ndarray
  recall: np.ndarray
  average_precision: dict[str, float]


class Voc0712Evaluator(VocEvaluator):
  """Average precision of each class as the development kits of 2007 and of 2012 define it.

  Its settings are those of `VocEvaluator`.

  Source: SSD-Tensorflow's eval_ssd_network.py, for the names, and the VOC development kits.
  SSD-Tensorflow differs: such a class counts 0 in the mean; a detection has to exceed the IoU, not
  to reach it; it is left out wherever the row of its best box is difficult, also if they do not
  overlap. ssd_keras: its evaluator's `sample` mode is AP_VOC07; `integrate` lacks the area before
  the first detection, so that one perfect detection has AP 0, and is not AP_VOC12.
  """

  def result(self) -> dict[str, float]:
    """AP_VOC07/1, ..., AP_VOC07/mAP, then AP_VOC12 likewise, in [0, 1]; nan without groundtruth."""
    results = self.class_results()
    without = [result.name for result in results.values() if not result.num_groundtruth]
    figures = []
    for kind in KINDS:
      values = [result.average_precision[kind] for result in results.values()]
      known = [value for value in values if not np.isnan(value)]
      mean = float(np.mean(known)) if known else float('nan')
      figures += [*values, mean]
      if known and without:
        logging.warning(
          '%s/mAP %.4f is the mean over the %d classes that have groundtruth. SSD-Tensorflow counts'
          ' the others (%s) as 0: %.4f',
          *(kind, mean, len(known), ', '.join(without)),
          sum(known) / len(results),
        )
    return dict(zip(self.metric_names, figures, strict=True))

  @property
  def metric_names(self) -> list[str]:
    """The names in `result`, in its order, told without one."""
    return [f'{kind}/{of}' for kind in KINDS for of in (*self._names, 'mAP')]

  def class_results(self) -> dict[int, ClassResult]:
    """What was measured, by class id."""
    return {id_: self._class_result(id_, name) for id_, name in self._names.items()}

  @property
  def details(self) -> dict[str, Any]:
    """What the figures have to be read with."""
    difficult = 'counted' if self.count_difficult else 'left out'
    return {
      **super().details,
      'matching_iou_threshold': self.iou_threshold,
      'difficult': difficult,
    }

  def _class_result(self, class_id, name):
    num_groundtruth = int(self._num_groundtruth[class_id])
    precision, recall = self.curve(class_id)
    averages = {
      kind: average_precision(precision, recall, eleven) if num_groundtruth else float('nan')
      for kind, eleven in KINDS.items()
    }
    return ClassResult(name, num_groundtruth, precision, recall, averages)
