"""Chooses score thresholds of a class from precision and recall on labeled images."""

import dataclasses

import numpy as np

from ssd_tf.evaluation.overlaps import assign, overlaps


def match_detections(
  boxes: np.ndarray,
  scores: np.ndarray,
  groundtruth_boxes: np.ndarray,
  is_crowd: np.ndarray,
  is_left_out: np.ndarray,
  iou_threshold: float = 0.5,
) -> np.ndarray:
  """Tells which detections of one class in one image are right: i8[d], 1 right, 0 wrong, -1 none.

  By falling score, a detection takes the free groundtruth box that it overlaps most, if their IoU
  reaches the threshold. One that gets none, but overlaps as much a crowd or a box that is neither
  to be found nor wrong to find, is left out too; for a crowd, the overlap is the part of the
  detection that lies inside.

  Source: COCOeval.evaluateImg of pycocotools 2.0, at one IoU threshold. Unlike there, a box left
  out takes any number of detections, not only if it is a crowd.
  """
  is_left_out = np.asarray(is_left_out, bool) | np.asarray(is_crowd, bool)
  iou = overlaps(boxes, groundtruth_boxes, is_crowd)
  near = iou >= iou_threshold
  taken = assign(np.where(near & ~is_left_out, iou, -1.0), scores)
  outcome = np.where((near & is_left_out).any(axis=1), -1, 0).astype(np.int8)
  outcome[taken < len(groundtruth_boxes)] = 1
  return outcome


@dataclasses.dataclass(frozen=True)
class PrecisionRecall:
  """What remains of a class's detections at each score taken as the threshold; m thresholds.

  Attributes:
    thresholds: f64[m], the scores that occur, ascending.
    num_right: i64[m], detections of that score or more that are right; of num_detections i64[m].
  """

  thresholds: np.ndarray
  num_right: np.ndarray
  num_detections: np.ndarray
  num_boxes: int

  @classmethod
  def of(cls, scores: np.ndarray, is_right: np.ndarray, num_boxes: int) -> 'PrecisionRecall':
    """Counts."""
    thresholds, inverse = np.unique(np.asarray(scores, np.float64), return_inverse=True)
    m = len(thresholds)
    num_right = np.bincount(inverse, weights=np.asarray(is_right, np.float64), minlength=m)
    num_detections = np.bincount(inverse, minlength=m)
    from_above = [np.cumsum(counts[::-1])[::-1] for counts in (num_right, num_detections)]
    return cls(thresholds, *(counts.astype(np.int64) for counts in from_above), num_boxes)

  @property
  def precision(self) -> np.ndarray:
    """f64[m], right among the remaining detections."""
    return self.num_right / self.num_detections

  @property
  def recall(self) -> np.ndarray:
    """f64[m], groundtruth boxes that a remaining detection finds; 0 if there is no box."""
    return self.num_right / max(self.num_boxes, 1)

  def f_beta(self, beta: float) -> np.ndarray:
    """F-beta at each threshold, f64[m].

    (1 + beta^2) precision recall / (beta^2 precision + recall)
      = (1 + beta^2) right / (beta^2 boxes + detections)
    """
    square = beta**2
    return (1 + square) * self.num_right / (square * self.num_boxes + self.num_detections)


@dataclasses.dataclass(frozen=True)
class ScoreThresholds:
  """The two thresholds of a class.

  Attributes:
    high: from here on a detection is taken for an object.
    low: from here on, below `high`, it may be one; at most `high`.
    at_high: precision, recall and F at `high`, F with the beta it was chosen by.
    at_low: the same at `low`.
  """

  high: float
  low: float
  at_high: dict[str, float]
  at_low: dict[str, float]
  curve: PrecisionRecall

  def weights(self, scores: np.ndarray) -> np.ndarray:
    """The precision f32[d] of detections of these scores, by the validation; 0 below `high`.

    It is COCO's interpolated precision: the greatest at any threshold up to the score, which
    therefore never falls as the score rises.
    """
    scores = np.asarray(scores, np.float64)
    interpolated = np.maximum.accumulate(self.curve.precision)
    rows = np.searchsorted(self.curve.thresholds, scores, side='right') - 1
    return np.where(scores >= self.high, interpolated[rows], 0.0).astype(np.float32)


def choose_thresholds(curve: PrecisionRecall, beta: float, low_beta: float) -> ScoreThresholds:
  """Chooses the thresholds of a class: each has the greatest F-beta, with a beta of its own.

  Of equal F, `high` is the highest and `low` the lowest. With low_beta at or above beta, `low` is
  never above `high`: F rises with 1 / (beta^2 boxes + detections), and the larger beta^2 is, the
  less it matters how many detections there are.

  Raises:
    ValueError: no threshold to choose from, or low_beta below beta.
  """
  if not len(curve.thresholds) or low_beta < beta:
    raise ValueError(f'{len(curve.thresholds)} thresholds, beta {beta}, low_beta {low_beta}')
  high_f, low_f = curve.f_beta(beta), curve.f_beta(low_beta)
  high = len(high_f) - 1 - int(np.argmax(high_f[::-1]))
  low = min(int(np.argmax(low_f)), high)

  def at(row, f):
    values = {'precision': curve.precision, 'recall': curve.recall, 'f_beta': f}
    return {name: float(value[row]) for name, value in values.items()}

  return ScoreThresholds(
    high=float(curve.thresholds[high]),
    low=float(curve.thresholds[low]),
    at_high=at(high, high_f),
    at_low=at(low, low_f),
    curve=curve,
  )
