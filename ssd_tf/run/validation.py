"""Evaluates a training while it runs, and decides by the results."""

import dataclasses
import os
from collections.abc import Callable, Sequence

import orbit
import tensorflow as tf
from absl import logging

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.evaluation import log_format, short_format
from ssd_tf.run.best_checkpoint import BestCheckpoint
from ssd_tf.run.best_metric import Criterion
from ssd_tf.run.early_stopping import EarlyStopping
from ssd_tf.run.evaluation_log import EvaluationLog
from ssd_tf.run.evaluator import (
  Options,
  build_evaluator,
  evaluation_details,
  log_evaluation,
)
from ssd_tf.run.loop import Loop
from ssd_tf.run.missing_scalars import write_missing_scalars
from ssd_tf.run.training_state import TrainingState
from ssd_tf.training import precision
from ssd_tf.training.moving_average import AveragedEvaluator


@dataclasses.dataclass(frozen=True)
class Validation:
  """The evaluations of a training."""

  log: EvaluationLog
  criterion: Criterion
  evaluator: orbit.AbstractEvaluator
  actions: Sequence[Callable]
  best: BestCheckpoint | None
  stopping: EarlyStopping | None

  def last_figure(self) -> str:
    """The metric of the last evaluation in words; '' where there is none."""
    name, values = self.criterion.metric, self.criterion.values(self.log)
    if not values:
      return ''
    label = 'AP' if 'AP' in name else name
    return f'{label} {short_format.figure(values[max(values)])}'

  def make_up(self, loop: Loop) -> None:
    """Evaluates the step that a training goes on from, if it should have been and is not.

    A process may have died after it saved the checkpoint, or before its figures came to TensorBoard
    and to the best checkpoint.
    """
    write_missing_scalars(self.log)
    if left_out := self.criterion.left_out(self.log):
      logging.info('%s: %s.', self.log.path, left_out)
    if loop.step not in self.criterion.evaluations(self.log):
      if loop.is_evaluated():
        log_format.tell('Step %d is not evaluated yet.', loop.step)
        loop.evaluate()
    elif self.best is not None:
      self.best()


def build_validation(
  pipeline: Pipeline,
  state: TrainingState,
  manager: tf.train.CheckpointManager,
  strategy: tf.distribute.Strategy,
  metric: str,
  options: Options,
) -> Validation:
  """Builds what evaluates a training; refuses the best checkpoint of another one in model_dir."""
  settings = pipeline.config.train_config
  log = EvaluationLog(os.path.join(manager.directory, 'eval'))
  criterion = Criterion(metric, evaluation_details(pipeline, options))
  best, stopping = None, None
  if settings.keep_best_checkpoint:
    best = BestCheckpoint(manager, state.step, log, criterion)
  if settings.HasField('early_stopping'):
    patience, min_delta = settings.early_stopping.patience, settings.early_stopping.min_delta
    stopping = EarlyStopping(log, criterion, state.stages.borders, patience, min_delta)
  detector = state.detector
  if in_half := builders.precision_of(settings) != precision.FLOAT32:
    with strategy.scope():
      detector = builders.build_detector(pipeline.config.model, is_training=False)
  evaluator = build_evaluator(pipeline, detector, strategy, options)

  def log_it(output):
    log_evaluation(state.step, evaluator, output, log, criterion.details)

  def show_it(output):
    log_format.show_short(
      short_format.evaluation_block(
        int(state.step.numpy()),
        evaluator.metrics.details['images'],
        output,
        metric,
        criterion.best_step(log),
      )
    )

  evaluating = evaluator
  if in_half:
    evaluating = precision.Float32Evaluator(evaluator, state.detector.model, detector.model)
  if state.moving_average:
    evaluating = AveragedEvaluator(evaluating, state.moving_average)
  actions = [log_it, show_it, best] if best else [log_it, show_it]
  return Validation(log, criterion, evaluating, actions, best, stopping)
