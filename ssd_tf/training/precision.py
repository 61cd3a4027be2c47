"""bfloat16: half the memory of activations, the weights and the losses still float32."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def compute_dtype(use_bfloat16: bool) -> Iterator[None]:
  """Layers made in this context compute in bfloat16, if asked to; their weights stay float32.

  Args:
    use_bfloat16: `train_config.use_bfloat16`.
  """
  before = keras.config.dtype_policy()
  if use_bfloat16:
    keras.config.set_dtype_policy('mixed_bfloat16')
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
