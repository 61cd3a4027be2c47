"""Chooses the score thresholds of each class from detections on labeled images."""

import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from ssd_tf.errors import InputError
from ssd_tf.inference.records import Detected
from ssd_tf.pseudo_labels import score_thresholds
from ssd_tf.pseudo_labels.filling import human_part


@dataclasses.dataclass(frozen=True)
class Rules:
  """What a detection has to be to become a box.

  Attributes:
    beta: of the F-beta that chooses the high threshold. Below 1, precision counts more: a wrong
      box is trained, found again with a higher score and so confirmed, while a missed one that the
      low threshold catches is merely ignored.
    low_beta: of the F-beta that chooses the low threshold; above 1, recall counts more.
    min_precision: at the high threshold; a class that stays below is not filled.
    min_validation_boxes: a class with fewer is not filled: its thresholds would be chance.
    max_overlap: see `filling.fill`.

  Source: Sohn et al., STAC, and Liu et al., Unbiased Teacher, keep pseudo-labels from a high score
  on, of all classes alike; Chen et al., Dense Learning Based Semi-Supervised Object Detection,
  ignore what lies between a low and a high one. Chosen per class, they need not be probabilities.
  """

  beta: float = 0.5
  low_beta: float = 2.0
  min_precision: float = 0.5
  min_validation_boxes: int = 20
  max_overlap: float = 0.5

  def __post_init__(self):
    if not 0 < self.beta <= self.low_beta:
      raise InputError(
        f'beta is {self.beta}, low_beta {self.low_beta}: expected 0 < beta <= low_beta, or the low '
        'threshold could lie above the high one'
      )
    if not 0 < self.max_overlap <= 1:
      raise InputError(f'max_overlap is {self.max_overlap}: expected an IoU, above 0 and up to 1')


@dataclasses.dataclass
class Tally:
  """What validation saw of a class: scores f32[d] and outcomes i8[d] of each image, and boxes."""

  scores: list = dataclasses.field(default_factory=list)
  outcomes: list = dataclasses.field(default_factory=list)
  num_boxes: int = 0


def tally_matches(detected: Iterable[Detected], class_ids: Collection[int]) -> Mapping[int, Tally]:
  """Compares detections with the boxes of people, class by class, in the images labeled for it.

  Crowds, groups and difficult boxes are left out, as are the boxes of a detector. An image whose
  record does not say what it is labeled for is labeled for all classes.
  """
  tallies = collections.defaultdict(Tally)
  for image in detected:
    human = human_part(image.annotation)
    none = np.zeros(len(human.boxes), bool)
    flags = (none if f is None else f for f in (human.is_crowd, human.group_of, human.difficult))
    is_crowd, group_of, difficult = flags
    is_crowd = is_crowd | group_of
    for class_id in human.labeled_class_ids(class_ids) & set(class_ids):
      rows, own = image.class_ids == class_id, human.class_ids == class_id
      tally = tallies[class_id]
      tally.scores.append(image.scores[rows])
      tally.outcomes.append(
        score_thresholds.match_detections(
          image.boxes[rows], image.scores[rows], human.boxes[own], is_crowd[own], difficult[own]
        )
      )
      tally.num_boxes += int((own & ~is_crowd & ~difficult).sum())
  if not sum(tally.num_boxes for tally in tallies.values()):
    raise InputError(
      'the validation records hold no box of a labeled class, so no threshold can be chosen; give '
      'labeled records to --validation_path'
    )
  return tallies


def choose(
  tally: Tally, rules: Rules
) -> tuple[score_thresholds.ScoreThresholds | None, dict[str, object]]:
  """Chooses the thresholds of a class, None where it cannot be trusted, and what a report says."""
  scores = np.concatenate([np.zeros(0), *tally.scores])
  outcomes = np.concatenate([np.zeros(0, np.int8), *tally.outcomes])
  counted = outcomes >= 0
  right = outcomes[counted] == 1
  found = {'validation_images': len(tally.scores), 'validation_boxes': tally.num_boxes}
  if tally.num_boxes < rules.min_validation_boxes:
    few = f'{tally.num_boxes} validation boxes; at least {rules.min_validation_boxes} are needed'
    return None, {**found, 'not_filled': few}
  if not right.any():
    none = f'none of {right.size} detections on the validation images is right'
    return None, {**found, 'not_filled': none}
  curve = score_thresholds.PrecisionRecall.of(scores[counted], right, tally.num_boxes)
  chosen = score_thresholds.choose_thresholds(curve, rules.beta, rules.low_beta)
  found['high_threshold'] = {'score': chosen.high, **chosen.at_high}
  found['low_threshold'] = {'score': chosen.low, **chosen.at_low}
  if chosen.at_high['precision'] < rules.min_precision:
    low = f'precision {chosen.at_high["precision"]:.3f}; at least {rules.min_precision} is needed'
    return None, {**found, 'not_filled': low}
  return chosen, found
