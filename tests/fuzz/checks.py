"""What is done with an input of each kind: what a user's tool does, then what must hold.

A check takes the folder of the input. It returns if the input is accepted and what came of it is
right, raises InputError if it is refused, and anything else if the project is at fault. TensorFlow
is imported with this module.
"""

import functools
import math
import os

import numpy as np
import tensorflow as tf

from ssd_tf import builders, fields
from ssd_tf.config import label_map
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.data import image_files, record_check, record_files, record_writer, tf_example
from ssd_tf.data.sources import coco, csv_boxes, lvis, open_images, pascal_voc, voc_files, yolo
from ssd_tf.errors import InputError
from ssd_tf.inference import input_images
from ssd_tf.run.best_metric import resolve_metric

_MIDS = {'cat': '/m/01yrx', 'dog': '/m/0bt9lr', 'traffic light': '/m/015qff'}
_NAMES = {1: 'cat', 2: 'dog', 3: 'traffic light'}
_NAME_TO_ID = {name: class_id for class_id, name in _NAMES.items()}


def check_config(folder: str) -> None:
  """A pipeline.config: what is checked before a training; every number accepted is finite."""
  path = _in(folder, 'pipeline.config')
  loaded = Pipeline.load(path).config
  builders.check_config(Pipeline(loaded, path))
  resolve_metric(loaded.train_config.best_metric, builders.metric_names(Pipeline(loaded, path)))
  for field, value in _floats(loaded, ''):
    assert math.isfinite(value), f'{field} {value} is accepted'


def check_label_map(folder: str) -> None:
  """A label map or a list of names: ids from 1, names once each, and the same when saved."""
  _check_classes(label_map.load_or_list(_only_file(folder)), folder)


def check_voc(folder: str) -> None:
  """Pascal VOC: a list, XML files and images."""
  files = voc_files.list_files(folder, 'train')
  _convert(pascal_voc.open_source(files, _NAME_TO_ID), folder)


def check_coco(folder: str) -> None:
  """COCO's JSON and images."""
  annotations = coco.load_annotations(_in(folder, 'instances.json'))
  _check_categories(annotations, folder)
  _convert(coco.open_source(annotations, folder), folder)


def check_lvis(folder: str) -> None:
  """LVIS' JSON and images."""
  annotations = lvis.load_annotations(_in(folder, 'instances.json'))
  _check_categories(annotations, folder)
  _convert(coco.open_source(annotations, folder), folder)


def check_csv(folder: str) -> None:
  """A CSV file of boxes, and images."""
  path = _in(folder, 'boxes.csv')
  _convert(csv_boxes.open_source(path, folder, _NAME_TO_ID), folder)


def check_open_images(folder: str) -> None:
  """Open Images' three CSV files, and images."""
  source = open_images.open_source(
    folder,
    _in(folder, 'boxes.csv'),
    _in(folder, 'labels.csv'),
    _NAME_TO_ID,
    _in(folder, 'classes.csv'),
  )
  _convert(source, folder)


def check_yolo_yaml(folder: str) -> None:
  """YOLO's data.yaml with folders of images, or a list of them, and labels."""
  _convert_yolo(yolo.read_data_yaml(_in(folder, 'data.yaml'), 'train'), folder)


def check_yolo_labels(folder: str) -> None:
  """YOLO's label files and list of names."""
  names = _in(folder, 'classes.txt')
  _convert_yolo(yolo.read_folders(_in(folder, 'images'), _in(folder, 'labels'), names), folder)


def check_records(folder: str) -> None:
  """Records: the check before a training, then decoding in the input pipeline."""
  path = _only_file(folder)
  record_check.check_records([path], len(_NAMES), _NAMES)
  with record_files.explained_errors([([path], _decode)]):
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
      _check_example(_decode(tf.constant(record)))
      tf_example.parse_example(record)


def check_detection(folder: str) -> None:
  """Records as `detect_images` reads them: a broken one is skipped."""
  images = list(input_images.from_records([_only_file(folder)]))
  for image in images:
    assert image.pixels.ndim == 3 and image.pixels.dtype == np.uint8, image.pixels.shape
  if not images:
    raise InputError('no image is read')


def check_image(folder: str) -> None:
  """An image: what the converters accept, the input pipeline and `detect_images` read, too."""
  path = _only_file(folder)
  found = list(input_images.from_files([path], _in(folder, 'pictures')))
  image = image_files.read_image(path)
  pixels = tf.io.decode_image(image.encoded, channels=3, expand_animations=False)
  assert pixels.dtype == tf.uint8, pixels.dtype
  assert pixels.shape == (image.height, image.width, 3), (pixels.shape, image.height, image.width)
  assert len(found) == 1, 'the converter reads what detect_images does not'


def _in(folder, name):
  return os.path.join(folder, name)


def _output(folder):
  return _in(folder, 'output.record')


def _only_file(folder):
  (name,) = os.listdir(folder)
  return _in(folder, name)


def _floats(message, place):
  """(field, value) of every float that is set in a protobuf."""
  for field, value in message.ListFields():
    values = value if field.default_value == [] else [value]
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
      continue
    for each in values:
      if field.message_type is not None:
        yield from _floats(each, f'{place}{field.name}.')
      elif isinstance(each, float):
        yield f'{place}{field.name}', each


def _check_classes(classes, folder):
  assert classes.ids, 'no class'
  assert min(classes.ids) >= 1 and len({*classes.ids}) == len(classes.ids), classes.ids
  assert all(classes.names) and len({*classes.names}) == len(classes.names), classes.names
  for name in (*classes.names, *classes.display_names):
    assert not {*'\n\r\0'} & {*name}, f'class name {name!r} is accepted'
  label_map.save(classes, _in(folder, 'saved.pbtxt'))
  assert label_map.load(_in(folder, 'saved.pbtxt')) == classes


def _check_categories(annotations, folder):
  """As the tools write the label map; returns the names by id."""
  names = dict(sorted((class_id, name) for name, class_id in annotations.name_to_id.items()))
  texts = tuple(names.values())
  _check_classes(label_map.LabelMap(tuple(names), texts, texts), folder)
  return names


def _convert_yolo(data, folder):
  classes = label_map.numbered(data.class_names)
  name_to_id = dict(zip(classes.names, classes.ids, strict=True))
  _check_classes(classes, folder)
  _convert(yolo.open_source(data, name_to_id), folder)


def _convert(source, folder):
  report = record_writer.write_records(source, _output(folder), strict=True)
  _check_written(report, _output(folder), source.names)


def _check_written(report, path, names):
  """What a converter wrote: every box, area and class makes sense, every image decodes."""
  source_ids = []
  for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
    annotation = tf_example.parse_example(record)
    boxes = annotation.boxes
    assert np.isfinite(boxes).all() and (boxes >= 0).all() and (boxes <= 1).all(), boxes
    assert (boxes[:, :2] < boxes[:, 2:]).all(), boxes
    class_ids = annotation.class_ids.tolist()
    assert [names.get(class_id) for class_id in class_ids] == annotation.class_names, class_ids
    for image_ids in (annotation.labeled_classes, annotation.verified_present):
      assert {*(image_ids or ())} <= {*names}, image_ids
    source_ids.append(annotation.source_id)
    assert not {*'/\0'} & {*annotation.filename}, annotation.filename
    example = _decoder(max(names))(tf.constant(record))
    _check_example(example)
    size = (annotation.height, annotation.width)
    assert size == tuple(example[fields.ORIGINAL_SIZE].numpy()), size
  assert source_ids, 'no record'
  assert len(source_ids) - len({*source_ids}) == len(report.repeated), source_ids


def _check_example(example):
  boxes = example[fields.GROUNDTRUTH_BOXES].numpy()
  assert np.isfinite(boxes).all(), boxes
  assert (boxes[:, :2] <= boxes[:, 2:]).all(), boxes
  for key in (fields.GROUNDTRUTH_AREA, fields.GROUNDTRUTH_WEIGHTS):
    values = example[key].numpy()
    assert np.isfinite(values).all() and (values >= 0).all(), (key, values)
  example[fields.SOURCE_ID].numpy().decode()


@functools.cache
def _decoder(num_classes):
  signature = [tf.TensorSpec([], tf.string)]
  return tf.function(lambda record: tf_example.decode_example(record, num_classes), signature)


def _decode(record):
  return _decoder(len(_NAMES))(record)
