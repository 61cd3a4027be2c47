"""Defines learning rate schedules (step -> rate) as the Object Detection API does."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

Schedule = Callable[[tf.Tensor], tf.Tensor]
_MAX_CYCLES = 10_000  # That are not of one length: the beginning of each is kept.


def constant_schedule(learning_rate: float) -> Schedule:
  """The same learning rate at every step (a step is i64[], the rate f32[])."""
  return lambda step: tf.constant(learning_rate, tf.float32)


def cosine_schedule(
  *,
  learning_rate_base: float,
  total_steps: int,
  warmup_learning_rate: float = 0.0,
  warmup_steps: int = 0,
  hold_base_rate_steps: int = 0,
  cycle_steps: int = 0,
  cycle_growth: float = 1.0,
  cycle_decay: float = 1.0,
) -> Schedule:
  """A line from warmup_learning_rate to the base, a plateau, then half a cosine down to 0.

  base / 2 * (1 + cos(pi * t)), t = (step - warmup - hold) / (total - warmup - hold); exactly 0 from
  total_steps on.

  With cycle_steps there are warm restarts: after the plateau come cycles i = 0, 1, ..., each of
  cycle_steps * cycle_growth^i steps (not rounded) and of the base base * cycle_decay^i, and t is
  the share of its cycle that is over.

  Args:
    total_steps: where 0 is reached, warm-up and plateau included; with cycles, where they end.
    cycle_growth: 1 or more.
    cycle_decay: in (0, 1].

  Raises:
    ValueError: cycle_growth or cycle_decay is out of its range, or there would be too many cycles.

  Source: Loshchilov and Hutter 2017, of which cycle_growth is T_mult; the Object Detection API's
  cosine_decay_learning_rate, which has no restarts.
  """
  if cycle_growth < 1:
    raise ValueError(f'cycle_growth: is {cycle_growth:g}; expected 1 or more')
  if not 0 < cycle_decay <= 1:
    raise ValueError(f'cycle_decay: is {cycle_decay:g}; expected more than 0, at most 1')
  start = warmup_steps + hold_base_rate_steps
  cycles = _cycles(cycle_steps, cycle_growth, total_steps - start) if cycle_steps else None

  def schedule(step):
    base = learning_rate_base
    if cycles is not None:
      index, t = cycles(tf.maximum(tf.cast(step - start, tf.float64), 0.0))
      base *= tf.cast(tf.pow(tf.constant(cycle_decay, tf.float64), index), tf.float32)
      t = tf.cast(t, tf.float32)
    step = tf.cast(step, tf.float32)
    if cycles is None:
      t = (step - start) / max(total_steps - start, 1)
    rate = 0.5 * base * (1.0 + tf.cos(math.pi * t))
    rate = tf.where(step < start, learning_rate_base, rate)
    if warmup_steps:
      slope = (learning_rate_base - warmup_learning_rate) / warmup_steps
      rate = tf.where(step < warmup_steps, warmup_learning_rate + slope * step, rate)
    return tf.where(step >= total_steps, 0.0, rate)

  return schedule


def _cycles(first_length, growth, num_steps):
  """Function: steps since the first cycle began, f64[] -> number of the cycle, its share over."""
  if growth == 1:

    def of_one_length(elapsed):
      index = tf.floor(elapsed / first_length)
      return index, elapsed / first_length - index

    return of_one_length
  num_cycles = math.log1p(max(num_steps, 0) * (growth - 1) / first_length) / math.log(growth)
  if num_cycles > _MAX_CYCLES:
    raise ValueError(
      f'cycle_growth: is {growth:.9g}, which makes {num_cycles:.0f} cycles of it; expected '
      f'{_MAX_CYCLES} at most; take 1, longer cycle_steps, or more growth'
    )
  starts, length = [0.0], float(first_length)
  while starts[-1] < num_steps:
    starts.append(starts[-1] + length)
    length *= growth
  starts = np.array([*starts, starts[-1] + length])

  def growing(elapsed):
    index = tf.reduce_sum(tf.cast(elapsed >= starts[1:-1], tf.int32))
    begin, end = tf.gather(starts, index), tf.gather(starts, index + 1)
    return tf.cast(index, tf.float64), (elapsed - begin) / (end - begin)

  return growing


def staged_schedule(first: Schedule, later: Sequence[tuple[int, Schedule]]) -> Schedule:
  """One schedule after the other.

  Args:
    first: until the first of the later ones begins.
    later: (step that it begins at, schedule), the steps rising; a schedule's own step 0 is there.
  """

  def schedule(step):
    rate = first(step)
    for begin, following in later:
      rate = tf.where(step >= begin, following(tf.maximum(step - begin, 0)), rate)
    return rate

  return schedule


def exponential_schedule(
  *,
  initial_learning_rate: float,
  decay_steps: int,
  decay_factor: float,
  staircase: bool = True,
  burnin_learning_rate: float = 0.0,
  burnin_steps: int = 0,
  min_learning_rate: float = 0.0,
) -> Schedule:
  """initial * factor^((step - burnin_steps) / decay_steps), after a constant burn-in.

  Args:
    decay_steps: steps in which the rate falls by decay_factor.
    decay_factor: in (0, 1].
    burnin_learning_rate: during the burn-in; 0 for the initial rate.
    min_learning_rate: the rate never falls below it, nor does the burn-in's.

  Source: the Object Detection API's exponential_decay_learning_rate.
  """

  def schedule(step):
    step = tf.cast(step, tf.float32)
    exponent = (step - burnin_steps) / decay_steps
    if staircase:
      exponent = tf.floor(exponent)
    rate = initial_learning_rate * tf.pow(tf.constant(decay_factor, tf.float32), exponent)
    burnin = burnin_learning_rate or initial_learning_rate
    return tf.maximum(tf.where(step < burnin_steps, burnin, rate), min_learning_rate)

  return schedule


def manual_step_schedule(
  *,
  initial_learning_rate: float,
  steps: Sequence[int],
  learning_rates: Sequence[float],
  warmup: bool = False,
) -> Schedule:
  """From steps[i] on the rate is learning_rates[i].

  Args:
    warmup: go in a line from the initial rate to learning_rates[0] instead of jumping.

  Raises:
    ValueError: the steps do not rise, or differ in number from the rates.

  Source: the Object Detection API's manual_step_learning_rate.
  """
  if len(steps) != len(learning_rates) or list(steps) != sorted(set(steps)):
    raise ValueError(
      f'schedule: expected rising steps, one for each rate; received steps {list(steps)} and rates '
      f'{list(learning_rates)}'
    )
  rates = tf.constant([initial_learning_rate, *learning_rates], tf.float32)
  boundaries = np.asarray(steps, np.int64)

  def schedule(step):
    step = tf.cast(step, tf.int64)
    rate = tf.gather(rates, tf.reduce_sum(tf.cast(step >= boundaries, tf.int32)))
    if warmup and len(steps):
      progress = tf.cast(step, tf.float32) / float(steps[0])
      line = initial_learning_rate + (learning_rates[0] - initial_learning_rate) * progress
      rate = tf.where(step < steps[0], line, rate)
    return rate

  return schedule


def polynomial_schedule(
  *,
  initial_learning_rate: float,
  end_learning_rate: float,
  decay_steps: int,
  power: float = 1.0,
) -> Schedule:
  """end + (initial - end) * (1 - min(step, decay_steps) / decay_steps)^power.

  Source: TF1's polynomial_decay, which SSD-Tensorflow offers, without its cycles.
  """

  def schedule(step):
    progress = tf.minimum(tf.cast(step, tf.float32) / decay_steps, 1.0)
    return end_learning_rate + (initial_learning_rate - end_learning_rate) * tf.pow(
      1.0 - progress, power
    )

  return schedule
