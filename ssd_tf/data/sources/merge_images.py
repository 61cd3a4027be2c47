"""Makes one image of a merged data set: renames classes, unites what several sources say of it."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ssd_tf.data.annotation import Annotation, concatenate
from ssd_tf.data.labeled_classes import map_labeled_ids

# Of the image's side: boxes no further apart are taken for the same.
_TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class UnionFindings:
  """Classes that several annotations of an image are labeled for, and those of differing boxes."""

  labeled_in_several: Sequence[int] = ()
  differing: Sequence[int] = ()
  num_boxes_left_out: int = 0


def map_classes(
  annotation: Annotation,
  table: Mapping[int, int],
  names: Mapping[int, str],
  default: Collection[int],
) -> Annotation:
  """Brings an annotation from its source's classes to the merged set's.

  A class of the merged set is labeled in the image if every class that becomes it is. Lists of
  verified, absent and not exhaustive classes are resolved into labeled_classes, and go.

  Args:
    table: the source's id -> the merged set's; boxes of an id that is not in it are left out.
    default: the source's ids of the classes labeled where the record does not say.
  """
  human = annotation.human_labeled_classes
  rows = np.flatnonzero([class_id in table for class_id in annotation.class_ids.tolist()])
  kept = concatenate([(annotation, rows)])
  class_ids = [table[class_id] for class_id in kept['class_ids'].tolist()]
  kept['class_ids'] = np.array(class_ids, np.int64)
  kept['class_names'] = [names[class_id] for class_id in class_ids]
  return dataclasses.replace(annotation, **kept).relabeled(
    map_labeled_ids(annotation.labeled_class_ids(default), table),
    None if human is None else map_labeled_ids(human, table),
  )


def unite(annotations: Sequence[Annotation]) -> tuple[Annotation, UnionFindings]:
  """Unites what several sources say of the same image.

  A class's boxes are all from one annotation: the first that is labeled for it, by people rather
  than by a detector; if none is labeled for it, the first that has boxes of it.

  Args:
    annotations: at least one, of the same encoded image, as `map_classes` returns them.

  Returns:
    The first annotation with the boxes of all and the union of the labeled classes; the findings.
  """
  first = annotations[0]
  if len(annotations) == 1:
    return first, UnionFindings()
  labeled = [set(a.labeled_classes) for a in annotations]
  human = [
    every if a.human_labeled_classes is None else set(a.human_labeled_classes)
    for a, every in zip(annotations, labeled, strict=True)
  ]
  boxes = [_boxes_by_class(a) for a in annotations]
  names = dict(
    pair for a in annotations for pair in zip(a.class_ids.tolist(), a.class_names, strict=True)
  )
  indices = range(len(annotations))
  taken = {
    c: min(indices, key=lambda k: (c not in human[k], c not in labeled[k], c not in boxes[k], k))
    for c in names
  }
  rows = [
    (a, np.flatnonzero([taken[c] == k for c in a.class_ids.tolist()]))
    for k, a in enumerate(annotations)
  ]
  several, differing = [], []
  for c in sorted(set().union(*labeled)):
    those = [boxes[k].get(c, np.zeros([0, 4])) for k in indices if c in labeled[k]]
    several += [c] * (len(those) > 1)
    differing += [c] * (not all(_are_same(those[0], other) for other in those[1:]))
  united = dataclasses.replace(
    first,
    **concatenate(rows),
    labeled_classes=sorted(set().union(*labeled)),
    human_labeled_classes=(
      None
      if all(a.human_labeled_classes is None for a in annotations)
      else sorted(set().union(*human))
    ),
    remarks=[remark for a in annotations for remark in a.remarks],
  )
  num_left_out = sum(len(a.boxes) for a in annotations) - len(united.boxes)
  return united, UnionFindings(several, differing, num_left_out)


def _boxes_by_class(annotation):
  class_ids = annotation.class_ids
  return {c: annotation.boxes[class_ids == c] for c in set(class_ids.tolist())}


def _are_same(boxes, others):
  if len(boxes) != len(others):
    return False
  close = (np.abs(boxes[:, np.newaxis] - others) <= _TOLERANCE).all(axis=-1)
  return bool(close.any(axis=0).all() and close.any(axis=1).all())
