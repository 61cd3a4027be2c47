"""Decides whether a training whose metric no longer improves ends early."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

from ssd_tf.run.best_metric import Criterion, is_figure
from ssd_tf.run.evaluation_log import EvaluationLog

_FIELD = 'train_config.early_stopping'


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
  """Tells when to stop: after so many evaluations that were no better than the best before.

  Better is more, of a metric that begins with Loss/ less, by min_delta at least; nan and -1 are
  never better. Each stage of the training is counted for itself, and none ends before the last.
  What the log has of later steps does not count.

  Attributes:
    patience: evaluations without a better one, 1 or more.
    min_delta: what is less is no better.

  Source: Prechelt 1998, early stopping by "no progress in s successive strips".
  """

  log: EvaluationLog
  criterion: Criterion
  borders: Sequence[int] = ()
  patience: int = 5
  min_delta: float = 0.0

  def reason(self, step: int) -> str:
    """Why to stop at a step, and what to change for a training that is to go on; '' not to stop."""
    if any(border >= step for border in self.borders):
      return ''
    # At the border itself, what was evaluated is what the stage before it came to.
    begin = max(self.borders, default=-1)
    values = self.criterion.values(self.log).items()
    values = [(at, value) for at, value in values if begin < at <= step]
    count, best = evaluations_without_better(values, self.criterion, self.min_delta)
    if count < self.patience:
      return ''
    than = f'better than {best[1]:.6g} at step {best[0]}' if best else 'with a figure'
    by = f' by {self.min_delta:g}' if best and self.min_delta else ''
    evaluations = f'{count} evaluation{"s" * (count > 1)}'
    return (
      f'at step {values[-1][0]}: {evaluations} without a {self.criterion.metric} {than}{by}; '
      f'to continue, raise {_FIELD}.patience ({self.patience}), or remove {_FIELD}'
    )


def evaluations_without_better(
  evaluations: Iterable[tuple[int, float]], criterion: Criterion, min_delta: float
) -> tuple[int, tuple[int, float] | None]:
  """Counts the last (step, value) that were no better, by min_delta at least, than the best before.

  Returns:
    (count, the best before them; None if there is none).
  """
  count, best = 0, None
  for step, value in evaluations:
    gain = criterion.gain(value, best[1]) if best else math.inf
    if is_figure(value) and gain > 0 and gain >= min_delta:
      count, best = 0, (step, value)
    else:
      count += 1
  return count, best
