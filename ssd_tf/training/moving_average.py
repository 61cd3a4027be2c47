"""Keeps an exponential moving average of the weights, and evaluates with it in their place."""

import contextlib
from collections.abc import Iterator, Sequence

import keras
import orbit
import tensorflow as tf

AVERAGES = 'moving_average'  # Their name in a checkpoint.


class MovingAverage:
  """The average of weights over the last steps; it jumps about less than the weights do.

  After the update number s (1, 2, ...): average = d * average + (1 - d) * weight, with
  d = min(decay, (1 + s) / (10 + s)); before the first one, average = weight. Make it under the
  strategy that the weights were made under.

  Attributes:
    averages: path of a weight -> its average, a tf.Variable.

  Source: Polyak and Juditsky 1992; the Object Detection API's use_moving_average. There d is the
  decay from the first step on, so that after 1,000 steps the average still is 90% the random start;
  the bound is TensorFlow's own for that case (`num_updates`).
  """

  def __init__(self, variables: Sequence[keras.Variable], *, decay: float):
    self._strategy = tf.distribute.get_strategy()
    self._variables = list(variables)
    self._decay = decay
    self.averages = {
      v.path: tf.Variable(v.numpy(), trainable=False, name=AVERAGES) for v in self._variables
    }

  def reset(self) -> None:
    """Begins again at the weights as they are now."""
    for variable in self._variables:
      self.averages[variable.path].assign(variable.numpy())

  def update(self, step: tf.Tensor) -> None:
    """Takes the weights of a step, counted from 1, in; called outside of the replicas."""
    share = tf.maximum(1.0 - self._decay, 9.0 / (10.0 + tf.cast(step, tf.float32)))
    for variable in self._variables:
      self._strategy.extended.update(
        self.averages[variable.path], _move_toward, args=(variable.value, share), group=False
      )

  @contextlib.contextmanager
  def in_place(self) -> Iterator[None]:
    """Puts the averages in the place of the weights, for as long as the context lasts."""
    weights = [variable.numpy() for variable in self._variables]
    try:
      for variable in self._variables:
        variable.assign(self.averages[variable.path].numpy())
      yield
    finally:
      for variable, weight in zip(self._variables, weights, strict=True):
        variable.assign(weight)


class AveragedEvaluator(orbit.AbstractEvaluator):
  """Another evaluator, with the averages in the place of the weights."""

  def __init__(self, evaluator: orbit.AbstractEvaluator, moving_average: MovingAverage):
    self._evaluator = evaluator
    self._moving_average = moving_average

  def evaluate(self, num_steps: tf.Tensor) -> dict:
    """As the evaluator's own."""
    with self._moving_average.in_place():
      return self._evaluator.evaluate(num_steps)


def _move_toward(average, weight, share):
  average.assign_sub((average - weight) * share)
