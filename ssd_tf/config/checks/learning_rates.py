"""Checks for schedules that end inside their warm-up, or reach 0 before the last step."""

from collections.abc import Iterator

from absl import logging

from ssd_tf.config.checks.fault import Fault
from ssd_tf.protos import train_pb2


def learning_rate_faults(train: train_pb2.TrainConfig) -> Iterator[Fault]:
  """Finds what is wrong with the learning rates of the optimizer and of the stages."""
  rates = [
    (stage.first_step, f'train_config.stage[{index}].learning_rate', stage.learning_rate)
    for index, stage in enumerate(train.stage)
    if stage.HasField('learning_rate')
  ]
  optimizer = train.optimizer.WhichOneof('optimizer')
  if optimizer is not None:  # Which there are is for those to say who build them.
    field = f'train_config.optimizer.{optimizer}.learning_rate'
    rates.insert(0, (0, field, getattr(train.optimizer, optimizer).learning_rate))
  ends = [*(first for first, *_ in rates), train.num_steps][1:]
  for (first, field, rate), end in zip(rates, ends, strict=True):
    steps = max(end - first, 0)
    within = f'its part of the training, {steps} steps (see train_config.stage), ends within it'
    lasts = f'it is for {steps} steps (see train_config.stage)'
    if steps == train.num_steps:
      within = f'the training ends within it, at train_config.num_steps {steps}'
      lasts = f'train_config.num_steps is {steps}'
    yield from _rate_faults(rate, field, steps, within, lasts)


def _rate_faults(rate, field, num_steps, within, lasts):
  """Of a learning rate for so many steps, 0 for no end; the rest are words for that."""
  kind = rate.WhichOneof('learning_rate')
  field = f'{field}.{kind}'
  if kind == 'cosine_decay_learning_rate':
    yield from _cosine_faults(rate.cosine_decay_learning_rate, field, num_steps, within, lasts)
  elif kind == 'exponential_decay_learning_rate':
    burnin_steps = rate.exponential_decay_learning_rate.burnin_steps
    if 0 < num_steps <= burnin_steps:
      yield Fault(f'{field}.burnin_steps', f'is {burnin_steps}: {within}')


def _cosine_faults(cosine, field, num_steps, within, lasts):
  if cosine.warmup_steps >= cosine.total_steps:
    yield Fault(
      f'{field}.warmup_steps',
      f'is {cosine.warmup_steps}: the schedule ends within it, at total_steps {cosine.total_steps}',
    )
  if cosine.warmup_steps and cosine.warmup_learning_rate > cosine.learning_rate_base:
    yield Fault(
      f'{field}.warmup_learning_rate',
      f'is {cosine.warmup_learning_rate:g}: it has to be at most learning_rate_base,'
      f' {cosine.learning_rate_base:g}',
    )
  if cosine.total_steps < num_steps:
    yield Fault(
      f'{field}.total_steps',
      f'is {cosine.total_steps}: the learning rate is 0 from there on, but {lasts}; set both alike',
    )
  elif 0 < num_steps <= cosine.warmup_steps:
    logging.warning('%s.warmup_steps: is %d: %s.', field, cosine.warmup_steps, within)
