"""The one metric by which the evaluations of a training are compared."""

import difflib
import math
from collections.abc import Iterable, Mapping

from ssd_tf.errors import InputError

FIELD = 'train_config.best_metric'
_LESS_IS_BETTER = 'Loss/'


def pick(name: str, metrics: Mapping[str, float]) -> tuple[str, float]:
  """The metric among those of an evaluation.

  Args:
    name: of the metric; '' for the first that there is.
    metrics: of the evaluation, at least one.

  Returns:
    (name, value).

  Raises:
    InputError: there is none of that name.
  """
  check_name(name, metrics)
  name = name or next(iter(metrics))
  return name, float(metrics[name])


def check_name(name: str, names: Iterable[str]) -> None:
  """Refuses a metric that the evaluations do not give.

  Args:
    name: of the metric; '' is always right.
    names: of those that they give.

  Raises:
    InputError: it is not among them; it lists them, the likely ones first.
  """
  names = list(names)
  if not name or name in names:
    return
  near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
  near = near or [other for other in names if name.lower() in other.lower()][:3]
  hint = f'did you mean {" or ".join(near)}? ' if near else ''
  raise InputError(
    f'{FIELD}: {name!r} is none of the metrics that eval_config gives; {hint}There are '
    f'{", ".join(names)}'
  )


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
