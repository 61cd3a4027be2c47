"""Runs a detector over records, as an evaluation does, and returns each image's detections."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data import input_pipeline, preprocessing, record_files, tf_example
from ssd_tf.data.annotation import Annotation
from ssd_tf.detector import SsdDetector
from ssd_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Detected:
  """An image with what was detected on it; d detections, by falling score.

  Attributes:
    annotation: of the record, its class ids and names filled in from each other.
    boxes: f32[d,4], normalized.
    class_ids: i64[d].
    scores: f32[d].
  """

  annotation: Annotation
  boxes: np.ndarray
  class_ids: np.ndarray
  scores: np.ndarray


def read_annotations(paths: Sequence[str], names: Mapping[int, str]) -> Iterator[Annotation]:
  """Reads records in the files' order, with ids and names for every box even where one is missing.

  Raises:
    InputError: a record is no annotated image, or has a class that is not in the label map.
  """
  ids = {name: class_id for class_id, name in names.items()}
  for path, number, record in record_files.read_records(paths):
    place = f'{path}, record {number}'
    annotation = tf_example.parse_example(record, place)
    try:
      if len(annotation.class_ids) < len(annotation.boxes):
        annotation.class_ids = np.array([ids[name] for name in annotation.class_names], np.int64)
      if len(annotation.class_names) < len(annotation.boxes):
        annotation.class_names = [names[i] for i in annotation.class_ids.tolist()]
    except KeyError as error:
      raise InputError(
        f'{place}, source_id {annotation.source_id}: class {error} is not in the label map; add it '
        'there'
      ) from error
    yield annotation


class RecordDetector:
  """Detects on the images of records, by the detector's own preprocessing and post-processing.

  The detector is made under the strategy; batch_size images at a time are on each device.
  """

  def __init__(
    self,
    detector: SsdDetector,
    names: Mapping[int, str],
    strategy: tf.distribute.Strategy,
    batch_size: int,
  ):
    self._names = names
    self._strategy = strategy
    self._batch_size = batch_size * strategy.num_replicas_in_sync
    self._decode_fn = functools.partial(
      tf_example.decode_example,
      num_classes=detector.num_classes,
      name_to_id={name: class_id for class_id, name in names.items()},
    )
    self._preprocess_fn = lambda example, _: preprocessing.preprocess(
      example, preprocess_image_fn=detector.preprocess_image
    )

    def replica_step(batch):
      outputs = detector.model(batch[fields.IMAGE], training=False)
      found = detector.postprocess(outputs, batch[fields.TRUE_SIZE])
      keys = (fields.DETECTION_BOXES, fields.DETECTION_CLASSES, fields.DETECTION_SCORES)
      return [batch[fields.EXAMPLE_MASK], found[fields.NUM_DETECTIONS], *(found[k] for k in keys)]

    self._step = tf.function(
      lambda batch: strategy.run(replica_step, args=(batch,)), autograph=False
    )

  def detect(self, paths: Sequence[str]) -> Iterator[Detected]:
    """Detects on each image, in the files' order.

    Raises:
      InputError: a record is damaged or does not decode; names it.
    """
    dataset = input_pipeline.build_dataset(
      [input_pipeline.RecordSource(paths, self._decode_fn)],
      preprocess_fn=self._preprocess_fn,
      batch_size=self._batch_size,
      max_num_boxes=1,  # Groundtruth comes from the annotation.
    )
    with record_files.explained_errors([(paths, self._decode_fn)]):
      rows = self._detections(dataset)
      for annotation, row in zip(read_annotations(paths, self._names), rows, strict=True):
        yield Detected(annotation, *row)

  def _detections(self, dataset):
    """Yields (boxes, class ids, scores) of each image."""
    results_of = self._strategy.experimental_local_results
    for batch in self._strategy.experimental_distribute_dataset(dataset):
      # From one list for each output to one for each replica, then for each image.
      for replica in zip(*map(results_of, self._step(batch)), strict=True):
        images = zip(*(tensor.numpy() for tensor in replica), strict=True)
        for is_real, count, boxes, classes, scores in images:
          if is_real:
            n = int(count)
            yield boxes[:n], classes[:n].astype(np.int64), scores[:n]
