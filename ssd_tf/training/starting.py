"""What a model's variables start from: a training that goes on, another checkpoint, or nothing."""

import keras
import tensorflow as tf
from absl import logging

from ssd_tf import config as config_lib
from ssd_tf.errors import InputError
from ssd_tf.pretrained.loading import load_pretrained
from ssd_tf.training import checkpoints
from ssd_tf.training.moving_average import MovingAverage


def start(
  config: config_lib.PipelineConfig,
  config_path: str,
  model: keras.Model,
  manager: tf.train.CheckpointManager,
  moving_average: MovingAverage | None = None,
) -> int:
  """Loads what a training starts from.

  Args:
    config: the whole config.
    config_path: where it is from.
    model: its variables are assigned.
    manager: of the training's checkpoints; one is written at step 0.
    moving_average: of the weights, which it begins at unless the training goes on; or None.

  Returns:
    The step that the training starts at.

  Raises:
    InputError: the checkpoint does not fit.
  """
  fine_tune = config.train_config.fine_tune_checkpoint
  latest, model_dir = manager.latest_checkpoint, manager.directory
  if latest:
    checkpoints.restore_all(manager.checkpoint, latest)
    step = checkpoints.checkpoint_step(latest)
    why = ', so fine_tune_checkpoint is not loaded again' if fine_tune else ''
    logging.info(
      'Going on from %s (step %d), since %s holds a training%s.', latest, step, model_dir, why
    )
    return step
  _load_fine_tune_checkpoint(config, config_path, model, model_dir)
  if moving_average is not None:
    moving_average.reset()
  # The manager counts its interval from the last checkpoint, so there has to be one at step 0.
  manager.save(checkpoint_number=0)
  return 0


def _load_fine_tune_checkpoint(config, config_path, model, model_dir):
  fine_tune = config.train_config.fine_tune_checkpoint
  if not fine_tune:
    logging.info('Training from scratch: no checkpoint in %s, no fine_tune_checkpoint.', model_dir)
    return
  path = checkpoints.find_checkpoint(config_lib.resolve_path(fine_tune, config_path))
  backbone_only = config.train_config.fine_tune_checkpoint_type == 'classification'
  report = load_pretrained(model, path, backbone_only=backbone_only)
  logging.info('Starting from %s: %s', path, report.table())


def restore(model: keras.Model, path: str) -> None:
  """Restores a model to evaluate or export it, where nothing may be missing.

  Args:
    model: its variables are assigned.
    path: the prefix of a checkpoint, our own or one of the Object Detection API.

  Raises:
    InputError: a variable of the model does not load.
  """
  report = load_pretrained(model, path)
  logging.info('%s: %s', path, report.table())
  if report.skipped or report.missing:
    raise InputError(
      f'{path}: {len(report.skipped) + len(report.missing)} variables of the model did not load, '
      f'so it would detect by random numbers; does num_classes fit?\n{report.table()}'
    )
