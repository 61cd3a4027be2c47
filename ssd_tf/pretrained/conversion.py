"""Converts weights from other frameworks to this package's layout."""

import re

import numpy as np

from ssd_tf.errors import InputError
from ssd_tf.pretrained import checkpoint_kind

_BGR_KINDS = (checkpoint_kind.SSD_KERAS, checkpoint_kind.KERAS_APPLICATIONS)
_X_FIRST_KINDS = (checkpoint_kind.SSD_KERAS, checkpoint_kind.SSD_TENSORFLOW)
_FC6_SHAPE = (7, 7)  # Rows and columns of pool5 that fc6 looks at.
_FILTER_STEP, _TAP_STEP = 4, 3


def converted(value: np.ndarray, path: str, kind: str, *, decimate_fc: bool = False) -> np.ndarray:
  """Makes the value of a checkpoint what a variable of ours holds.

  - The VGG-16 of ssd_keras and of Keras applications takes blue, green, red: the input channels of
    its first convolution are turned around.
  - ssd_keras and SSD-Tensorflow encode a box by x, y, width, height, here it is y, x, height,
    width: the columns of the box heads are exchanged in pairs.
  - With `decimate_fc`, conv6 and conv7 of VGG-16 are made of fc6 and fc7: `decimate`.

  Args:
    decimate_fc: whether conv6 and conv7 come from fully connected layers.

  Returns:
    The value; as it was, if there is nothing to change, or if its shape does not fit at all.
  """
  if kind in _BGR_KINDS and path == 'vgg_16_conv1_1/kernel':
    return value[:, :, ::-1]
  is_box_head = re.fullmatch(r'box_encoding_head_\d+/(kernel|bias)', path)
  if kind in _X_FIRST_KINDS and is_box_head and value.shape[-1] % 4 == 0:
    by_anchor = value.reshape(*value.shape[:-1], -1, 4)
    return by_anchor[..., [1, 0, 3, 2]].reshape(value.shape)
  if decimate_fc and path.startswith(('vgg_16_conv6/', 'vgg_16_conv7/')):
    return decimate(value, is_first=path.startswith('vgg_16_conv6/'))
  return value


def decimate(value: np.ndarray, *, is_first: bool) -> np.ndarray:
  """Takes every 4th filter, and of fc6 every 3rd tap, of a fully connected layer of VGG-16.

  fc6, 7x7x512x4096, becomes conv6, 3x3x512x1024: taps 0, 3 and 6 of seven, which is what the
  dilation of conv6 stands for; fc7, 1x1x4096x4096, becomes conv7, 1x1x1024x1024.

  Args:
    value: kernel f32[h,w,in,out], or of a dense layer f32[h*w*in,out], or bias f32[out].

  Source: Liu et al. 2016, section 3; Chen et al. 2015, DeepLab, section 3.1.
  """
  if value.ndim == 1:
    return value[::_FILTER_STEP]
  rows, columns = _FC6_SHAPE if is_first else (1, 1)
  if value.ndim == 2 and value.shape[0] % (rows * columns) == 0:
    value = value.reshape(rows, columns, -1, value.shape[-1])
  if value.shape[:2] != (rows, columns):
    raise InputError(
      f'decimate_fc: {"fc6" if is_first else "fc7"} has the shape {list(value.shape)}; expected '
      f'{rows}x{columns}, as in VGG-16'
    )
  if is_first:
    return value[::_TAP_STEP, ::_TAP_STEP, :, ::_FILTER_STEP]
  return value[:, :, ::_FILTER_STEP, ::_FILTER_STEP]
