"""Builds SSD7: seven convolutions, the last four of which are feature maps."""

import dataclasses

import keras

from ssd_tf.errors import InputError
from ssd_tf.models.conv_block import ConvHyperparams, conv_block

# (filters, kernel size) of the convolutions, with 2x2 max pooling between them.
CONVOLUTIONS = ((32, 5), (48, 3), (64, 3), (64, 3), (48, 3), (48, 3), (32, 3))
_NUM_MAPS = 4
_LEAST_SIDE = 2 ** (len(CONVOLUTIONS) - 1)  # Pixels; each pooling halves them.


def ssd_7(
  images: keras.KerasTensor,
  hyperparams: ConvHyperparams,
) -> list[keras.KerasTensor]:
  """A small network for objects that are easy to tell from what is around them.

  Each convolution has a bias, whatever the normalization after it, and an ELU, whatever activation
  the hyperparams name. Pooling leaves out the last row and column of a map of odd size.

  Args:
    images: f32[B,H,W,3] in [-1, 1].

  Returns:
    The outputs of convolutions 4 to 7 (strides 8, 16, 32, 64), after activation.

  Source: keras_ssd7 of ssd_keras (Ferrari 2018); ELU: Clevert et al. 2016.
  """
  hyperparams = dataclasses.replace(hyperparams, activation='ELU', force_bias=True)
  if min(images.shape[1:3]) < _LEAST_SIDE:
    raise InputError(
      f'model.ssd.image_resizer: gives images of {images.shape[1]}x{images.shape[2]}; expected at '
      f'least {_LEAST_SIDE} pixels a side for ssd_7'
    )
  maps = []
  features = images
  for i, (filters, kernel_size) in enumerate(CONVOLUTIONS, 1):
    if i > 1:
      features = keras.layers.MaxPooling2D(2, name=f'ssd_7_pool{i - 1}')(features)
    depth = hyperparams.depth(filters)
    features = conv_block(features, depth, kernel_size, hyperparams, name=f'ssd_7_conv{i}')
    maps.append(features)
  return maps[-_NUM_MAPS:]
