"""A whole training or evaluation, from a pipeline.config."""

import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterator

import keras
import orbit
import tensorflow as tf
from absl import logging

from ssd_tf import builders, fields, supported_fields
from ssd_tf import config as config_lib
from ssd_tf.errors import InputError
from ssd_tf.evaluation import log_format
from ssd_tf.pretrained.loading import load_pretrained
from ssd_tf.training import checkpoints, trainer
from ssd_tf.training.evaluator import Evaluator

FOREVER = 10**9


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


def train(
  config: config_lib.PipelineConfig,
  config_path: str,
  model_dir: str,
  *,
  strategy: tf.distribute.Strategy,
  checkpoint_every_n: int = 1000,
  log_every_n: int = 100,
  checkpoint_max_to_keep: int = 7,
  evaluate: bool = True,
  sample_1_of_n_eval_examples: int = 1,
) -> None:
  """Trains until train_config.num_steps, going on from the newest checkpoint in model_dir.

  Args:
    config: what to train; written to model_dir.
    config_path: where it is from.
    model_dir: gets checkpoints, event files, pipeline.config, evaluation results.
    strategy: as `make_strategy` gives it.
    checkpoint_every_n: steps between checkpoints; the last step is always saved.
    log_every_n: steps between lines of the log and points of the curves.
    checkpoint_max_to_keep: older checkpoints are deleted.
    evaluate: whether to evaluate at each checkpoint.
    sample_1_of_n_eval_examples: evaluate on every n-th example only.

  Raises:
    InputError: config or data are at fault, or the loss was not finite.
  """
  began = time.time()
  num_steps = config.train_config.num_steps or FOREVER
  _check(config, config_path, strategy, evaluate)
  keras.utils.set_random_seed(config.train_config.seed)
  if config.train_config.op_determinism:
    tf.config.experimental.enable_op_determinism()
  with naming(config_path), strategy.scope():
    detector = builders.build_detector(config.model, is_training=True)
    optimizer = builders.build_optimizer(config.train_config.optimizer)
    optimizer.build(detector.model.trainable_variables)
  os.makedirs(model_dir, exist_ok=True)
  manager = tf.train.CheckpointManager(
    checkpoints.training_checkpoint(detector.model, optimizer),
    model_dir,
    max_to_keep=checkpoint_max_to_keep,
    step_counter=optimizer.iterations.value,
    checkpoint_interval=checkpoint_every_n,
  )
  start_step = _start(config, config_path, detector.model, manager)
  if start_step >= num_steps:
    logging.info('Nothing to do: step %d of %d is reached.', start_step, num_steps)
    return
  # Not before the checkpoint is seen to fit: else the config that it fits would be lost.
  _save_config(config, model_dir)
  model_trainer = _build_trainer(
    config, config_path, detector, optimizer, strategy, start_step, log_every_n
  )
  step = model_trainer.global_step
  evaluator = evaluate and _build_evaluator(
    config, config_path, detector, strategy, sample_1_of_n_eval_examples
  )
  controller = orbit.Controller(
    strategy=strategy,
    trainer=model_trainer,
    evaluator=evaluator or None,
    global_step=step,
    steps_per_loop=lambda step: _steps_to_boundary(int(step), log_every_n, checkpoint_every_n),
    checkpoint_manager=manager,
    summary_interval=log_every_n,
    summary_dir=os.path.join(model_dir, 'train'),
    eval_summary_dir=os.path.join(model_dir, 'eval'),
    train_actions=[lambda _: _log_step(model_trainer, num_steps)],
    eval_actions=[lambda output: _log_evaluation(step, evaluator, output, model_dir)],
  )
  with explaining_failures(config, config_path, evaluation=evaluate):
    if evaluate:
      controller.train_and_evaluate(num_steps, eval_steps=-1, eval_interval=checkpoint_every_n)
    else:
      controller.train(num_steps, checkpoint_at_completion=False)
  manager.save(checkpoint_number=step.numpy(), check_interval=False)
  logging.info(
    'Trained %d steps in %.0f s, start-up and evaluation included; peak memory %.0f MB.',
    num_steps - start_step,
    time.time() - began,
    peak_memory_mb(),
  )


def evaluate_checkpoints(
  config: config_lib.PipelineConfig,
  config_path: str,
  model_dir: str,
  checkpoint_dir: str,
  *,
  strategy: tf.distribute.Strategy,
  timeout: float = 0.0,
  wait_for_first: bool = False,
  sample_1_of_n_eval_examples: int = 1,
  on_train_data: bool = False,
) -> dict[str, float]:
  """Evaluates the newest checkpoint, then each new one until none comes within the timeout.

  Args:
    config: the model and its evaluation.
    config_path: where it is from.
    model_dir: gets event files and evaluation results in eval/.
    checkpoint_dir: a folder that a training writes to, or the prefix of one checkpoint, which may
      be one of the Object Detection API's.
    strategy: as `make_strategy` gives it.
    timeout: seconds to wait for a further checkpoint; 0 to evaluate just the newest one.
    wait_for_first: whether the folder may still be empty, or not there yet.
    sample_1_of_n_eval_examples: evaluate on every n-th example only.
    on_train_data: evaluate on the training records.

  Returns:
    The metrics of the last checkpoint evaluated.

  Raises:
    InputError: config, data or checkpoint are at fault, or there is no checkpoint.
  """
  if not wait_for_first:
    checkpoints.find_checkpoint(checkpoint_dir)  # A misspelt folder is told at once.
  config_lib.validate(config, config_path, checking='train' if on_train_data else 'eval')
  with naming(config_path):
    builders.require_supported_model(config)
    builders.check_records(config, config_path, is_training=on_train_data)
    with strategy.scope():
      detector = builders.build_detector(config.model, is_training=False)
      step = tf.Variable(0, dtype=tf.int64, trainable=False)
  evaluator = _build_evaluator(
    config, config_path, detector, strategy, sample_1_of_n_eval_examples, on_train_data
  )
  controller = orbit.Controller(
    strategy=strategy,
    evaluator=evaluator,
    global_step=step,
    eval_summary_dir=os.path.join(model_dir, 'eval'),
    eval_actions=[lambda output: _log_evaluation(step, evaluator, output, model_dir)],
  )
  metrics = {}
  for path in _checkpoints(checkpoint_dir, timeout, wait_for_first):
    log_format.emit([f'Found new checkpoint at {path}'])
    restore(detector.model, path)
    step.assign(checkpoints.checkpoint_step(path))
    with explaining_failures(
      config, config_path, training=on_train_data, evaluation=not on_train_data
    ):
      metrics = controller.evaluate(steps=-1)
    if timeout and 0 < config.train_config.num_steps <= step:
      break  # The training is over.
  return metrics


def peak_memory_mb() -> float:
  """The most memory that this process has held so far, in units of 10^6 bytes."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak / 1e6 if sys.platform == 'darwin' else peak * 1024 / 1e6


def _log_step(model_trainer, num_steps):
  """Writes a step's lines in the original's shape, and how long the rest will take."""
  step, measured = int(model_trainer.global_step.numpy()), model_trainer.measured
  losses = {name: measured[name] for name in fields.LOSSES}
  rate = measured['steps_per_sec']
  log_format.emit(log_format.step_lines(step, 1 / rate, losses, measured['learning_rate']))
  if num_steps < FOREVER:
    minutes, seconds = divmod(round((num_steps - step) / rate), 60)
    left = f'{minutes}:{seconds:02d} min left'
    logging.info('%.2f steps/s, step %d of %d, %s', rate, step, num_steps, left)


def _log_evaluation(step, evaluator, output, model_dir):
  """Writes an evaluation's lines, and appends its numbers to eval/metrics.jsonl."""
  step = int(step.numpy())
  log_format.emit(log_format.eval_lines(step, output))
  path = os.path.join(model_dir, 'eval', 'metrics.jsonl')
  os.makedirs(os.path.dirname(path), exist_ok=True)
  # Without what was measured on, a number cannot be compared.
  line = {'step': step, 'metrics': output, **evaluator.metrics.details}
  with open(path, 'a', encoding='utf-8') as file:
    file.write(json.dumps(line, ensure_ascii=False) + '\n')


def _check(config, config_path, strategy, evaluate):
  """Refuses what would fail, or train wrongly, later."""
  checking = 'all' if evaluate else 'train'
  config_lib.validate(config, config_path, strategy.num_replicas_in_sync, checking)
  with naming(config_path):
    builders.require_supported(config)
    builders.check_records(config, config_path, is_training=True)
    if evaluate:
      builders.check_records(config, config_path, is_training=False)
  without_effect = supported_fields.ineffective_fields(config)
  if without_effect:
    logging.info('Fields that are set and change nothing here: %s', ', '.join(without_effect))


def _build_trainer(
  config, config_path, detector, optimizer, strategy, start_step, log_every_n
):
  dataset = builders.build_train_dataset(config, config_path, detector, start_step)
  return trainer.Trainer(
    model=detector.model,
    optimizer=optimizer,
    dataset=strategy.experimental_distribute_dataset(dataset),
    assign_targets=detector.assign_targets,
    compute_losses=detector.compute_losses,
    num_matches=detector.num_matches,
    strategy=strategy,
    gradient_clipping_by_norm=config.train_config.gradient_clipping_by_norm,
    add_regularization_loss=config.train_config.add_regularization_loss,
    label_curves=trainer.LabelCurves(
      count_labels=detector.count_labels,
      masked_losses=detector.masked_losses,
      class_names=builders.class_names(config, config_path),
      interval=log_every_n,
    ),
  )


def _build_evaluator(config, config_path, detector, strategy, sample_1_of_n, on_train_data=False):
  dataset = builders.build_eval_dataset(
    config,
    config_path,
    detector,
    num_replicas=strategy.num_replicas_in_sync,
    sample_1_of_n_examples=sample_1_of_n,
    on_train_data=on_train_data,
  )
  return Evaluator(
    model=detector.model,
    dataset=strategy.experimental_distribute_dataset(dataset),
    detect=detector.detect,
    compute_losses=detector.compute_batch_losses,
    make_metrics=lambda: builders.build_metrics(config, config_path, on_train_data),
    names=builders.class_names(config, config_path),
    strategy=strategy,
    num_visualizations=config.eval_config.num_visualizations,
    min_score_threshold=config.eval_config.min_score_threshold,
    max_boxes_to_draw=config.eval_config.max_num_boxes_to_visualize,
    include_metrics_per_category=config.eval_config.include_metrics_per_category,
  )


def _start(config, config_path, model, manager):
  """Loads what the training starts from; returns the step that it starts at."""
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


def _checkpoints(checkpoint_dir, timeout, wait_for_first) -> Iterator[str]:
  # Nothing tells of new ones where a checkpoint is given by name, or was copied by hand.
  is_watched = tf.train.latest_checkpoint(checkpoint_dir) is not None
  if not timeout or not (is_watched or wait_for_first):
    yield checkpoints.find_checkpoint(checkpoint_dir)
    return
  log_format.emit([f'Waiting for new checkpoint at {checkpoint_dir}'])
  yield from tf.train.checkpoints_iterator(checkpoint_dir, timeout=timeout)
  log_format.emit(['Timed-out waiting for a checkpoint.'])


def _steps_to_boundary(step, *intervals):
  """Steps until the next multiple of any interval."""
  return min(interval - step % interval for interval in intervals)


def _save_config(config, model_dir):
  path = os.path.join(model_dir, 'pipeline.config')
  if os.path.exists(path) and config_lib.load(path) != config:
    logging.warning(
      '%s differs from the config given now, which replaces it; a training that goes on with other '
      'data, batch size or seed is not the one that was begun.',
      path,
    )
  config_lib.save(config, path)


@contextlib.contextmanager
def naming(config_path: str) -> Iterator[None]:
  """Puts the config's path before messages that name a field."""
  try:
    yield
  except InputError as error:
    message = str(error)
    raise InputError(
      message if message.startswith(config_path) else f'{config_path}: {message}'
    ) from error


@contextlib.contextmanager
def explaining_failures(
  config: config_lib.PipelineConfig,
  config_path: str,
  *,
  training: bool = True,
  evaluation: bool = False,
) -> Iterator[None]:
  """Turns the errors of a running graph that mean bad input into one line that says so.

  Args:
    config: the whole config.
    config_path: where it is from.
    training: whether the graph reads the training records.
    evaluation: whether it reads the evaluation's.

  Raises:
    InputError: what the graph failed of, or the loss was not finite.
  """
  with builders.explained_record_errors(
    config, config_path, training=training, evaluation=evaluation
  ):
    try:
      yield
    except tf.errors.InvalidArgumentError as error:
      if trainer.NON_FINITE not in error.message:
        raise
      # TensorFlow puts each value of an assertion into brackets.
      shown = error.message[error.message.index(trainer.NON_FINITE) :].split('\n\t')[0]
      shown = ' '.join(shown.replace('] [', ' ').rstrip(']').split())
      raise InputError(
        f'{shown}. Training stopped before this update; the last checkpoint is '
        'good. Lower the learning rate (is it made for this batch size?), lengthen the warm-up, '
        'set gradient_clipping_by_norm, or look at the boxes of these images.'
      ) from error
