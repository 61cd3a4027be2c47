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
from ssd_tf.models.mobilenet import mobilenet_v1, mobilenet_v2
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
  """

  backbone: Callable[..., list]
  neck: Callable[..., list]
  stock_initializer: Callable[[], keras.initializers.Initializer]


def _coarser_maps(maps, hyperparams, extractor):
  return extend_feature_maps(
    maps,
    hyperparams,
    num_layers=extractor.num_layers,
    depth_multiplier=extractor.depth_multiplier,
    min_depth=extractor.min_depth,
  )


_truncated_normal = functools.partial(keras.initializers.TruncatedNormal, stddev=0.09)
_random_normal = functools.partial(keras.initializers.RandomNormal, stddev=0.09)

_MOBILENET_V1 = Extractor(mobilenet_v1, _coarser_maps, _truncated_normal)
_MOBILENET_V2 = Extractor(mobilenet_v2, _coarser_maps, _random_normal)
EXTRACTORS = {
  'ssd_mobilenet_v1': _MOBILENET_V1,
  'ssd_mobilenet_v1_keras': _MOBILENET_V1,
  'ssd_mobilenet_v2': _MOBILENET_V2,
  'ssd_mobilenet_v2_keras': _MOBILENET_V2,
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
  if extractor.type not in EXTRACTORS:
    raise InputError(
      f'{PATH}.type: {extractor.type!r} is not supported yet; expected one of '
      f'{", ".join(EXTRACTORS)}'
    )
  kind = EXTRACTORS[extractor.type]
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
    )

  def feature_maps(images):
    maps = kind.backbone(
      images,
      backbone_hyperparams,
      depth_multiplier=extractor.depth_multiplier,
      min_depth=extractor.min_depth,
    )
    return kind.neck(maps, hyperparams, extractor)

  return feature_maps


def num_feature_maps(extractor: ssd_pb2.SsdFeatureExtractor) -> int:
  """How many feature maps the function of `build_feature_extractor` returns."""
  return extractor.num_layers
