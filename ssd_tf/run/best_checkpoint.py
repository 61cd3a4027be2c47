"""Keeps the best checkpoint of a training beside its last ones."""

import glob
import os
import shutil

import tensorflow as tf
from absl import logging

from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.errors import InputError
from ssd_tf.evaluation import log_format
from ssd_tf.files.atomic_file import write_json
from ssd_tf.run.best_metric import Criterion, value_of
from ssd_tf.run.checkpoints import Manager, step_in_name
from ssd_tf.run.evaluation_log import EvaluationLog

_FOLDER, _FILE = 'best', 'best.json'


class BestCheckpoint:
  """Keeps the checkpoint whose evaluation was the best so far, in the folder best of a training.

  It is a whole checkpoint of the training. More is better, of a metric that begins with Loss/ less;
  nan and -1 never count, and what is equal is no better. How good the one kept is, is read from the
  log; where that has no figure of it that can be compared, it is kept until there is one of
  another. Call it after each evaluation, once that is in the log.

  TensorFlow's file `checkpoint`, which is replaced atomically, says which checkpoint is valid, so
  that a process may die at any moment. best.json, which says why it was chosen, is for people
  alone.

  Raises:
    InputError: the folder holds the best checkpoint of another training.
  """

  def __init__(
    self,
    manager: tf.train.CheckpointManager,
    step: tf.Variable,
    log: EvaluationLog,
    criterion: Criterion,
  ):
    self.directory = os.path.join(manager.directory, _FOLDER)
    self._training_step, self._log, self._criterion = step, log, criterion
    kept, latest = find(manager.directory), manager.latest_checkpoint
    if kept and not (latest and step_in_name(latest)):
      raise InputError(
        f'{self.directory}: holds the best checkpoint of another training (step '
        f'{step_in_name(kept)}), but {manager.directory} holds none to resume from: move or '
        'delete that folder, or take another model_dir'
      )
    self._manager = Manager(manager.checkpoint, self.directory, max_to_keep=1)
    # What a process that died while saving left, or did not come to delete.
    for path in glob.glob(os.path.join(glob.escape(self.directory), 'ckpt-*')):
      if step_in_name(path) != self.step:
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    if kept:
      log_format.tell('Best so far: %s.', self.description())

  @property
  def step(self) -> int | None:
    """Of the checkpoint that is kept; None: no evaluation counted yet."""
    latest = self._manager.latest_checkpoint
    return step_in_name(latest) if latest else None

  def __call__(self, _=None) -> None:
    """Keeps the checkpoint as it is now, if it is the best; the argument is that of an action."""
    step, before = int(self._training_step.numpy()), self.step
    values = self._criterion.values(self._log)
    if step == before:  # It was evaluated before, under these conditions or others.
      self._write_entry(step)
    elif step in values and self._criterion.is_better(values[step], values.get(before)):
      os.makedirs(self.directory, exist_ok=True)
      self._manager.save(checkpoint_number=step)
      self._write_entry(step)
      than = f', before {values[before]:.6g} at step {before}' if before in values else ''
      logging.info('New best: %s%s.', self.description(), than)

  def description(self) -> str:
    """The best so far in words."""
    name, step = self._criterion.metric, self.step
    if step is None:
      return f'none, no evaluation gave a figure of {name}'
    value = self._criterion.values(self._log).get(step)
    if value is None:
      return f'step {step}, in {self.directory}; under the conditions now, no {name} of it is known'
    return f'step {step}, {name} {value:.6g}, in {self.directory}'

  def _write_entry(self, step):
    """Tells of the checkpoint in best.json, unless no evaluation of it counts."""
    name, evaluations = self._criterion.metric, self._criterion.evaluations(self._log)
    if step in evaluations:
      details = dict(evaluations[step])
      metrics = details.pop('metrics')
      entry = {'step': details.pop('step'), 'metric': name, 'value': value_of(name, metrics)}
      entry |= {'metrics': metrics, 'details': details}
      write_json(os.path.join(self.directory, _FILE), entry)


def find(model_dir: str) -> str | None:
  """The prefix of the best checkpoint of a training; None if it keeps none."""
  return tf.train.latest_checkpoint(os.path.join(model_dir, _FOLDER))


def best_or_newest(path: str) -> str:
  """Finds the checkpoint to go by: of a training the best if it keeps one, else the newest.

  Args:
    path: a model_dir, or what else `find_checkpoint` takes.

  Returns:
    Its prefix.
  """
  return find(path) or find_checkpoint(path)
