"""Trains by a pipeline.config, from start to end."""

import os
import time

import keras
import tensorflow as tf
from absl import logging

from ssd_tf import builders
from ssd_tf.config.config_differences import differences
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.evaluation import log_format
from ssd_tf.pretrained.loading import LoadOptions
from ssd_tf.run import checkpoints, interruption, lock, machine, preflight
from ssd_tf.run.evaluator import Options
from ssd_tf.run.failures import explaining_failures
from ssd_tf.run.loop import FOREVER, Loop
from ssd_tf.run.run_json import RunRecord
from ssd_tf.run.start import start
from ssd_tf.run.training_state import build_training_state
from ssd_tf.run.validation import build_validation
from ssd_tf.training.label_curves import LabelCurves
from ssd_tf.training.loss_watch import LossWatch
from ssd_tf.training.trainer import Trainer

_MAX_TOLD = 5  # Of the fields in which two configs differ.


def train(
  pipeline: Pipeline,
  model_dir: str,
  *,
  strategy: tf.distribute.Strategy,
  checkpoint_every_n: int | None = 1000,
  checkpoint_every_secs: float | None = None,
  log_every_n: int = 100,
  checkpoint_max_to_keep: int = 7,
  evaluate: bool = True,
  sample_1_of_n_eval_examples: int = 1,
  load_options: LoadOptions | None = None,
) -> None:
  """Trains until train_config.num_steps, going on from the newest checkpoint in model_dir.

  Args:
    model_dir: gets checkpoints, event files, pipeline.config, evaluation results, train.log.
    checkpoint_every_n: steps between checkpoints; the last step is always saved. None: none are
      saved by steps.
    checkpoint_every_secs: besides, looked at with each line of the log. None: none are saved so.

  Raises:
    InputError: config or data are at fault, a loss is not finite, the disk is full, or model_dir is
      deleted meanwhile.
  """
  began, config = time.time(), pipeline.config
  num_steps = config.train_config.num_steps or FOREVER
  with (
    checkpoints.telling_last_checkpoint(model_dir),
    lock.hold(model_dir) as check,
    log_format.writing_to(os.path.join(model_dir, 'train.log')),
  ):
    metric = preflight.check(pipeline, strategy.num_replicas_in_sync, evaluate)
    state = _build_training_state(pipeline, strategy)
    manager = checkpoints.Manager(
      state.checkpoint(),
      model_dir,
      max_to_keep=checkpoint_max_to_keep,
      keep_checkpoint_every_n_hours=config.train_config.keep_checkpoint_every_n_hours,
      check=check,
    )
    validation = None
    if evaluate:  # Before `start` writes to model_dir: its best checkpoint may be another's.
      options = Options(sample_1_of_n=sample_1_of_n_eval_examples)
      validation = build_validation(pipeline, state, manager, strategy, metric, options)
    start_step = start(
      pipeline,
      state.detector.model,
      manager,
      state.moving_average,
      load_options,
      state.stages,
    )
    record = _build_record(pipeline, state, model_dir, began, check)
    model_trainer = _build_trainer(pipeline, state, strategy, start_step, log_every_n)
    loop = Loop(
      model_trainer,
      manager,
      num_steps,
      log_every_n=log_every_n,
      checkpoint_every_n=checkpoint_every_n,
      checkpoint_every_secs=checkpoint_every_secs,
      train_actions=[record],
      evaluator=validation and validation.evaluator,
      # The record first, which sees whether the folder is still there.
      eval_actions=[record, *validation.actions] if validation else [],
      stopping=validation and validation.stopping,
      last_figure=validation.last_figure if validation else lambda: '',
    )
    explaining = explaining_failures(
      pipeline,
      evaluation=evaluate,
      failed_batch=model_trainer.non_finite_batch,
      model_dir=model_dir,
    )
    with interruption.telling_where_to_go_on(model_dir), record, explaining:
      if validation and start_step:
        validation.make_up(loop)
      if loop.is_over():
        return
      # Not before the checkpoint is seen to fit: else the config that it fits would be lost.
      _save_config(pipeline, model_dir, start_step)
      loop.run()
    model_trainer.loss_watch.flush(int(state.step.numpy()))
    _log_end(state, start_step, began, validation and validation.best, model_dir)


def _build_training_state(pipeline, strategy):
  settings = pipeline.config.train_config
  keras.utils.set_random_seed(settings.seed)
  if settings.op_determinism:
    tf.config.experimental.enable_op_determinism()
  with pipeline.naming_errors(), strategy.scope():
    return build_training_state(pipeline.config)


def _log_end(state, start_step, began, best, model_dir):
  """What was trained, at what cost, and where the checkpoints are."""
  step = int(state.step.numpy())
  log_format.tell(
    'Trained %d steps in %.0f s, start-up and evaluation included; peak memory %.0f MB.',
    step - start_step,
    time.time() - began,
    machine.peak_memory_mb(),
  )
  choice = f'best: {best.description()}; ' if best is not None else ''
  log_format.tell('%slast: step %d, in %s.', choice, step, model_dir)


def _build_record(pipeline, state, model_dir, began, check):
  return RunRecord(
    model_dir,
    began=began,
    step=lambda: int(state.step.numpy()),
    pipeline=pipeline,
    check=check,
  )


def _build_trainer(pipeline, state, strategy, start_step, log_every_n):
  settings, scales = pipeline.config.train_config, state.multi_scale
  dataset = builders.build_train_dataset(pipeline, state.detector, start_step, multi_scale=scales)
  detector = state.detector
  return Trainer(
    detectors=scales.detectors if scales else {detector.image_size: detector},
    draws=scales and scales.draws,
    optimizer=state.optimizer,
    dataset=strategy.experimental_distribute_dataset(dataset),
    strategy=strategy,
    gradient_clipping_by_norm=settings.gradient_clipping_by_norm,
    bias_grad_multiplier=settings.bias_grad_multiplier,
    add_regularization_loss=settings.add_regularization_loss,
    label_curves=LabelCurves(class_names=pipeline.class_names, interval=log_every_n),
    moving_average=state.moving_average,
    stages=state.stages,
    batches_per_step=settings.gradient_accumulation_steps,
    loss_scale=state.loss_scale,
    loss_watch=LossWatch(log_every_n),
  )


def _save_config(pipeline, model_dir, start_step):
  saved = pipeline.moved_to(model_dir)
  path = os.path.join(model_dir, 'pipeline.config')
  if os.path.exists(path):
    before = Pipeline.load(path).moved_to(model_dir).config
    fields = list(differences(before, saved.config))
    if fields:
      more = f'; {len(fields) - _MAX_TOLD} more' if len(fields) > _MAX_TOLD else ''
      logging.warning(
        '%s differs from the config given now, which replaces it: %s%s. A training that goes on '
        'with other data, batch size or seed is not the one that was begun.',
        path,
        '; '.join(fields[:_MAX_TOLD]),
        more,
      )
    if 0 < before.train_config.num_steps <= start_step < pipeline.config.train_config.num_steps:
      _tell_rate(pipeline.config.train_config, start_step)
  saved.save(path)


def _tell_rate(settings, step):
  """Warns that a finished training continues."""
  schedule = builders.build_whole_schedule(settings.optimizer, settings.stage)
  now, end = (float(schedule(tf.constant(at, tf.int64))) for at in (step, settings.num_steps - 1))
  log_format.tell(
    'The training was finished at step %d; it continues to step %d, at a learning rate of %.3g at '
    'first and of %.3g in the end.',
    step,
    settings.num_steps,
    now,
    end,
  )
