"""Computes how well anchors overlap boxes, given how they tile a model's feature maps."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ssd_tf.anchors.clusters import nearest
from ssd_tf.builders.anchors import count_anchors_per_location, generate_anchors
from ssd_tf.builders.resizers import image_size
from ssd_tf.config.pipeline import PipelineConfig
from ssd_tf.ops import boxes as box_ops

_CHUNK = 2**18  # Boxes and anchors that are compared at a time.
_TOLERANCE = 1e-3  # Of float32, in pixels.


@dataclasses.dataclass(frozen=True)
class Tiling:
  """Anchors of L feature maps, finest first.

  Attributes:
    anchors: f32[A, 4], normalized, not clipped: by feature map, row, column, then shape.
    feature_map_sizes: L of (rows, columns).
    per_location: number of shapes of each feature map.
    input_size: (height, width) of the model's input, pixels.
  """

  anchors: np.ndarray
  feature_map_sizes: Sequence[tuple[int, int]]
  per_location: Sequence[int]
  input_size: tuple[int, int]

  @property
  def grids(self) -> list[np.ndarray]:
    """The anchors of each feature map, f32[rows, columns, shapes, 4]."""
    counts = [
      rows * columns * shapes
      for (rows, columns), shapes in zip(self.feature_map_sizes, self.per_location, strict=True)
    ]
    parts = np.split(self.anchors, np.cumsum(counts)[:-1])
    return [
      part.reshape(*size, shapes, 4)
      for part, size, shapes in zip(parts, self.feature_map_sizes, self.per_location, strict=True)
    ]

  @property
  def shapes(self) -> list[np.ndarray]:
    """(height, width) of each feature map's anchors, f64[shapes, 2], pixels."""
    corners = [grid[0, 0].astype(np.float64) for grid in self.grids]
    return [(boxes[:, 2:] - boxes[:, :2]) * self.input_size for boxes in corners]

  @property
  def strides(self) -> np.ndarray:
    """Pixels between the anchors' rows and columns, f64[L, 2]; with only one, the input's side."""
    return np.array([[axis.stride for axis in axes] for axes in self.axes])

  @property
  def axes(self) -> list[tuple['Axis', 'Axis']]:
    """Where the rows and the columns of each feature map lie."""
    axes = []
    for grid in self.grids:
      centers = (grid[..., :2] + grid[..., 2:]).astype(np.float64) / 2
      rows, columns = centers[:, 0, 0, 0], centers[0, :, 0, 1]
      axes.append(
        tuple(
          Axis.through(values * side, side)
          for values, side in zip((rows, columns), self.input_size, strict=True)
        )
      )
    return axes


@dataclasses.dataclass(frozen=True)
class Axis:
  """Evenly spaced centers, in pixels.

  Attributes:
    first: the first one.
    stride: from one to the next; of a single one, the input's side.
    count: how many.
    is_even: whether they are spread evenly over the input, half a stride from its edges.
  """

  first: float
  stride: float
  count: int
  is_even: bool

  @classmethod
  def through(cls, centers: np.ndarray, side: int) -> 'Axis':
    """The axis with these centers, f64[count], on an input of this side."""
    count = len(centers)
    stride = (centers[-1] - centers[0]) / (count - 1) if count > 1 else float(side)
    even = abs(stride - side / count) < _TOLERANCE
    even &= abs(centers[0] - side / count / 2) < _TOLERANCE
    return cls(float(centers[0]), float(stride), count, bool(even))

  def nearest(self, positions: np.ndarray) -> np.ndarray:
    """The number of the center next to each position, i64[...]."""
    cells = np.rint((positions - self.first) / self.stride)
    return np.clip(cells, 0, self.count - 1).astype(np.int64)


def tile(config: PipelineConfig, feature_map_sizes: Sequence[tuple[int, int]]) -> Tiling:
  """Lays the anchors of a config on feature maps of these (height, width), finest first.

  Raises:
    InputError: the anchor generator does not fit the feature extractor.
  """
  ssd = config.model.ssd
  return Tiling(
    anchors=generate_anchors(ssd, feature_map_sizes),
    feature_map_sizes=list(feature_map_sizes),
    per_location=count_anchors_per_location(ssd),
    input_size=image_size(ssd),
  )


def best_ious(boxes: np.ndarray, tiling: Tiling) -> np.ndarray:
  """Returns the IoU of each box with the anchor that overlaps it best, wherever that lies.

  Of all anchors of one shape, the one whose center is nearest along both axes overlaps best, so
  only those are compared.

  Args:
    boxes: f32[n, 4], normalized to the model's input.

  Returns:
    f32[n].
  """
  grids, axes = tiling.grids, tiling.axes
  best = np.zeros(len(boxes), np.float32)
  rows = max(1, _CHUNK // max(tiling.per_location))
  for start in range(0, len(boxes), rows):
    part = boxes[start : start + rows]
    y, x = _centers(part, tiling.input_size)
    for grid, (vertical, horizontal) in zip(grids, axes, strict=True):
      candidates = grid[vertical.nearest(y), horizontal.nearest(x)]
      ious = box_ops.matched_iou(part[:, np.newaxis], candidates).numpy().max(axis=1)
      best[start : start + rows] = np.maximum(best[start : start + rows], ious)
  return best


def matched_threshold(config: PipelineConfig) -> float | None:
  """The minimum IoU at which a config's matcher matches an anchor; None where it has none."""
  matcher = config.model.ssd.matcher
  if not matcher.HasField('argmax_matcher') or matcher.argmax_matcher.ignore_thresholds:
    return None
  return matcher.argmax_matcher.matched_threshold


def reaches(ious: np.ndarray, threshold: float) -> np.ndarray:
  """bool[n]: whether an IoU, f32[n], makes a match, as the matcher compares them."""
  return ious >= np.float32(threshold)


def shape_ious(boxes: np.ndarray, tiling: Tiling) -> np.ndarray:
  """f64[n]: IoU of each box f32[n, 4] with the best anchor's shape, both on a common center."""
  boxes = boxes.astype(np.float64)
  sizes = (boxes[:, 2:] - boxes[:, :2]) * tiling.input_size
  return nearest(sizes, np.concatenate(tiling.shapes))[1]


def center_distances(boxes: np.ndarray, tiling: Tiling) -> np.ndarray:
  """Returns how far each box's center is from the nearest anchors' of each feature map.

  Args:
    boxes: f32[n, 4], normalized to the model's input.

  Returns:
    f64[n, L, 2], along y and x, pixels.
  """
  positions = _centers(boxes, tiling.input_size)
  return np.stack(
    [
      np.stack(
        [
          np.abs(values - axis.first - axis.nearest(values) * axis.stride)
          for values, axis in zip(positions, axes, strict=True)
        ],
        axis=-1,
      )
      for axes in tiling.axes
    ],
    axis=1,
  )


def _centers(boxes, input_size):
  """y and x, f64[n] each, pixels."""
  boxes = boxes.astype(np.float64)
  return ((boxes[:, :2] + boxes[:, 2:]) / 2 * input_size).T
