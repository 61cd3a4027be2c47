"""Builds MobileNet v3, small and large, as backbones of an SSD."""

import dataclasses
import functools

import keras

from ssd_tf.models.conv_block import ConvHyperparams, conv_block, depthwise_block, round_to_eight


@dataclasses.dataclass(frozen=True)
class Block:
  """One row of the paper's tables: an inverted residual block.

  Attributes:
    expansion: filters of the first convolution ('exp size').
    filters: of the result ('#out').
    squeeze: whether the expanded channels are squeezed and excited ('SE').
    activation: of expansion and depthwise convolution ('NL'), a key of conv_block.ACTIVATIONS.
  """

  kernel_size: int
  expansion: int
  filters: int
  squeeze: bool
  activation: str
  stride: int


_RE, _HS = 'RELU', 'HARD_SWISH'
# Howard et al. 2019, table 1.
LARGE_BLOCKS = (
  Block(3, 16, 16, False, _RE, 1),
  Block(3, 64, 24, False, _RE, 2),
  Block(3, 72, 24, False, _RE, 1),
  Block(5, 72, 40, True, _RE, 2),
  Block(5, 120, 40, True, _RE, 1),
  Block(5, 120, 40, True, _RE, 1),
  Block(3, 240, 80, False, _HS, 2),
  Block(3, 200, 80, False, _HS, 1),
  Block(3, 184, 80, False, _HS, 1),
  Block(3, 184, 80, False, _HS, 1),
  Block(3, 480, 112, True, _HS, 1),
  Block(3, 672, 112, True, _HS, 1),
  Block(5, 672, 160, True, _HS, 2),
  Block(5, 960, 160, True, _HS, 1),
  Block(5, 960, 160, True, _HS, 1),
)
# Table 2.
SMALL_BLOCKS = (
  Block(3, 16, 16, True, _RE, 2),
  Block(3, 72, 24, False, _RE, 2),
  Block(3, 88, 24, False, _RE, 1),
  Block(5, 96, 40, True, _HS, 2),
  Block(5, 240, 40, True, _HS, 1),
  Block(5, 240, 40, True, _HS, 1),
  Block(5, 120, 48, True, _HS, 1),
  Block(5, 144, 48, True, _HS, 1),
  Block(5, 288, 96, True, _HS, 2),
  Block(5, 576, 96, True, _HS, 1),
  Block(5, 576, 96, True, _HS, 1),
)
_STEM_FILTERS = 16
_SQUEEZE_REDUCTION = 4


def mobilenet_v3(
  images: keras.KerasTensor,
  hyperparams: ConvHyperparams,
  *,
  blocks: tuple[Block, ...],
  name: str,
  reduce_coarsest: bool = True,
) -> list[keras.KerasTensor]:
  """MobileNet v3 without its classifier.

  Filters are `rounded_depth`. A block expands its input by the ratio that the paper's table
  has. All convolutions pad as SAME does. The activations are the paper's, whatever the
  hyperparams say.

  Args:
    images: f32[B,H,W,3] in [-1, 1].
    reduce_coarsest: halve the filters from the block that goes to stride 32 on, as the paper does
      for detection (section 6.3): they were laid out for 1000 classes.

  Returns:
    The expansion of the block that goes to stride 32, thus at stride 16, and the last convolution
    (stride 32), which has 6 times the filters of the last block; both after activation.

  Source: Howard et al. 2019, sections 5 and 6.3; layers as the Object Detection API's
  ssd_mobilenet_v3 extractors (layer_14 or layer_10 expanded, and layer_17 or layer_13).
  """
  coarsest = max(i for i, block in enumerate(blocks) if block.stride == 2)

  def depth(filters, index):
    reduction = 2 if reduce_coarsest and index >= coarsest else 1
    return hyperparams.rounded_depth(filters / reduction)

  def with_activation(activation):
    return dataclasses.replace(hyperparams, activation=activation)

  features = conv_block(
    images, depth(_STEM_FILTERS, -1), 3, with_activation(_HS), strides=2, name=f'{name}_conv_0'
  )
  maps = []
  width = _STEM_FILTERS  # Of the block's input, in the table.
  for index, block in enumerate(blocks):
    features, expanded = _block(
      features,
      block,
      with_activation(block.activation),
      expansion=round_to_eight(features.shape[-1] * block.expansion / width),
      filters=depth(block.filters, index),
      name=f'{name}_block_{index}',
    )
    width = block.filters
    if index == coarsest:
      maps.append(expanded)
  last = depth(6 * blocks[-1].filters, len(blocks))
  maps.append(conv_block(features, last, 1, with_activation(_HS), name=f'{name}_conv_1'))
  return maps


mobilenet_v3_large = functools.partial(mobilenet_v3, blocks=LARGE_BLOCKS, name='mobilenet_v3_large')
mobilenet_v3_small = functools.partial(mobilenet_v3, blocks=SMALL_BLOCKS, name='mobilenet_v3_small')


def _block(inputs, block, hyperparams, *, expansion, filters, name):
  """(the block's result, its expanded input)."""
  expanded = inputs
  if expansion > inputs.shape[-1]:
    expanded = conv_block(inputs, expansion, 1, hyperparams, name=f'{name}_expand')
  features = depthwise_block(
    expanded,
    hyperparams,
    strides=block.stride,
    kernel_size=block.kernel_size,
    name=f'{name}_depthwise',
  )
  if block.squeeze:
    features = squeeze_and_excite(features, hyperparams, name=name)
  features = conv_block(features, filters, 1, hyperparams, activate=False, name=f'{name}_project')
  if block.stride == 1 and inputs.shape[-1] == filters:
    features = keras.layers.Add(name=f'{name}_add')([inputs, features])
  return features, expanded


def squeeze_and_excite(
  features: keras.KerasTensor, hyperparams: ConvHyperparams, *, name: str
) -> keras.KerasTensor:
  """Scales each channel of f[B,H,W,C] by what all channels' means say of it.

  features * hard_sigmoid(excite(relu(squeeze(mean of features)))), hard_sigmoid(x) =
  relu6(x + 3) / 6; both are 1x1 convolutions with a bias, and squeeze keeps a quarter of the
  channels, rounded to a multiple of 8.

  Source: Hu et al. 2018; gate and reduction as Howard et al. 2019, section 5.3.
  """
  channels = features.shape[-1]

  def convolution(inputs, filters, activation, part):
    return keras.layers.Conv2D(
      filters,
      1,
      activation=activation,
      kernel_initializer=hyperparams.initializer(),
      kernel_regularizer=hyperparams.regularizer(),
      name=f'{name}_{part}',
    )(inputs)

  gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f'{name}_mean')(features)
  gate = convolution(gate, round_to_eight(channels / _SQUEEZE_REDUCTION), 'relu', 'squeeze')
  gate = convolution(gate, channels, 'hard_sigmoid', 'excite')
  return keras.layers.Multiply(name=f'{name}_scale')([features, gate])
