"""Builds anchors from the config's `model.ssd.anchor_generator`."""

from collections.abc import Sequence

import numpy as np

from ssd_tf.builders.feature_extractor import PATH as EXTRACTOR_PATH
from ssd_tf.builders.feature_extractor import is_pyramid, num_feature_maps
from ssd_tf.builders.message_fields import chosen, values_of
from ssd_tf.builders.resizers import image_size
from ssd_tf.errors import InputError
from ssd_tf.ops import anchors as anchor_ops
from ssd_tf.protos import ssd_pb2

_PATH = 'model.ssd.anchor_generator'
_SSD = 'ssd_anchor_generator'
_MULTISCALE = 'multiscale_anchor_generator'
_FLEXIBLE = 'flexible_grid_anchor_generator'
_MAX_ANCHORS = 10_000_000  # Of an image; a hundred times those of a large network.


def count_anchors_per_location(ssd: ssd_pb2.Ssd) -> list[int]:
  """Counts the anchors at a location of each feature map, finest first."""
  kind, generator = _generator(ssd)
  if kind == _MULTISCALE:
    count = len(generator.aspect_ratios) * generator.scales_per_octave
    return [count] * num_feature_maps(ssd.feature_extractor)
  if kind == _FLEXIBLE:
    return [len(grid.base_sizes) for grid in generator.anchor_grid]
  return anchor_ops.anchors_per_location(
    num_layers=generator.num_layers,
    aspect_ratios=list(generator.aspect_ratios),
    interpolated_scale_aspect_ratio=generator.interpolated_scale_aspect_ratio,
    reduce_boxes_in_lowest_layer=generator.reduce_boxes_in_lowest_layer,
  )


def count_anchors_per_layer(
  ssd: ssd_pb2.Ssd, feature_map_sizes: Sequence[tuple[int, int]]
) -> list[int]:
  """Counts the anchors of each feature map, whose (height, width) are given, finest first."""
  counts = count_anchors_per_location(ssd)
  return [
    height * width * count for (height, width), count in zip(feature_map_sizes, counts, strict=True)
  ]


def generate_anchors(ssd: ssd_pb2.Ssd, feature_map_sizes: Sequence[tuple[int, int]]) -> np.ndarray:
  """Lays the anchors of feature maps, whose (height, width) are given, finest first.

  f32[A,4], normalized, not clipped; in the order of the network's predictions.
  """
  kind, generator = _generator(ssd)
  if (num_anchors := sum(count_anchors_per_layer(ssd, feature_map_sizes))) > _MAX_ANCHORS:
    raise InputError(
      f'{_PATH}.{kind}: gives {num_anchors} anchors; expected {_MAX_ANCHORS} at most; take a '
      'smaller size in model.ssd.image_resizer, or fewer aspect_ratios'
    )
  if kind == _FLEXIBLE:
    return _generate_flexible(generator.anchor_grid, feature_map_sizes, image_size(ssd))
  # These take the message's fields under their own names.
  generate = {
    _SSD: anchor_ops.generate_ssd_anchors,
    _MULTISCALE: anchor_ops.generate_multiscale_anchors,
  }[kind]
  return generate(feature_map_sizes, image_size(ssd), **values_of(generator))


def check_grids(ssd: ssd_pb2.Ssd, feature_map_sizes: Sequence[tuple[int, int]]) -> None:
  """Refuses grids of fixed strides that cover more or less than the image by a cell.

  A stride that is the network's own covers an image of any size; one that is the image's side over
  the feature map's covers images of that side alone.
  """
  kind, generator = _generator(ssd)
  if kind == _MULTISCALE:
    return  # Its strides are the network's.
  for layer, cells in enumerate(feature_map_sizes):
    if kind == _FLEXIBLE:
      strides, offsets = _strides_and_offsets(generator.anchor_grid[layer])
    else:
      strides, offsets = (
        [values[layer] if values else None for values in lists]
        for lists in (
          (generator.height_stride, generator.width_stride),
          (generator.height_offset, generator.width_offset),
        )
      )
    for i, (name, side) in enumerate(zip(('height', 'width'), image_size(ssd), strict=True)):
      stride = side / cells[i] if strides[i] is None else strides[i]
      offset = stride / 2 if offsets[i] is None else offsets[i]
      left = side - (offset + (cells[i] - 1) * stride)  # Beyond the last center: half a stride.
      if not -0.5 * stride < left < 1.5 * stride:
        where = f'anchor_grid[{layer}]' if kind == _FLEXIBLE else f'{name}_stride[{layer}]'
        raise InputError(
          f'{_PATH}.{kind}.{where}: with {cells[i]} cells, {stride:g} pixels apart, from '
          f'{offset:g} on, the anchors do not cover the {side} pixels of {name}; remove strides '
          'and offsets (then they are spread evenly), or leave this size out'
        )


def _strides_and_offsets(grid):
  """Two pairs (height, width) of a flexible grid, None where the image says them."""
  # No stride means even spread, from half a stride on; with a stride, no offset means 0.
  strides = grid.height_stride or None, grid.width_stride or None
  offsets = tuple(
    None if stride is None and not grid.HasField(name) else getattr(grid, name)
    for stride, name in zip(strides, ('height_offset', 'width_offset'), strict=True)
  )
  return strides, offsets


def _generate_flexible(grids, feature_map_sizes, size):
  strides, offsets = zip(*map(_strides_and_offsets, grids), strict=True)
  return anchor_ops.generate_flexible_grid_anchors(
    feature_map_sizes,
    size,
    base_sizes=[grid.base_sizes for grid in grids],
    aspect_ratios=[grid.aspect_ratios for grid in grids],
    strides=strides,
    offsets=offsets,
  )


def _generator(ssd):
  """(name, message) of the generator, which fits the feature extractor."""
  checks = {_SSD: _check_ssd, _MULTISCALE: _check_multiscale, _FLEXIBLE: _check_flexible}
  kind = chosen(ssd.anchor_generator, 'anchor_generator_oneof', _PATH, tuple(checks))
  generator = getattr(ssd.anchor_generator, kind)
  checks[kind](generator, ssd.feature_extractor, f'{_PATH}.{kind}')
  return kind, generator


def _check_ssd(generator, extractor, path):
  _check_aspect_ratios(generator, path)
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
  _check_aspect_ratios(generator, path)
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
  _check_normalized(generator, path)


def _check_flexible(generator, extractor, path):
  grids, num_maps = generator.anchor_grid, num_feature_maps(extractor)
  if len(grids) != num_maps:
    raise InputError(
      f'{path}.anchor_grid: there are {len(grids)}, but {extractor.type} has {num_maps} feature '
      'maps; expected one for each'
    )
  for i, grid in enumerate(grids):
    if not 0 < len(grid.base_sizes) == len(grid.aspect_ratios):
      raise InputError(
        f'{path}.anchor_grid[{i}]: has {len(grid.base_sizes)} base_sizes and '
        f'{len(grid.aspect_ratios)} aspect_ratios; expected one pair or more'
      )
  _check_normalized(generator, path)


def _check_aspect_ratios(generator, path):
  if not generator.aspect_ratios:
    raise InputError(f'{path}.aspect_ratios: is empty; expected one or more, such as 1.0')


def _check_normalized(generator, path):
  if not generator.normalize_coordinates:
    raise InputError(
      f'{path}.normalize_coordinates: is false; expected true, since boxes are normalized'
    )
