"""Saves and restores checkpoints of a training: model, optimizer and step, by name."""

import contextlib
import glob
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping

import keras
import tensorflow as tf
from absl import logging

from ssd_tf.errors import InputError
from ssd_tf.files.failed_writes import explain
from ssd_tf.training.moving_average import AVERAGES

LOSS_SCALE = 'loss_scale'  # Its name in a checkpoint.
# What a save that failed or was killed leaves, behind `ckpt-4` or `checkpoint`.
_PARTS = ('ckpt-*_temp', 'ckpt-*.tempstate*', 'checkpoint.tmp*')


class Manager(tf.train.CheckpointManager):
  """TensorFlow's, which writes beside a checkpoint first, then renames; its leftovers are removed.

  Those of a killed process are removed when it is made, so nothing else may be saving there.

  Args:
    check: called before each save; raises where there should be none. None: nothing is.
  """

  def __init__(
    self,
    checkpoint: tf.train.Checkpoint,
    directory: str,
    *,
    check: Callable[[], None] | None = None,
    **settings,
  ):
    super().__init__(checkpoint, directory, **settings)
    self._check = check
    self._remove_parts()

  def save(self, *args, **kwargs) -> str | None:
    """Saves a checkpoint, as TensorFlow's."""
    if self._check is not None:
      self._check()
    try:
      return super().save(*args, **kwargs)
    except BaseException:  # Also Ctrl-C.
      self._remove_parts()
      raise

  def _remove_parts(self):
    folder = glob.escape(self.directory)
    for path in [path for part in _PARTS for path in glob.glob(os.path.join(folder, part))]:
      shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


@contextlib.contextmanager
def telling_last_checkpoint(model_dir: str) -> Iterator[None]:
  """Reports a write that fails for lack of space, and what a training then resumes from."""
  try:
    yield
  except (OSError, tf.errors.OpError) as error:
    if (failed_write := explain(error)) is None:
      raise
    last = tf.train.latest_checkpoint(model_dir)
    raise InputError(
      f'{failed_write}; the last good checkpoint is {last or "none"}: free some space and give the '
      'same command again, which resumes from there'
    ) from error


def training_checkpoint(
  model: keras.Model,
  optimizer: keras.optimizers.Optimizer,
  averages: Mapping[str, tf.Variable] | None = None,
  loss_scale: Mapping[str, tf.Variable] | None = None,
) -> tf.train.Checkpoint:
  """All that a training needs to resume: variables by name, so that layers may be reordered.

  The input pipeline is a function of seed and step, so the step is also the input's position.

  Args:
    optimizer: built; its variables are saved too.
    averages: path of a weight -> its moving average; None: there are none. Whatever loads the
      checkpoint but to go on with the training takes them for the weights, see
      `pretrained.loading`.
    loss_scale: the state of that of a float16 training; None: there is none.
  """
  slots = {v.path.replace('/', '.'): v.value for v in optimizer.variables}
  parts = {'model': _by_layer({v.path: v.value for v in model.variables}), 'optimizer': slots}
  if averages:
    parts[AVERAGES] = _by_layer(averages)
  if loss_scale:
    parts[LOSS_SCALE] = dict(loss_scale)
  return tf.train.Checkpoint(step=optimizer.iterations.value, **parts)


def model_checkpoint(model: keras.Model) -> tf.train.Checkpoint:
  """The model's part of a training checkpoint."""
  return tf.train.Checkpoint(model=_by_layer({v.path: v.value for v in model.variables}))


def step_in_name(path: str) -> int:
  """The step in the name of a training's checkpoint, `ckpt-4` and what else begins so."""
  return int(re.match(r'ckpt-(\d+)', os.path.basename(path))[1])


def restore_all(checkpoint: tf.train.Checkpoint, path: str) -> None:
  """Restores every variable that a checkpoint object holds.

  Only the loss scale may be missing in the file, where float16 training goes on from another
  precision: it begins anew then.

  Raises:
    InputError: a variable is missing or has another shape.
  """
  try:
    status = _without_missing_loss_scale(checkpoint, path).restore(path)
    status.assert_existing_objects_matched().expect_partial()
  except (AssertionError, ValueError, tf.errors.OpError) as error:
    fault = str(error).splitlines()[0]
    if f"'{AVERAGES}:" in fault:
      fault = (
        'it holds no moving average of the weights, which '
        'train_config.optimizer.use_moving_average (true by default) asks for'
      )
    raise InputError(
      f'{path}: does not fit the pipeline.config: {fault}; take the config that it was trained '
      'with (pipeline.config beside it), or another model_dir'
    ) from error


def save_last(manager: tf.train.CheckpointManager, step: int) -> None:
  """Saves a checkpoint, unless the newest one is of that step already."""
  latest = manager.latest_checkpoint
  if latest is None or step_in_name(latest) != step:
    manager.save(checkpoint_number=step)


def _without_missing_loss_scale(checkpoint, path):
  names = tf.train.load_checkpoint(path).get_variable_to_shape_map()
  if not hasattr(checkpoint, LOSS_SCALE) or any(n.startswith(f'{LOSS_SCALE}/') for n in names):
    return checkpoint
  logging.info('%s holds no loss scale: it begins anew.', path)
  parts = [name for name in ('step', 'model', 'optimizer', AVERAGES) if hasattr(checkpoint, name)]
  return tf.train.Checkpoint(**{name: getattr(checkpoint, name) for name in parts})


def _by_layer(variables):
  layers = {}
  for path, variable in variables.items():
    layer, leaf = path.rsplit('/', 1)
    layers.setdefault(layer, {})[leaf] = variable
  return layers
