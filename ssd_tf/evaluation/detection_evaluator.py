"""Defines the interface of detection evaluators, and combines several into one."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ssd_tf.evaluation.coco_metrics import CocoEvaluator
from ssd_tf.evaluation.image_results import drop_unlabeled_classes


class DetectionEvaluator(Protocol):
  """Measures detections over one pass of a data set."""

  def update(self, batch: Mapping[str, Any], detections: Mapping[str, Any]) -> None:
    """Adds a batch; see `image_results`."""

  def result(self) -> dict[str, float]:
    """The metrics of all that was added, by the names that are logged."""

  @property
  def metric_names(self) -> list[str]:
    """The names in `result`, in its order, told without one; a data set need not have all of them.

    What COCO's metrics have of labeled (image, class) pairs alone is given if not all are labeled.
    """

  @property
  def details(self) -> dict[str, Any]:
    """What the metrics have to be read with: split, counts, thresholds."""

  @property
  def report(self) -> str:
    """Lines on the last `result`, to be shown as they are; '' for none."""


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluatorGroup:
  """Several evaluators, empty at first, that measure the same detections.

  Attributes:
    evaluators: at least one; no two give a metric of the same name.
    skip_predictions_for_unlabeled_class: whether to leave out detections of classes that are not
      labeled in their image.
  """

  evaluators: Sequence[DetectionEvaluator]
  skip_predictions_for_unlabeled_class: bool = False

  def update(self, batch: Mapping[str, Any], detections: Mapping[str, Any]) -> None:
    """Adds a batch to each."""
    if self.skip_predictions_for_unlabeled_class:
      detections = drop_unlabeled_classes(batch, detections)
    for evaluator in self.evaluators:
      evaluator.update(batch, detections)

  def result(self) -> dict[str, float]:
    """The metrics of all, in the evaluators' order."""
    return {k: v for evaluator in self.evaluators for k, v in evaluator.result().items()}

  @property
  def metric_names(self) -> list[str]:
    """Those of all, in the evaluators' order."""
    return [name for evaluator in self.evaluators for name in evaluator.metric_names]

  @property
  def report(self) -> str:
    """Those of all, in the evaluators' order."""
    return ''.join(evaluator.report for evaluator in self.evaluators)

  def coco_results(self) -> list[dict[str, Any]]:
    """The detections measured, in COCO's results format; see `CocoEvaluator.coco_results`."""
    return next(
      evaluator.coco_results()
      for evaluator in self.evaluators
      if isinstance(evaluator, CocoEvaluator)
    )

  @property
  def details(self) -> dict[str, Any]:
    """Those of all."""
    details = {k: v for evaluator in self.evaluators for k, v in evaluator.details.items()}
    if self.skip_predictions_for_unlabeled_class:
      details['skip_predictions_for_unlabeled_class'] = True
    return details
