"""Builds VGG-16 as the backbone of SSD300 and SSD512, and their extra feature maps."""

from collections.abc import Sequence

import keras

from ssd_tf.errors import InputError
from ssd_tf.models.conv_block import ConvHyperparams, conv_block
from ssd_tf.models.l2_normalization import L2Normalization

# (convolutions, filters) of the five stages. Simonyan and Zisserman 2015, table 1, column D.
STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
# (filters of the 1x1 convolution, filters, kernel size, strides, pixels of padding on each side).
# Liu et al. 2016, figure 2, and for 512 pixels its authors' code.
_HALVED = ((256, 512, 3, 2, 1), (128, 256, 3, 2, 1))
EXTRA_BLOCKS_300 = (*_HALVED, (128, 256, 3, 1, 0), (128, 256, 3, 1, 0))
EXTRA_BLOCKS_512 = (*_HALVED, (128, 256, 3, 2, 1), (128, 256, 3, 2, 1), (128, 256, 4, 1, 1))
_FIRST_EXTRA_BLOCK = 8  # After conv7.


def vgg_16(
  images: keras.KerasTensor,
  hyperparams: ConvHyperparams,
) -> list[keras.KerasTensor]:
  """VGG-16 whose fully connected layers have become convolutions.

  pool5 is 3x3 with stride 1; conv6 is 3x3 with dilation 6, conv7 1x1, with 1024 filters each.
  Everything pads as SAME: a map of odd size keeps its last row and column.

  There is no dropout, as in the paper, its authors' Caffe code and ssd_keras. SSD-Tensorflow drops
  half of the features after conv6 and conv7 in training.

  Args:
    images: f32[B,H,W,3], channels minus 123, 117 and 104.

  Returns:
    The outputs of conv4_3 (stride 8) and conv7 (stride 16), after activation.

  Source: Simonyan and Zisserman 2015; as a backbone Liu et al. 2016, section 3.
  """

  def conv(features, name, filters, kernel_size, dilation=1):
    depth, name = hyperparams.depth(filters), f'vgg_16_{name}'
    return conv_block(features, depth, kernel_size, hyperparams, name=name, dilation=dilation)

  features = images
  ends = []
  for stage, (num_convs, filters) in enumerate(STAGES, 1):
    for i in range(1, num_convs + 1):
      features = conv(features, f'conv{stage}_{i}', filters, 3)
    ends.append(features)
    size, strides = (2, 2) if stage < len(STAGES) else (3, 1)
    pool = keras.layers.MaxPooling2D(size, strides, padding='same', name=f'vgg_16_pool{stage}')
    features = pool(features)
  features = conv(features, 'conv6', 1024, 3, dilation=6)
  return [ends[3], conv(features, 'conv7', 1024, 1)]


def extend_vgg(
  maps: list[keras.KerasTensor],
  hyperparams: ConvHyperparams,
  *,
  blocks: Sequence[tuple[int, int, int, int, int]],
  num_layers: int,
  l2_normalization_scale: float = 20.0,
) -> list[keras.KerasTensor]:
  """Normalizes conv4_3, and adds the feature maps after conv7: a 1x1 convolution, then a larger.

  Args:
    num_layers: how many feature maps there are in the end, if there are blocks for them.
    l2_normalization_scale: first value of the factors of conv4_3's channels. Caffe's SSD and
      ssd_keras start at 20, SSD-Tensorflow at 1.

  Returns:
    Feature maps f32[B,H_i,W_i,C_i], finest first. At 300 pixels 38, 19, 10, 5, 3 and 1 of them a
    side; at 512 pixels 64, 32, 16, 8, 4, 2 and 1.

  Source: Liu et al. 2016, section 3.1 and figure 2.
  """
  (fine, features), depth = maps, hyperparams.depth
  maps = [L2Normalization(l2_normalization_scale, name='conv4_3_norm')(fine), features]
  for i, (squeezed, filters, size, strides, pad) in enumerate(blocks[: max(num_layers - 2, 0)]):
    name = f'block{_FIRST_EXTRA_BLOCK + i}'
    features = conv_block(features, depth(squeezed), 1, hyperparams, name=f'{name}_conv1x1')
    name = f'{name}_conv{size}x{size}'
    if pad:
      features = keras.layers.ZeroPadding2D(pad, name=f'{name}_pad')(features)
    if min(features.shape[1:3]) < size:
      raise InputError(
        f'model.ssd.image_resizer: gives images too small for {name}, which has a map of '
        f'{features.shape[1]}x{features.shape[2]} before it; take larger ones, or fewer num_layers'
      )
    features = conv_block(
      features, depth(filters), size, hyperparams, name=name, strides=strides, padding='valid'
    )
    maps.append(features)
  return maps[:num_layers]
