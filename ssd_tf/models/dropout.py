"""Defines dropout whose random state has a name that does not depend on what else is built."""

import keras
import tensorflow as tf


class Dropout(keras.layers.Layer):
  """Sets features to 0 in training, each with probability `rate`; scales others by 1 / (1 - rate).

  Keras's own layer calls its random state seed_generator_7 or so, after how many there have been in
  the process, so that a checkpoint of it would not be found again. And it drops the same on every
  replica; here the first replica drops what Keras's layer does, and each other its own. Without a
  seed it is one from `keras.utils.set_random_seed`. Source: Srivastava et al. 2014.
  """

  def __init__(self, rate: float, seed: int | None = None, **kwargs):
    super().__init__(**kwargs)
    self.rate = rate
    self.seed = seed
    self.seed_generator = keras.random.SeedGenerator(seed, name=self.name)

  def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Drops features of f[B,...] in training."""
    if not training or not self.rate:
      return inputs
    replica = tf.distribute.get_replica_context()
    number = 0 if replica is None else replica.replica_id_in_sync_group
    seed = self.seed_generator.next() + tf.stack([tf.cast(number, tf.int64), 0])
    # As Keras's own functions turn the state of a generator into a seed.
    seed = tf.cast(tf.math.floormod(seed, tf.int32.max - 1), tf.int32)
    return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed)

  def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """The shape of the input."""
    return input_shape

  def get_config(self) -> dict:
    """What a saved model needs to build the layer again."""
    return {**super().get_config(), 'rate': self.rate, 'seed': self.seed}
