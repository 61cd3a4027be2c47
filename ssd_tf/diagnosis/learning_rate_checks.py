"""Checks the learning rate: against the batch size, and in its course over the training."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from ssd_tf.builders.training import build_schedule, build_stage_schedules
from ssd_tf.config.pipeline import PipelineConfig
from ssd_tf.diagnosis.finding import Finding, Severity
from ssd_tf.diagnosis.project import Project
from ssd_tf.errors import InputError
from ssd_tf.ops.schedules import staged_schedule
from ssd_tf.run import known_rates

_NUM_POINTS = 101
_LIMIT, _BAD_LIMIT = 10, 30  # Times the rate that the linear rule gives.
_LOW_LIMIT = 0.01
_LARGEST_ADAM_RATE = 0.01
_LARGEST_ADAM_EPSILON = 0.01  # Root mean squares of gradients are about this, or less.
_ADAM = ('adam_optimizer', 'adamw_optimizer')


@dataclasses.dataclass(frozen=True)
class RateCurve:
  """The learning rate over a training.

  Attributes:
    kind: field of the learning rate message, such as 'cosine_decay_learning_rate'.
    steps: i64[m], of the points, from 0 to the last step.
    rates: f64[m].
    peaks: f64[m], the highest rate of the schedule that the point is of; stages have their own.
    num_steps: of the training; 0 for ever, when the points are of the schedule's own length.
    warmup_steps: until the schedule has its own highest rate.
    decay_step: step that the decay is done at, or first happens at; 0 where there is none.
  """

  kind: str
  steps: np.ndarray
  rates: np.ndarray
  peaks: np.ndarray
  num_steps: int
  warmup_steps: int
  decay_step: int

  @property
  def peak(self) -> float:
    """The highest rate that the training sees."""
    return float(self.rates.max())


def check(project: Project) -> Iterator[Finding]:
  """The highest rate, then warm-up and decay."""
  settings = project.config.train_config
  curve = rate_curve(project.config)
  optimizer = settings.optimizer.WhichOneof('optimizer')
  options = getattr(settings.optimizer, optimizer)
  yield from check_rate(
    curve.peak,
    project.images_per_step,
    optimizer=optimizer,
    extractor=project.config.model.ssd.feature_extractor.type,
    momentum=getattr(options, 'momentum_optimizer_value', 0.9),
    epsilon=getattr(options, 'epsilon', 0.0),
    initial_rate=float(curve.rates[0]),
  )
  yield from check_course(curve)


def rate_curve(config: PipelineConfig) -> RateCurve:
  """Draws the learning rate of a config."""
  settings = config.train_config
  kind = settings.optimizer.WhichOneof('optimizer')
  if kind is None:
    raise InputError('train_config.optimizer: none is set; take one such as momentum_optimizer')
  message = getattr(settings.optimizer, kind).learning_rate
  schedule = build_schedule(message, f'train_config.optimizer.{kind}.learning_rate')
  name = message.WhichOneof('learning_rate')
  warmup_steps, decay_step = _landmarks(name, getattr(message, name))
  if later := build_stage_schedules(settings.stage):
    schedule, decay_step = staged_schedule(schedule, later), 0
  num_steps = settings.num_steps
  length = num_steps or max(1, min(max(warmup_steps, decay_step), 10**6))
  steps = np.unique(np.linspace(0, length - 1, min(_NUM_POINTS, length)).astype(np.int64))
  # As one graph; step by step would take seconds.
  rates = tf.function(lambda: tf.map_fn(schedule, steps, fn_output_signature=tf.float32))()
  rates = rates.numpy().astype(np.float64)
  parts = np.searchsorted([begin for begin, _ in later], steps, side='right')
  peaks = np.array([rates[parts == part].max() for part in parts])
  return RateCurve(name, steps, rates, peaks, num_steps, warmup_steps, decay_step)


def check_rate(
  peak: float,
  batch_size: int,
  *,
  optimizer: str,
  extractor: str,
  momentum: float = 0.9,
  epsilon: float = 0.0,
  initial_rate: float = 0.0,
) -> Iterator[Finding]:
  """Compares the highest rate with that of a config known to work, in proportion to the batch.

  Expected: reference's rate * batch_size / reference's batch size * (1 - momentum) / 0.1, of the
  reference of the same family whose batch size is the nearest.

  Args:
    optimizer: field of train_config.optimizer.
    extractor: model.ssd.feature_extractor.type.
    momentum: of the momentum or RMSProp optimizer.
    epsilon: of Adam.

  Source: Goyal et al., Accurate, Large Minibatch SGD, section 2.1 (the linear rule) and 2.2
  (warm-up).
  """
  if not peak > 0:
    yield Finding.error(
      'learning rate',
      'The learning rate is 0 at every step: nothing is learned.',
      f'Set train_config.optimizer.{optimizer}.learning_rate.',
      {'rate': peak},
    )
    return
  if optimizer in _ADAM:
    yield from _check_adam_rate(peak, optimizer, epsilon)
  reference = known_rates.nearest(extractor, optimizer, batch_size)
  if reference is None:
    return
  expected = reference.in_proportion(batch_size, momentum)
  ratio = peak / expected if expected > 0 else math.inf
  numbers = {
    **{'rate': peak, 'batch_size': batch_size, 'expected': expected, 'ratio': ratio},
    'reference': reference.name,
  }
  if ratio > _LIMIT or ratio < _LOW_LIMIT:
    told = f'{ratio:.0f} times' if ratio > 1 else f'{ratio:.1%} of'
    yield Finding(
      'learning rate',
      Severity.ERROR if ratio > _BAD_LIMIT else Severity.WARNING,
      f'The learning rate goes up to {peak:g} with {batch_size} images a step: {told} the '
      f'{expected:.3g} that {reference.name} has in proportion ({reference.rate:g} with '
      f'{reference.batch_size}).',
      f'Set the rate in train_config.optimizer.{optimizer}.learning_rate to about {expected:.1g}.',
      numbers,
    )
  if ratio > 3 and initial_rate > 0.5 * peak:
    yield Finding.warning(
      'warm-up',
      f'The training starts at the learning rate {initial_rate:g} without a warm-up, and that is '
      f'{ratio:.1f} times the {expected:.3g} that {reference.name} has in proportion.',
      'Take cosine_decay_learning_rate with warmup_steps and a warmup_learning_rate of a third, as '
      f'{reference.name} has, or lower the rate.',
      numbers,
    )


def check_course(curve: RateCurve) -> Iterator[Finding]:
  """Whether warm-up and decay fit into the training."""
  if not curve.num_steps or not curve.peak > 0:
    return
  num_steps, field = curve.num_steps, curve.kind
  warmup_share = curve.warmup_steps / num_steps
  if warmup_share > 0.5:
    yield Finding(
      'warm-up',
      Severity.ERROR if warmup_share >= 1 else Severity.WARNING,
      f'The warm-up of {field} takes {curve.warmup_steps} steps of num_steps {num_steps}: the rate '
      f'comes to {curve.peak:g}'
      + (', and never to its highest.' if warmup_share >= 1 else ', and is low most of the time.'),
      f'Lower the warm-up to about {max(1, num_steps // 20)} steps.',
      {'warmup_steps': curve.warmup_steps, 'num_steps': num_steps, 'share': warmup_share},
    )
  idle = float(np.mean((curve.rates < 1e-3 * curve.peaks) | (curve.rates == 0)))
  if idle > 0.1:
    yield Finding(
      'idle steps',
      Severity.ERROR if idle > 0.5 else Severity.WARNING,
      f'The learning rate of {field} is 0, or less than a thousandth of its highest (that of its '
      f'stage, if there are stages), for {idle:.0%} of the {num_steps} steps.',
      f'Set its steps (total_steps, decay_steps) to train_config.num_steps, {num_steps}.',
      {'share': idle, 'decay_step': curve.decay_step, 'num_steps': num_steps},
    )
  end_share = float(curve.rates[-1]) / curve.peak
  if curve.decay_step > num_steps and end_share > 0.1 and warmup_share < 1:
    # As the API's own TF1 configs have it: 200,000 steps at a rate that decays every 800,720.
    is_usual = field == 'exponential_decay_learning_rate' and num_steps > 0.1 * curve.decay_step
    yield Finding(
      'decay',
      Severity.NOTE if is_usual else Severity.WARNING,
      f'{field} decays by step {curve.decay_step}, but train_config.num_steps is {num_steps}: the '
      f'last step still has {end_share:.0%} of the highest rate.',
      f'Set its steps (total_steps, decay_steps, schedule.step) to fit {num_steps}.',
      {'decay_step': curve.decay_step, 'num_steps': num_steps, 'end_share': end_share},
    )


def _check_adam_rate(peak, optimizer, epsilon):
  if epsilon > _LARGEST_ADAM_EPSILON:
    yield Finding.warning(
      'epsilon',
      f'The epsilon of {optimizer} is {epsilon:g}, far above the gradients that it is added to: a '
      f'step is about {peak / epsilon:.2g} times the gradient, so the weights hardly move.',
      f'Set train_config.optimizer.{optimizer}.epsilon to 1e-8 (--opt_epsilon=1e-8 of '
      'train_ssd_network.py, whose default is 1).',
      {'epsilon': epsilon, 'rate': peak},
    )
  elif peak > _LARGEST_ADAM_RATE:
    yield Finding.warning(
      'learning rate',
      f'The learning rate of {optimizer} goes up to {peak:g}: Adam moves every weight by about so '
      'much in a step, whatever the batch.',
      'Lower it to 0.001, or take momentum_optimizer for a rate like this.',
      {'rate': peak, 'expected': 0.001, 'ratio': peak / 0.001},
    )


def _landmarks(kind, values):
  """(steps of warm-up, step of the decay)."""
  if kind == 'cosine_decay_learning_rate':
    return values.warmup_steps, 0 if values.cycle_steps else values.total_steps
  if kind == 'manual_step_learning_rate':
    first, second, *_ = [*(entry.step for entry in values.schedule), 0, 0]
    return (first, second) if values.warmup else (0, first)
  if kind == 'exponential_decay_learning_rate':
    return values.burnin_steps, values.burnin_steps + values.decay_steps
  return 0, getattr(values, 'decay_steps', 0)
