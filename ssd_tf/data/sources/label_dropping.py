"""Chooses which labels an image of a complete data set keeps, to make partial labels."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ssd_tf.errors import InputError, closest


@dataclasses.dataclass(frozen=True)
class DroppingRules:
  """How labels are dropped.

  Attributes:
    groups: the class names of each group of images; None: num_groups of them are drawn.
    overlap: share of the classes that every drawn group has; each of the others has one group.
    group_fractions: share of the images in each group, of sum 1; None: all alike.
    shuffle: images come to groups at random, not in turn.
    drop_rate: probability that a box loses its label, whereupon its class is no longer labeled in
      its image; the other boxes of the class stay.
    class_drop: class name to the probability that an image is not labeled for it.
  """

  groups: Sequence[Sequence[str]] | None = None
  num_groups: int = 2
  overlap: float = 0.0
  group_fractions: Sequence[float] | None = None
  shuffle: bool = False
  drop_rate: float = 0.0
  class_drop: Mapping[str, float] = dataclasses.field(default_factory=dict)
  seed: int = 0

  def check(self, names: Collection[str]) -> None:
    """Refuses names that are no class, groups without any, rates and fractions out of range."""
    for number, group in enumerate(self.groups or ()):
      if not group:
        raise InputError(f'groups: group {number} (counted from 0) names no class')
      _check_names(f'groups: group {number} (counted from 0)', group, names)
    _check_names('class_drop', self.class_drop, names)
    rates = {'drop_rate': self.drop_rate, 'overlap': self.overlap}
    rates.update({f'class_drop: {name}': rate for name, rate in self.class_drop.items()})
    for place, rate in rates.items():
      _check_rate(place, rate)
    self._check_fractions()

  def _check_fractions(self):
    if self.group_fractions is None:
      return
    for fraction in self.group_fractions:
      _check_rate('group_fractions', fraction)
    count = self.num_groups if self.groups is None else len(self.groups)
    if len(self.group_fractions) != count:
      raise InputError(
        f'group_fractions: {len(self.group_fractions)} values; expected {count}, one for each group'
      )
    if abs(sum(self.group_fractions) - 1) > 1e-6:
      raise InputError(f'group_fractions: their sum is {sum(self.group_fractions):g}; expected 1')

  def class_groups(self, name_to_id: Mapping[str, int]) -> list[set[int]]:
    """The class ids of each group; refuses what `check` does, and drawn groups without a class."""
    self.check(name_to_id)
    if self.groups is not None:
      return [{name_to_id[name] for name in group} for group in self.groups]
    return draw_groups(name_to_id.values(), self.num_groups, self.overlap, self.seed)


def draw_groups(
  class_ids: Collection[int], num_groups: int, overlap: float, seed: int
) -> list[set[int]]:
  """Draws the classes of groups: round(overlap * K) are in every group, the others in one each."""
  order = np.random.default_rng(seed).permutation(sorted(class_ids)).tolist()
  num_shared = round(overlap * len(order))
  shared, own = order[:num_shared], order[num_shared:]
  if not shared and len(own) < num_groups:
    raise InputError(
      f'num_groups: {num_groups} groups of {len(order)} classes leave one without a class; '
      f'give at most {len(own)}, or an overlap'
    )
  return [{*shared, *own[i::num_groups]} for i in range(num_groups)]


def deal_images(
  num_images: int, fractions: Sequence[float], shuffle_seed: int | None = None
) -> np.ndarray:
  """Deals images to G groups, each to the one that lacks most of its share; i64[N], the groups.

  They come in turn, or with a shuffle_seed in an order that it draws.
  """
  shares = np.asarray(fractions, np.float64)
  counts = np.zeros(len(shares))
  groups = np.zeros(num_images, np.int64)
  for i in range(num_images):
    # Rounded: what is equal on paper goes to the first.
    groups[i] = np.argmax(np.round(shares * (i + 1) - counts, 6))
    counts[groups[i]] += 1
  if shuffle_seed is None:
    return groups
  return np.random.default_rng(shuffle_seed).permutation(groups)


def keep_labels(
  class_ids: np.ndarray,
  labeled: Collection[int],
  group: Collection[int],
  *,
  drop_rate: float,
  class_drop: Mapping[int, float],
  rng: np.random.Generator,
) -> tuple[np.ndarray, set[int]]:
  """Chooses the boxes that one image keeps and the classes it stays labeled for.

  Args:
    class_ids: i64[n], of the boxes.
    rng: of this image alone; what is drawn for a box does not depend on groups and rates.

  Returns:
    (bool[n], whether a box stays; class ids, the part of `labeled` of which every box stays).
  """
  class_draws = rng.random(len(class_drop))
  box_draws = rng.random(len(class_ids))
  allowed = set(group)
  for class_id, draw in zip(sorted(class_drop), class_draws, strict=True):
    if draw < class_drop[class_id]:
      allowed.discard(class_id)
  is_allowed = np.isin(class_ids, sorted(allowed))
  is_lost = is_allowed & (box_draws < drop_rate)
  return is_allowed & ~is_lost, (set(labeled) & allowed) - set(class_ids[is_lost].tolist())


def _check_names(place, given, names):
  for name in given:
    if name not in names:
      raise InputError(f'{place}: no class is named {name!r}; {closest(name, names)}')


def _check_rate(place, rate):
  if not 0 <= rate <= 1:  # NaN, too.
    raise InputError(f'{place}: {rate:g} lies outside [0, 1]')
