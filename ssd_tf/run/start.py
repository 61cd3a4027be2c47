"""Initializes a model's variables: from a training, from another checkpoint, or at random."""

import os

import keras
import tensorflow as tf
from absl import logging

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.detector import SsdDetector
from ssd_tf.errors import InputError
from ssd_tf.evaluation import log_format
from ssd_tf.files.failed_writes import open_for_writing
from ssd_tf.pretrained.loading import LoadOptions, load_pretrained
from ssd_tf.run import checkpoints, fine_tuning_risks
from ssd_tf.run.fine_tuning import CLASS_MAP, load_fine_tune_checkpoint
from ssd_tf.training.moving_average import MovingAverage
from ssd_tf.training.stages import Stages


def start(
  pipeline: Pipeline,
  model: keras.Model,
  manager: tf.train.CheckpointManager,
  moving_average: MovingAverage | None = None,
  load_options: LoadOptions | None = None,
  stages: Stages | None = None,
) -> int:
  """Loads what a training starts from, and tells its first step; at step 0 a checkpoint is written.

  The moving average begins at the weights unless the training goes on.

  Raises:
    InputError: the checkpoint does not fit.
  """
  fine_tune = pipeline.config.train_config.fine_tune_checkpoint
  latest, model_dir = manager.latest_checkpoint, manager.directory
  if latest:
    checkpoints.restore_all(manager.checkpoint, latest)
    step = int(manager.checkpoint.step.numpy())
    why = ', so fine_tune_checkpoint is not loaded again' if fine_tune else ''
    log_format.tell(
      'Going on from %s (step %d), since %s holds a training%s.', latest, step, model_dir, why
    )
    return step
  report = _start_from_checkpoint(pipeline, model, model_dir, load_options)
  if report is not None and stages is not None:
    _warn_of_risks(pipeline, model, report, stages)
  if moving_average is not None:
    moving_average.reset()
  manager.save(checkpoint_number=0)
  return 0


def build_restored(pipeline: Pipeline, path: str) -> SsdDetector:
  """Builds a detector for inference, its weights those of a checkpoint; see `restore`.

  Raises:
    InputError: the config's model is at fault.
  """
  with pipeline.naming_errors():
    builders.require_supported_model(pipeline.config)
    detector = builders.build_detector(pipeline.config.model, is_training=False)
  restore(detector.model, path)
  return detector


def restore(model: keras.Model, path: str) -> int:
  """Restores a model to evaluate or export it, from a checkpoint of ours or of the original's.

  Returns:
    The step that it was written at; 0 where it does not say. Nothing is read of it later: a
    training may delete it.

  Raises:
    CheckpointDeleted: it is not there any more.
    InputError: a variable of the model does not load, of which none may be missing.
  """
  report = load_pretrained(model, path)
  logging.info('%s: %s', path, report.table())
  if report.skipped or report.missing:
    consequence = ', so it would detect by random numbers'
    hint = 'is it of another model?' if report.missing else 'does num_classes fit?'
    raise InputError(f'{report.faults(consequence)}; {hint}')
  return report.step or 0


def _start_from_checkpoint(pipeline, model, model_dir, load_options):
  settings = pipeline.config.train_config
  if not settings.fine_tune_checkpoint:
    if settings.fine_tune_class_map:
      raise InputError(f'{CLASS_MAP}: there is no train_config.fine_tune_checkpoint for it')
    log_format.tell(
      'Training from scratch: no checkpoint in %s, no fine_tune_checkpoint.', model_dir
    )
    return None
  report = load_fine_tune_checkpoint(pipeline, model, load_options)
  log_format.tell('Starting from %s: %s', report.path, report.table())
  path = os.path.join(model_dir, 'loaded_variables.txt')
  with open_for_writing(path) as file:
    file.writelines(f'{line}\n' for line in report.lines())
  return report


def _warn_of_risks(pipeline, model, report, stages):
  summaries = builders.survey_records(
    pipeline, is_training=True, max_records=fine_tuning_risks.FEW_IMAGES
  )
  num_images = sum(summary.num_records for summary in summaries.values())
  trained = {variable.path for variable in stages.variables}
  config = pipeline.config
  for risk in fine_tuning_risks.find_risks(config, model, report, trained, num_images):
    logging.warning('%s %s', risk.what, risk.remedy)
