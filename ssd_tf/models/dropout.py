"""Dropout whose random state has a name that does not depend on what else has been built."""

import keras


class Dropout(keras.layers.Layer):
  """Sets features to 0 in training, each with probability `rate`; scales others by 1 / (1 - rate).

  Keras's own layer calls its random state seed_generator_7 or so, after how many there have been in
  the process, so that a checkpoint of it would not be found again. Source: Srivastava et al. 2014.

  Args:
    rate: 0 to 1.
    seed: of the random state; None for one from `keras.utils.set_random_seed`.
    **kwargs: of `keras.layers.Layer`.
  """

  def __init__(self, rate: float, seed: int | None = None, **kwargs):
    super().__init__(**kwargs)
    self.rate = rate
    self.seed = seed
    self.seed_generator = keras.random.SeedGenerator(seed, name=self.name)

  def call(self, inputs, training=False):
    """Drops features of f[B,...] in training."""
    return keras.random.dropout(inputs, self.rate, seed=self.seed_generator) if training else inputs

  def compute_output_shape(self, input_shape):
    """The shape of the input."""
    return input_shape

  def get_config(self):
    """What a saved model needs to build the layer again."""
    return {**super().get_config(), 'rate': self.rate, 'seed': self.seed}
