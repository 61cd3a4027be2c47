"""Trains in half precision: layers compute in bfloat16 or float16; weights and losses stay float32.

The following stay in float32: the weights and their updates; the statistics of batch norms and what
is computed from them (the fused kernel takes inputs of 16 bits); the L2 normalization of VGG-16's
conv4_3, whose sum of squares float16 could not hold; the network's outputs, the targets, losses,
regularization and detections. A checkpoint holds only float32, so it can be exported, evaluated or
resumed in any precision. Evaluation is in float32, also while training: a separate network gets the
weights, so that the figures are those that the checkpoint has when it is evaluated later.
"""

import contextlib
from collections.abc import Iterator

import keras
import orbit
import tensorflow as tf

FLOAT32, MIXED_BFLOAT16, MIXED_FLOAT16 = 'float32', 'mixed_bfloat16', 'mixed_float16'


@contextlib.contextmanager
def compute_dtype(precision: str) -> Iterator[None]:
  """Layers made in this context compute in FLOAT32, MIXED_BFLOAT16 or MIXED_FLOAT16."""
  before = keras.config.dtype_policy()
  if precision != FLOAT32:
    keras.config.set_dtype_policy(precision)
  try:
    yield
  finally:
    keras.config.set_dtype_policy(before)


class Float32Evaluator(orbit.AbstractEvaluator):
  """Evaluates a float32 network with the weights that another one of the same config has then.

  Args:
    evaluator: of the float32 network, which nothing else changes.
    float32_model: the network that the evaluator calls, before its batch norms are folded.
  """

  def __init__(
    self, evaluator: orbit.AbstractEvaluator, model: keras.Model, float32_model: keras.Model
  ):
    sources = {variable.path: variable for variable in model.variables}
    self._evaluator = evaluator
    self._pairs = [(variable, sources[variable.path]) for variable in float32_model.variables]

  def evaluate(self, num_steps: tf.Tensor) -> dict:
    """As the evaluator's own."""
    for variable, source in self._pairs:
      variable.assign(source.numpy())
    return self._evaluator.evaluate(num_steps)
