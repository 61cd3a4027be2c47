"""Builds a model for training, and what changes its weights: optimizer, average, stages."""

from typing import NamedTuple

import keras
import tensorflow as tf
from absl import logging

from ssd_tf import builders
from ssd_tf.config.pipeline import PipelineConfig
from ssd_tf.detector import SsdDetector
from ssd_tf.models.normalization import make_deterministic
from ssd_tf.pretrained.layer_groups import group_of
from ssd_tf.pretrained.original_names import original_names
from ssd_tf.run.checkpoints import training_checkpoint
from ssd_tf.training import precision
from ssd_tf.training.loss_scale import LossScale
from ssd_tf.training.moving_average import MovingAverage
from ssd_tf.training.stages import Stages
from ssd_tf.training.variable_selection import VariableSelector


class TrainingState(NamedTuple):
  """A model, and what changes its weights."""

  detector: SsdDetector
  optimizer: keras.optimizers.Optimizer
  moving_average: MovingAverage | None
  stages: Stages
  multi_scale: builders.MultiScale | None
  loss_scale: LossScale | None

  @property
  def step(self) -> tf.Variable:
    """The number of updates made so far, i[]."""
    return self.optimizer.iterations.value

  def checkpoint(self) -> tf.train.Checkpoint:
    """All that the training needs to resume."""
    averages = self.moving_average and self.moving_average.averages
    loss_scale = self.loss_scale and self.loss_scale.state
    return training_checkpoint(self.detector.model, self.optimizer, averages, loss_scale)


def build_training_state(config: PipelineConfig) -> TrainingState:
  """Builds what is trained, in the scope of its strategy."""
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
    return TrainingState(detector, optimizer, None, stages, multi_scale, loss_scale)
  decay = settings.optimizer.moving_average_decay
  logging.info(
    'Evaluation and export take the moving average of the weights, with decay %g: '
    'train_config.optimizer.use_moving_average is true (the default).',
    decay,
  )
  averages = MovingAverage(stages.variables, decay=decay)
  return TrainingState(detector, optimizer, averages, stages, multi_scale, loss_scale)


def build_stages(config: PipelineConfig, model: keras.Model) -> Stages:
  """Builds what says which variables a training trains, from which step on.

  Raises:
    InputError: a pattern matches nothing, or a stage leaves nothing to train.
  """
  selector = VariableSelector(model, group_of=group_of, api_names=original_names(model))
  return Stages(selector, builders.build_stages(config.train_config))
