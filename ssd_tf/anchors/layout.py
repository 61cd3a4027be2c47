"""Assigns anchors of given sizes to feature maps, and chooses how many a location has.

The rule. A map fits a size if a box of that size, wherever its center lies, overlaps the nearest
anchor of that size by a mean IoU of `fit` or more: about 0.6 where the box is twice as large as the
map's cells, 0.7 at three times, 0.8 at four. A size goes to the coarsest map that fits it, where it
costs the fewest anchors; to the one that fits best where none does. A map that gets no size repeats
the one that comes nearest to fitting it, since a head has to predict something: above the largest
objects that costs a few anchors, which never make a match worse.

`fit` and, unless given, the number of sizes are those of highest mean IoU of the boxes, position
included, among all that need no more anchors than the config's own; of those within 0.005 of it,
the one of the fewest anchors.

A head that all feature maps share predicts by one set of weights everywhere. So its sizes are
clustered in units of the map's cells, each box measured by the map that it goes to by the rule, and
every map gets all of them, in its own cells' size.
"""

import dataclasses

import numpy as np

from ssd_tf.anchors.clusters import cluster_sizes, count_distinct, improve, nearest, size_iou
from ssd_tf.anchors.tiling import Tiling, center_distances
from ssd_tf.anchors.training_boxes import TrainingBoxes
from ssd_tf.errors import InputError

_FITS = (0.75, 0.7, 0.65, 0.6, 0.55, 0.5)
_WORTH = 0.005  # Of the mean IoU, for which more anchors are taken.
_SEARCH = {'num_restarts': 2, 'max_boxes': 4000}
_FINAL = {'num_restarts': 5, 'max_boxes': 20_000}
_OFFSETS = (np.arange(8) + 0.5) / 8


@dataclasses.dataclass(frozen=True)
class Layout:
  """Anchors at a location of each feature map.

  Attributes:
    sizes: f64[m, 2], (height, width), pixels of the model's input; by map, then by area.
    maps: i64[m], the feature map of each, 0 the finest.
    repeated_mask: bool[m], those of maps that no size fits.
    fit: by which sizes went to maps, see the module.
  """

  sizes: np.ndarray
  maps: np.ndarray
  repeated_mask: np.ndarray
  fit: float

  def num_anchors(self, stock: Tiling) -> int:
    """A, on the feature maps of `stock`."""
    return int(np.array(stock.feature_map_sizes).prod(axis=1)[self.maps].sum())


def find_layout(
  found: TrainingBoxes,
  stock: Tiling,
  *,
  is_shared: bool,
  num_anchors: int | None = None,
  fit_positions: bool = True,
  seed: int = 0,
) -> Layout:
  """Finds anchors that overlap the boxes well; see the module for the rule.

  Args:
    stock: the config's own anchors: their feature maps and their positions are kept.
    is_shared: whether all feature maps share a head.
    num_anchors: number of sizes, of all feature maps together; None: chosen, see the module.
    fit_positions: whether the sizes are improved at the end by k-means' steps with the real IoU of
      the boxes and the anchors nearest to them, in place of that on a common center.
    seed: of k-means.

  Raises:
    InputError: num_anchors does not fit the boxes or the head.
  """
  num_maps = len(stock.per_location)
  if num_anchors is not None and (num_anchors < 1 or is_shared and num_anchors % num_maps):
    wanted = (
      f'a multiple of {num_maps}, as many for each feature map,' if is_shared else '1 or more'
    )
    why = ' since all feature maps share a head' if is_shared else ''
    raise InputError(f'num_anchors: is {num_anchors}; expected {wanted}{why}')
  search = _Search(found, stock, is_shared=is_shared, seed=seed)
  layout = search.best(num_anchors)
  return search.fit_positions(layout) if fit_positions else layout


def cell_fits(sizes: np.ndarray, strides: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
  """Returns the mean IoU of boxes with the nearest anchor of their own size.

  A box's center is anywhere within half a stride of the anchor's, with equal probability; but not
  farther from it than a box of that size can be while it lies inside the image.

  Args:
    sizes: f64[n, 2], (height, width), pixels.
    strides: f64[L, 2], between the rows and the columns of each feature map, pixels.
    input_size: (height, width) of the model's input, pixels.

  Returns:
    f64[n, L].
  """
  room = np.maximum(np.array(input_size) - sizes, 0.0)
  reach = np.minimum(strides, room[:, np.newaxis]) / 2
  y = reach[..., :1, np.newaxis] * _OFFSETS[:, np.newaxis]
  x = reach[..., 1:, np.newaxis] * _OFFSETS
  offsets = np.stack(np.broadcast_arrays(y, x), axis=-1)
  own = sizes[:, np.newaxis, np.newaxis, np.newaxis]
  return size_iou(own, own, offsets).mean(axis=(2, 3))


def choose_maps(fits: np.ndarray, fit: float) -> np.ndarray:
  """Returns the coarsest map that fits each size, else the one that fits best.

  Args:
    fits: f64[n, L], of `cell_fits`.

  Returns:
    i64[n], 0 the finest.
  """
  fitting = fits >= fit
  coarsest = fits.shape[1] - 1 - np.argmax(fitting[:, ::-1], axis=1)
  return np.where(fitting.any(axis=1), coarsest, np.argmax(fits, axis=1))


def lay_out(centers: np.ndarray, stock: Tiling, fit: float) -> Layout:
  """Lays sizes on feature maps that have heads of their own.

  Args:
    centers: f64[k, 2], (height, width), pixels.

  Returns:
    The layout, of at least one size on each map.
  """
  fits = cell_fits(centers, stock.strides, stock.input_size)
  maps = choose_maps(fits, fit)
  empty = np.setdiff1d(np.arange(len(stock.per_location)), maps)
  repeated = np.abs(fits[:, empty] - fit).argmin(axis=0)
  sizes = np.concatenate([centers, centers[repeated]])
  maps = np.concatenate([maps, empty])
  order = np.lexsort([sizes.prod(axis=1), maps])
  return Layout(sizes[order], maps[order], order >= len(centers), fit)


def lay_out_shared(centers: np.ndarray, stock: Tiling, fit: float) -> Layout:
  """Lays sizes on feature maps that share a head.

  Args:
    centers: f64[k, 2], (height, width) in units of a map's cells.
    fit: by which boxes went to maps.

  Returns:
    The layout, of k sizes on each map.
  """
  num_maps = len(stock.per_location)
  return Layout(
    sizes=(stock.strides[:, np.newaxis] * centers).reshape(-1, 2),
    maps=np.repeat(np.arange(num_maps), len(centers)),
    repeated_mask=np.zeros(num_maps * len(centers), bool),
    fit=fit,
  )


class _Search:
  """What is tried, on one set of boxes and feature maps."""

  def __init__(self, found, stock, *, is_shared, seed):
    self._stock = stock
    self._is_shared = is_shared
    self._seed = seed
    drawn = np.random.default_rng(seed).permutation(len(found.boxes))[: _FINAL['max_boxes']]
    self._sizes = found.sizes[drawn]
    self._distances = center_distances(found.boxes[drawn], stock)
    self._fits = cell_fits(self._sizes, stock.strides, stock.input_size) if is_shared else None

  def best(self, num_anchors):
    """The layout to take."""
    budget = len(self._stock.anchors)
    tried = []
    for num_clusters in self._numbers(num_anchors):
      layouts = list(self._layouts(num_clusters, _FITS, **_SEARCH))
      tried += [
        (layout.num_anchors(self._stock), self._mean_iou(layout), num_clusters, layout)
        for layout in layouts
      ]
      if min(layout.num_anchors(self._stock) for layout in layouts) > budget:
        break  # More clusters would need still more anchors.
    # A given number of clusters may need too many, or even one of them.
    affordable = [row for row in tried if row[0] <= budget]
    affordable = affordable or [min(tried, key=lambda row: row[0])]
    most = max(row[1] for row in affordable)
    worthy = [row for row in affordable if row[1] >= most - _WORTH]
    num, _, num_clusters, quick = min(worthy, key=lambda row: (row[0], -row[1]))
    (careful,) = self._layouts(num_clusters, [quick.fit], **_FINAL)
    return careful if careful.num_anchors(self._stock) <= max(budget, num) else quick

  def fit_positions(self, layout):
    """The layout, with sizes that overlap best where they lie."""
    if not self._is_shared:
      distances = self._distances[:, layout.maps]
      better = improve(self._sizes, layout.sizes, distances)
      return dataclasses.replace(layout, sizes=better.centers)
    maps, strides = self._cells(layout.fit)
    count = len(layout.sizes) // len(self._stock.per_location)
    distances = self._distances[np.arange(len(maps)), maps] / strides
    distances = np.broadcast_to(distances[:, np.newaxis], [len(maps), count, 2])
    centers = layout.sizes[:count] / self._stock.strides[0]
    better = improve(self._sizes / strides, centers, distances)
    return lay_out_shared(better.centers, self._stock, layout.fit)

  def _numbers(self, num_anchors):
    """Numbers of clusters to try; with a shared head, of those that every map gets."""
    num_maps = len(self._stock.per_location)
    if num_anchors is not None:
      return [num_anchors // num_maps if self._is_shared else num_anchors]
    if self._is_shared:
      distinct = [count_distinct(self._sizes_in_cells(fit)) for fit in _FITS]
      return [min(sum(self._stock.per_location) // num_maps, *distinct)]
    most = min(sum(self._stock.per_location), count_distinct(self._sizes))
    return range(1, most + 1)

  def _layouts(self, num_clusters, fits, **options):
    options['seed'] = self._seed
    if not self._is_shared:
      clusters = cluster_sizes(self._sizes, num_clusters, **options)
    for fit in fits:
      if self._is_shared:
        sizes = self._sizes_in_cells(fit)
        clusters = cluster_sizes(sizes, num_clusters, **options)
        yield lay_out_shared(clusters.centers, self._stock, fit)
      else:
        yield lay_out(clusters.centers, self._stock, fit)

  def _cells(self, fit):
    """Each box's map i64[n], and that map's strides f64[n, 2]."""
    maps = choose_maps(self._fits, fit)
    return maps, self._stock.strides[maps]

  def _sizes_in_cells(self, fit):
    return self._sizes / self._cells(fit)[1]

  def _mean_iou(self, layout):
    part = slice(_SEARCH['max_boxes'])
    distances = self._distances[part, layout.maps]
    return nearest(self._sizes[part], layout.sizes, distances)[1].mean()
