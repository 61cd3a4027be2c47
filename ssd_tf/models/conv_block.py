"""Defines the convolution blocks of every MobileNet SSD, and their hyperparameters."""

import dataclasses
from collections.abc import Callable

import keras

from ssd_tf.errors import InputError
from ssd_tf.models.normalization import FusedBatchNormalization

ACTIVATIONS = {
  'RELU': 'relu',
  'RELU_6': 'relu6',
  'SWISH': 'silu',
  'HARD_SWISH': 'hard_silu',  # x * relu6(x + 3) / 6; of MobileNet v3.
  'ELU': 'elu',  # max(x, 0) + min(exp(x) - 1, 0); of SSD7.
  'NONE': None,
}
_GROUPS = 32  # Wu and He 2018, section 3.


@dataclasses.dataclass(frozen=True)
class ConvHyperparams:
  """How convolutions are scaled, initialized, regularized and normalized.

  Attributes:
    initializer: makes a new initializer for each kernel (one object shared by two kernels of the
      same shape would give them the same values).
    l2_weight: the loss gets l2_weight / 2 * sum(kernel^2); 0 for none.
    l1_weight: the loss gets l1_weight * sum(|kernel|); 0 for none.
    activation: a key of ACTIVATIONS.
    batch_norm: the arguments of FusedBatchNormalization; None for none.
    batch_norm_trainable: False keeps every batch norm in inference mode; gamma and beta train.
    group_norm: whether group normalization stands in place of batch norm; it needs filters that
      are a multiple of 32.
    force_bias: a bias also where normalization adds one of its own.
    regularize_depthwise: whether depthwise kernels are regularized too.
    explicit_padding: pad by (kernel_size - 1) // 2 before and the rest after, whatever the size of
      the input; else as SAME does, which pads less before than after where the stride is 2.
    depth_multiplier: scales the filters of a network.
    min_depth: the fewest filters that they are scaled to.
  """

  initializer: Callable[[], keras.initializers.Initializer]
  l2_weight: float = 0.0
  l1_weight: float = 0.0
  activation: str = 'RELU_6'
  batch_norm: dict | None = dataclasses.field(default_factory=dict)
  batch_norm_trainable: bool = True
  group_norm: bool = False
  force_bias: bool = False
  regularize_depthwise: bool = True
  explicit_padding: bool = False
  depth_multiplier: float = 1.0
  min_depth: int = 8

  def depth(self, filters: float) -> int:
    """The scaled filters of a convolution."""
    return max(int(filters * self.depth_multiplier), self.min_depth)

  def rounded_depth(self, filters: float) -> int:
    """As `depth`, by `round_to_eight`."""
    return max(round_to_eight(filters * self.depth_multiplier), self.min_depth)

  def regularizer(self) -> keras.regularizers.Regularizer | None:
    """The kernel regularizer, or None."""
    if self.l1_weight:
      return keras.regularizers.L1(self.l1_weight)
    return keras.regularizers.L2(0.5 * self.l2_weight) if self.l2_weight else None

  @property
  def use_bias(self) -> bool:
    """Whether a convolution adds a bias: where no normalization after it does."""
    centered = self.batch_norm is not None and self.batch_norm.get('center', True)
    return self.force_bias or not (centered or self.group_norm)

  def unconfigured(self) -> 'ConvHyperparams':
    """The same, but for kernels that start as Keras's own do and are not regularized.

    Some depthwise convolutions of the original are made so, whatever the config says.
    """
    plain = {'initializer': keras.initializers.GlorotUniform, 'l1_weight': 0.0, 'l2_weight': 0.0}
    return dataclasses.replace(self, **plain)


def conv_block(
  inputs: keras.KerasTensor,
  filters: int,
  kernel_size: int,
  hyperparams: ConvHyperparams,
  *,
  name: str,
  activate: bool = True,
  **options,
) -> keras.KerasTensor:
  """Convolution, normalization, activation: f[B,H,W,C] -> f[B,H/s,W/s,filters].

  Args:
    name: of the convolution; its normalization is `<name>_batch_norm`.
    **options: of `conv_layer`.

  Raises:
    InputError: group normalization of filters that 32 does not divide.
  """
  inputs, padding = _pad(inputs, kernel_size, hyperparams, name)
  options = {'use_bias': hyperparams.use_bias, 'padding': padding, **options}
  outputs = conv_layer(filters, kernel_size, hyperparams, name=name, **options)(inputs)
  return normalize_and_activate(outputs, hyperparams, name=name, activate=activate)


def conv_layer(
  filters: int,
  kernel_size: int,
  hyperparams: ConvHyperparams,
  *,
  name: str,
  use_bias: bool,
  bias: float = 0.0,
  strides: int = 1,
  padding: str = 'same',
  dilation: int = 1,
  separable: bool = False,
) -> keras.layers.Layer:
  """A convolution alone, a layer: f[B,H,W,C] -> f[B,H/s,W/s,filters].

  Args:
    hyperparams: initializer and regularizer of the kernel; of a separable convolution they are
      those of the depthwise kernel only, and the pointwise one is Keras's own, as the original's.
    padding: 'same' or 'valid'.
    dilation: pixels from one of the kernel's columns or rows to the next.
    separable: a depthwise and a pointwise convolution, without anything between them.
  """
  options = {'strides': strides, 'padding': padding, 'use_bias': use_bias, 'name': name}
  options['dilation_rate'] = dilation
  options['bias_initializer'] = keras.initializers.Constant(bias)
  if separable:
    return keras.layers.SeparableConv2D(
      filters,
      kernel_size,
      depthwise_initializer=hyperparams.initializer(),
      depthwise_regularizer=hyperparams.regularizer(),
      **options,
    )
  return keras.layers.Conv2D(
    filters,
    kernel_size,
    kernel_initializer=hyperparams.initializer(),
    kernel_regularizer=hyperparams.regularizer(),
    **options,
  )


def depthwise_block(
  inputs: keras.KerasTensor,
  hyperparams: ConvHyperparams,
  *,
  name: str,
  strides: int = 1,
  kernel_size: int = 3,
) -> keras.KerasTensor:
  """Depthwise convolution, normalization, activation: f[B,H,W,C] -> f[B,H/s,W/s,C].

  Names are as those of `conv_block`.
  """
  inputs, padding = _pad(inputs, kernel_size, hyperparams, name)
  regularizer = hyperparams.regularizer() if hyperparams.regularize_depthwise else None
  outputs = keras.layers.DepthwiseConv2D(
    kernel_size,
    strides=strides,
    padding=padding,
    use_bias=hyperparams.use_bias,
    depthwise_initializer=hyperparams.initializer(),
    depthwise_regularizer=regularizer,
    name=name,
  )(inputs)
  return normalize_and_activate(outputs, hyperparams, name=name)


def _pad(inputs, kernel_size, hyperparams, name):
  """Returns the input, padded if that is asked for, and how its convolution has to pad."""
  if kernel_size == 1 or not hyperparams.explicit_padding:
    return inputs, 'same'
  before = (kernel_size - 1) // 2
  sides = (before, kernel_size - 1 - before)
  return keras.layers.ZeroPadding2D((sides, sides), name=f'{name}_pad')(inputs), 'valid'


def normalize_and_activate(
  inputs: keras.KerasTensor, hyperparams: ConvHyperparams, *, name: str, activate: bool = True
) -> keras.KerasTensor:
  """What follows the convolution of this name: batch or group norm, or none, and the activation."""
  outputs = inputs
  if hyperparams.group_norm:
    outputs = _group_norm(outputs, name)
  elif hyperparams.batch_norm is not None:
    outputs = FusedBatchNormalization(
      **hyperparams.batch_norm,
      frozen=not hyperparams.batch_norm_trainable,
      name=f'{name}_batch_norm',
    )(outputs)
  activation = ACTIVATIONS[hyperparams.activation]
  if activate and activation:
    outputs = keras.layers.Activation(activation, name=f'{name}_activation')(outputs)
  return outputs


def _group_norm(inputs, name):
  channels = inputs.shape[-1]
  if channels % _GROUPS:
    raise InputError(
      f'conv_hyperparams.group_norm: {name} has {channels} channels; expected a multiple of '
      f'{_GROUPS}, the number of groups; use batch_norm, or another depth'
    )
  return keras.layers.GroupNormalization(_GROUPS, epsilon=1e-6, name=f'{name}_group_norm')(inputs)


def round_to_eight(filters: float) -> int:
  """The nearest multiple of 8, at least 8, and never below by more than a tenth.

  Source: how Sandler et al. 2018 and Howard et al. 2019 scale their networks.
  """
  rounded = max(8, int(filters + 4) // 8 * 8)
  return rounded + 8 if rounded < 0.9 * filters else rounded
