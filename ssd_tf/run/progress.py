"""Writes the short progress lines of a training."""

import time
from collections.abc import Callable

from ssd_tf.evaluation import log_format, short_format
from ssd_tf.training.trainer import Trainer

_FIRST_LINE_SECONDS = 5.0  # After the first step, unless an interval ends before.


class Progress:
  """Shows a line at each interval, and one soon after the first step, however long intervals are.

  The steps per second leave out the first step, which takes the time of compiling it, and what is
  done between the steps.

  Args:
    num_steps: the last step; None: there is none.
    last_figure: gives what the last evaluation came to, in words; '' for none.
  """

  def __init__(self, trainer: Trainer, num_steps: int | None, last_figure: Callable[[], str]):
    self._trainer, self._num_steps, self._last_figure = trainer, num_steps, last_figure
    self._has_shown, self._began, self._steps = False, None, 0

  def begin(self) -> None:
    """Steps follow."""
    if self._began is not None:
      self._began, self._steps = time.monotonic(), 0

  def after_step(self) -> None:
    """Called after each step."""
    self._steps += 1
    if self._began is None:
      self._began, self._steps = time.monotonic(), 0
    elif not self._has_shown and time.monotonic() - self._began >= _FIRST_LINE_SECONDS:
      self.show()

  def show(self) -> None:
    """Shows how far the training is."""
    if self._has_shown and not self._steps:
      return  # The early line was of this very step.
    measured = self._trainer.measure()
    if self._steps:
      measured['steps_per_sec'] = self._steps / max(time.monotonic() - self._began, 1e-9)
    step = int(self._trainer.global_step.numpy())
    log_format.show_short(
      short_format.progress_line(step, self._num_steps, measured, self._last_figure())
    )
    self._has_shown = True
    self._began, self._steps = time.monotonic(), 0
