"""Checks whether the metrics of the evaluation measure what they should."""

import math
from collections.abc import Iterator

import numpy as np

from ssd_tf import builders, fields
from ssd_tf.diagnosis.collected_warnings import CollectedWarnings
from ssd_tf.diagnosis.finding import Finding, Severity
from ssd_tf.diagnosis.project import Project

_MAX_IMAGES = 500
_LEAST_AP = 0.999
_MAX_DETECTIONS = 100  # Of a class in an image, that COCO's metrics count.
_HIGH_SCORE_THRESHOLD = 0.05
_MAX_CUT = 0.01  # Of the boxes.
_MAX_NAMES = 8
_SIZES = {'small': 'below 32 x 32', 'medium': '32 x 32 to 96 x 96', 'large': 'from 96 x 96'}
_SUPPRESSION = 'model.ssd.post_processing.batch_non_max_suppression'


def check_readers(project: Project) -> Iterator[Finding]:
  """Whether there is anything to evaluate on: train_ssd_network.py writes a config without."""
  if not project.evaluation_fields:
    yield Finding.warning(
      'evaluation data',
      'There is no eval_input_reader: nothing measures the model, and '
      'model_main_tf2.py trains with --noevaluate only.',
      'Add an eval_input_reader with a label map and the records of images that are not trained '
      'on; or, of a training by train_ssd_network.py, evaluate with eval_ssd_network.py.',
    )


def check_perfect_detections(project: Project) -> Iterator[Finding]:
  """Whether groundtruth that is fed as detections has AP 1; metrics of -1 are explained."""
  for field in project.evaluation_fields:
    table = project.table(field)
    if not table.usable.any():
      yield Finding.error(
        'evaluation data',
        f'{field}: its {table.num_images} images hold no box of a class of the model: there is '
        'nothing to measure.',
        'Name records with groundtruth in tf_record_input_reader.input_path.',
        {'images': table.num_images, 'boxes': 0},
      )
      continue
    metrics = perfect_metrics(project, field)
    most = _objects_of_a_class(table)
    if (most <= _MAX_DETECTIONS).all():
      yield from check_metrics(field, metrics)
      continue
    faults = [*check_metrics(field, perfect_metrics(project, field, max_per_class=_MAX_DETECTIONS))]
    yield from faults
    told = {name for finding in faults for name in finding.numbers.get('low', ())}
    yield from check_ceiling(field, _low(metrics, told), most)


def perfect_metrics(
  project: Project, field: str, max_per_class: int | None = None
) -> dict[str, float]:
  """Measures a reader's groundtruth by itself, with the config's own metrics.

  Args:
    project: of which eval_config counts.
    field: the reader's; of many images 500, evenly spread.
    max_per_class: objects of a class in an image that there are, in groundtruth and detections;
      None: all.
  """
  metrics = builders.build_metrics(project.pipeline)
  table = project.table(field)
  # A label map may have too many classes for the model; that is reported elsewhere.
  num_classes = max(project.config.model.ssd.num_classes, *project.pipeline.class_names)
  limit = min(table.num_images, _MAX_IMAGES)
  rows = np.unique(np.linspace(0, table.num_images - 1, limit).astype(int))
  with CollectedWarnings():  # They are for a log of figures that mean something.
    for row in rows.tolist():
      metrics.update(*_perfect_image(table, row, num_classes, max_per_class))
    return metrics.result()


def check_metrics(field: str, metrics: dict[str, float]) -> Iterator[Finding]:
  """What the metrics of a reader's groundtruth say, fed as detections of itself."""
  low = _low(metrics)
  if low:
    yield Finding.error(
      'perfect detections',
      f'{field}: its own groundtruth, fed as detections, should have AP 1 but has {_named(low)}: '
      'no detector can reach more.',
      'Look for boxes without area, for classes that are not labeled where they have boxes, and '
      'for source_ids that come twice.',
      {'low': low},
    )
  undefined = [name for name, value in metrics.items() if value == -1]
  sizes = [size for size in _SIZES if any(f'({size})' in name for name in undefined)]
  if sizes:
    limits = ', '.join(f'{size}: {_SIZES[size]}' for size in sizes)
    yield Finding.note(
      'undefined metrics',
      f'mAP and AR of the size {" and ".join(sizes)} will be -1 whatever is detected: {field} has '
      f'no groundtruth of it (pixels of the original image, {limits}).',
      numbers={'sizes': sizes},
    )
  others = [name for name in undefined if '(' not in name.rsplit('/', 1)[-1]]
  others += [name for name, value in metrics.items() if math.isnan(value)]
  if others:
    yield Finding.note(
      'undefined metrics',
      f'{len(others)} metrics will be -1 or nan whatever is detected, since {field} has no '
      f'groundtruth of their class: {", ".join(others[:_MAX_NAMES])}'
      f'{", ..." if len(others) > _MAX_NAMES else ""}.',
      numbers={'metrics': len(others)},
    )


def check_ceiling(field: str, low: dict[str, float], most: np.ndarray) -> Iterator[Finding]:
  """What more objects than are counted cost.

  Args:
    low: precisions below 1 of perfect detections, for no other reason.
    most: i64[I], objects of its most frequent class in each image.
  """
  if not low:
    return
  yield Finding.warning(
    'perfect detections',
    f'{field}: {(most > _MAX_DETECTIONS).sum()} of {len(most)} images have more than '
    f'{_MAX_DETECTIONS} objects of a class, up to {most.max()}, and no more detections of a class '
    f'count in an image: even perfect ones have {_named(low)}.',
    'Compare what is measured with that, or cut the images into tiles.',
    {'low': low, 'images': int((most > _MAX_DETECTIONS).sum()), 'most': int(most.max())},
  )


def check_score_threshold(project: Project) -> Iterator[Finding]:
  """Whether detections of low scores, which AP counts too, reach the metrics."""
  threshold = project.config.model.ssd.post_processing.batch_non_max_suppression.score_threshold
  if threshold <= _HIGH_SCORE_THRESHOLD:
    return
  yield Finding(
    'score threshold',
    Severity.ERROR if threshold >= 1 else Severity.WARNING,
    f'{_SUPPRESSION}.score_threshold is {threshold:g}: detections below it are lost to the metrics '
    'too, so that mAP and AR are lower than the model is; at the start of a training they are 0.',
    'Set it to 1e-8 for training and evaluation, and apply a threshold where detections are used '
    '(tools/exporter_main_v2.py and tools/detect_images.py take one).',
    {'score_threshold': float(threshold)},
  )


def check_detection_limits(project: Project) -> Iterator[Finding]:
  """Whether an image may have as many detections as it has objects."""
  suppression = project.config.model.ssd.post_processing.batch_non_max_suppression
  for field in project.evaluation_fields:
    table = project.table(field)
    rows = table.usable & ~table.is_crowd
    per_image = np.bincount(table.image_index[rows], minlength=table.num_images)
    images = table.image_index[rows].astype(np.int64)
    pairs = images * (project.config.model.ssd.num_classes + 1) + table.model_class_ids[rows]
    _, per_class = np.unique(pairs, return_counts=True)
    for name, counts in (
      ('max_total_detections', per_image),
      ('max_detections_per_class', per_class),
    ):
      limit = getattr(suppression, name)
      cut = int(np.maximum(counts - limit, 0).sum())
      share = cut / max(1, counts.sum())
      if share <= _MAX_CUT:
        continue
      yield Finding.warning(
        'detection limits',
        f'{field}: {cut} of {counts.sum()} boxes ({share:.1%}) are beyond {_SUPPRESSION}.{name} '
        f'{limit} of their image, which has up to {counts.max()}: recall cannot exceed '
        f'{1 - share:.3f}.',
        f'Set {name} to {counts.max()} or more.',
        {'cut': cut, 'boxes': int(counts.sum()), 'limit': limit, 'most': int(counts.max())},
      )


def _is_precision(name):
  """Of AP and mAP, not of recall; those of single classes too."""
  return 'AP' in name.split('/', 1)[-1] and 'Recall/' not in name


def _low(metrics, but=()):
  return {
    name: value
    for name, value in metrics.items()
    if _is_precision(name) and -1 < value < _LEAST_AP and name not in but
  }


def _named(low):
  return ', '.join(f'{name} {value:.3f}' for name, value in [*low.items()][:_MAX_NAMES])


def _objects_of_a_class(table):
  """i64[I], of the class that the image has most of."""
  most = np.zeros(table.num_images, np.int64)
  rows = table.model_class_ids > 0
  pairs = np.stack([table.image_index[rows], table.model_class_ids[rows]], axis=1)
  (images, _), counts = (np.transpose(v) for v in np.unique(pairs, axis=0, return_counts=True))
  np.maximum.at(most, images, counts)
  return most


def _first_of_each_class(classes, limit):
  """Places of the boxes that are not preceded by so many of their class."""
  before = np.tril(classes[:, np.newaxis] == classes, -1).sum(axis=1)
  return np.flatnonzero(before < limit)


def _perfect_image(table, row, num_classes, max_per_class):
  """(batch, detections) of one image, as the evaluators take them."""
  rows = slice(table.image_starts[row], table.image_starts[row + 1])
  kept = np.flatnonzero(table.model_class_ids[rows] > 0) + rows.start
  if max_per_class is not None:
    kept = kept[_first_of_each_class(table.model_class_ids[kept], max_per_class)]
  boxes, classes = table.boxes[kept][np.newaxis], table.model_class_ids[kept][np.newaxis]
  labeled = np.isin(np.arange(1, num_classes + 1), list(table.labeled[row]))
  batch = {
    fields.GROUNDTRUTH_BOXES: boxes,
    fields.GROUNDTRUTH_CLASSES: classes,
    fields.GROUNDTRUTH_MASK: np.ones(boxes.shape[:2], bool),
    fields.GROUNDTRUTH_IS_CROWD: table.is_crowd[kept][np.newaxis],
    fields.GROUNDTRUTH_DIFFICULT: table.difficult[kept][np.newaxis],
    fields.GROUNDTRUTH_GROUP_OF: table.group_of[kept][np.newaxis],
    fields.GROUNDTRUTH_AREA: table.areas[kept][np.newaxis].astype(np.float32),
    fields.ORIGINAL_SIZE: table.sizes[row][np.newaxis],
    fields.SOURCE_ID: np.array([table.source_ids[row].encode()], object),
    fields.EXAMPLE_MASK: np.ones(1, bool),
    fields.LABELED_CLASSES: labeled[np.newaxis],
  }
  detections = {
    fields.DETECTION_BOXES: boxes,
    fields.DETECTION_SCORES: np.ones(boxes.shape[:2], np.float32),
    fields.DETECTION_CLASSES: classes.astype(np.int32),
    fields.NUM_DETECTIONS: np.array([boxes.shape[1]], np.int32),
  }
  return batch, detections
