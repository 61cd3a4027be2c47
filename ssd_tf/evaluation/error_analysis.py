"""Analyzes a detector's errors: false positives by kind, missed objects, confused classes."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from ssd_tf.evaluation.image_results import ImageResult
from ssd_tf.evaluation.overlaps import assign, overlaps

RIGHT = 'right'
LOCALIZATION = 'localization'
CLASS = 'class'
DUPLICATE = 'duplicate'
BACKGROUND = 'background'
LEFT_OUT = 'left out'
FALSE_POSITIVES = (LOCALIZATION, CLASS, DUPLICATE, BACKGROUND)
_ARRAYS = ('boxes', 'scores', 'classes')


@dataclasses.dataclass(frozen=True)
class JudgedImage:
  """What the detections of an image are; d detections, n groundtruth boxes.

  Attributes:
    result: the image, with those of its detections that reach the score threshold.
    kinds: str[d], one of RIGHT, *FALSE_POSITIVES and LEFT_OUT.
    counted: bool[n], False for crowds, groups and difficult boxes: neither found nor missed.
    found: bool[n].
  """

  result: ImageResult
  kinds: np.ndarray
  counted: np.ndarray
  found: np.ndarray

  @property
  def missed(self) -> np.ndarray:
    """bool[n]: the objects that no detection found."""
    return self.counted & ~self.found

  @property
  def wrong(self) -> np.ndarray:
    """bool[d]: the false positives of all kinds."""
    return np.isin(self.kinds, FALSE_POSITIVES)


@dataclasses.dataclass(frozen=True)
class ScoreHistogram:
  """How many detections have which score: right and wrong ones i64[m] in m bins.

  edges is f64[m+1]; a score on an edge falls into the bin above, 1 into the last one.
  """

  edges: np.ndarray
  right: np.ndarray
  wrong: np.ndarray


@dataclasses.dataclass(frozen=True)
class ClassCounts:
  """Counts by class, i64[K] each, column i for class i + 1.

  Attributes:
    groundtruth: objects that are to be found.
    found: those of them that a detection found.
    predicted: detections, right or wrong; those left out too.
    wrong: false positives of all kinds.
  """

  groundtruth: np.ndarray
  found: np.ndarray
  predicted: np.ndarray
  wrong: np.ndarray


def judge(
  result: ImageResult,
  *,
  score_threshold: float = 0.0,
  iou_threshold: float = 0.5,
  loose_iou_threshold: float = 0.1,
) -> JudgedImage:
  """Tells what each detection of an image is.

  By falling score, a detection takes the free object of its class that it overlaps most, and is
  right if their IoU reaches the threshold. Of the others, the first that holds:
  - left out: its class is not labeled in the image, or it lies as much on a difficult box of its
    class, or by that share inside a crowd or group of it;
  - duplicate: IoU with an object of its class that is taken;
  - localization: IoU of loose_iou_threshold or more with an object of its class;
  - class: IoU with an object of another class;
  - background.
  Of equal scores the first comes first; of equal overlaps the last box is taken, as in COCO.

  Args:
    loose_iou_threshold: from which a box is badly placed rather than in an empty spot.

  Source: Hoiem et al., Diagnosing Error in Object Detectors, ECCV 2012, which counts duplicates
  with localization and a class like its own apart; Bolya et al., TIDE, ECCV 2020, where another
  class at a low IoU is an error of its own ("both"), which is background here.
  """
  result = _above(result, score_threshold)
  counted, iou, same, judged = _compare(result)
  near = same & counted & (iou >= iou_threshold) & judged[:, np.newaxis]
  taken_by = assign(np.where(near, iou, -1.0), result.scores)

  others = counted & ~same & (iou >= iou_threshold)
  kinds = np.select(
    [
      ~judged,
      taken_by < len(counted),
      (same & ~counted & (iou >= iou_threshold)).any(axis=1),
      near.any(axis=1),
      (same & counted & (iou >= loose_iou_threshold)).any(axis=1),
      others.any(axis=1),
    ],
    [LEFT_OUT, RIGHT, LEFT_OUT, DUPLICATE, LOCALIZATION, CLASS],
    BACKGROUND,
  )
  return JudgedImage(result, kinds, counted, np.isin(np.arange(len(counted)), taken_by))


def confusion_matrix(
  results: Iterable[ImageResult],
  num_classes: int,
  *,
  score_threshold: float = 0.5,
  iou_threshold: float = 0.5,
) -> np.ndarray:
  """Counts what is detected in the place of what.

  By falling score, a detection of any class takes the free object that it overlaps most, if their
  IoU reaches the threshold; of equal overlaps one of its own class. Difficult boxes, crowds and
  groups count for nothing, nor do detections that lie on one of their class and on no object, or
  of classes that are not labeled in the image.

  Returns:
    i64[K+1,K+1]: rows are the groundtruth's classes, columns the detections'. Row 0: detections of
    no object; column 0: objects that nothing detects.
  """
  matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
  for result in results:
    result = _above(result, score_threshold)
    counted, iou, same, judged = _compare(result)
    near = iou >= iou_threshold
    free = np.where(near & counted & judged[:, np.newaxis], iou, -1.0)
    taken = assign(free, result.scores, preferred=same)
    # Row 0 stands for whatever is no object.
    rows = np.append(result.groundtruth_classes, 0)[taken]
    left_out = ~judged | ((rows == 0) & (near & same & ~counted).any(axis=1))
    np.add.at(matrix, (rows[~left_out], result.classes[~left_out]), 1)
    missed = counted & ~np.isin(np.arange(len(counted)), taken)
    np.add.at(matrix, (result.groundtruth_classes[missed], 0), 1)
  return matrix


def count_false_positives(images: Iterable[JudgedImage]) -> dict[str, int]:
  """The number of false positives of each kind, in the order of FALSE_POSITIVES."""
  images = list(images)
  return {kind: sum(int((i.kinds == kind).sum()) for i in images) for kind in FALSE_POSITIVES}


def count_by_class(images: Iterable[JudgedImage], num_classes: int) -> ClassCounts:
  """Counts objects and detections of each class."""
  counts = np.zeros((4, num_classes), np.int64)
  for image in images:
    objects, detected = image.result.groundtruth_classes, image.result.classes
    groups = (objects[image.counted], objects[image.found], detected, detected[image.wrong])
    for row, classes in zip(counts, groups, strict=True):
      row += np.bincount(classes, minlength=num_classes + 1)[1:]
  return ClassCounts(*counts)


def recall(images: Iterable[JudgedImage]) -> float:
  """The share of the objects that were found; NaN where there are none."""
  images = list(images)
  num_objects = sum(int(image.counted.sum()) for image in images)
  found = sum(int(image.found.sum()) for image in images)
  return found / num_objects if num_objects else float('nan')


def score_histogram(images: Sequence[JudgedImage], num_bins: int = 10) -> ScoreHistogram:
  """Counts detections by score, from 0 to 1; those left out are in no bin."""
  edges = np.linspace(0.0, 1.0, num_bins + 1)

  def count(masks):
    scores = [image.result.scores[mask] for image, mask in zip(images, masks, strict=True)]
    # Edges as scores: 0.9 of 32 bits is less than 0.9 of 64.
    return np.histogram(
      np.concatenate([*scores, np.zeros(0, np.float32)]), edges.astype(np.float32)
    )[0]

  right = count([image.kinds == RIGHT for image in images])
  return ScoreHistogram(edges, right, count([image.wrong for image in images]))


def _above(result, score_threshold):
  kept = result.scores >= score_threshold
  return dataclasses.replace(result, **{name: getattr(result, name)[kept] for name in _ARRAYS})


def _compare(result):
  """Detections with groundtruth: what counts, overlaps, equal classes, and what can be wrong.

  The last is bool[d]: whether the image is labeled for the detection's class.
  """
  is_group = result.is_crowd | result.is_group_of
  counted = ~(is_group | result.is_difficult)
  iou = overlaps(result.boxes, result.groundtruth_boxes, is_group)
  same = result.classes[:, np.newaxis] == result.groundtruth_classes[np.newaxis]
  return counted, iou, same, result.labeled[result.classes - 1]
