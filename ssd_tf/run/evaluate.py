"""Evaluates checkpoints by a pipeline.config."""

import contextlib
import os
from collections.abc import Sequence

import tensorflow as tf

from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.evaluation import log_format, short_format
from ssd_tf.pretrained.checkpoint_description import step_of
from ssd_tf.pretrained.checkpoint_file import CheckpointDeleted
from ssd_tf.pretrained.checkpoint_formats import open_checkpoint
from ssd_tf.run.checked_event_files import CheckedSummaries
from ssd_tf.run.evaluator import (
  Options,
  build_detector,
  build_evaluator,
  evaluate,
  evaluation_details,
  log_evaluation,
)
from ssd_tf.run.failures import explaining_failures
from ssd_tf.run.missing_scalars import write_missing_scalars
from ssd_tf.run.start import restore


def evaluate_checkpoints(
  pipeline: Pipeline,
  model_dir: str,
  checkpoint_dir: str,
  *,
  strategy: tf.distribute.Strategy,
  timeout: float = 0.0,
  wait_for_first: bool = False,
  options: Options | None = None,
) -> dict[str, float]:
  """Evaluates the newest checkpoint, then each new one until none comes within the timeout.

  Args:
    model_dir: gets event files and evaluation results in eval/.
    checkpoint_dir: a folder that a training writes to, or the prefix of one checkpoint, which may
      be one of the Object Detection API's.
    timeout: seconds to wait for a further checkpoint; 0 to evaluate just the newest one.
    wait_for_first: whether the folder may still be empty, or not there yet.

  Returns:
    The metrics of the last checkpoint evaluated.
  """
  if not wait_for_first:
    find_checkpoint(checkpoint_dir)  # Refuses a misspelled folder at once.
  options = options or Options()
  write_missing_scalars(log := options.log(model_dir))
  evaluation = _Evaluation(pipeline, log, strategy, options)
  metrics = {}
  # Nothing tells of new ones where a checkpoint is given by name, or was copied by hand.
  is_watched = tf.train.latest_checkpoint(checkpoint_dir) is not None
  if not timeout or not (is_watched or wait_for_first):
    while True:
      path = find_checkpoint(checkpoint_dir)
      with _passing_over_deleted(is_all=not os.path.isdir(checkpoint_dir)):
        return evaluation.evaluate(path)
  log_format.emit([f'Waiting for new checkpoint at {checkpoint_dir}'])
  for path in tf.train.checkpoints_iterator(checkpoint_dir, timeout=timeout):
    with _passing_over_deleted():
      metrics = evaluation.evaluate(path)
      if 0 < pipeline.config.train_config.num_steps <= evaluation.step:
        return metrics  # The training is over.
  log_format.emit(['Timed-out waiting for a checkpoint.'])
  return metrics


def evaluate_all_checkpoints(
  pipeline: Pipeline,
  model_dir: str,
  checkpoint_dir: str | Sequence[str],
  *,
  strategy: tf.distribute.Strategy,
  options: Options | None = None,
) -> dict[int, dict[str, float]]:
  """Evaluates every checkpoint of a folder, in the order of steps, and shows a table of all.

  Those whose step eval/metrics.jsonl already has, on the same data and by the same eval_config and
  post-processing, are not evaluated again. Returns the metrics of all, by step, rising.
  """
  options = options or Options()
  steps = _steps(checkpoint_dir)
  write_missing_scalars(log := options.log(model_dir))
  details = evaluation_details(pipeline, options)
  results = {step: line['metrics'] for step, line in log.comparable(details).items()}
  skipped = {step: path for path, step in steps.items() if step in results}
  if skipped:
    log_format.emit(
      [
        f'Evaluated before, in {log.path}: '
        f'{", ".join(f"{skipped[step]} (step {step})" for step in sorted(skipped))}'
      ]
    )
  pending = {path: step for path, step in steps.items() if step not in results}
  if pending:
    evaluation = _Evaluation(pipeline, log, strategy, options)
  while pending:
    path, step = next(iter(pending.items()))
    with _passing_over_deleted():
      results[step] = evaluation.evaluate(path)
    if step not in results:
      del steps[path]
      if isinstance(checkpoint_dir, str):  # There are newer ones by now.
        steps |= _steps(checkpoint_dir)
    pending = {path: step for path, step in steps.items() if step not in results}
  if not steps:
    raise CheckpointDeleted(f'{checkpoint_dir}: every checkpoint was deleted meanwhile')
  results = {step: results[step] for step in sorted(set(steps.values()))}
  table = log_format.evaluation_table(results.items())
  where = f' of {checkpoint_dir}' if isinstance(checkpoint_dir, str) else ''
  log_format.emit([f'{len(results)} checkpoints{where} on {details["split"]}:\n{table}'])
  return results


class _Evaluation:
  """A model and what measures it, for one checkpoint after the other."""

  def __init__(self, pipeline, log, strategy, options):
    self._options, self._pipeline = options, pipeline
    detector = build_detector(pipeline, strategy, options.on_train_data)
    with strategy.scope():
      step = tf.Variable(0, dtype=tf.int64, trainable=False)
    self._evaluator = build_evaluator(pipeline, detector, strategy, options)
    self._model, self._step = detector.model, step
    details = evaluation_details(pipeline, options)
    self._summaries = CheckedSummaries(log.eval_dir, step)
    tf.summary.experimental.set_step(step)
    self._log = lambda output: log_evaluation(step, self._evaluator, output, log, details)

  def evaluate(self, path):
    """The metrics of a checkpoint, which are logged and written."""
    log_format.emit([f'Found new checkpoint at {path}'])
    self._step.assign(restore(self._model, path))
    on_train_data = self._options.on_train_data
    with explaining_failures(self._pipeline, training=on_train_data, evaluation=not on_train_data):
      metrics = evaluate(self._evaluator, self._summaries, [self._log])
    block = short_format.evaluation_block(
      self.step, self._evaluator.metrics.details['images'], metrics, next(iter(metrics)), None
    )
    log_format.show_short(block)
    if self._options.report is not None:
      self._options.report(self.step, metrics, self._evaluator.metrics)
    return metrics

  @property
  def step(self):
    """Of the checkpoint evaluated last."""
    return int(self._step.numpy())


def _steps(checkpoint_dir):
  """{prefix: step} of every checkpoint of a folder, or of those given, steps rising."""
  if isinstance(checkpoint_dir, str):
    find_checkpoint(checkpoint_dir)  # Refuses a misspelled or empty folder.
    if not os.path.isdir(checkpoint_dir):
      raise InputError(
        f'{checkpoint_dir}: expected a folder with checkpoints, received one checkpoint'
      )
    files = sorted(name for name in os.listdir(checkpoint_dir) if name.endswith('.index'))
    prefixes = [os.path.join(checkpoint_dir, name.removesuffix('.index')) for name in files]
  else:
    prefixes = [find_checkpoint(path) for path in checkpoint_dir]
  steps = {}
  for path in prefixes:
    with _passing_over_deleted():
      steps[path] = step_of(open_checkpoint(path)) or 0
  return dict(sorted(steps.items(), key=lambda item: item[1]))


@contextlib.contextmanager
def _passing_over_deleted(is_all=False):
  """Says that a checkpoint is gone, which is an error only where it is all there is."""
  try:
    yield
  except CheckpointDeleted as error:
    if is_all:
      raise
    log_format.emit([f'{error}. Going on with the next one.'])
