"""Normalizes each location's features to a learned length."""

import keras

_EPSILON = 1e-12  # Of the squared length.


class L2Normalization(keras.layers.Layer):
  """Scales each location's features to length 1, then each channel by a learned factor.

  y_c = scale_c x_c / sqrt(max(sum_c x_c^2, 1e-12)), scale_c starting at initial_scale.

  Features of a shallow layer are much longer than those of deeper ones, and would drown them.
  Source: Liu, Rabinovich and Berg 2015, ParseNet, section 3.3; SSD: Liu et al. 2016, section 3.1.
  """

  def __init__(self, initial_scale: float = 20.0, **kwargs):
    super().__init__(**kwargs)
    self.initial_scale = initial_scale

  def build(self, input_shape: tuple[int | None, ...]) -> None:
    """Creates scale, f32[channels]."""
    self.scale = self.add_weight(
      name='scale',
      shape=(input_shape[-1],),
      initializer=keras.initializers.Constant(self.initial_scale),
      autocast=False,
    )

  def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Normalizes f[B,H,W,channels]; computed in float32, also where features are bfloat16."""
    features = keras.ops.cast(inputs, 'float32')
    squares = keras.ops.sum(keras.ops.square(features), axis=-1, keepdims=True)
    inverse = keras.ops.rsqrt(keras.ops.maximum(squares, _EPSILON))
    return keras.ops.cast(features * (inverse * self.scale), inputs.dtype)

  def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """The shape of the input."""
    return input_shape

  def get_config(self) -> dict:
    """What a saved model needs to build the layer again."""
    return {**super().get_config(), 'initial_scale': self.initial_scale}
