"""Resolves which classes an image is labeled for, without TensorFlow; see `partial_labels` for it.

A class is labeled in an image if every instance of it there has a box. What is not labeled may be
in the image all the same: a loss must not call it background.
"""

from collections.abc import Collection, Mapping

DROPPED = 0  # In a table of class ids: boxes of this class are left out.


def labeled_class_ids(
  *,
  explicit: Collection[int] | None,
  verified: Collection[int] | None,
  not_exhaustive: Collection[int],
  group_of: Collection[int],
  boxes: Collection[int],
  default: Collection[int],
) -> set[int]:
  """Returns the classes labeled in an image, by what its record says.

  Args:
    explicit: ids of `image/class/labeled_classes`, which decides alone; None: not in the record.
    verified: ids of `image/class/label` and `image/neg_category_ids`: classes that somebody looked
      for in this image; None: the record has neither.
    not_exhaustive: ids of `image/not_exhaustive_category_ids`: some instances have no box.
    group_of: classes with a box that holds a whole group of instances.
    default: the classes labeled where a record has neither explicit nor verified ids.

  Source: Gupta et al., LVIS, section 3 (federated annotation); Kuznetsova et al., Open Images V4,
  section 3 (verified image-level labels).
  """
  if explicit is not None:
    return set(explicit)
  base = set(default) if verified is None else {*verified, *boxes}
  return base - {*not_exhaustive, *group_of}


def map_labeled_ids(labeled: Collection[int], table: Mapping[int, int]) -> set[int]:
  """Does to the labeled classes of an image what `partial_labels.map_classes` does."""
  missing = {target for class_id, target in table.items() if class_id not in labeled}
  return {target for target in table.values() if target not in {DROPPED, *missing}}
