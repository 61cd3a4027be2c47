"""Splits images for training and validation: an equal share of each class, copies together."""

import collections
from collections.abc import Hashable, Mapping, Sequence

import numpy as np


def split(
  images: Sequence[tuple[Hashable, Mapping[int, int]]], share: float, seed: int
) -> np.ndarray:
  """Chooses the images that validate.

  Groups of equal images are dealt class by class, the rarest first, as in iterative stratification:
  a group goes to the side that still lacks most of the class's boxes, so that every class has about
  the same share of its boxes on both sides. Images without boxes are dealt last.

  Args:
    images: of each its group (images of one group stay together), and the boxes of each class.
    share: of the images that validate, between 0 and 1.
    seed: of the order in which groups are dealt.

  Returns:
    bool[number of images]. With two groups or more, at least one image validates and one trains,
    one with boxes if there is any.

  Source: Sechidis, Tsoumakas and Vlahavas, On the Stratification of Multi-Label Data, 2011.
  """
  members, boxes = collections.defaultdict(list), collections.defaultdict(collections.Counter)
  for row, (group, classes) in enumerate(images):
    members[group].append(row)
    boxes[group].update(classes)
  order = list(members)
  np.random.default_rng(seed).shuffle(order)
  wanted = _wanted(members, boxes, share)
  validates, waiting = np.zeros(len(images), bool), dict.fromkeys(order)
  while waiting:
    left = collections.Counter()
    for group in waiting:
      left.update(dict.fromkeys(boxes[group], 1))
    rarest = min(left, key=lambda class_id: (left[class_id], class_id)) if left else None
    for group in [each for each in waiting if rarest is None or boxes[each][rarest]]:
      del waiting[group]
      side = _side(wanted, rarest)
      validates[members[group]] = side
      wanted[side].subtract({**boxes[group], None: len(members[group])})
  _fill_empty_side(validates, members, boxes)
  return validates


def _wanted(members, boxes, share):
  """What each side is to get: boxes of each class, and under None images."""
  totals = collections.Counter({None: sum(map(len, members.values()))})
  for counts in boxes.values():
    totals.update(counts)
  return {
    side: collections.Counter({key: total * part for key, total in totals.items()})
    for side, part in ((True, share), (False, 1 - share))
  }


def _side(wanted, class_id):
  """Whether to validate: the side that lacks more of the class, of two equal ones more images."""
  return max((False, True), key=lambda side: (wanted[side][class_id], wanted[side][None]))


def _fill_empty_side(validates, members, boxes):
  """Moves a group where one side has got nothing: a small one, and not all boxes to validation."""
  if len(members) < 2 or validates.any() != validates.all():
    return
  total = sum(counts.total() for counts in boxes.values())

  def cost(group):
    num_boxes = boxes[group].total()
    left = num_boxes if validates.all() else total - num_boxes
    return left == 0, len(members[group])

  moved = members[min(members, key=cost)]
  validates[moved] = not validates[moved[0]]
