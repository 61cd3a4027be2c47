"""Feature maps from the config's `model.ssd.feature_extractor`: which backbone, and what is on it.

EXTRACTORS has a row for each type of feature extractor. A new one needs a backbone, a function
(images, hyperparams, *, depth_multiplier, min_depth) -> [maps], and a neck, a function
(maps, hyperparams, extractor) -> [maps], whose `extractor` is the config's message.
"""

import dataclasses
import functools
from collections.abc import Callable

import keras

from ssd_tf.builders.hyperparams import build_hyperparams
from ssd_tf.errors import InputError
from ssd_tf.models.conv_block import ConvHyperparams
from ssd_tf.models.feature_maps import extend_feature_maps
from ssd_tf.models.fpn import COARSEST_LEVEL, FINEST_LEVEL, feature_pyramid
from ssd_tf.models.mobilenet import (
  mobilenet_v1,
  mobilenet_v1_pyramid,
  mobilenet_v2,
  mobilenet_v2_pyramid,
)
from ssd_tf.models.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from ssd_tf.models.pooling_pyramid import pooling_pyramid
from ssd_tf.protos import ssd_pb2

PATH = 'model.ssd.feature_extractor'
_STOCK_L2_WEIGHT = 4e-5
_STOCK_BATCH_NORM = {'momentum': 0.9997, 'epsilon': 0.001}


@dataclasses.dataclass(frozen=True)
class Extractor:
  """How the feature maps of a type of feature extractor are made.

  Attributes:
    backbone: (images, hyperparams, *, depth_multiplier, min_depth) -> maps.
    neck: (maps, hyperparams, extractor message) -> maps.
    stock_initializer: makes an initializer of the backbone's kernels, for configs that do not
      override the backbone's hyperparams.
    is_pyramid: whether the message's `fpn` says which maps there are, in place of `num_layers`.
    max_layers: the most feature maps it makes, where `num_layers`'s default is more.
    stock_regularize_depthwise: whether depthwise kernels of the backbone are regularized, for
      configs that do not override the backbone's hyperparams.
  """

  backbone: Callable[..., list]
  neck: Callable[..., list]
  stock_initializer: Callable[[], keras.initializers.Initializer]
  is_pyramid: bool = False
  max_layers: int | None = None
  stock_regularize_depthwise: bool = True


def _coarser_maps(maps, hyperparams, extractor, **options):
  return extend_feature_maps(
    maps,
    hyperparams,
    num_layers=extractor.num_layers,
    depth_multiplier=extractor.depth_multiplier,
    min_depth=extractor.min_depth,
    use_depthwise=extractor.use_depthwise,
    **options,
  )


def _pooled_maps(maps, hyperparams, extractor):
  del hyperparams  # Pooling has none.
  return pooling_pyramid(maps[0], num_layers=extractor.num_layers)


def _pyramid(maps, hyperparams, extractor, pass_smoothed=True):
  fpn = extractor.fpn
  return feature_pyramid(
    maps,
    hyperparams,
    min_level=fpn.min_level,
    max_level=fpn.max_level,
    depth=max(int(fpn.additional_layer_depth * extractor.depth_multiplier), extractor.min_depth),
    use_depthwise=extractor.use_depthwise,
    pass_smoothed=pass_smoothed,
  )


_tf1_pyramid = functools.partial(_pyramid, pass_smoothed=False)
_truncated_normal = functools.partial(keras.initializers.TruncatedNormal, stddev=0.09)
_random_normal = functools.partial(keras.initializers.RandomNormal, stddev=0.09)

_MOBILENET_V1 = Extractor(mobilenet_v1, _coarser_maps, _truncated_normal)
_MOBILENET_V2 = Extractor(mobilenet_v2, _coarser_maps, _random_normal)
_MOBILENET_V1_FPN = Extractor(mobilenet_v1_pyramid, _pyramid, _truncated_normal, is_pyramid=True)
_MOBILENET_V2_FPN = Extractor(mobilenet_v2_pyramid, _pyramid, _random_normal, is_pyramid=True)
_MOBILENET_V1_PPN = Extractor(mobilenet_v1, _pooled_maps, _truncated_normal)
_MOBILENET_V3_LARGE, _MOBILENET_V3_SMALL = (
  Extractor(backbone, _coarser_maps, _truncated_normal, stock_regularize_depthwise=False)
  for backbone in (mobilenet_v3_large, mobilenet_v3_small)
)
# For images of 256x256 pixels: no kernel is larger than its map, and the last map is 1x1.
_EMBEDDED_MOBILENET_V1 = Extractor(
  mobilenet_v1,
  functools.partial(_coarser_maps, depths=(512, 256, 256), kernel_sizes=(3, 3, 2)),
  _truncated_normal,
  max_layers=5,
  stock_regularize_depthwise=False,
)
EXTRACTORS = {
  'ssd_mobilenet_v1': _MOBILENET_V1,
  'ssd_mobilenet_v1_keras': _MOBILENET_V1,
  'ssd_mobilenet_v2': _MOBILENET_V2,
  'ssd_mobilenet_v2_keras': _MOBILENET_V2,
  'ssd_mobilenet_v1_fpn': dataclasses.replace(_MOBILENET_V1_FPN, neck=_tf1_pyramid),
  'ssd_mobilenet_v1_fpn_keras': _MOBILENET_V1_FPN,
  'ssd_mobilenet_v2_fpn': dataclasses.replace(_MOBILENET_V2_FPN, neck=_tf1_pyramid),
  'ssd_mobilenet_v2_fpn_keras': _MOBILENET_V2_FPN,
  'ssd_mobilenet_v1_ppn': _MOBILENET_V1_PPN,
  'ssd_mobilenet_v1_ppn_keras': _MOBILENET_V1_PPN,
  'ssd_mobilenet_v3_large': _MOBILENET_V3_LARGE,
  'ssd_mobilenet_v3_large_keras': _MOBILENET_V3_LARGE,
  'ssd_mobilenet_v3_small': _MOBILENET_V3_SMALL,
  'ssd_mobilenet_v3_small_keras': _MOBILENET_V3_SMALL,
  'embedded_ssd_mobilenet_v1': _EMBEDDED_MOBILENET_V1,
  'embedded_ssd_mobilenet_v1_keras': _EMBEDDED_MOBILENET_V1,
}
# Types of the original that are left out -> why, and what is nearest.
_LEFT_OUT = {
  'ssd_mobilenet_edgetpu': (
    'its blocks are laid out for the Edge TPU alone; the nearest is ssd_mobilenet_v3_large'
  ),
  'ssd_mobilenet_v2_mnasfpn': (
    'its pyramid of searched cells serves no other type; the nearest is ssd_mobilenet_v2_fpn with '
    'use_depthwise'
  ),
}


def build_feature_extractor(
  extractor: ssd_pb2.SsdFeatureExtractor, batch_norm_trainable: bool
) -> Callable[[keras.KerasTensor], list[keras.KerasTensor]]:
  """Builds the function from images to feature maps.

  Args:
    extractor: the config's `model.ssd.feature_extractor`.
    batch_norm_trainable: whether batch norms may be trained.

  Returns:
    f32[B,H,W,3] in [-1, 1] -> feature maps f32[B,H_i,W_i,C_i], finest first.

  Raises:
    InputError: the type or a field of it is not supported.
  """
  kind = _kind(extractor)
  hyperparams = build_hyperparams(
    extractor.conv_hyperparams, f'{PATH}.conv_hyperparams', batch_norm_trainable
  )
  if extractor.override_base_feature_extractor_hyperparams:
    backbone_hyperparams = hyperparams
  else:
    backbone_hyperparams = ConvHyperparams(
      initializer=kind.stock_initializer,
      l2_weight=_STOCK_L2_WEIGHT,
      batch_norm=_STOCK_BATCH_NORM,
      batch_norm_trainable=batch_norm_trainable,
      regularize_depthwise=kind.stock_regularize_depthwise,
    )
  explicit = functools.partial(dataclasses.replace, explicit_padding=extractor.use_explicit_padding)

  def feature_maps(images):
    maps = kind.backbone(
      _pad_to_multiple(images, extractor.pad_to_multiple),
      explicit(backbone_hyperparams),
      depth_multiplier=extractor.depth_multiplier,
      min_depth=extractor.min_depth,
    )
    maps = kind.neck(maps, explicit(hyperparams), extractor)
    if len(maps) != num_feature_maps(extractor):
      raise InputError(
        f'{PATH}.num_layers: is {extractor.num_layers}; {extractor.type} has {len(maps)} at most'
      )
    return maps

  return feature_maps


def num_feature_maps(extractor: ssd_pb2.SsdFeatureExtractor) -> int:
  """How many feature maps the function of `build_feature_extractor` returns."""
  if is_pyramid(extractor):
    return extractor.fpn.max_level - extractor.fpn.min_level + 1
  return min(extractor.num_layers, _kind(extractor).max_layers or extractor.num_layers)


def is_pyramid(extractor: ssd_pb2.SsdFeatureExtractor) -> bool:
  """Whether the feature maps are the levels that the message's `fpn` names."""
  return _kind(extractor).is_pyramid


def _kind(extractor):
  if extractor.type not in EXTRACTORS:
    reason = _LEFT_OUT.get(extractor.type.removesuffix('_keras'))
    supported = ', '.join(name for name in EXTRACTORS if not name.endswith('_keras'))
    raise InputError(
      f'{PATH}.type: {extractor.type!r} is not supported{f" ({reason})" if reason else ""}; '
      f'expected one of {supported} (or that with _keras)'
    )
  kind = EXTRACTORS[extractor.type]
  fpn = extractor.fpn
  if not kind.is_pyramid and extractor.HasField('fpn'):
    raise InputError(f'{PATH}.fpn: is set, but {extractor.type} has none; take its _fpn, or none')
  if kind.is_pyramid and not (FINEST_LEVEL <= fpn.min_level <= min(fpn.max_level, COARSEST_LEVEL)):
    raise InputError(
      f'{PATH}.fpn: has min_level {fpn.min_level} and max_level {fpn.max_level}; expected '
      f'{FINEST_LEVEL} to {COARSEST_LEVEL} for min_level, and no less for max_level'
    )
  return kind


def _pad_to_multiple(images, multiple):
  """Adds zeros below and to the right until both sides are multiples."""
  if multiple < 1:
    raise InputError(f'{PATH}.pad_to_multiple: is {multiple}; expected 1 (no padding) or more')
  excess = [-side % multiple for side in images.shape[1:3]]
  if not any(excess):
    return images
  return keras.layers.ZeroPadding2D([(0, side) for side in excess], name='pad_to_multiple')(images)
