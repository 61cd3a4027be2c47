"""The best checkpoint of a training, kept beside its last ones."""

import glob
import json
import os
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf
from absl import logging

from ssd_tf.errors import InputError
from ssd_tf.files.atomic_file import write_json
from ssd_tf.run import best_metric
from ssd_tf.run.checkpoints import Manager, checkpoint_step

FOLDER, FILE = 'best', 'best.json'


class Best(NamedTuple):
  """An evaluation that was better than all before.

  Attributes:
    step: of the checkpoint.
    metric: that was compared.
    value: of it.
    metrics: all of the evaluation.
    details: what its figures depend on besides the weights, as metrics.jsonl has it.
  """

  step: int
  metric: str
  value: float
  metrics: Mapping[str, float | None]
  details: Mapping[str, Any]


class BestCheckpoint:
  """Keeps the checkpoint whose evaluation was the best so far, in the folder best of a training.

  It is a whole checkpoint of the training, as those in model_dir are; best.json beside it says
  which step and why. More is better, of a metric that begins with Loss/ less; nan and -1 never
  count, and what is equal is no better. What was evaluated under other conditions cannot be
  compared: it is kept until there is a figure under the present ones. Call it after each
  evaluation.

  TensorFlow's file `checkpoint`, which is replaced in one go, says which checkpoint is valid, and
  best.json holds the entry of the one before too. So a process that dies at any moment leaves the
  old checkpoint or the new one, with its entry; `read` gives them.

  Args:
    manager: of the training's checkpoints, which the training has not begun to write.
    step: it is at, i[].
    metric: that is compared.
    details: what the figures depend on besides the weights, as metrics.jsonl has it.

  Attributes:
    directory: where it is.
    best: so far; None: no evaluation counted yet.

  Raises:
    InputError: the folder holds the best checkpoint of another training, or best.json is broken.
  """

  def __init__(
    self,
    manager: tf.train.CheckpointManager,
    step: tf.Variable,
    metric: str,
    details: Mapping[str, Any],
  ):
    self.directory = os.path.join(manager.directory, FOLDER)
    self._step, self._metric, self._details = step, metric, details
    self.best = read(self.directory)
    latest = manager.latest_checkpoint
    if self.best and not (latest and checkpoint_step(latest)):
      raise InputError(
        f'{self.directory}: holds the best checkpoint of another training (step {self.best.step}), '
        f'but {manager.directory} holds none to go on from: move or delete that folder, or take '
        'another model_dir'
      )
    self._manager = Manager(manager.checkpoint, self.directory, max_to_keep=1)
    self._remove_leftovers()
    if self.best:
      logging.info('Best so far: %s.%s', self.description(), self._why_not_compared())

  def __call__(self, metrics: Mapping[str, float]) -> None:
    """Keeps the checkpoint as it is now, if its metrics are the best ones.

    Args:
      metrics: of its evaluation.
    """
    name, step = self._metric, int(self._step.numpy())
    value, reference = float(best_metric.value_of(name, metrics)), self._reference()
    if not best_metric.is_figure(value):
      return
    if reference is not None and best_metric.gain(name, value, reference) <= 0:
      return
    is_saved = self.best is not None and self.best.step == step
    if is_saved and not self._why_not_compared():
      return  # It was evaluated before.
    figures = {key: float(figure) for key, figure in metrics.items()}
    before, self.best = self.best, Best(step, name, value, figures, self._details)
    os.makedirs(self.directory, exist_ok=True)
    entry = {**self.best._asdict(), 'previous': before and before._asdict()}
    write_json(os.path.join(self.directory, FILE), entry)
    if not is_saved:  # Files of the same names could not be replaced in one go.
      self._manager.save(checkpoint_number=step)
    than = f', before {reference:.6g} at step {before.step}' if reference is not None else ''
    logging.info('New best: %s%s.', self.description(), than)

  def description(self) -> str:
    """The best so far in words."""
    if self.best is None:
      return f'none, no evaluation gave a figure of {self._metric}'
    return f'step {self.best.step}, {self.best.metric} {self.best.value:.6g}, in {self.directory}'

  def _reference(self):
    """What is to be beaten, by the metric now, which need not be the one that it was chosen by."""
    if self.best is None or self._why_not_compared():
      return None
    value = best_metric.value_of(self._metric, self.best.metrics)
    return value if value is not None and best_metric.is_figure(value) else None

  def _why_not_compared(self):
    names = best_metric.differences(self._metric, self.best.details, self._details)
    return f' It does not count: evaluations have other conditions now ({names}).' if names else ''

  def _remove_leftovers(self):
    """Deletes what a process that died while saving left, or did not come to delete."""
    for entry in _entries(self.directory):
      if self.best is None or entry.step != self.best.step:
        prefix = os.path.join(glob.escape(self.directory), f'ckpt-{entry.step}')
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
  for entry in _entries(directory):
    if os.path.basename(latest) == f'ckpt-{entry.step}':
      return entry
  path = os.path.join(directory, FILE)
  raise InputError(f'{path}: tells nothing of {latest}; move or delete {directory}')


def _entries(directory):
  """What best.json holds: the entry, and that of the checkpoint before; [] without the file."""
  path = os.path.join(directory, FILE)
  if not os.path.exists(path):
    return []
  try:
    with open(path, encoding='utf-8') as file:
      entry = json.load(file)
    # Older files tell no details.
    found = [{'details': {}, **each} for each in (entry, entry['previous']) if each]
    return [Best(*(each[key] for key in Best._fields)) for each in found]
  except (ValueError, KeyError, TypeError) as error:
    raise InputError(
      f'{path}: expected {", ".join(Best._fields)} and the previous ones; {error!r}; move or '
      f'delete {directory}'
    ) from error
