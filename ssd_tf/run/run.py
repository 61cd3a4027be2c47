"""A whole training, from a pipeline.config."""

import functools
import os
import time
from typing import NamedTuple

import keras
import tensorflow as tf
from absl import logging

from ssd_tf import builders
from ssd_tf.config import supported_fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.detector import Detector
from ssd_tf.errors import InputError
from ssd_tf.models.normalization import make_deterministic
from ssd_tf.pretrained.loading import LoadOptions
from ssd_tf.run import best_metric, checkpoints, loop, run_record
from ssd_tf.run.best_checkpoint import BestCheckpoint
from ssd_tf.run.early_stopping import EarlyStopping
from ssd_tf.run.failures import explaining_failures
from ssd_tf.run.model_dir_lock import check_held, one_at_a_time
from ssd_tf.run.run_evaluation import build_evaluator, evaluation_details, log_evaluation
from ssd_tf.run.starting import build_stages, start
from ssd_tf.training import precision, trainer
from ssd_tf.training.loss_scale import LossScale
from ssd_tf.training.loss_watch import LossWatch
from ssd_tf.training.moving_average import AveragedEvaluator, MovingAverage
from ssd_tf.training.multi_scale import MultiScaleTrainer
from ssd_tf.training.stages import Stages


def make_strategy(num_logical_cpus: int = 0) -> tf.distribute.Strategy:
  """MirroredStrategy over all GPUs; without one, the CPU as one device or as several.

  Args:
    num_logical_cpus: split the CPU into that many devices, to try replicas without GPUs; 0 not to.

  Returns:
    The strategy.
  """
  if num_logical_cpus:
    cpu = tf.config.list_physical_devices('CPU')[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * num_logical_cpus
    tf.config.set_logical_device_configuration(cpu, parts)
    return tf.distribute.MirroredStrategy([f'CPU:{i}' for i in range(num_logical_cpus)])
  for gpu in (gpus := tf.config.list_physical_devices('GPU')):
    tf.config.experimental.set_memory_growth(gpu, True)
  return tf.distribute.MirroredStrategy() if gpus else tf.distribute.get_strategy()


@one_at_a_time
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
    pipeline: what to train; written to model_dir.
    model_dir: gets checkpoints, event files, pipeline.config, evaluation results.
    strategy: as `make_strategy` gives it.
    checkpoint_every_n: steps between checkpoints; the last step is always saved. None: none are
      saved by steps.
    checkpoint_every_secs: seconds between checkpoints, besides; looked at with each line of the
      log. None: none are saved by time.
    log_every_n: steps between lines of the log and points of the curves.
    checkpoint_max_to_keep: older checkpoints are deleted.
    evaluate: whether to evaluate at each checkpoint.
    sample_1_of_n_eval_examples: evaluate on every n-th example only.
    load_options: of fine_tune_checkpoint.

  Raises:
    InputError: config or data are at fault, a loss is not finite, the disk is full, or model_dir is
      deleted meanwhile.
  """
  began, config = time.time(), pipeline.config
  num_steps = config.train_config.num_steps or loop.FOREVER
  metric = _check(pipeline, strategy, evaluate)
  keras.utils.set_random_seed(config.train_config.seed)
  if config.train_config.op_determinism:
    tf.config.experimental.enable_op_determinism()
  with pipeline.naming_errors(), strategy.scope():
    learner = _build_model(config)
  manager = _build_manager(config, learner, model_dir, checkpoint_max_to_keep, checkpoint_every_n)
  details = evaluation_details(pipeline, sample_1_of_n_eval_examples)
  # Before `start`, which writes to model_dir: its best checkpoint may be another training's.
  best = None
  if evaluate and config.train_config.keep_best_checkpoint:
    best = BestCheckpoint(manager, learner.step, metric, details)
  start_step = start(
    pipeline, learner.detector.model, manager, learner.moving_average, load_options
  )
  stopping = _build_stopping(config, learner, model_dir, metric, details) if evaluate else None
  choices = [choice for choice in (best, stopping) if choice]
  record = _build_record(pipeline, learner, model_dir, began)
  evaluation = {}
  if evaluate:
    evaluator, log = _build_evaluation(
      pipeline, learner, model_dir, strategy, sample_1_of_n_eval_examples, details
    )
    # The record first, which sees whether the folder is still there.
    evaluation = {'evaluator': evaluator, 'eval_actions': [record, log, *choices]}
  model_trainer = _build_trainer(pipeline, learner, strategy, start_step, log_every_n)
  controller = loop.build_controller(
    model_trainer,
    manager,
    num_steps,
    log_every_n=log_every_n,
    checkpoint_every_secs=checkpoint_every_secs,
    train_actions=[record],
    **evaluation,
  )
  explaining = explaining_failures(
    pipeline,
    evaluation=evaluate,
    failed_batch=model_trainer.non_finite_batch,
    model_dir=model_dir,
  )
  with record, explaining:
    if evaluate and start_step:
      loop.make_up_evaluation(controller, metric, details, choices)
    if loop.is_over(start_step, num_steps, stopping):
      return
    # Not before the checkpoint is seen to fit: else the config that it fits would be lost.
    _save_config(pipeline, model_dir)
    loop.train(controller, num_steps, stopping)
  model_trainer.loss_watch.flush(int(learner.step.numpy()))
  _log_end(learner, start_step, began, best, model_dir)


def _log_end(learner, start_step, began, best, model_dir):
  """What was trained, at what cost, and where the checkpoints are."""
  step = int(learner.step.numpy())
  logging.info(
    'Trained %d steps in %.0f s, start-up and evaluation included; peak memory %.0f MB.',
    step - start_step,
    time.time() - began,
    run_record.peak_memory_mb(),
  )
  choice = f'best: {best.description()}; ' if best is not None else ''
  logging.info('%slast: step %d, in %s.', choice, step, model_dir)


def _build_stopping(config, learner, model_dir, metric, details):
  """What stops early; None if it is not asked for."""
  settings = config.train_config.early_stopping
  if not config.train_config.HasField('early_stopping'):
    return None
  return EarlyStopping(
    model_dir,
    learner.step,
    metric,
    details,
    borders=learner.stages.borders,
    patience=settings.patience,
    min_delta=settings.min_delta,
  )


def _check(pipeline, strategy, evaluate):
  """Refuses what would fail, or train wrongly, later; returns the metric that choices go by."""
  checking = 'all' if evaluate else 'train'
  builders.check_config(pipeline, strategy.num_replicas_in_sync, checking)
  with pipeline.naming_errors():
    metric = _check_evaluation(pipeline, evaluate)
    builders.check_records(pipeline, is_training=True)
    if evaluate:
      builders.check_records(pipeline, is_training=False)
  _warn_of_differences(pipeline.config)
  return metric


def _check_evaluation(pipeline, evaluate):
  """Refuses a choice by evaluations that there are not; returns the metric that they go by."""
  settings = pipeline.config.train_config
  if evaluate:
    return best_metric.resolve(settings.best_metric, builders.metric_names(pipeline))
  if settings.HasField('early_stopping'):
    raise InputError(
      'train_config.early_stopping: needs evaluations while training, but --noevaluate leaves them '
      'out; take one of the two out'
    )
  if settings.best_metric:
    logging.warning(
      '%s: nothing is evaluated while training (--noevaluate), so no best checkpoint is kept.',
      best_metric.FIELD,
    )
  return ''


def _warn_of_differences(config):
  """Says once what a config sets that is not done, or not as it says."""
  without_effect = supported_fields.ineffective_fields(config)
  if without_effect:
    logging.info('Fields that are set and change nothing here: %s', ', '.join(without_effect))
  kind = config.model.ssd.image_resizer.WhichOneof('image_resizer_oneof')
  resizer = config.model.ssd.image_resizer.keep_aspect_ratio_resizer
  if kind == 'keep_aspect_ratio_resizer' and not resizer.pad_to_max_dimension:
    logging.warning(
      'model.ssd.image_resizer.keep_aspect_ratio_resizer.pad_to_max_dimension: is false, but the '
      'network is built for one size: images are padded to %d x %d below and to the right all the '
      'same; detections are of the image alone.',
      resizer.max_dimension,
      resizer.max_dimension,
    )
  settings = config.train_config
  fields = ('freeze', 'freeze_variables', 'update_trainable_variables')
  freezing = [field for field in fields if getattr(settings, field)]
  if freezing and not settings.fine_tune_checkpoint:
    logging.warning(
      'train_config.%s: keeps weights as they start, and nothing is loaded: without '
      'train_config.fine_tune_checkpoint they stay random%s.',
      freezing[0],
      f' until step {settings.stage[0].first_step}' if settings.stage else '',
    )
  if config.graph_rewriter.HasField('quantization'):
    logging.warning(
      'graph_rewriter.quantization: this trains in float and simulates no quantization; export to '
      'a quantized TFLite file to have the trained weights quantized then.'
    )


class _Learner(NamedTuple):
  """A model and what moves its weights; there need not be a moving average of them."""

  detector: Detector
  optimizer: keras.optimizers.Optimizer
  moving_average: MovingAverage | None
  stages: Stages
  multi_scale: builders.MultiScale | None
  loss_scale: LossScale | None

  @property
  def step(self):
    """The number of updates made so far, i[]."""
    return self.optimizer.iterations.value


def _build_model(config):
  settings = config.train_config
  compute_dtype = builders.precision_of(settings)
  with precision.compute_dtype(compute_dtype):
    detector = builders.build_detector(config.model, is_training=True)
    multi_scale = builders.build_multi_scale(config, detector)
  if settings.op_determinism:
    make_deterministic(detector.model)
  stages = build_stages(config, detector.model)
  optimizer = builders.build_optimizer(settings.optimizer, settings.stage)
  optimizer.build(stages.variables)
  loss_scale = LossScale() if compute_dtype == precision.MIXED_FLOAT16 else None
  if not settings.optimizer.use_moving_average:
    return _Learner(detector, optimizer, None, stages, multi_scale, loss_scale)
  decay = settings.optimizer.moving_average_decay
  logging.info(
    'Evaluation and export take the moving average of the weights, with decay %g: '
    'train_config.optimizer.use_moving_average is true (the default).',
    decay,
  )
  averages = MovingAverage(stages.variables, decay=decay)
  return _Learner(detector, optimizer, averages, stages, multi_scale, loss_scale)


def _build_manager(config, learner, model_dir, max_to_keep, checkpoint_every_n):
  averages = learner.moving_average and learner.moving_average.averages
  loss_scale = learner.loss_scale and learner.loss_scale.state
  return checkpoints.Manager(
    checkpoints.training_checkpoint(
      learner.detector.model, learner.optimizer, averages, loss_scale
    ),
    model_dir,
    max_to_keep=max_to_keep,
    keep_checkpoint_every_n_hours=config.train_config.keep_checkpoint_every_n_hours,
    step_counter=learner.step,
    checkpoint_interval=checkpoint_every_n,
    check=functools.partial(check_held, model_dir),
  )


def _build_evaluation(pipeline, learner, model_dir, strategy, sample_1_of_n, details):
  """The evaluator, and what writes its metrics to log and metrics.jsonl."""
  detector = learner.detector
  in_half = builders.precision_of(pipeline.config.train_config) != precision.FLOAT32
  if in_half:
    with strategy.scope():
      detector = builders.build_detector(pipeline.config.model, is_training=False)
  evaluator = build_evaluator(pipeline, detector, strategy, sample_1_of_n)
  evaluating = evaluator
  if in_half:
    evaluating = precision.Float32Evaluator(evaluator, learner.detector.model, detector.model)
  if learner.moving_average:
    evaluating = AveragedEvaluator(evaluating, learner.moving_average)
  eval_dir = os.path.join(model_dir, 'eval')
  return evaluating, lambda output: log_evaluation(
    learner.step, evaluator, output, eval_dir, details
  )


def _build_record(pipeline, learner, model_dir, began):
  return run_record.RunRecord(
    model_dir,
    began=began,
    step=lambda: int(learner.step.numpy()),
    num_steps=pipeline.config.train_config.num_steps,
    seed=pipeline.config.train_config.seed,
    config_path=pipeline.path,
    check=functools.partial(check_held, model_dir),
  )


def _build_trainer(pipeline, learner, strategy, start_step, log_every_n):
  scales = learner.multi_scale
  dataset = builders.build_train_dataset(pipeline, learner.detector, start_step, multi_scale=scales)
  make_trainer, detectors = trainer.Trainer, {learner.detector.image_size: learner.detector}
  if scales:
    make_trainer = functools.partial(MultiScaleTrainer, draws=scales.draws)
    detectors = scales.detectors
  return make_trainer(
    detectors=detectors,
    optimizer=learner.optimizer,
    dataset=strategy.experimental_distribute_dataset(dataset),
    strategy=strategy,
    gradient_clipping_by_norm=pipeline.config.train_config.gradient_clipping_by_norm,
    bias_grad_multiplier=pipeline.config.train_config.bias_grad_multiplier,
    add_regularization_loss=pipeline.config.train_config.add_regularization_loss,
    label_curves=trainer.LabelCurves(
      class_names=pipeline.class_names,
      interval=log_every_n,
    ),
    moving_average=learner.moving_average,
    stages=learner.stages,
    batches_per_step=pipeline.config.train_config.gradient_accumulation_steps,
    loss_scale=learner.loss_scale,
    loss_watch=LossWatch(log_every_n),
  )


def _save_config(pipeline, model_dir):
  path = os.path.join(model_dir, 'pipeline.config')
  if os.path.exists(path) and Pipeline.load(path).config != pipeline.config:
    logging.warning(
      '%s differs from the config given now, which replaces it; a training that goes on with other '
      'data, batch size or seed is not the one that was begun.',
      path,
    )
  pipeline.save(path)
