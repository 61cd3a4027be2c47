"""Optimizers and learning rate schedules, as the Object Detection API defines them."""

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

Schedule = Callable[[tf.Tensor], tf.Tensor]


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
    learning_rate_base: the highest rate.
    total_steps: where 0 is reached, warm-up and plateau included; with cycles, where they end.
    warmup_learning_rate: at step 0.
    warmup_steps: length of the line.
    hold_base_rate_steps: length of the plateau.
    cycle_steps: length of the first cycle; 0: there are none.
    cycle_growth: 1 or more.
    cycle_decay: in (0, 1].

  Returns:
    step i64[] -> learning rate f32[].

  Raises:
    ValueError: cycle_growth or cycle_decay is out of its range.

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

  Returns:
    step i64[] -> learning rate f32[].
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
    initial_learning_rate: after the burn-in.
    decay_steps: steps in which the rate falls by decay_factor.
    decay_factor: in (0, 1].
    staircase: whether the exponent is rounded down.
    burnin_learning_rate: during the burn-in; 0 for the initial rate.
    burnin_steps: length of the burn-in.
    min_learning_rate: the rate never falls below it, nor does the burn-in's.

  Returns:
    step i64[] -> learning rate f32[].

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
    initial_learning_rate: before steps[0].
    steps: rising.
    learning_rates: one for each step.
    warmup: go in a line from the initial rate to learning_rates[0] instead of jumping.

  Returns:
    step i64[] -> learning rate f32[].

  Raises:
    ValueError: the steps do not rise, or differ in number from the rates.

  Source: the Object Detection API's manual_step_learning_rate.
  """
  if len(steps) != len(learning_rates) or list(steps) != sorted(set(steps)):
    raise ValueError(
      f'manual_step_learning_rate: expected rising steps, one for each rate; received steps '
      f'{list(steps)} and rates {list(learning_rates)}'
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

  Args:
    initial_learning_rate: at step 0.
    end_learning_rate: from decay_steps on.
    decay_steps: 1 or more.
    power: 1 for a line.

  Returns:
    step i64[] -> learning rate f32[].

  Source: TF1's polynomial_decay, which SSD-Tensorflow offers, without its cycles.
  """

  def schedule(step):
    progress = tf.minimum(tf.cast(step, tf.float32) / decay_steps, 1.0)
    return end_learning_rate + (initial_learning_rate - end_learning_rate) * tf.pow(
      1.0 - progress, power
    )

  return schedule


class _KerasSchedule(keras.optimizers.schedules.LearningRateSchedule):
  """A Schedule where Keras wants an object."""

  def __init__(self, schedule: Schedule):
    self._schedule = schedule

  def __call__(self, step):
    return self._schedule(tf.convert_to_tensor(step))

  def get_config(self):
    raise TypeError('a learning rate schedule is built from the pipeline.config, not saved')


class Momentum(keras.optimizers.SGD):
  """Gradient descent with momentum: velocity = momentum * velocity - rate * gradient.

  Keras composes the update from five operations for each variable; this calls TensorFlow's one.

  Args:
    schedule: step -> learning rate.
    momentum: in [0, 1).

  Source: the Object Detection API's momentum_optimizer under TF2. (TF1 multiplies the rate in after
  the velocity, which differs only while the rate changes.)
  """

  def __init__(self, schedule: Schedule, *, momentum: float):
    super().__init__(_KerasSchedule(schedule), momentum=momentum, name='momentum')

  def update_step(self, gradient, variable, learning_rate):
    """Updates one variable and its velocity."""
    if not self.momentum:
      super().update_step(gradient, variable, learning_rate)
      return
    velocity = self.momentums[self._get_variable_index(variable)]
    tf.raw_ops.ResourceApplyKerasMomentum(
      var=_handle(variable),
      accum=_handle(velocity),
      lr=tf.cast(learning_rate, variable.dtype),
      grad=tf.cast(gradient, variable.dtype),
      momentum=tf.cast(self.momentum, variable.dtype),
    )


class RMSProp(keras.optimizers.RMSprop):
  """RMSProp as TF1 defines it.

  mean_square = decay * mean_square + (1 - decay) * gradient^2, starting at 1;
  velocity = momentum * velocity + rate * gradient / sqrt(mean_square + epsilon).

  Args:
    schedule: step -> learning rate.
    decay: of the mean square.
    momentum: of the velocity.
    epsilon: inside the square root.

  Source: TF1's RMSPropOptimizer, which the Object Detection API's configs were tuned with. Its TF2
  scripts take `decay` for a decay of the learning rate (rate / (1 + decay * step), the mean square
  decays by .9 whatever the config says) and start the mean square at 0, which is not copied.
  """

  def __init__(self, schedule: Schedule, *, decay: float, momentum: float, epsilon: float):
    super().__init__(
      _KerasSchedule(schedule), rho=decay, momentum=momentum, epsilon=epsilon, name='rms_prop'
    )

  def build(self, variables):
    """Creates mean squares (ones) and velocities (zeros)."""
    if self.built:
      return
    super().build(variables)
    if not self.momentum:
      # The fused kernel keeps a velocity even when it has no memory.
      self._momentums = self.add_optimizer_variables(variables, 'momentum')
    for mean_square in self._velocities:
      mean_square.assign(tf.ones_like(mean_square.value))

  def update_step(self, gradient, variable, learning_rate):
    """Updates one variable, its mean square and its velocity."""
    index = self._get_variable_index(variable)
    tf.raw_ops.ResourceApplyRMSProp(
      var=_handle(variable),
      ms=_handle(self._velocities[index]),
      mom=_handle(self._momentums[index]),
      lr=tf.cast(learning_rate, variable.dtype),
      rho=tf.cast(self.rho, variable.dtype),
      momentum=tf.cast(self.momentum, variable.dtype),
      epsilon=tf.cast(self.epsilon, variable.dtype),
      grad=tf.cast(gradient, variable.dtype),
    )


def adam(
  schedule: Schedule, *, epsilon: float, beta_1: float = 0.9, beta_2: float = 0.999
) -> keras.optimizers.Adam:
  """Adam (Kingma and Ba 2015) on a schedule; beta_1 and beta_2 are the decays of its means."""
  return keras.optimizers.Adam(
    _KerasSchedule(schedule), beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, name='adam'
  )


def adamw(schedule: Schedule, *, epsilon: float, weight_decay: float) -> keras.optimizers.AdamW:
  """Adam, and beside it each kernel shrinks: kernel -= rate * weight_decay * kernel.

  Biases and batch norms do not.

  Args:
    schedule: step -> learning rate.
    epsilon: added to the root of the mean square.
    weight_decay: times the learning rate, per step.

  Returns:
    The optimizer.

  Source: Loshchilov and Hutter 2019.
  """
  optimizer = keras.optimizers.AdamW(
    _KerasSchedule(schedule), weight_decay=weight_decay, epsilon=epsilon, name='adamw'
  )
  optimizer.exclude_from_weight_decay(var_names=['^(?!.*kernel)'])  # Whatever is no kernel.
  return optimizer


def sgd(schedule: Schedule) -> keras.optimizers.SGD:
  """Gradient descent: variable -= rate * gradient."""
  return keras.optimizers.SGD(_KerasSchedule(schedule), name='sgd')


def adadelta(schedule: Schedule, *, rho: float, epsilon: float) -> keras.optimizers.Adadelta:
  """Adadelta on a schedule.

  mean_square = rho * mean_square + (1 - rho) * gradient^2;
  update = sqrt(mean_update + epsilon) / sqrt(mean_square + epsilon) * gradient;
  mean_update = rho * mean_update + (1 - rho) * update^2; variable -= rate * update.
  Both means start at 0.

  Args:
    schedule: step -> learning rate.
    rho: the decay of both means.
    epsilon: inside both roots.

  Returns:
    The optimizer.

  Source: Zeiler 2012; TF1's AdadeltaOptimizer.
  """
  return keras.optimizers.Adadelta(
    _KerasSchedule(schedule), rho=rho, epsilon=epsilon, name='adadelta'
  )


def adagrad(schedule: Schedule, *, initial_accumulator_value: float) -> keras.optimizers.Adagrad:
  """Adagrad on a schedule: variable -= rate * gradient / sqrt(sum of its squares).

  Args:
    schedule: step -> learning rate.
    initial_accumulator_value: where the sum starts.

  Returns:
    The optimizer.

  Source: Duchi et al. 2011; TF1's AdagradOptimizer, which adds nothing to the root.
  """
  return keras.optimizers.Adagrad(
    _KerasSchedule(schedule),
    initial_accumulator_value=initial_accumulator_value,
    epsilon=0.0,
    name='adagrad',
  )


def ftrl(
  schedule: Schedule,
  *,
  learning_rate_power: float,
  initial_accumulator_value: float,
  l1_regularization_strength: float = 0.0,
  l2_regularization_strength: float = 0.0,
) -> keras.optimizers.Ftrl:
  """Follow the regularized leader, on a schedule.

  new_sum = sum + gradient^2, with p = -learning_rate_power:
  linear += gradient - (new_sum^p - sum^p) / rate * variable;
  variable = (clip(linear, -l1, l1) - linear) / (new_sum^p / rate + 2 * l2), rate above 0.
  So the first update also multiplies a variable by 1 - (sum / new_sum)^p.

  Args:
    schedule: step -> learning rate.
    learning_rate_power: 0 or less.
    initial_accumulator_value: where the sum starts, 0 or more.
    l1_regularization_strength: 0 or more.
    l2_regularization_strength: 0 or more.

  Returns:
    The optimizer.

  Raises:
    ValueError: a value is out of its range.

  Source: McMahan et al. 2013; TF1's FtrlOptimizer.
  """
  return keras.optimizers.Ftrl(
    _KerasSchedule(schedule),
    learning_rate_power=learning_rate_power,
    initial_accumulator_value=initial_accumulator_value,
    l1_regularization_strength=l1_regularization_strength,
    l2_regularization_strength=l2_regularization_strength,
    name='ftrl',
  )


def _handle(variable):
  """The resource of a Keras or TensorFlow variable, on the current replica."""
  return (variable.value if isinstance(variable, keras.Variable) else variable).handle
