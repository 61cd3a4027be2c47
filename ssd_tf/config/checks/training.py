"""Checks train_config for contradictions, and the checkpoint that it starts from."""

import re
from collections.abc import Iterator

from ssd_tf.config.checks.fault import Fault
from ssd_tf.config.checks.learning_rates import learning_rate_faults
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError

# Of train_config.fine_tune_checkpoint_type; `run.fine_tuning` has what each loads.
CHECKPOINT_TYPES = ('classification', 'detection', 'fine_tune', 'full')


def training_faults(pipeline: Pipeline, num_replicas: int = 1) -> Iterator[Fault]:
  """Finds what is wrong with train_config."""
  train = pipeline.config.train_config
  if train.batch_size % num_replicas:
    yield Fault(
      'train_config.batch_size',
      f'is {train.batch_size}: it is that of all replicas together, so it has to be a multiple of'
      f' their number, {num_replicas}',
    )
  # The replicas cannot meet inside of a loop of each.
  if train.gradient_accumulation_steps > 1 < num_replicas and _is_synchronized(pipeline.config):
    yield Fault(
      'train_config.gradient_accumulation_steps',
      f'is {train.gradient_accumulation_steps}, with sync_batch_norm on {num_replicas} replicas, '
      'which is not supported; take batch_norm, or one replica, or a larger batch_size',
    )
  yield from _pattern_faults('train_config', train)
  yield from _stage_faults(train)
  yield from learning_rate_faults(train)
  if train.fine_tune_checkpoint:
    try:
      pipeline.find_checkpoint(train.fine_tune_checkpoint)
    except InputError as error:
      yield Fault('train_config.fine_tune_checkpoint', str(error))
  if train.fine_tune_checkpoint_type not in ('', *CHECKPOINT_TYPES):
    yield Fault(
      'train_config.fine_tune_checkpoint_type',
      f'is {train.fine_tune_checkpoint_type!r}: expected one of {", ".join(CHECKPOINT_TYPES)}',
    )


def _is_synchronized(config):
  """Whether batch norms take the statistics of all replicas together."""
  ssd, heads = config.model.ssd, config.model.ssd.box_predictor
  layers = (
    ssd.feature_extractor,
    heads.convolutional_box_predictor,
    heads.weight_shared_convolutional_box_predictor,
  )
  return any(part.conv_hyperparams.HasField('sync_batch_norm') for part in layers)


def _pattern_faults(field, train):
  """Of train_config, or of one of its stages."""
  for name in ('freeze_variables', 'update_trainable_variables'):
    for index, pattern in enumerate(getattr(train, name)):
      try:
        re.compile(pattern)
      except re.error as error:
        yield Fault(f'{field}.{name}[{index}]', f'{pattern!r} is no regular expression: {error}')


def _stage_faults(train):
  before = 0
  for index, stage in enumerate(train.stage):
    field = f'train_config.stage[{index}]'
    if stage.first_step <= before:
      expected = (
        f'more than {before}, where the stage before it begins'
        if index
        else '1 or more; of the steps before the first stage, train_config itself says what trains'
      )
      yield Fault(f'{field}.first_step', f'is {stage.first_step}: expected {expected}')
    elif 0 < train.num_steps <= stage.first_step:
      yield Fault(
        f'{field}.first_step',
        f'is {stage.first_step}: the training ends before, at train_config.num_steps'
        f' {train.num_steps}; remove the stage, or raise num_steps',
      )
    before = stage.first_step
    yield from _pattern_faults(field, stage)
