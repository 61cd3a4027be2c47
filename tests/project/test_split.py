import collections

import numpy as np
import pytest

from ssd_tf.project import split


def images_of(*classes):
  """One group for each image; classes are {class id: boxes}."""
  return [(f'image {i}', counts) for i, counts in enumerate(classes)]


@pytest.mark.parametrize('seed', range(5))
def test_each_class_has_its_share(seed):
  rng = np.random.default_rng(seed)
  classes = [{1: int(rng.integers(1, 4))} for _ in range(80)]
  classes += [{2: 1, 1: 1} for _ in range(20)] + [{3: 1} for _ in range(10)] + [{}] * 50
  validates = split.split(images_of(*classes), 0.2, seed)
  sums = collections.Counter()
  for counts, is_chosen in zip(classes, validates, strict=True):
    sums.update(counts if is_chosen else {})
  totals = sum(map(collections.Counter, classes), collections.Counter())
  assert abs(sums[1] - 0.2 * totals[1]) <= 3  # The boxes of one image.
  assert sums[2] == 4
  assert sums[3] == 2
  assert abs(validates.sum() - 0.2 * 160) <= 3
  assert 0.1 < validates[-50:].mean() < 0.35  # Without boxes.


def test_the_seed_decides():
  images = images_of(*[{1: 1}] * 40)
  first = split.split(images, 0.25, 3)
  assert first.sum() == 10
  np.testing.assert_array_equal(split.split(images, 0.25, 3), first)
  assert (split.split(images, 0.25, 4) != first).any()


@pytest.mark.parametrize('seed', range(5))
def test_copies_stay_together(seed):
  images = [(i // 3, {1: 1}) for i in range(30)]
  validates = split.split(images, 0.3, seed).reshape(10, 3)
  assert (validates.all(1) == validates.any(1)).all()
  assert validates.all(1).sum() == 3


def test_a_rare_class_trains_first():
  # Of 1 image .2 is to validate, of 2 .4, of 3 .6: each time the first goes to training.
  for number, expected in ((1, 0), (2, 0), (3, 1), (5, 1)):
    images = images_of(*[{1: 1}] * 40, *[{2: 1}] * number)
    assert split.split(images, 0.2, 0)[40:].sum() == expected


@pytest.mark.parametrize('share', [0.01, 0.2, 0.8, 0.99])
@pytest.mark.parametrize('seed', range(4))
def test_two_images_and_the_one_with_boxes_trains(share, seed):
  assert split.split(images_of({1: 1}, {1: 1}), share, seed).sum() == 1
  assert split.split(images_of({}, {}), share, seed).sum() == 1
  if share < 0.5:
    np.testing.assert_array_equal(split.split(images_of({1: 1}, {}), share, seed), [False, True])


def test_one_group_cannot_be_split():
  assert split.split([('same', {1: 1})] * 3, 0.2, 0).sum() in (0, 3)
