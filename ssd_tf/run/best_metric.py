"""Compares the evaluations of a training by one metric, and finds the best."""

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ssd_tf.errors import InputError
from ssd_tf.evaluation import coco_figures
from ssd_tf.run.evaluation_conditions import differences
from ssd_tf.run.evaluation_log import EvaluationLog

FIELD = 'train_config.best_metric'
_LESS_IS_BETTER = 'Loss/'


@dataclasses.dataclass(frozen=True)
class Criterion:
  """Which evaluations count, and by which of their figures.

  Attributes:
    details: split and conditions of the evaluations that count, see `evaluation_conditions`.
  """

  metric: str
  details: Mapping[str, Any]

  def evaluations(self, log: EvaluationLog) -> dict[int, dict[str, Any]]:
    """Those that count and have the metric, by step, rising; damaged lines are skipped."""
    losses = self.metric.startswith(_LESS_IS_BETTER)
    lines = log.comparable(self.details, losses=losses, skip_damaged=True)
    return {
      step: line
      for step, line in lines.items()
      if value_of(self.metric, line['metrics']) is not None
    }

  def values(self, log: EvaluationLog) -> dict[int, float]:
    """The metric of the evaluations that count, by step, rising."""
    evaluations = self.evaluations(log)
    return {step: value_of(self.metric, line['metrics']) for step, line in evaluations.items()}

  def best_step(self, log: EvaluationLog) -> int | None:
    """The step of the best evaluation so far, the earliest of equal ones; None: none counts."""
    best, values = None, self.values(log)
    for step, value in values.items():
      if self.is_better(value, values.get(best)):
        best = step
    return best

  def left_out(self, log: EvaluationLog) -> str:
    """Tells of the evaluations that do not count for their conditions; '' if there are none."""
    losses = self.metric.startswith(_LESS_IS_BETTER)
    lines = log.read(skip_damaged=True)
    found = [differences(self.details, line, losses=losses) for line in lines]
    found = list(filter(None, found))
    names = ', '.join(dict.fromkeys(name for names in found for name in names.split(', ')))
    return names and f'{len(found)} evaluations do not count, they differ in {names}'

  def is_better(self, value: float, reference: float | None) -> bool:
    """Whether a value is a figure, and better than a reference, if that is one."""
    if not is_figure(value):
      return False
    return reference is None or not is_figure(reference) or self.gain(value, reference) > 0

  def gain(self, value: float, reference: float) -> float:
    """By how much a value is better than a reference, so above 0: more, or of a loss less."""
    less_is_better = self.metric.startswith(_LESS_IS_BETTER)
    return reference - value if less_is_better else value - reference


def is_figure(value: float) -> bool:
  """Whether it is a figure at all: not nan, nor COCO's -1 for "no groundtruth of this kind"."""
  return not math.isnan(value) and value != -1


def value_of(name: str, metrics: Mapping[str, float | None]) -> float | None:
  """A metric's value in an evaluation; None if there is none.

  That of the labeled (image, class) pairs alone, where all pairs are labeled, is that of all pairs.
  """
  return metrics.get(name, metrics.get(coco_figures.of_all_pairs(name)))


def resolve_metric(name: str, names: Sequence[str]) -> str:
  """The metric that is meant by a name: '' is the first of those that the evaluations give.

  Raises:
    InputError: it is not among them; it lists them, the likely ones first.
  """
  if not name or name in names:
    return name or names[0]
  near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
  near = near or [other for other in names if name.lower() in other.lower()][:3]
  hint = f'did you mean {" or ".join(near)}? ' if near else ''
  raise InputError(
    f'{FIELD}: {name!r} is none of the metrics that eval_config gives; {hint}There are '
    f'{", ".join(names)}'
  )
