"""The loop of a training: what happens at which of its steps."""

import os
import time
from collections.abc import Callable, Sequence

import orbit
import tensorflow as tf
from absl import logging

from ssd_tf import fields
from ssd_tf.evaluation import log_format
from ssd_tf.run import checkpoints
from ssd_tf.run.early_stopping import EarlyStopping
from ssd_tf.run.summaries import CheckedSummaries
from ssd_tf.training.trainer import Trainer

FOREVER = 10**9


def build_controller(
  trainer: Trainer,
  manager: tf.train.CheckpointManager,
  num_steps: int,
  *,
  log_every_n: int,
  checkpoint_every_secs: float | None = None,
  train_actions: Sequence[Callable] = (),
  evaluator: orbit.AbstractEvaluator | None = None,
  eval_actions: Sequence[Callable] = (),
) -> orbit.Controller:
  """What trains, logs, saves and evaluates by turns.

  Args:
    manager: with the interval of checkpoints; event files go into train/ and eval/ of its folder.
    num_steps: the last step; FOREVER for none.
    checkpoint_every_secs: besides the manager's interval. None: none are saved by time.
    train_actions: are called after the log's lines, with nothing of use.
  """
  step = trainer.global_step
  actions = [lambda _: _log_step(trainer, num_steps), *train_actions]
  if checkpoint_every_secs:
    actions.append(SaveByTime(manager, step, checkpoint_every_secs))
  return orbit.Controller(
    strategy=trainer.strategy,
    trainer=trainer,
    evaluator=evaluator,
    global_step=step,
    steps_per_loop=lambda step: _steps_to_boundary(
      int(step), log_every_n, manager.checkpoint_interval, trainer.stages
    ),
    checkpoint_manager=manager,
    summary_interval=log_every_n,
    # Orbit takes one manager for both, unless the folders are named here, too, and differ.
    summary_dir=(train_dir := os.path.join(manager.directory, 'train')),
    eval_summary_dir=(eval_dir := os.path.join(manager.directory, 'eval')),
    summary_manager=CheckedSummaries(train_dir, step),
    eval_summary_manager=CheckedSummaries(eval_dir, step),
    train_actions=actions,
    eval_actions=list(eval_actions),
  )


def is_over(step: int, num_steps: int, stopping: EarlyStopping | None = None) -> bool:
  """Whether a training has come to its end before; logs why."""
  if step >= num_steps:
    logging.info('Nothing to do: step %d of %d is reached.', step, num_steps)
    return True
  if stopping is not None and (reason := stopping.reason(step)):
    logging.info('Nothing to do: the training was stopped early %s.', reason)
    return True
  return False


def train(
  controller: orbit.Controller,
  num_steps: int,
  stopping: EarlyStopping | None = None,
) -> None:
  """Trains to the last step, with an evaluation at each checkpoint if there is what evaluates.

  A checkpoint is saved before it is evaluated, so that a process that dies meanwhile loses no step
  that an evaluation has counted; at the last step one is saved in any case.
  """
  evaluates = controller.evaluator is not None
  manager = controller.checkpoint_manager
  every = manager.checkpoint_interval if evaluates else None
  step = int(controller.global_step.numpy())
  while step < num_steps:
    goal = min(num_steps, step + every - step % every) if every else num_steps
    controller.train(goal, checkpoint_at_completion=False)
    step = int(controller.global_step.numpy())
    checkpoints.save_last(manager, step)
    if evaluates:
      controller.evaluate(steps=-1)
    if stopping is not None and step < num_steps and (reason := stopping.reason(step)):
      logging.info('Stopped early %s.', reason)
      break


class SaveByTime:
  """Saves a checkpoint once so many seconds have passed since the last one."""

  def __init__(self, manager: tf.train.CheckpointManager, step: tf.Variable, interval: float):
    self._manager, self._step, self._interval = manager, step, interval
    self._saved = time.monotonic()

  def __call__(self, _) -> None:
    """Saves it if it is time; called now and then."""
    if time.monotonic() - self._saved >= self._interval:
      self._manager.save(checkpoint_number=self._step.numpy(), check_interval=False)
      self._saved = time.monotonic()


def _log_step(trainer, num_steps):
  """Writes a step's lines in the original's shape, and how long the rest will take."""
  step, measured = int(trainer.global_step.numpy()), trainer.measured
  losses = {name: measured[name] for name in fields.LOSSES}
  rate = measured['steps_per_sec']
  log_format.emit(log_format.step_lines(step, 1 / rate, losses, measured['learning_rate']))
  if num_steps < FOREVER:
    minutes, seconds = divmod(round((num_steps - step) / rate), 60)
    left = f'{minutes}:{seconds:02d} min left'
    logging.info('%.2f steps/s, step %d of %d, %s', rate, step, num_steps, left)


def _steps_to_boundary(step, log_every_n, checkpoint_every_n, stages):
  """Steps until the next multiple of an interval, or until another stage begins."""
  intervals = [interval for interval in (log_every_n, checkpoint_every_n) if interval]
  steps = [interval - step % interval for interval in intervals]
  if stages is not None:
    steps += [border - step for border in stages.borders if border > step]
  return min(steps)
