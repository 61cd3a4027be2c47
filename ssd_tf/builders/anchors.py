"""Anchors, from the config's `model.ssd.anchor_generator`."""

from collections.abc import Sequence

import numpy as np

from ssd_tf.builders.feature_extractor import PATH as EXTRACTOR_PATH
from ssd_tf.builders.feature_extractor import is_pyramid, num_feature_maps
from ssd_tf.builders.resizers import image_size
from ssd_tf.builders.support import chosen
from ssd_tf.errors import InputError
from ssd_tf.ops import anchors as anchor_ops
from ssd_tf.protos import ssd_pb2

_PATH = 'model.ssd.anchor_generator'
_SSD = 'ssd_anchor_generator'
_MULTISCALE = 'multiscale_anchor_generator'


def count_anchors_per_location(ssd: ssd_pb2.Ssd) -> list[int]:
  """Counts the anchors at a location of each feature map.

  Args:
    ssd: the config's `model.ssd`.

  Returns:
    One count for each feature map, finest first.

  Raises:
    InputError: there is no generator, or it does not fit the feature extractor.
  """
  kind, generator = _generator(ssd)
  if kind == _MULTISCALE:
    count = len(generator.aspect_ratios) * generator.scales_per_octave
    return [count] * num_feature_maps(ssd.feature_extractor)
  return anchor_ops.anchors_per_location(
    num_layers=generator.num_layers,
    aspect_ratios=list(generator.aspect_ratios),
    interpolated_scale_aspect_ratio=generator.interpolated_scale_aspect_ratio,
    reduce_boxes_in_lowest_layer=generator.reduce_boxes_in_lowest_layer,
  )


def generate_anchors(ssd: ssd_pb2.Ssd, feature_map_sizes: Sequence[tuple[int, int]]) -> np.ndarray:
  """Lays the anchors.

  Args:
    ssd: the config's `model.ssd`.
    feature_map_sizes: (height, width) of each feature map, finest first.

  Returns:
    f32[A,4], normalized, not clipped.

  Raises:
    InputError: there is no generator, or it does not fit the feature extractor.
  """
  kind, generator = _generator(ssd)
  if kind == _MULTISCALE:
    return anchor_ops.generate_multiscale_anchors(
      feature_map_sizes,
      image_size(ssd),
      min_level=generator.min_level,
      max_level=generator.max_level,
      anchor_scale=generator.anchor_scale,
      aspect_ratios=list(generator.aspect_ratios),
      scales_per_octave=generator.scales_per_octave,
      normalize_coordinates=True,
    )
  return anchor_ops.generate_ssd_anchors(
    feature_map_sizes,
    image_size(ssd),
    num_layers=generator.num_layers,
    min_scale=generator.min_scale,
    max_scale=generator.max_scale,
    scales=list(generator.scales),
    aspect_ratios=list(generator.aspect_ratios),
    interpolated_scale_aspect_ratio=generator.interpolated_scale_aspect_ratio,
    base_anchor_height=generator.base_anchor_height,
    base_anchor_width=generator.base_anchor_width,
    reduce_boxes_in_lowest_layer=generator.reduce_boxes_in_lowest_layer,
    height_stride=list(generator.height_stride),
    width_stride=list(generator.width_stride),
    height_offset=list(generator.height_offset),
    width_offset=list(generator.width_offset),
  )


def _generator(ssd):
  """(name, message) of the generator, which fits the feature extractor."""
  kind = chosen(ssd.anchor_generator, 'anchor_generator_oneof', _PATH, (_SSD, _MULTISCALE))
  generator = getattr(ssd.anchor_generator, kind)
  check = _check_multiscale if kind == _MULTISCALE else _check_ssd
  check(generator, ssd.feature_extractor, f'{_PATH}.{kind}')
  if not generator.aspect_ratios:
    raise InputError(f'{_PATH}.{kind}.aspect_ratios: is empty; expected one or more, such as 1.0')
  return kind, generator


def _check_ssd(generator, extractor, path):
  for name in ('scales', 'height_stride', 'width_stride', 'height_offset', 'width_offset'):
    count = len(getattr(generator, name))
    if count and count != generator.num_layers:
      raise InputError(
        f'{path}.{name}: has {count} values; expected none, or {generator.num_layers} (num_layers)'
      )
  num_maps = num_feature_maps(extractor)
  if num_maps != generator.num_layers:
    field = 'fpn has levels for' if is_pyramid(extractor) else 'num_layers is'
    raise InputError(
      f'{path}.num_layers: is {generator.num_layers}, but {EXTRACTOR_PATH}.{field} {num_maps}; '
      'they have to be equal'
    )


def _check_multiscale(generator, extractor, path):
  levels = generator.min_level, generator.max_level
  if is_pyramid(extractor):
    wanted = extractor.fpn.min_level, extractor.fpn.max_level
    if levels != wanted:
      raise InputError(
        f'{path}: has min_level {levels[0]} and max_level {levels[1]}, but {EXTRACTOR_PATH}.fpn '
        f'has {wanted[0]} and {wanted[1]}; they have to be equal'
      )
  elif levels[1] - levels[0] + 1 != num_feature_maps(extractor):
    raise InputError(
      f'{path}: has levels {levels[0]} to {levels[1]}, but {EXTRACTOR_PATH}.num_layers is '
      f'{num_feature_maps(extractor)}; expected a level for each'
    )
  if not generator.normalize_coordinates:
    raise InputError(
      f'{path}.normalize_coordinates: is false; expected true, since boxes are normalized'
    )
  if generator.scales_per_octave < 1:
    raise InputError(
      f'{path}.scales_per_octave: is {generator.scales_per_octave}; expected 1 or more'
    )
