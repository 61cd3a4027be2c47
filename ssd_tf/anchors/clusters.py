"""Clusters box sizes by k-means with the distance 1 - IoU."""

import dataclasses
import itertools

import numpy as np

from ssd_tf.errors import InputError

_MAX_STEPS = 100
_LEAST_GAIN = 1e-5  # Of the mean IoU in a step.
_CHUNK = 2**20  # Pairs of a box and a center that are compared at a time.
# Centers are moved by a share of their height and width, as long as that helps; then by a smaller.
_SHARES = (0.1, 0.03, 0.01, 0.003)
_DIRECTIONS = [np.array(pair) for pair in itertools.product((-1, 0, 1), repeat=2) if any(pair)]


@dataclasses.dataclass(frozen=True)
class Clusters:
  """Sizes that stand for many.

  Attributes:
    centers: f64[k, 2], (height, width), by growing area.
    mean_ious: the mean IoU of the boxes with their nearest center, before the first step and after
      each one.
  """

  centers: np.ndarray
  mean_ious: tuple[float, ...]


def size_iou(
  sizes: np.ndarray, others: np.ndarray, distances: np.ndarray | None = None
) -> np.ndarray:
  """Returns the IoU of boxes by their sizes and how far their centers are apart.

  Along an axis, two boxes of sides a and b at a distance d share min(a, b, (a + b) / 2 - d), or
  nothing where that is negative.

  Args:
    sizes: f64[..., 2], (height, width).
    others: f64[..., 2]; leading dimensions broadcast.
    distances: f64[..., 2], not negative, between the centers along y and x, in the same unit; None:
      the centers are common.

  Returns:
    f64[...] in [0, 1].
  """

  def shared(axis):
    a, b = sizes[..., axis], others[..., axis]
    least = np.minimum(a, b)
    if distances is None:
      return least
    return np.maximum(np.minimum(least, (a + b) / 2 - distances[..., axis]), 0.0)

  intersection = shared(0) * shared(1)
  areas = sizes[..., 0] * sizes[..., 1] + others[..., 0] * others[..., 1]
  return intersection / (areas - intersection)


def cluster_sizes(
  sizes: np.ndarray,
  num_clusters: int,
  *,
  seed: int = 0,
  num_restarts: int = 5,
  max_boxes: int | None = 20_000,
) -> Clusters:
  """Finds the sizes whose boxes, on a common center, overlap the given ones best on average.

  k-means: boxes go to the center of highest IoU, then each center to where its boxes' mean IoU is
  highest. The first centers are drawn as by k-means++: with a probability that grows with 1 - IoU
  to those drawn before.

  Args:
    sizes: f64[n, 2], (height, width), all above 0.
    num_clusters: k.
    seed: of the first centers, and of the boxes drawn.
    max_boxes: of more boxes, so many are drawn, unless those have fewer distinct sizes than
      clusters; None: all are used.

  Raises:
    InputError: there are fewer distinct sizes than clusters.

  Source: Redmon and Farhadi, YOLO9000, section 2 (dimension clusters), whose centers are means:
  these need not be of highest IoU, and a step may be for the worse. Arthur and Vassilvitskii,
  k-means++.
  """
  num_distinct = count_distinct(sizes)
  if num_distinct < num_clusters:
    raise InputError(
      f'num_anchors: {num_clusters} sizes are to be found, but the {len(sizes)} boxes have only '
      f'{num_distinct} distinct ones (to a hundredth of a pixel); lower num_anchors'
    )
  rng = np.random.default_rng(seed)
  if max_boxes is not None and len(sizes) > max_boxes:
    drawn = sizes[rng.choice(len(sizes), max_boxes, replace=False)]
    sizes = drawn if count_distinct(drawn) >= num_clusters else sizes
  found = [improve(sizes, _draw(sizes, num_clusters, rng)) for _ in range(num_restarts)]
  best = max(found, key=lambda clusters: clusters.mean_ious[-1])
  order = np.argsort(best.centers.prod(axis=1), kind='stable')
  return dataclasses.replace(best, centers=best.centers[order])


def count_distinct(sizes: np.ndarray) -> int:
  """Counts distinct sizes f64[n, 2], to a hundredth of their unit."""
  rounded = np.round(sizes, 2)
  return len(np.unique(rounded[:, 0] + 1j * rounded[:, 1]))


def improve(
  sizes: np.ndarray,
  centers: np.ndarray,
  distances: np.ndarray | None = None,
) -> Clusters:
  """Takes k-means' steps from given centers until they no longer help; none is for the worse.

  Args:
    sizes: f64[n, 2], (height, width).
    centers: f64[k, 2].
    distances: f64[n, k, 2], of each box's center from where a box of each cluster would lie, along
      y and x; None: centers are common.

  Returns:
    The clusters, in the order of `centers`. A cluster without boxes moves to the size of the box
    that overlaps worst; with `distances`, it stays.
  """
  labels, ious = nearest(sizes, centers, distances)
  mean_ious = [float(ious.mean())]
  shares = iter(_SHARES)
  share = next(shares)
  for _ in range(_MAX_STEPS):
    own = None if distances is None else distances[np.arange(len(sizes)), labels]
    centers = _better_centers(sizes, labels, centers, own, share)
    empty = np.flatnonzero(np.bincount(labels, minlength=len(centers)) == 0)
    if len(empty) and distances is None:
      centers[empty[0]] = sizes[np.argmin(ious)]
    labels, ious = nearest(sizes, centers, distances)
    mean_ious.append(float(ious.mean()))
    if mean_ious[-1] - mean_ious[-2] < _LEAST_GAIN:
      share = next(shares, None)
      if share is None:
        break
  return Clusters(centers, tuple(mean_ious))


def nearest(
  sizes: np.ndarray, centers: np.ndarray, distances: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the center of highest IoU for each box, i64[n], and that IoU, f64[n]."""
  labels, ious = np.empty(len(sizes), np.int64), np.empty(len(sizes))
  rows = max(1, _CHUNK // len(centers))
  for start in range(0, len(sizes), rows):
    part = slice(start, start + rows)
    pairs = size_iou(
      sizes[part, np.newaxis], centers, None if distances is None else distances[part]
    )
    labels[part] = pairs.argmax(axis=1)
    ious[part] = pairs[np.arange(len(pairs)), labels[part]]
  return labels, ious


def _draw(sizes, num_clusters, rng):
  """f64[k, 2], sizes far from each other."""
  centers = sizes[rng.integers(len(sizes))][np.newaxis]
  far = 1 - size_iou(sizes, centers[0])
  for _ in range(1, num_clusters):
    far = np.maximum(far, 0.0)
    new = sizes[rng.choice(len(sizes), p=far / far.sum())]
    centers = np.concatenate([centers, new[np.newaxis]])
    far = np.minimum(far, 1 - size_iou(sizes, new))
  return centers


def _better_centers(sizes, labels, centers, distances, share):
  """f64[k, 2]: for each, the best for its boxes of: itself, their mean, and moves from there."""
  count = np.bincount(labels, minlength=len(centers))

  def total(candidates):
    ious = size_iou(sizes, candidates[labels], distances)
    return np.bincount(labels, ious, minlength=len(centers))

  sums = [np.bincount(labels, sizes[:, axis], minlength=len(centers)) for axis in (0, 1)]
  means = np.stack(sums, axis=-1) / np.maximum(count, 1)[:, np.newaxis]
  best, best_total = centers.copy(), total(centers)
  for direction in (None, *_DIRECTIONS):
    candidates = means if direction is None else best * (1 + share * direction)
    sum_ious = total(candidates)
    is_better = sum_ious > best_total
    best[is_better], best_total[is_better] = candidates[is_better], sum_ious[is_better]
  return best
