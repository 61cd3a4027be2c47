"""Warns of what fine-tuning by a config risks, in a diagnosis and when a training starts."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from ssd_tf import builders
from ssd_tf.config.pipeline import PipelineConfig
from ssd_tf.models.normalization import FusedBatchNormalization
from ssd_tf.pretrained.layer_groups import BACKBONE, FEATURE_MAPS, group_of
from ssd_tf.pretrained.load_report import LoadReport
from ssd_tf.run import known_rates

FEW_IMAGES = 1000
_SCRATCH_SHARE = 0.5  # Of the rate from scratch; a tenth of it is right.
_NUM_POINTS = 101


@dataclasses.dataclass(frozen=True)
class Risk:
  """One of them.

  Attributes:
    check: what was checked, in a few words that stay the same.
    what: in one sentence.
    remedy: what to do.
    numbers: those of `what` by name.
  """

  check: str
  what: str
  remedy: str
  numbers: Mapping[str, float]


def find_risks(
  config: PipelineConfig,
  model: keras.Model,
  report: LoadReport,
  trained: Collection[str],
  num_images: int,
) -> Iterator[Risk]:
  """Looks at a network into which a checkpoint was loaded.

  Args:
    report: what was loaded.
    trained: paths of the variables that train in any stage.
    num_images: of the training records.
  """
  if not _trains_loaded(report, trained, BACKBONE):
    return
  if any(_moves(layer) for layer in model.layers):
    yield from statistics_risk(num_images)
  if any(group_of(path) == FEATURE_MAPS for path in report.loaded):
    yield from _rate_risk_of(config)


def statistics_risk(num_images: int) -> Iterator[Risk]:
  """Of few images that are to replace the statistics of loaded batch norms.

  Source: logs/raccoon_freezing, where 156 images gave AP .43 so, and .62 with freeze_batchnorm.
  """
  if num_images < FEW_IMAGES:
    yield Risk(
      'batch norm statistics',
      f'{num_images} images replace the batch norm statistics of the loaded backbone, which may '
      'cost more than the training brings (.19 of AP with 156 images).',
      'Set model.ssd.freeze_batchnorm: true, which trains everything but them.',
      {'images': num_images},
    )


def rate_risk(rate: float, reference_rate: float, optimizer: str) -> Iterator[Risk]:
  """Of a rate that is for random weights, where a whole detector was loaded.

  Args:
    rate: the highest.
    reference_rate: of a training from scratch, by batch size.
    optimizer: field of train_config.optimizer.

  Source: logs/raccoon_freezing; its best training takes a tenth of the rate from scratch.
  """
  if rate > _SCRATCH_SHARE * reference_rate:
    yield Risk(
      'fine-tuning rate',
      f'The learning rate goes up to {rate:g}, as in a training from scratch ({reference_rate:.2g} '
      'in proportion to the batch size), but a whole detector is loaded, which that may undo.',
      f'Set the rate in train_config.optimizer.{optimizer}.learning_rate to a tenth, '
      f'{reference_rate / 10:.1g}.',
      {'rate': rate, 'reference': reference_rate},
    )


def _rate_risk_of(config):
  settings = config.train_config
  optimizer = settings.optimizer.WhichOneof('optimizer')
  batch_size = settings.batch_size * max(1, settings.gradient_accumulation_steps)
  extractor = config.model.ssd.feature_extractor.type
  reference = known_rates.nearest(extractor, optimizer, max(1, batch_size))
  if reference is not None:
    momentum = getattr(getattr(settings.optimizer, optimizer), 'momentum_optimizer_value', 0.9)
    expected = reference.in_proportion(batch_size, momentum)
    yield from rate_risk(_highest_rate(settings), expected, optimizer)


def _highest_rate(settings):
  schedule = builders.build_whole_schedule(settings.optimizer, settings.stage)
  steps = np.linspace(0, max(1, settings.num_steps) - 1, _NUM_POINTS).astype(np.int64)
  return float(np.max(tf.map_fn(schedule, np.unique(steps), fn_output_signature=tf.float32)))


def _trains_loaded(report, trained, group):
  return any(group_of(path) == group for path in report.loaded) and any(
    group_of(path) == group for path in trained
  )


def _moves(layer):
  return (
    isinstance(layer, FusedBatchNormalization)
    and not layer.frozen
    and group_of(layer.moving_mean.path) == BACKBONE
  )
