"""Runs the loop of a training: saves, evaluates and logs at the steps where each is due."""

import os
import time
from collections.abc import Callable, Sequence

import orbit
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.evaluation import log_format
from ssd_tf.run import checkpoints
from ssd_tf.run.checked_event_files import CheckedSummaries
from ssd_tf.run.early_stopping import EarlyStopping
from ssd_tf.run.evaluator import evaluate
from ssd_tf.run.interruption import HeldSignals
from ssd_tf.run.progress import Progress
from ssd_tf.training.trainer import Trainer

FOREVER = 10**9


class Loop:
  """Trains, logs, saves and evaluates by turns.

  Args:
    manager: of the checkpoints; event files go into train/ and eval/ of its folder.
    num_steps: the last step; FOREVER for none.
    checkpoint_every_n: steps between checkpoints, each of which is evaluated; None: none are saved
      by steps, but the last one.
    checkpoint_every_secs: seconds between checkpoints, besides. None: none are saved by time.
    train_actions: are called after the log's lines.
    evaluator: None: nothing is evaluated.
    eval_actions: are called with the figures of an evaluation.
    stopping: None: the training goes on to its last step.
    last_figure: gives what the last evaluation came to, in words; '' for none.
  """

  def __init__(
    self,
    trainer: Trainer,
    manager: tf.train.CheckpointManager,
    num_steps: int,
    *,
    log_every_n: int,
    checkpoint_every_n: int | None = None,
    checkpoint_every_secs: float | None = None,
    train_actions: Sequence[Callable[[], None]] = (),
    evaluator: orbit.AbstractEvaluator | None = None,
    eval_actions: Sequence[Callable] = (),
    stopping: EarlyStopping | None = None,
    last_figure: Callable[[], str] = lambda: '',
  ):
    self._trainer, self._manager, self._num_steps = trainer, manager, num_steps
    self._log_every_n, self._checkpoint_every_n = log_every_n, checkpoint_every_n
    self._actions = list(train_actions)
    if checkpoint_every_secs:
      self._actions.append(SaveByTime(manager, trainer.global_step, checkpoint_every_secs))
    self._evaluator, self._eval_actions, self._stopping = evaluator, eval_actions, stopping
    self._summaries, self._eval_summaries = (
      CheckedSummaries(os.path.join(manager.directory, name), trainer.global_step)
      for name in ('train', 'eval')
    )
    tf.summary.experimental.set_step(trainer.global_step)
    self._signals = HeldSignals()
    self._progress = Progress(trainer, num_steps if num_steps < FOREVER else None, last_figure)
    trainer.after_step = self._after_step

  @property
  def step(self) -> int:
    """The number of updates made so far."""
    return int(self._trainer.global_step.numpy())

  def is_over(self) -> bool:
    """Whether the training has come to its end before; logs why."""
    if self.step >= self._num_steps:
      log_format.tell('Nothing to do: step %d of %d is reached.', self.step, self._num_steps)
      return True
    if reason := self._reason_to_stop():
      log_format.tell('Nothing to do: the training was stopped early %s.', reason)
      return True
    return False

  def run(self) -> None:
    """Trains to the last step, with an evaluation at each checkpoint if there is what evaluates.

    A checkpoint is saved before it is evaluated, so that a process that dies meanwhile loses no
    step that an evaluation has counted. A signal that ends the training waits for the step in
    progress, and for a checkpoint of it; in an evaluation, nothing is lost, and it ends at once.

    Raises:
      KeyboardInterrupt: a signal ended it.
    """
    self._measured_from = time.time(), self.step
    while self.step < self._num_steps:
      with self._signals:
        self._train_to(min(self._num_steps, self._next(self._checkpoint_every_n)))
        checkpoints.save_last(self._manager, self.step)
      self._signals.raise_received()
      if self._evaluator is not None:
        self.evaluate()
      if self.step < self._num_steps and (reason := self._reason_to_stop()):
        log_format.tell('Stopped early %s.', reason)
        break

  def evaluate(self) -> None:
    """Evaluates the model as it is now."""
    evaluate(self._evaluator, self._eval_summaries, self._eval_actions)

  def is_evaluated(self) -> bool:
    """Whether checkpoints are evaluated of steps as the one reached now."""
    every = self._checkpoint_every_n
    return self.step >= self._num_steps or bool(every and self.step % every == 0)

  def _train_to(self, goal):
    """Trains in parts that end at a line of the log, or where another stage begins."""
    while self.step < goal and not self._signals.received:
      ends = [goal, self._next(self._log_every_n)]
      if self._trainer.stages is not None:
        ends += [border for border in self._trainer.stages.borders if border > self.step]
      self._train(min(ends) - self.step)

  def _train(self, num_steps):
    end = self.step + num_steps
    self._progress.begin()
    with (
      self._summaries.summary_writer().as_default(),
      tf.summary.record_if(lambda: self._trainer.global_step % self._log_every_n == 0),
    ):
      self._trainer.train(tf.constant(num_steps))
    if self.step < end:
      return
    self._log_step()
    for action in self._actions:
      action()
    since, first_step = self._measured_from
    self._measured_from = time.time(), self.step
    rate = (self.step - first_step) / (self._measured_from[0] - since)
    self._summaries.write_summaries({'steps_per_second': rate})
    self._summaries.flush()

  def _after_step(self):
    """Whether another step may begin."""
    self._progress.after_step()
    return not self._signals.received

  def _log_step(self):
    """Writes a step's lines in both shapes, and how long the rest will take."""
    measured = self._trainer.measured
    losses = {name: measured[name] for name in fields.LOSSES}
    rate = measured['steps_per_sec']
    log_format.emit(log_format.step_lines(self.step, 1 / rate, losses, measured['learning_rate']))
    if self._num_steps < FOREVER:
      minutes, seconds = divmod(round((self._num_steps - self.step) / rate), 60)
      left = f'{minutes}:{seconds:02d} min left'
      log_format.emit_once(f'{rate:.2f} steps/s, step {self.step} of {self._num_steps}, {left}')
    self._progress.show()

  def _next(self, interval):
    """The next multiple of an interval; none: the last step."""
    return self.step - self.step % interval + interval if interval else self._num_steps

  def _reason_to_stop(self):
    return self._stopping.reason(self.step) if self._stopping is not None else ''


class SaveByTime:
  """Saves a checkpoint once so many seconds have passed since the last one."""

  def __init__(self, manager: tf.train.CheckpointManager, step: tf.Variable, interval: float):
    self._manager, self._step, self._interval = manager, step, interval
    self._saved = time.monotonic()

  def __call__(self) -> None:
    """Saves it if it is time; called now and then."""
    if time.monotonic() - self._saved >= self._interval:
      self._manager.save(checkpoint_number=int(self._step.numpy()))
      self._saved = time.monotonic()
