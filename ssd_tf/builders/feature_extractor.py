"""Builds backbone and feature maps from the config's `model.ssd.feature_extractor`.

EXTRACTORS has a row for each type of feature extractor. A new one needs a backbone, a function
(images, hyperparams) -> [maps], and a neck, a function (maps, hyperparams, extractor) -> [maps],
whose `extractor` is the config's message.
"""

import dataclasses
import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from ssd_tf.builders.hyperparams import build_hyperparams
from ssd_tf.data import preprocessing
from ssd_tf.errors import InputError
from ssd_tf.models.conv_block import ConvHyperparams
from ssd_tf.models.feature_maps import extend_feature_maps
from ssd_tf.models.fpn import COARSEST_LEVEL, FINEST_LEVEL, feature_pyramid
from ssd_tf.models.mobilenet import mobilenet_v1, mobilenet_v2
from ssd_tf.models.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from ssd_tf.models.pooling_pyramid import pooling_pyramid
from ssd_tf.models.ssd7 import ssd_7
from ssd_tf.models.vgg import EXTRA_BLOCKS_300, EXTRA_BLOCKS_512, extend_vgg, vgg_16
from ssd_tf.protos import ssd_pb2

PATH = 'model.ssd.feature_extractor'


@dataclasses.dataclass(frozen=True)
class Extractor:
  """How the feature maps of a type of feature extractor are made.

  Attributes:
    backbone: (images, hyperparams) -> maps.
    neck: (maps, hyperparams, extractor message) -> maps.
    stock: the backbone's hyperparams, for configs that do not override them.
    is_pyramid: whether the message's `fpn` says which maps there are, in place of `num_layers`.
    max_layers: the most feature maps it makes, and how many there are without `num_layers`; None:
      as many as `num_layers` says.
    normalize: pixels u8 or f32 in [0, 255] -> f32, as the backbone takes them.
    without: fields of the message that mean nothing to it.
  """

  backbone: Callable[..., list]
  neck: Callable[..., list]
  stock: ConvHyperparams
  is_pyramid: bool = False
  max_layers: int | None = None
  normalize: Callable[[tf.Tensor], tf.Tensor] = preprocessing.normalize_mobilenet
  without: tuple[str, ...] = ('l2_normalization_scale',)


def _coarser_maps(maps, hyperparams, extractor, **options):
  return extend_feature_maps(
    maps,
    hyperparams,
    num_layers=extractor.num_layers,
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
    depth=hyperparams.depth(fpn.additional_layer_depth),
    use_depthwise=extractor.use_depthwise,
    pass_smoothed=pass_smoothed,
  )


def _vgg_maps(maps, hyperparams, extractor, blocks):
  return extend_vgg(
    maps,
    hyperparams,
    blocks=blocks,
    num_layers=num_feature_maps(extractor),
    l2_normalization_scale=extractor.l2_normalization_scale,
  )


def _own_maps(maps, hyperparams, extractor):
  del hyperparams  # Nothing is added.
  return maps[: num_feature_maps(extractor)]


_tf1_pyramid = functools.partial(_pyramid, pass_smoothed=False)

_TRUNCATED_NORMAL = ConvHyperparams(
  initializer=functools.partial(keras.initializers.TruncatedNormal, stddev=0.09),
  l2_weight=4e-5,
  batch_norm={'momentum': 0.9997, 'epsilon': 0.001},
)
_RANDOM_NORMAL = dataclasses.replace(
  _TRUNCATED_NORMAL,
  initializer=functools.partial(keras.initializers.RandomNormal, stddev=0.09),
)
_PLAIN_DEPTHWISE = dataclasses.replace(_TRUNCATED_NORMAL, regularize_depthwise=False)
_XAVIER = ConvHyperparams(
  keras.initializers.GlorotUniform, l2_weight=5e-4, activation='RELU', batch_norm=None
)
_HE_NORMAL = ConvHyperparams(
  keras.initializers.HeNormal, batch_norm={'momentum': 0.99, 'epsilon': 0.001}
)

_MOBILENET_V1 = Extractor(mobilenet_v1, _coarser_maps, _TRUNCATED_NORMAL)
_MOBILENET_V2 = Extractor(mobilenet_v2, _coarser_maps, _RANDOM_NORMAL)
_MOBILENET_V1_FPN, _MOBILENET_V2_FPN = (
  Extractor(functools.partial(backbone, for_pyramid=True), _pyramid, stock, is_pyramid=True)
  for backbone, stock in ((mobilenet_v1, _TRUNCATED_NORMAL), (mobilenet_v2, _RANDOM_NORMAL))
)
_MOBILENET_V1_PPN = Extractor(mobilenet_v1, _pooled_maps, _TRUNCATED_NORMAL)
_MOBILENET_V3_LARGE, _MOBILENET_V3_SMALL = (
  Extractor(backbone, _coarser_maps, _PLAIN_DEPTHWISE)
  for backbone in (mobilenet_v3_large, mobilenet_v3_small)
)
# For images of 256x256 pixels: no kernel is larger than its map, and the last map is 1x1.
_EMBEDDED_MOBILENET_V1 = Extractor(
  mobilenet_v1,
  functools.partial(_coarser_maps, depths=(512, 256, 256), kernel_sizes=(3, 3, 2)),
  _PLAIN_DEPTHWISE,
  max_layers=5,
)
_SSD_300_VGG, _SSD_512_VGG = (
  Extractor(
    vgg_16,
    functools.partial(_vgg_maps, blocks=blocks),
    _XAVIER,
    max_layers=2 + len(blocks),
    normalize=preprocessing.normalize_vgg,
    without=('use_depthwise', 'use_explicit_padding'),
  )
  for blocks in (EXTRA_BLOCKS_300, EXTRA_BLOCKS_512)
)
_SSD_7 = Extractor(
  ssd_7,
  _own_maps,
  _HE_NORMAL,
  max_layers=4,
  without=('use_depthwise', 'use_explicit_padding', 'l2_normalization_scale'),
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
  'ssd_300_vgg': _SSD_300_VGG,
  'ssd_512_vgg': _SSD_512_VGG,
  'ssd_7': _SSD_7,
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

  f32[B,H,W,3], normalized -> f32[B,H_i,W_i,C_i], finest first.
  """
  kind = _kind(extractor)
  of_both = {
    'explicit_padding': extractor.use_explicit_padding,
    'depth_multiplier': extractor.depth_multiplier,
    'min_depth': extractor.min_depth,
  }
  hyperparams = build_hyperparams(
    extractor.conv_hyperparams, f'{PATH}.conv_hyperparams', batch_norm_trainable
  )
  of_neck = of_backbone = dataclasses.replace(hyperparams, **of_both)
  if not extractor.override_base_feature_extractor_hyperparams:
    of_backbone = dataclasses.replace(
      kind.stock, batch_norm_trainable=batch_norm_trainable, **of_both
    )

  def feature_maps(images):
    maps = kind.backbone(_pad_to_multiple(images, extractor.pad_to_multiple), of_backbone)
    maps = kind.neck(maps, of_neck, extractor)
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
  most = _kind(extractor).max_layers or extractor.num_layers
  return min(extractor.num_layers, most) if extractor.HasField('num_layers') else most


def build_normalize(extractor: ssd_pb2.SsdFeatureExtractor) -> Callable[[tf.Tensor], tf.Tensor]:
  """The function from pixels u8 or f32 in [0, 255] to what the backbone takes, f32."""
  return _kind(extractor).normalize


def is_pyramid(extractor: ssd_pb2.SsdFeatureExtractor) -> bool:
  """Whether the feature maps are the levels that the message's `fpn` names."""
  return _kind(extractor).is_pyramid


def _kind(extractor):
  if extractor.type not in EXTRACTORS:
    reason = _LEFT_OUT.get(extractor.type.removesuffix('_keras'))
    supported = ', '.join(name for name in EXTRACTORS if not name.endswith('_keras'))
    raise InputError(
      f'{PATH}.type: {extractor.type!r} is not supported{f" ({reason})" if reason else ""}; '
      f'expected one of {supported} (those of MobileNet also with _keras)'
    )
  kind = EXTRACTORS[extractor.type]
  for name in kind.without:
    default = extractor.DESCRIPTOR.fields_by_name[name].default_value
    if getattr(extractor, name) != default:
      raise InputError(f'{PATH}.{name}: has no effect with {extractor.type}; remove it')
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
  excess = [-side % multiple for side in images.shape[1:3]]
  if not any(excess):
    return images
  return keras.layers.ZeroPadding2D([(0, side) for side in excess], name='pad_to_multiple')(images)
