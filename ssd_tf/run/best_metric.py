"""The one metric by which the evaluations of a training are compared."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ssd_tf.errors import InputError
from ssd_tf.evaluation import coco_metrics, metrics_file

FIELD = 'train_config.best_metric'
_LESS_IS_BETTER = 'Loss/'


def resolve(name: str, names: Sequence[str]) -> str:
  """The metric that is meant.

  Args:
    name: of a metric; '' for the first.
    names: of those that the evaluations give, at least one.

  Returns:
    Its name.

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


def differences(metric: str, details: Mapping[str, Any], others: Mapping[str, Any]) -> str:
  """In what evaluations differ, so that their figures cannot be compared.

  Args:
    metric: whose figures these are; what changes losses alone is no difference of another.
    details: of one: by name what its figures depend on besides the weights, or a group of such.
    others: of another one.

  Returns:
    Names, separated by commas; '' if they can be compared.
  """
  first, second = _flat(details), _flat(others)
  if not metric.startswith(_LESS_IS_BETTER):
    for each in (first, second):
      each.pop(metrics_file.LOSSES, None)
  return ', '.join(name for name in first | second if first.get(name) != second.get(name))


def value_of(name: str, metrics: Mapping[str, float | None]) -> float | None:
  """A metric's value in an evaluation.

  Args:
    name: of the metric. Where it is one of the labeled (image, class) pairs alone, and all are
      labeled, the evaluation has it as that of all pairs.
    metrics: of the evaluation.

  Returns:
    The value; None if there is none.
  """
  return metrics.get(name, metrics.get(coco_metrics.of_all_pairs(name)))


def is_figure(value: float) -> bool:
  """Whether it is a figure at all: not nan, nor COCO's -1 for "no groundtruth of this kind"."""
  return not math.isnan(value) and value != -1


def gain(name: str, value: float, reference: float) -> float:
  """By how much a value is better than a reference: more, or of a loss less.

  Args:
    name: of the metric.
    value: of an evaluation.
    reference: of another one.

  Returns:
    Above 0 if it is better, below if it is worse.
  """
  return reference - value if name.startswith(_LESS_IS_BETTER) else value - reference


def _flat(details):
  flat = {}
  for name, value in details.items():
    flat |= _flat(value) if isinstance(value, Mapping) else {name: value}
  return flat
