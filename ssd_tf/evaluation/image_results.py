"""Extracts each image's groundtruth and detections from a batch, for metrics."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ssd_tf import fields

_BATCH_KEYS = (
  fields.GROUNDTRUTH_BOXES,
  fields.GROUNDTRUTH_CLASSES,
  fields.GROUNDTRUTH_MASK,
  fields.GROUNDTRUTH_IS_CROWD,
  fields.GROUNDTRUTH_AREA,
  fields.ORIGINAL_SIZE,
  fields.SOURCE_ID,
  fields.EXAMPLE_MASK,
)
_OPTIONAL_KEYS = (fields.GROUNDTRUTH_DIFFICULT, fields.GROUNDTRUTH_GROUP_OF)
_DETECTION_KEYS = (
  fields.DETECTION_BOXES,
  fields.DETECTION_SCORES,
  fields.DETECTION_CLASSES,
  fields.NUM_DETECTIONS,
)


@dataclasses.dataclass(frozen=True)
class ImageResult:
  """One image, n real groundtruth boxes, d real detections; boxes are normalized.

  Attributes:
    groundtruth_boxes: f32[n,4].
    groundtruth_classes: i32[n].
    is_crowd: bool[n].
    is_difficult: bool[n].
    is_group_of: bool[n].
    area: f32[n], px^2; 0: the box's own.
    labeled: bool[K], column i for class i + 1.
    boxes: f32[d,4], detections.
    scores: f32[d].
    classes: i32[d].
  """

  source_id: str
  height: int
  width: int
  groundtruth_boxes: np.ndarray
  groundtruth_classes: np.ndarray
  is_crowd: np.ndarray
  is_difficult: np.ndarray
  is_group_of: np.ndarray
  area: np.ndarray
  labeled: np.ndarray
  boxes: np.ndarray
  scores: np.ndarray
  classes: np.ndarray


def image_results(
  batch: Mapping[str, Any], detections: Mapping[str, Any], num_classes: int
) -> Iterator[ImageResult]:
  """Takes a batch apart; images that only fill it up are left out.

  Args:
    batch: tensors or arrays under the keys of `fields`: groundtruth_boxes f32[B,N,4] normalized,
      groundtruth_classes i32[B,N], groundtruth_mask bool[B,N] (False rows are padding),
      groundtruth_is_crowd bool[B,N], groundtruth_area f32[B,N] px^2, original_size i32[B,2],
      source_id string[B], example_mask bool[B] (False: the example pads the batch); and, where
      there are any, groundtruth_difficult and groundtruth_group_of bool[B,N]; and, if not all
      classes are labeled in all images, labeled_classes bool[B,K].
    detections: detection_boxes f32[B,D,4] normalized to the same image, detection_scores f32[B,D],
      detection_classes i32[B,D] in 1..K, num_detections i32[B]; rows past the count are ignored.
    num_classes: K, the greatest class id; columns of labeled_classes past it are not looked at.

  Raises:
    ValueError: a key is missing, a shape does not fit, or a detection is not finite.
  """
  labeled = batch.get(fields.LABELED_CLASSES)
  batch = {
    **_as_arrays(batch, _BATCH_KEYS, 'batch'),
    **{key: np.asarray(batch[key]) for key in _OPTIONAL_KEYS if key in batch},
  }
  detections = _as_arrays(detections, _DETECTION_KEYS, 'detections')
  batch_size = len(batch[fields.EXAMPLE_MASK])
  labeled = _labeled_classes(labeled, batch_size, num_classes)
  _check_boxes(fields.GROUNDTRUTH_BOXES, batch[fields.GROUNDTRUTH_BOXES], batch_size)
  _check_boxes(fields.DETECTION_BOXES, detections[fields.DETECTION_BOXES], batch_size)
  for i in np.flatnonzero(batch[fields.EXAMPLE_MASK]):
    yield _image_result(
      {key: array[i] for key, array in batch.items()},
      {key: array[i] for key, array in detections.items()},
      labeled[i],
    )


def drop_unlabeled_classes(
  batch: Mapping[str, Any], detections: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """Leaves out the detections of classes that are not labeled in their image, by labeled_classes.

  The remaining rows of all keys [B,D,...] are moved up, num_detections lowered.
  """
  detections = {key: np.asarray(value) for key, value in detections.items()}
  labeled = batch.get(fields.LABELED_CLASSES)
  if labeled is None:
    return detections
  classes, count = detections[fields.DETECTION_CLASSES], detections[fields.NUM_DETECTIONS]
  columns = np.clip(classes - 1, 0, None)
  kept = np.take_along_axis(np.asarray(labeled, bool), columns, axis=1)
  kept &= np.arange(classes.shape[1]) < count[:, np.newaxis]
  order = np.argsort(~kept, axis=1, kind='stable')
  rows = np.arange(len(order))[:, np.newaxis]
  moved = {key: value[rows, order] for key, value in detections.items() if value.ndim > 1}
  return {**moved, fields.NUM_DETECTIONS: kept.sum(axis=1).astype(np.int32)}


def _image_result(example, detections, labeled):
  source_id = example[fields.SOURCE_ID]
  if isinstance(source_id, bytes):
    source_id = source_id.decode('utf-8', 'replace')
  real = example[fields.GROUNDTRUTH_MASK]
  none = np.zeros(len(real), bool)
  height, width = (int(side) for side in example[fields.ORIGINAL_SIZE])
  count = int(detections[fields.NUM_DETECTIONS])
  boxes, scores, classes = (detections[key][:count] for key in _DETECTION_KEYS[:3])
  if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
    raise ValueError(
      f'detections of {str(source_id)!r} are not finite: expected numbers, received NaN or '
      'infinity; look at the losses of the checkpoint evaluated'
    )
  return ImageResult(
    source_id=str(source_id),
    height=height,
    width=width,
    groundtruth_boxes=example[fields.GROUNDTRUTH_BOXES][real],
    groundtruth_classes=example[fields.GROUNDTRUTH_CLASSES][real],
    is_crowd=example[fields.GROUNDTRUTH_IS_CROWD][real],
    is_difficult=example.get(fields.GROUNDTRUTH_DIFFICULT, none)[real],
    is_group_of=example.get(fields.GROUNDTRUTH_GROUP_OF, none)[real],
    area=example[fields.GROUNDTRUTH_AREA][real],
    labeled=labeled,
    boxes=boxes,
    scores=scores,
    classes=classes,
  )


def _as_arrays(tensors, keys, name):
  missing = [key for key in keys if key not in tensors]
  if missing:
    raise ValueError(f'{name} lacks {missing}: expected the keys {list(keys)}')
  return {key: np.asarray(tensors[key]) for key in keys}


def _check_boxes(key, boxes, batch_size):
  if boxes.ndim != 3 or boxes.shape[0] != batch_size or boxes.shape[2] != 4:
    raise ValueError(f'{key}: expected shape [{batch_size}, boxes, 4], received {boxes.shape}')


def _labeled_classes(labeled, batch_size, num_classes):
  """Returns bool[B,K]; no key: all are labeled."""
  if labeled is None:
    return np.ones((batch_size, num_classes), bool)
  labeled = np.asarray(labeled, bool)
  if labeled.ndim != 2 or len(labeled) != batch_size or labeled.shape[1] < num_classes:
    raise ValueError(
      f'{fields.LABELED_CLASSES}: expected shape [{batch_size}, classes], with a column for each '
      f'id up to {num_classes}; received {labeled.shape}'
    )
  return labeled[:, :num_classes]
