"""Half precision: layers compute in bfloat16 or float16, weights and losses stay float32.

float32 all the same are: the weights and their updates; the statistics of batch norms and what is
computed of them (the fused kernel takes inputs of 16 bits); the L2 normalization of VGG-16's
conv4_3, whose sum of squares float16 could not hold; the network's outputs, the targets, losses,
regularization and detections. A checkpoint holds float32 alone, so that it is exported, evaluated
and gone on with in any precision.
"""

import contextlib
from collections.abc import Iterator

import keras

FLOAT32, MIXED_BFLOAT16, MIXED_FLOAT16 = 'float32', 'mixed_bfloat16', 'mixed_float16'


@contextlib.contextmanager
def compute_dtype(precision: str) -> Iterator[None]:
  """Layers made in this context compute in a type of 16 bits, if asked to.

  Args:
    precision: FLOAT32, MIXED_BFLOAT16 or MIXED_FLOAT16.
  """
  before = keras.config.dtype_policy()
  if precision != FLOAT32:
    keras.config.set_dtype_policy(precision)
  try:
    yield
  finally:
    keras.config.set_dtype_policy(before)


def with_float32_outputs(model: keras.Model) -> keras.Model:
  """The same network, its outputs cast to float32, for losses that need the digits.

  Args:
    model: image -> a dict of outputs.

  Returns:
    A model of the same layers, variables and name.
  """
  outputs = {
    key: keras.layers.Activation('linear', dtype='float32', name=f'{key}_float32')(value)
    for key, value in model.output.items()
  }
  return keras.Model(model.input, outputs, name=model.name)
