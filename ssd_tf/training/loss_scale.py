"""Scales the loss of a float16 network so that its gradients stay within float16's range."""

from collections.abc import Callable

import tensorflow as tf

INITIAL = 2.0**15
GROWTH_STEPS = 2000


class LossScale:
  """Scales the loss, and halves the scale whenever the gradients no longer fit.

  float16 ends at 65,504 and loses digits below 6e-5. The loss is multiplied by the scale and the
  gradients of the float32 weights are divided by it; after 2,000 steps with finite gradients the
  scale doubles, and a step without leaves the weights as they are and halves it. Scales are powers
  of 2, so that in float32 they change no digit. Below 1 it does not go: the trainer stops there.
  Make it under the strategy of the model.

  Unlike Keras's LossScaleOptimizer, gradients are clipped unscaled, and a step that is left out is
  counted, so that the position in the data is kept.

  Attributes:
    good_steps: since the scale changed, i64[].
    num_skipped: steps that were left out, i64[].

  Source: Micikevicius et al. 2018, section 3.2; the figures are Keras's.
  """

  def __init__(self):
    self.scale = tf.Variable(INITIAL, trainable=False, name='loss_scale')
    self.good_steps = tf.Variable(0, dtype=tf.int64, trainable=False)
    self.num_skipped = tf.Variable(0, dtype=tf.int64, trainable=False)

  @property
  def state(self) -> dict[str, tf.Variable]:
    """What a checkpoint holds of it."""
    return {'scale': self.scale, 'good_steps': self.good_steps, 'num_skipped': self.num_skipped}

  def apply(self, is_finite: tf.Tensor, update: Callable, leave_out: Callable) -> None:
    """Takes a step if the gradients on all replicas are finite; otherwise skips it, only counting.

    Called outside of the replicas.
    """

    def good():
      update()
      doubles = self.good_steps + 1 >= GROWTH_STEPS
      self.scale.assign(tf.where(doubles, self.scale * 2.0, self.scale))
      self.good_steps.assign(tf.where(doubles, tf.zeros_like(self.good_steps), self.good_steps + 1))
      return tf.constant(0)

    def bad():
      leave_out()
      self.scale.assign(tf.maximum(self.scale / 2.0, 1.0))
      self.good_steps.assign(tf.zeros_like(self.good_steps))
      self.num_skipped.assign_add(1)
      return tf.constant(0)

    tf.cond(is_finite, good, bad)
