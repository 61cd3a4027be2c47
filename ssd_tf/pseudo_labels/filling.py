"""Adds a detector's boxes of the classes that an image is not labeled for to the annotators'.

A box that the detector is sure of is added with a weight ('pseudo'); one that it is not sure of
with weight 0 ('ignored'), so that what it covers is trained neither as the class nor as background.
"""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from ssd_tf.data.annotation import BOX_FIELDS, Annotation, concatenate
from ssd_tf.evaluation.overlaps import overlaps

HUMAN = 'human'
PSEUDO = 'pseudo'
IGNORED = 'ignored'


@dataclasses.dataclass(frozen=True)
class Candidates:
  """Detections of one image that may become boxes, with weights in the loss; 0: it is ignored."""

  boxes: np.ndarray
  class_ids: np.ndarray
  scores: np.ndarray
  weights: np.ndarray

  def rows(self, index: np.ndarray) -> 'Candidates':
    """The candidates of a mask or of row numbers, in their order."""
    return Candidates(*(getattr(self, f.name)[index] for f in dataclasses.fields(self)))


def human_part(annotation: Annotation) -> Annotation:
  """Takes a detector's boxes, and what they made of the labeled classes, out of an annotation.

  Where boxes are 'pseudo' or 'ignored', but the record does not say which classes people had
  labeled, the classes of those boxes are not labeled.
  """
  if annotation.sources is None and annotation.human_labeled_classes is None:
    return annotation
  sources = annotation.sources or [HUMAN] * len(annotation.boxes)
  kept = np.array([source not in (PSEUDO, IGNORED) for source in sources], bool)
  labeled = annotation.human_labeled_classes
  if labeled is None and annotation.labeled_classes is not None:
    filled = set(np.asarray(annotation.class_ids)[~kept].tolist())
    labeled = sorted({*annotation.labeled_classes} - filled)
  return dataclasses.replace(
    annotation.select(kept), labeled_classes=labeled, human_labeled_classes=None
  )


def fill(
  annotation: Annotation,
  candidates: Candidates,
  *,
  fillable: Collection[int],
  labeled_by_default: Collection[int],
  names: Mapping[int, str],
  max_overlap: float = 0.5,
) -> Annotation:
  """Adds a detector's boxes for the classes that people have not labeled; these become labeled.

  The boxes of people and all else that they said stay as they are; a detector's of an earlier round
  are replaced. A candidate is left out where its IoU with a box of a person, of whichever class, is
  max_overlap or more; so it is where a better candidate of another class lies there: of two classes
  for one object, one is wrong. Better is weight above 0 before weight 0, then the higher score.

  Returns:
    The annotation, its new boxes last, the better ones first, so that what a reader's
    max_number_of_boxes cuts off is the worst; human_labeled_classes holds what was labeled before.
    One where no class is to be filled is as `human_part` returns it.
  """
  human = human_part(annotation)
  labeled = human.labeled_class_ids(labeled_by_default)
  filled = set(fillable) - labeled
  if not filled:
    return human
  boxes = np.clip(candidates.boxes, 0.0, 1.0)
  has_area = (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
  candidates = dataclasses.replace(candidates, boxes=boxes)
  candidates = candidates.rows(has_area & np.isin(candidates.class_ids, list(filled)))
  candidates = candidates.rows(np.lexsort((-candidates.scores, candidates.weights == 0)))
  added = candidates.rows(_not_overlapping(human.boxes, candidates, max_overlap))
  return dataclasses.replace(
    _append(human, added, names),
    labeled_classes=sorted(labeled | filled),
    human_labeled_classes=sorted(labeled),
  )


def _not_overlapping(human_boxes, candidates, max_overlap):
  """The row numbers of the candidates to add, which come best first."""
  rivals = overlaps(candidates.boxes, candidates.boxes) >= max_overlap
  rivals &= candidates.class_ids[:, np.newaxis] != candidates.class_ids
  taken = (overlaps(candidates.boxes, human_boxes) >= max_overlap).any(axis=1)
  kept = []
  for row in np.flatnonzero(~taken):
    if not rivals[row, kept].any():
      kept.append(row)
  return np.array(kept, np.int64)


def _append(human, added, names):
  optional = [field.name for field in BOX_FIELDS if not field.is_required]
  other = dataclasses.replace(
    human,
    **{
      **dict.fromkeys(optional),
      'boxes': added.boxes,
      'class_ids': added.class_ids,
      'class_names': [names[i] for i in added.class_ids.tolist()],
      'weights': added.weights,
      'scores': added.scores,
      'sources': [PSEUDO if weight else IGNORED for weight in added.weights],
    },
  )
  parts = [(part, np.arange(len(part.boxes))) for part in (human, other)]
  return dataclasses.replace(human, **concatenate(parts))
