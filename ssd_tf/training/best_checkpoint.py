"""The best checkpoint of a training, kept beside its last ones."""

import glob
import json
import os
import shutil
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from ssd_tf.errors import InputError
from ssd_tf.training import best_metric
from ssd_tf.training.atomic_file import write_json

FOLDER, FILE = 'best', 'best.json'


class Best(NamedTuple):
  """An evaluation that was better than all before.

  Attributes:
    step: of the checkpoint.
    metric: that was compared.
    value: of it.
    metrics: all of the evaluation.
  """

  step: int
  metric: str
  value: float
  metrics: Mapping[str, float | None]


class BestCheckpoint:
  """Keeps the checkpoint whose evaluation was the best so far, in the folder best of a training.

  It is a whole checkpoint of the training, as those in model_dir are; best.json beside it says
  which step and why. More is better, of a metric that begins with Loss/ less; nan and -1 never
  count, and what is equal is no better. Call it after each evaluation.

  TensorFlow's file `checkpoint`, which is replaced in one go, says which checkpoint is valid, and
  best.json holds the entry of the one before too. So a process that dies at any moment leaves the
  old checkpoint or the new one, with its entry; `read` gives them.

  Args:
    checkpoint: of the training.
    step: it is at, i[].
    model_dir: of the training.
    metric: its name; '' for the first that the evaluations give.

  Attributes:
    directory: where it is.
    best: so far; None: no evaluation counted yet.

  Raises:
    InputError: the folder holds the best checkpoint of another training, or best.json is broken.
  """

  def __init__(
    self, checkpoint: tf.train.Checkpoint, step: tf.Variable, model_dir: str, metric: str = ''
  ):
    self.directory = os.path.join(model_dir, FOLDER)
    self._step, self._metric = step, metric
    self.best = read(self.directory)
    at = int(step.numpy())
    if self.best and not at:
      raise InputError(
        f'{self.directory}: holds the best checkpoint of another training (step {self.best.step}), '
        f'but {model_dir} holds none to go on from: move or delete that folder, or take another '
        'model_dir'
      )
    self._manager = tf.train.CheckpointManager(checkpoint, self.directory, max_to_keep=1)
    self._remove_leftovers()
    if self.best:
      logging.info('Best so far: %s.', self.description())

  def __call__(self, metrics: Mapping[str, float]) -> None:
    """Keeps the checkpoint as it is now, if its metrics are the best ones.

    Args:
      metrics: of its evaluation.

    Raises:
      InputError: the metric is not among them.
    """
    name, value = best_metric.pick(self._metric, metrics)
    step = int(self._step.numpy())
    reference = self._reference(name)
    if not best_metric.is_figure(value) or (self.best and self.best.step == step):
      return  # Files of the same names could not be replaced in one go.
    if reference is not None and best_metric.gain(name, value, reference) <= 0:
      return
    figures = {key: float(figure) for key, figure in metrics.items()}
    before, self.best = self.best, Best(step, name, value, figures)
    os.makedirs(self.directory, exist_ok=True)
    entry = {**self.best._asdict(), 'previous': before and before._asdict()}
    write_json(os.path.join(self.directory, FILE), entry)
    self._manager.save(checkpoint_number=step)
    than = f', before {reference:.6g} at step {before.step}' if reference is not None else ''
    logging.info('New best: %s%s.', self.description(), than)

  def description(self) -> str:
    """The best so far in words."""
    if self.best is None:
      return f'none, no evaluation gave a figure of {self._metric or "its metric"}'
    return f'step {self.best.step}, {self.best.metric} {self.best.value:.6g}, in {self.directory}'

  def _reference(self, name):
    """What is to be beaten, by that metric, which need not be the one that it was chosen by."""
    if self.best is None:
      return None
    value = self.best.metrics.get(name)
    return value if value is not None and best_metric.is_figure(value) else None

  def _remove_leftovers(self):
    """Deletes what a process that died while saving left, or did not come to delete."""
    if self.best is None:
      return
    for entry in _entries(os.path.join(self.directory, FILE)):
      if entry and entry['step'] != self.best.step:
        prefix = os.path.join(glob.escape(self.directory), f'ckpt-{entry["step"]}')
        for path in [*glob.glob(f'{prefix}.*'), *glob.glob(f'{prefix}_temp*')]:
          shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def read(directory: str) -> Best | None:
  """Reads what a training kept.

  Args:
    directory: the folder best of its model_dir.

  Returns:
    What is known of the checkpoint there; None if there is none.

  Raises:
    InputError: best.json is missing or broken, or tells of other checkpoints.
  """
  latest = tf.train.latest_checkpoint(directory)
  if latest is None:
    return None
  path, name = os.path.join(directory, FILE), os.path.basename(latest)
  try:
    for entry in _entries(path):
      if entry and name == f'ckpt-{entry["step"]}':
        return Best(*(entry[key] for key in Best._fields))
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise InputError(
      f'{path}: expected step, metric, value and metrics of {latest}; {error!r}; move or delete '
      f'{directory}'
    ) from error
  raise InputError(f'{path}: tells nothing of {latest}; move or delete {directory}')


def _entries(path):
  """[the entry, that of the checkpoint before or None]."""
  with open(path, encoding='utf-8') as file:
    entry = json.load(file)
  return [entry, entry['previous']]
