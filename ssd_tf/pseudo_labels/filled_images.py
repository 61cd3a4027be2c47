"""Fills the images of records one after another with pseudo-labels, and counts them."""

import collections
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np

from ssd_tf.data.annotation import Annotation
from ssd_tf.inference.records import Detected
from ssd_tf.pseudo_labels.filling import IGNORED, PSEUDO, Candidates, fill
from ssd_tf.pseudo_labels.score_thresholds import ScoreThresholds

_COUNTS = ('images_filled', 'boxes_added', 'boxes_ignored', 'boxes_left_out_by_overlap')


@dataclasses.dataclass
class FilledImages:
  """The annotations to write, to be iterated once, with counts of what was filled so far."""

  detected: Iterable[Detected]
  num_images: int
  thresholds: Mapping[int, ScoreThresholds]
  labeled_by_default: Collection[int]
  names: Mapping[int, str]
  max_overlap: float
  num_filled: int = 0

  def __post_init__(self):
    self.counts = {class_id: dict.fromkeys(_COUNTS, 0) for class_id in self.thresholds}

  def __len__(self) -> int:
    return self.num_images

  def __iter__(self) -> Iterator[Annotation]:
    for image in self.detected:
      candidates = self._candidates(image)
      filled = fill(
        image.annotation,
        candidates,
        fillable=self.thresholds,
        labeled_by_default=self.labeled_by_default,
        names=self.names,
        max_overlap=self.max_overlap,
      )
      self._count(filled, candidates)
      yield filled

  def _candidates(self, image):
    """The detections from the low threshold of their class on, weighted."""
    weights = np.zeros(len(image.scores), np.float32)
    wanted = np.zeros(len(image.scores), bool)
    for class_id, chosen in self.thresholds.items():
      rows = image.class_ids == class_id
      weights[rows] = chosen.weights(image.scores[rows])
      wanted[rows] = image.scores[rows] >= chosen.low
    return Candidates(image.boxes, image.class_ids, image.scores, weights).rows(wanted)

  def _count(self, filled, candidates):
    if filled.human_labeled_classes is None:
      return
    self.num_filled += 1
    made = collections.Counter(zip(filled.class_ids.tolist(), filled.sources, strict=True))
    for class_id in set(filled.labeled_classes) - set(filled.human_labeled_classes):
      counts = self.counts[class_id]
      added, ignored = made[class_id, PSEUDO], made[class_id, IGNORED]
      counts['images_filled'] += 1
      counts['boxes_added'] += added
      counts['boxes_ignored'] += ignored
      total = int((candidates.class_ids == class_id).sum())
      counts['boxes_left_out_by_overlap'] += total - added - ignored
