"""The end of a training whose metric no longer rises."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from ssd_tf.errors import InputError
from ssd_tf.files.atomic_file import write_json
from ssd_tf.run import best_metric

FILE = 'early_stopping.json'
_FIELD = 'train_config.early_stopping'


class EarlyStopping:
  """Tells when to stop: after so many evaluations that were no better than the best before.

  Better is more, of a metric that begins with Loss/ less, by min_delta at least; nan and -1 are
  never better. Each stage of the training is counted for itself, and none ends before the last. The
  evaluations are kept in early_stopping.json in model_dir, so that a training that goes on counts
  on; those of another metric, or under other conditions, are forgotten. Call it after each
  evaluation.

  Args:
    model_dir: of the training.
    step: it is at, i[]; what the file has of later ones is forgotten.
    metric: that is compared.
    details: what the figures depend on besides the weights, as metrics.jsonl has it.
    borders: the steps at which another stage begins.
    patience: evaluations without a better one, 1 or more.
    min_delta: what is less is no better.

  Raises:
    InputError: the file is broken.

  Source: Prechelt 1998, early stopping by "no progress in s successive strips".
  """

  def __init__(
    self,
    model_dir: str,
    step: tf.Variable,
    metric: str,
    details: Mapping[str, Any],
    *,
    borders: Sequence[int] = (),
    patience: int = 5,
    min_delta: float = 0.0,
  ):
    self._path = os.path.join(model_dir, FILE)
    self._step, self._borders = step, borders
    self._patience, self._min_delta = patience, min_delta
    self._metric, self._details = metric, details
    kind, evaluations = _read(self._path)
    differences = best_metric.differences(metric, kind, {'metric': metric, **details})
    if evaluations and differences:
      logging.info(
        '%s: %d evaluations do not count, they differ in %s.',
        self._path, len(evaluations), differences,
      )  # fmt: skip
      evaluations = []
    at = int(step.numpy())
    self._evaluations = [(step, value) for step, value in evaluations if step <= at]

  def __call__(self, metrics: Mapping[str, float]) -> None:
    """Counts an evaluation, in place of an earlier one of this step.

    Args:
      metrics: its own.
    """
    at = int(self._step.numpy())
    value = float(best_metric.value_of(self._metric, metrics))
    self._evaluations = [(step, old) for step, old in self._evaluations if step < at]
    self._evaluations.append((at, value))
    kind = {'metric': self._metric, 'details': self._details}
    write_json(self._path, {**kind, 'evaluations': self._evaluations})

  @property
  def is_over(self) -> bool:
    """Whether to stop now."""
    is_last_stage = all(border < int(self._step.numpy()) for border in self._borders)
    return is_last_stage and self._without_better()[0] >= self._patience

  def reason(self) -> str:
    """Why to stop, in words."""
    count, best = self._without_better()
    last, _ = self._evaluations[-1]
    than = f'better than {best[1]:.6g} at step {best[0]}' if best else 'with a figure'
    by = f' by {self._min_delta:g}' if best and self._min_delta else ''
    evaluations = 'evaluation' if count == 1 else 'evaluations'
    return f'at step {last}: {count} {evaluations} without a {self._metric} {than}{by}'

  def advice(self) -> str:
    """What to change for a training that is to go on."""
    return f'to go on, raise {_FIELD}.patience ({self._patience}), or take {_FIELD} out'

  def _without_better(self):
    at = int(self._step.numpy())
    # At the border itself, what was evaluated is what the stage before it came to.
    begin = max((border for border in self._borders if border < at), default=-1)
    evaluations = [(step, value) for step, value in self._evaluations if step > begin]
    return evaluations_without_better(evaluations, self._metric, self._min_delta)


def evaluations_without_better(
  evaluations: Sequence[tuple[int, float]], metric: str, min_delta: float
) -> tuple[int, tuple[int, float] | None]:
  """Counts the last evaluations that were no better than the best before them.

  Args:
    evaluations: (step, value), in their order.
    metric: whose values these are.
    min_delta: by which a value has to be better, at least.

  Returns:
    (count, the best before them; None if there is none).
  """
  count, best = 0, None
  for step, value in evaluations:
    gain = best_metric.gain(metric, value, best[1]) if best else math.inf
    if best_metric.is_figure(value) and gain > 0 and gain >= min_delta:
      count, best = 0, (step, value)
    else:
      count += 1
  return count, best


def _read(path):
  """(metric and details by name, [(step, value), ...])."""
  if not os.path.exists(path):
    return {}, []
  try:
    with open(path, encoding='utf-8') as file:
      content = json.load(file)
    evaluations = [
      (int(step), math.nan if value is None else float(value))
      for step, value in content['evaluations']
    ]
    # Older files tell no details.
    return {'metric': content['metric'], **content.get('details', {})}, evaluations
  except (ValueError, KeyError, TypeError) as error:
    raise InputError(
      f'{path}: expected the metric and its evaluations, as a training writes them: {error!r}; '
      'delete it, and evaluations are counted anew'
    ) from error
