"""Defines optimizers where those of the Object Detection API are not Keras's own."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ssd_tf.ops.schedules import Schedule


class KerasSchedule(keras.optimizers.schedules.LearningRateSchedule):
  """A Schedule where Keras wants an object."""

  def __init__(self, schedule: Schedule):
    self._schedule = schedule

  def __call__(self, step):
    """The learning rate of a step, f32[]."""
    return self._schedule(tf.convert_to_tensor(step))

  def get_config(self):
    """There is none."""
    raise TypeError('a learning rate schedule is built from the pipeline.config, not saved')


class Momentum(keras.optimizers.SGD):
  """Gradient descent with momentum: velocity = momentum * velocity - rate * gradient.

  Keras composes the update from five operations for each variable; this calls TensorFlow's one.

  Source: the Object Detection API's momentum_optimizer under TF2. (TF1 multiplies the rate in after
  the velocity, which differs only while the rate changes.)
  """

  def update_step(
    self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
  ) -> None:
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

  mean_square = rho * mean_square + (1 - rho) * gradient^2, starting at 1;
  velocity = momentum * velocity + rate * gradient / sqrt(mean_square + epsilon).

  Source: TF1's RMSPropOptimizer, which the Object Detection API's configs were tuned with. Its TF2
  scripts take `decay` for a decay of the learning rate (rate / (1 + decay * step), the mean square
  decays by .9 whatever the config says) and start the mean square at 0, which is not copied.
  """

  def build(self, variables: Sequence[keras.Variable]) -> None:
    """Creates mean squares (ones) and velocities (zeros)."""
    if self.built:
      return
    super().build(variables)
    if not self.momentum:
      # The fused kernel keeps a velocity even when it has no memory.
      self._momentums = self.add_optimizer_variables(variables, 'momentum')
    for mean_square in self._velocities:
      mean_square.assign(tf.ones_like(mean_square.value))

  def update_step(
    self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
  ) -> None:
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


class AdamW(keras.optimizers.AdamW):
  """Adam, and beside it each kernel shrinks: kernel -= rate * weight_decay * kernel.

  Biases and batch norms do not. Source: Loshchilov and Hutter 2019.
  """

  def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.exclude_from_weight_decay(var_names=['^(?!.*kernel)'])  # Whatever is no kernel.


class Adagrad(keras.optimizers.Adagrad):
  """Adagrad: variable -= rate * gradient / sqrt(sum of its squares).

  Source: Duchi et al. 2011; TF1's AdagradOptimizer, which adds nothing to the root.
  """

  def __init__(self, *args, **kwargs):
    super().__init__(*args, epsilon=0.0, **kwargs)


def _handle(variable):
  """The resource of a Keras or TensorFlow variable, on the current replica."""
  return (variable.value if isinstance(variable, keras.Variable) else variable).handle
