"""Generates anchors: boxes of fixed scales and aspect ratios at every location of feature maps.

Made once, when a model is built, in NumPy. Their order is that of the predictions: feature map
(fine to coarse), row, column, then box of the location. They are not clipped to the image.

The arithmetic is float32, step by step as in the original: a groundtruth box midway between two
anchors belongs to the one that rounding favors, and so to the same one.
"""

import itertools
from collections.abc import Sequence

import numpy as np

Size = tuple[int, int]


def anchors_per_location(
  *,
  num_layers: int,
  aspect_ratios: Sequence[float],
  interpolated_scale_aspect_ratio: float,
  reduce_boxes_in_lowest_layer: bool,
) -> list[int]:
  """Counts the SSD anchors at a location of each feature map, fine to coarse.

  The interpolated one is left out where its aspect ratio is 0; the finest feature map has three if
  it is reduced, whatever the rest says.
  """
  count = len(aspect_ratios) + (interpolated_scale_aspect_ratio > 0)
  counts = [count] * num_layers
  return [3, *counts[1:]] if reduce_boxes_in_lowest_layer else counts


def generate_ssd_anchors(
  feature_map_sizes: Sequence[Size],
  image_size: Size,
  *,
  num_layers: int,
  min_scale: float,
  max_scale: float,
  scales: Sequence[float],
  aspect_ratios: Sequence[float],
  interpolated_scale_aspect_ratio: float,
  base_anchor_height: float,
  base_anchor_width: float,
  reduce_boxes_in_lowest_layer: bool,
  height_stride: Sequence[float],
  width_stride: Sequence[float],
  height_offset: Sequence[float],
  width_offset: Sequence[float],
) -> np.ndarray:
  """Lays SSD anchors: one scale for a feature map, growing evenly from fine to coarse.

  A side is scale * base * (shorter side of the image), so that an anchor of aspect ratio 1 is
  square in pixels on any image: height = side / sqrt(aspect_ratio), width = side *
  sqrt(aspect_ratio).

  Args:
    feature_map_sizes: (height, width) of each feature map, fine to coarse.
    image_size: (height, width) of the model's input, pixels.
    scales: a scale for each feature map instead of `min_scale` and `max_scale`; may be empty.
    interpolated_scale_aspect_ratio: of one more anchor whose scale is the geometric mean of this
      feature map's and the next one's (1.0 after the last); 0 for none.
    reduce_boxes_in_lowest_layer: the finest feature map has only scale 0.1 with aspect ratio 1,
      and its own scale with 2 and 1/2.
    height_stride: pixels between rows, for each feature map; empty: the image's height over the
      feature map's.
    width_stride: the same between columns.
    height_offset: pixels from the image's top to the first row's centers, for each feature map;
      empty: half a stride.
    width_offset: the same from the left.

  Returns:
    f32[A, 4], normalized.

  Raises:
    ValueError: a list's length is not the number of feature maps.

  Source: Liu et al., SSD, section 2.2 (equation 4); the original's
  anchor_generators/multiple_grid_anchor_generator.py.
  """
  per_layer = {
    'feature_map_sizes': feature_map_sizes,
    'scales': scales,
    'height_stride': height_stride,
    'width_stride': width_stride,
    'height_offset': height_offset,
    'width_offset': width_offset,
  }
  for name, values in per_layer.items():
    if len(values) != num_layers and (len(values) or name == 'feature_map_sizes'):
      raise ValueError(
        f'{name}: expected {num_layers} entries (num_layers), received {len(values)}; '
        'give one for each feature map.'
      )
  step = (max_scale - min_scale) / max(num_layers - 1, 1)
  scales = list(scales) or [min_scale + step * layer for layer in range(num_layers)]
  shorter = min(image_size)
  base = (
    base_anchor_height * (shorter / image_size[0]),
    base_anchor_width * (shorter / image_size[1]),
  )
  layers = []
  for layer, (size, scale, next_scale) in enumerate(
    zip(feature_map_sizes, scales, [*scales[1:], 1.0], strict=True)
  ):
    if layer == 0 and reduce_boxes_in_lowest_layer:
      specs = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
    else:
      specs = [(scale, aspect_ratio) for aspect_ratio in aspect_ratios]
      if interpolated_scale_aspect_ratio > 0:
        specs.append((np.sqrt(scale * next_scale), interpolated_scale_aspect_ratio))
    stride = (
      height_stride[layer] / image_size[0] if len(height_stride) else 1 / size[0],
      width_stride[layer] / image_size[1] if len(width_stride) else 1 / size[1],
    )
    offset = (
      height_offset[layer] / image_size[0] if len(height_offset) else stride[0] / 2,
      width_offset[layer] / image_size[1] if len(width_offset) else stride[1] / 2,
    )
    layers.append(_tile(size, specs, base=base, stride=stride, offset=offset))
  return np.concatenate(layers)


def generate_multiscale_anchors(
  feature_map_sizes: Sequence[Size],
  image_size: Size,
  *,
  min_level: int,
  max_level: int,
  anchor_scale: float,
  aspect_ratios: Sequence[float],
  scales_per_octave: int,
  normalize_coordinates: bool,
) -> np.ndarray:
  """Lays the anchors of a feature pyramid: sides double from level to level.

  A side on level l is anchor_scale * 2^l * 2^(i / scales_per_octave) pixels, i counted from 0.
  Centers are half a stride (2^l pixels) from the image's edge where the stride divides the
  image's side, else on the edge.

  Args:
    feature_map_sizes: (height, width) of each level, fine to coarse.
    image_size: (height, width) of the model's input, pixels.
    anchor_scale: side of the smallest anchor over the stride.
    scales_per_octave: number of sides between one level's smallest and the next one's.
    normalize_coordinates: False for pixels.

  Returns:
    f32[A, 4], normalized or in pixels; at a location, aspect ratio by aspect ratio.

  Raises:
    ValueError: the number of feature maps is not the number of levels.

  Source: Lin et al., Focal Loss for Dense Object Detection, section 4; the original's
  anchor_generators/multiscale_grid_anchor_generator.py.
  """
  levels = range(min_level, max_level + 1)
  if len(feature_map_sizes) != len(levels):
    raise ValueError(
      f'feature_map_sizes: expected {len(levels)} entries (min_level {min_level} to max_level '
      f'{max_level}), received {len(feature_map_sizes)}; give one for each level.'
    )
  scales = [2 ** (i / scales_per_octave) for i in range(scales_per_octave)]
  specs = [(scale, ratio) for ratio, scale in itertools.product(aspect_ratios, scales)]
  layers = []
  for level, size in zip(levels, feature_map_sizes, strict=True):
    stride = 2**level
    offset = [0 if side % stride else stride / 2 for side in image_size]
    side = anchor_scale * stride
    layers.append(_tile(size, specs, base=(side, side), stride=(stride, stride), offset=offset))
  pixels = np.concatenate(layers)
  if not normalize_coordinates:
    return pixels
  height, width = image_size
  return pixels * np.array([1 / height, 1 / width, 1 / height, 1 / width], np.float32)


def generate_flexible_grid_anchors(
  feature_map_sizes: Sequence[Size],
  image_size: Size,
  *,
  base_sizes: Sequence[Sequence[float]],
  aspect_ratios: Sequence[Sequence[float]],
  strides: Sequence[tuple[float | None, float | None]],
  offsets: Sequence[tuple[float | None, float | None]],
) -> np.ndarray:
  """Lays anchors whose sizes and aspect ratios are listed, pair by pair, for each feature map.

  height = base_size / sqrt(aspect_ratio), width = base_size * sqrt(aspect_ratio), in pixels. So the
  anchors of Caffe's SSD can be told one by one: s, sqrt(s s'), and s with ratios 2, 1/2, 3, 1/3,
  where s' is the s of the next feature map.

  Args:
    feature_map_sizes: (height, width) of each feature map, fine to coarse.
    image_size: (height, width) of the model's input, pixels.
    base_sizes: of the anchors at a location of each feature map, pixels.
    aspect_ratios: width / height, one for each base size.
    strides: pixels between rows and between columns, of each feature map; None: the image's side
      over the feature map's.
    offsets: pixels from the image's top and left to the first center, of each feature map; None:
      half a stride.

  Returns:
    f32[A, 4], normalized; at a location, in the order of the base sizes.

  Source: Liu et al., SSD, section 2.2; the original's
  anchor_generators/flexible_grid_anchor_generator.py, which needs strides and offsets.
  """
  layers = []
  for size, layer_sizes, ratios, stride, offset in zip(
    feature_map_sizes, base_sizes, aspect_ratios, strides, offsets, strict=True
  ):
    stride = [
      side / cells if pixels is None else pixels
      for pixels, side, cells in zip(stride, image_size, size, strict=True)
    ]
    offset = [
      step / 2 if pixels is None else pixels for pixels, step in zip(offset, stride, strict=True)
    ]
    specs = list(zip(layer_sizes, ratios, strict=True))
    layers.append(_tile(size, specs, base=(1.0, 1.0), stride=stride, offset=offset))
  height, width = image_size
  return np.concatenate(layers) * np.array([1 / height, 1 / width] * 2, np.float32)


def _tile(
  size: Size,
  specs: Sequence[tuple[float, float]],
  *,
  base: Sequence[float],
  stride: Sequence[float],
  offset: Sequence[float],
) -> np.ndarray:
  """Returns f32[rows * columns * specs, 4]: a box for every (scale, aspect_ratio) everywhere."""
  base, stride, offset = (np.array(pair, np.float32) for pair in (base, stride, offset))
  scales, aspect_ratios = np.array(specs, np.float32).T
  roots = np.sqrt(aspect_ratios)
  half_sizes = np.stack([scales / roots, scales * roots], axis=-1) * base / 2
  grid = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1]), indexing='ij'), axis=-1)
  centers = (grid.astype(np.float32) * stride + offset)[:, :, None, :]
  return np.concatenate([centers - half_sizes, centers + half_sizes], axis=-1).reshape(-1, 4)
