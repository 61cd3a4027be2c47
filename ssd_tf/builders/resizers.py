"""Builds resizing and normalization from `image_resizer` and `feature_extractor.type`."""

import functools
from collections.abc import Callable

import tensorflow as tf

from ssd_tf.builders.feature_extractor import build_normalize
from ssd_tf.builders.message_fields import chosen
from ssd_tf.data import preprocessing
from ssd_tf.errors import InputError
from ssd_tf.protos import image_resizer_pb2, ssd_pb2

_PATH = 'model.ssd.image_resizer'


def image_size(ssd: ssd_pb2.Ssd) -> tuple[int, int]:
  """Returns (height, width) of the network's input, pixels.

  The network is built for one size, so keep_aspect_ratio_resizer always pads to max_dimension;
  without pad_to_max_dimension the original's network would take each image at its own size.
  """
  kind, resizer = _resizer(ssd)
  if kind == 'fixed_shape_resizer':
    return resizer.height, resizer.width
  return resizer.max_dimension, resizer.max_dimension


def with_image_size(ssd: ssd_pb2.Ssd, size: tuple[int, int]) -> ssd_pb2.Ssd:
  """The same config with images of another size.

  keep_aspect_ratio_resizer keeps the relation of min_dimension to max_dimension.
  """
  sized = ssd_pb2.Ssd()
  sized.CopyFrom(ssd)
  kind, resizer = _resizer(sized)
  if kind == 'fixed_shape_resizer':
    resizer.height, resizer.width = size
    return sized
  if size[0] != size[1]:
    raise InputError(
      f'is {size[0]}x{size[1]} (height x width), but {_PATH}.{kind} pads images to a square; '
      'expected a height and no width, or take fixed_shape_resizer'
    )
  share = size[0] / resizer.max_dimension
  resizer.min_dimension = max(1, round(resizer.min_dimension * share))
  resizer.max_dimension = size[0]
  return sized


def num_channels(ssd: ssd_pb2.Ssd) -> int:
  """The channels of the network's input: 1 with convert_to_grayscale, else 3."""
  return 1 if _resizer(ssd)[1].convert_to_grayscale else 3


def build_preprocess_image(ssd: ssd_pb2.Ssd) -> Callable:
  """Builds what turns decoded images into the network's input; see `data.preprocessing`.

  u8[(B,)h,w,3] -> (f32[(B,)H,W,C], i32[2] size without padding).
  """
  kind, resizer = _resizer(ssd)
  options = {
    'method': image_resizer_pb2.ResizeType.Name(resizer.resize_method).lower(),
    'half_pixel_centers': resizer.half_pixel_centers,
  }
  if kind == 'fixed_shape_resizer':
    resize = functools.partial(preprocessing.resize, size=image_size(ssd), **options)
    pad = None
  else:
    resize = functools.partial(
      preprocessing.resize_keep_aspect_ratio,
      min_dimension=resizer.min_dimension,
      max_dimension=resizer.max_dimension,
      **options,
    )
    values = tuple(resizer.per_channel_pad_value) or (0.0,)
    pad = functools.partial(preprocessing.pad_bottom_right, size=image_size(ssd), values=values)
  return functools.partial(
    preprocessing.preprocess_image,
    resize_fn=resize,
    normalize_fn=build_normalize(ssd.feature_extractor),
    pad_fn=pad,
    grayscale=resizer.convert_to_grayscale,
  )


def build_true_size(ssd: ssd_pb2.Ssd) -> Callable[[tf.Tensor], tf.Tensor]:
  """Builds what tells how much of the network's input an image fills.

  (height, width) of images, [n, 2] of any number type -> i32[n, 2] without padding, pixels.
  """
  kind, resizer = _resizer(ssd)
  if kind == 'fixed_shape_resizer':
    size = tf.constant(image_size(ssd))
    return lambda sizes: tf.zeros_like(sizes, tf.int32) + size
  return functools.partial(
    preprocessing.keep_aspect_ratio_size,
    min_dimension=resizer.min_dimension,
    max_dimension=resizer.max_dimension,
  )


def _resizer(ssd):
  """(name, message) of the resizer."""
  kinds = ('fixed_shape_resizer', 'keep_aspect_ratio_resizer')
  kind = chosen(ssd.image_resizer, 'image_resizer_oneof', _PATH, kinds)
  resizer = getattr(ssd.image_resizer, kind)
  if kind == 'keep_aspect_ratio_resizer' and len(resizer.per_channel_pad_value) not in (0, 3):
    raise InputError(
      f'{_PATH}.{kind}.per_channel_pad_value: has {len(resizer.per_channel_pad_value)} values; '
      'expected none, or 3 (of red, green and blue, after normalization)'
    )
  return kind, resizer
