import numpy as np
import pytest

from ssd_tf.data.sources import label_dropping
from ssd_tf.errors import InputError

NAMES = {'RBC': 1, 'WBC': 2, 'Platelets': 4}


@pytest.mark.parametrize(
  ('num_images', 'fractions', 'groups'),
  [
    (5, [0.5, 0.5], [0, 1, 0, 1, 0]),
    (7, [1 / 3] * 3, [0, 1, 2, 0, 1, 2, 0]),
    # What each lacks: .75 .25, then .5 .5, then .25 .75, then 1 0, then as before.
    (8, [0.75, 0.25], [0, 0, 1, 0, 0, 0, 1, 0]),
    (3, [0.0, 1.0], [1, 1, 1]),
    (0, [1.0], []),
  ],
)
def test_images_are_dealt_in_turn(num_images, fractions, groups):
  np.testing.assert_array_equal(label_dropping.deal_images(num_images, fractions), groups)


def test_shuffled_groups_have_the_same_sizes_and_depend_on_the_seed():
  first, again, other = (label_dropping.deal_images(1000, [0.9, 0.1], s) for s in (1, 1, 2))
  np.testing.assert_array_equal(first, again)
  assert first.sum() == other.sum() == 100
  assert (first != other).any() and (first != label_dropping.deal_images(1000, [0.9, 0.1])).any()


@pytest.mark.parametrize(
  ('num_groups', 'overlap', 'sizes', 'num_shared'),
  [
    (2, 0.0, [5, 5], 0),
    (2, 0.2, [6, 6], 2),  # 2 shared, 8 in two parts.
    (3, 0.3, [6, 5, 5], 3),  # 3 shared, 7 = 3 + 2 + 2.
    (4, 1.0, [10] * 4, 10),
    (1, 0.0, [10], 10),
  ],
)
def test_drawn_groups(num_groups, overlap, sizes, num_shared):
  ids = range(11, 21)
  groups = label_dropping.draw_groups(ids, num_groups, overlap, seed=3)
  assert list(map(len, groups)) == sizes
  assert set.union(*groups) == set(ids)
  assert len(set.intersection(*groups)) == num_shared
  assert groups == label_dropping.draw_groups(reversed(ids), num_groups, overlap, seed=3)
  drawn = [label_dropping.draw_groups(ids, 2, 0.0, seed=s) for s in range(4)]
  assert drawn[0] != drawn[1] or drawn[0] != drawn[2]


class Draws:
  """A generator that gives these numbers, one list at each call."""

  def __init__(self, *draws):
    self._draws = list(draws)

  def random(self, n):
    draws = self._draws.pop(0)
    assert len(draws) == n
    return np.array(draws)


def keep(class_ids, labeled, group, draws, drop_rate=0.0, class_drop=None):
  kept, labeled = label_dropping.keep_labels(
    np.array(class_ids, np.int64),
    labeled,
    group,
    drop_rate=drop_rate,
    class_drop=class_drop or {},
    rng=Draws(*draws),
  )
  return kept.tolist(), labeled


ALL = {1, 2, 3}


@pytest.mark.parametrize(
  ('given', 'rates', 'expected'),
  [
    # The group alone: class 1 goes; 3 is labeled without a box.
    (([1, 2, 1], ALL, {2, 3}, [[], [0, 0, 0]]), {}, ([False, True, False], {2, 3})),
    # An image that is labeled for 1 and 2 only stays unlabeled for 3; its box of 3 stays.
    (([3, 2], {1, 2}, {2, 3}, [[], [0, 0]]), {}, ([True, True], {2})),
    # The second box, drawn .19 < .2, goes: 1 is not labeled any more, but its first box stays.
    (
      ([1, 1, 2], ALL, ALL, [[], [0.2, 0.19, 0.9]]),
      {'drop_rate': 0.2},
      ([True, False, True], {2, 3}),
    ),
    # A box outside the group takes no label from a class of it.
    (([1, 2], ALL, {2}, [[], [0.1, 0.9]]), {'drop_rate': 0.2}, ([False, True], {2})),
    # Draws are for the classes by ascending id: 1 .6 of .5, 2 .4 of .5.
    (
      ([2, 1, 2], ALL, ALL, [[0.6, 0.4], [0.9] * 3]),
      {'class_drop': {2: 0.5, 1: 0.5}},
      ([False, True, False], {1, 3}),
    ),
    # Rate 1 always, rate 0 never.
    (
      ([1, 2], ALL, ALL, [[0.999, 0.0], [0, 0]]),
      {'class_drop': {1: 1.0, 2: 0.0}},
      ([False, True], {2, 3}),
    ),
    # No groundtruth.
    (([], ALL, {1}, [[], []]), {'drop_rate': 1.0}, ([], {1})),
  ],
)
def test_labels_kept(given, rates, expected):
  assert keep(*given, **rates) == expected


@pytest.mark.parametrize(
  ('rules', 'message'),
  [
    (
      {'groups': [['RBC'], ['WBCs']]},
      'groups: group 1 (counted from 0): no class is named \'WBCs\'; did you mean "WBC"?',
    ),
    ({'groups': [['RBC'], []]}, 'groups: group 1 (counted from 0) names no class'),
    ({'class_drop': {'rbc': 0.5}}, "class_drop: no class is named 'rbc'; known: Platelets, RBC"),
    ({'class_drop': {'RBC': 1.5}}, 'class_drop: RBC: 1.5 lies outside [0, 1]'),
    ({'drop_rate': -0.1}, 'drop_rate: -0.1 lies outside [0, 1]'),
    ({'drop_rate': float('nan')}, 'drop_rate: nan lies outside [0, 1]'),
    ({'overlap': 2}, 'overlap: 2 lies outside [0, 1]'),
    ({'group_fractions': [1.5, -0.5]}, 'group_fractions: 1.5 lies outside [0, 1]'),
    ({'group_fractions': [0.5, 0.4]}, 'group_fractions: their sum is 0.9; expected 1'),
    ({'group_fractions': [1.0]}, 'group_fractions: 1 values; expected 2, one for each group'),
    ({'num_groups': 4}, 'num_groups: 4 groups of 3 classes leave one without a class'),
  ],
)
def test_rules_that_cannot_be_followed(rules, message):
  with pytest.raises(InputError) as caught:
    label_dropping.DroppingRules(**rules).class_groups(NAMES)
  assert str(caught.value).startswith(message)


def test_groups_by_name():
  rules = label_dropping.DroppingRules(groups=[['RBC'], ['WBC', 'Platelets', 'RBC']])
  assert rules.class_groups(NAMES) == [{1}, {1, 2, 4}]
