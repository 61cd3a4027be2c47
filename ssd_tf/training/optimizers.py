"""Optimizers, as the Object Detection API defines them."""

import keras
import tensorflow as tf

from ssd_tf.ops.schedules import Schedule


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
