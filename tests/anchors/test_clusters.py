"""k-means by IoU held to hand arithmetic, and to the best of all partitions."""

import functools
import itertools

import numpy as np
import pytest

from ssd_tf.anchors import clusters
from ssd_tf.errors import InputError

RNG = np.random.default_rng(7)
FEW = np.round(np.exp(RNG.uniform(2, 5, [8, 2])), 1)
# Three heaps of sizes, none square.
MANY = np.concatenate(
  [np.exp(RNG.normal(np.log(size), 0.15, [200, 2])) for size in ([20, 60], [90, 40], [200, 210])]
)


@pytest.mark.parametrize(
  ('size', 'other', 'distance', 'iou'),
  [
    ([10, 20], [10, 20], None, 1.0),
    # Common center: 10 * 10 shared of 200 + 100 - 100.
    ([10, 20], [10, 10], None, 100 / 200),
    # Crossed: 4 * 5 of 40 + 100 - 20.
    ([4, 10], [20, 5], None, 20 / 120),
    ([4, 10], [20, 5], [0, 0], 20 / 120),
    # Own size, 5 off along y: 5 * 20 of 200 + 200 - 100.
    ([10, 20], [10, 20], [5, 0], 100 / 300),
    # A small one inside a large one, off its center: 2 * 4 of 8 + 400 - 8.
    ([2, 4], [20, 20], [9, 8], 8 / 400),
    # The same, half over the edge along y: 1 * 4 of 8 + 400 - 4.
    ([2, 4], [20, 20], [10, 8], 4 / 404),
    # They touch, and they are apart.
    ([10, 20], [10, 20], [10, 0], 0.0),
    ([10, 20], [10, 20], [0, 50], 0.0),
  ],
)
def test_iou_of_sizes(size, other, distance, iou):
  distance = None if distance is None else np.array(distance, float)
  found = clusters.size_iou(np.array(size, float), np.array(other, float), distance)
  assert found == pytest.approx(iou, abs=1e-12)


def best_center(sizes):
  """The highest sum of IoUs with one size: a dense grid, then denser ones around its best."""
  low, high = sizes.min(axis=0), sizes.max(axis=0)
  for _ in range(4):
    heights, widths = (np.geomspace(low[i], high[i], 41) for i in (0, 1))
    grid = np.stack(np.meshgrid(heights, widths, indexing='ij'), axis=-1).reshape(-1, 2)
    totals = clusters.size_iou(sizes, grid[:, np.newaxis]).sum(axis=1)
    best = grid[totals.argmax()]
    ratio = (high / low) ** (1 / 40)
    low, high = best / ratio, best * ratio
  return totals.max()


@functools.cache
def best_totals():
  """Of every set of the few sizes."""
  return {
    members: best_center(FEW[list(members)])
    for count in range(1, len(FEW) + 1)
    for members in itertools.combinations(range(len(FEW)), count)
  }


@pytest.mark.parametrize('k', [1, 2, 3])
def test_clusters_are_as_good_as_the_best_of_all_partitions(k):
  totals = best_totals()
  best = 0.0
  for labels in itertools.product(range(k), repeat=len(FEW)):
    parts = [tuple(i for i, label in enumerate(labels) if label == part) for part in range(k)]
    best = max(best, sum(totals[part] for part in parts if part))
  found = clusters.cluster_sizes(FEW, k, num_restarts=20)
  assert found.mean_ious[-1] == pytest.approx(best / len(FEW), abs=2e-3)
  # By the brute force's own reckoning.
  own = clusters.size_iou(FEW[:, np.newaxis], found.centers).max(axis=1).mean()
  assert found.mean_ious[-1] == pytest.approx(own, abs=1e-12)
  assert (np.diff(found.centers.prod(axis=1)) >= 0).all()


def test_no_step_is_for_the_worse():
  for seed in range(5):
    found = clusters.cluster_sizes(MANY, 6, seed=seed, num_restarts=1)
    assert len(found.mean_ious) > 2
    assert (np.diff(found.mean_ious) >= -1e-12).all()


def test_means_alone_can_be_worse_than_what_is_found():
  # One cluster of two sizes: the mean, 55 x 55, has (0.033 + 0.3025) / 2; the larger .505.
  sizes = np.array([[10.0, 10.0], [100.0, 100.0]])
  found = clusters.cluster_sizes(sizes, 1)
  assert found.mean_ious[-1] == pytest.approx((1 + 0.01) / 2, abs=1e-3)


def test_heaps_are_found_and_a_seed_gives_the_same_again():
  found = clusters.cluster_sizes(MANY, 3, seed=3)
  np.testing.assert_allclose(found.centers, [[20, 60], [90, 40], [200, 210]], rtol=0.05)
  again = clusters.cluster_sizes(MANY, 3, seed=3)
  np.testing.assert_array_equal(found.centers, again.centers)
  part = clusters.cluster_sizes(MANY, 3, seed=3, max_boxes=150)
  np.testing.assert_allclose(part.centers, found.centers, rtol=0.1)


def test_as_many_clusters_as_sizes():
  sizes = np.repeat(FEW, 3, axis=0)
  found = clusters.cluster_sizes(sizes, len(FEW))
  assert found.mean_ious[-1] == pytest.approx(1.0)
  np.testing.assert_allclose(sorted(found.centers.tolist()), sorted(FEW.tolist()), rtol=1e-9)


def test_too_few_distinct_sizes():
  # A thousandth of a pixel is rounding.
  sizes = np.array([[10, 20], [10.001, 20], [30, 40]], float)
  with pytest.raises(InputError) as error:
    clusters.cluster_sizes(sizes, 3)
  assert str(error.value) == (
    'num_anchors: 3 sizes are to be found, but the 3 boxes have only 2 distinct ones (to a '
    'hundredth of a pixel); lower num_anchors'
  )


def test_chunks_change_nothing(monkeypatch):
  centers = MANY[::100]
  whole = clusters.nearest(MANY, centers)
  monkeypatch.setattr(clusters, '_CHUNK', 50)
  for values, expected in zip(clusters.nearest(MANY, centers), whole, strict=True):
    np.testing.assert_array_equal(values, expected)


def test_a_cluster_without_boxes_moves_where_it_is_needed():
  sizes = np.array([[10.0, 10.0], [11.0, 11.0], [50.0, 90.0]])
  found = clusters.improve(sizes, np.array([[10.0, 10.0], [1e5, 1.0]]))
  np.testing.assert_allclose(found.centers[1], [50, 90], rtol=1e-6)
