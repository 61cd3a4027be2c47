"""The formats of data sets, by name: what opens one of each."""

from collections.abc import Mapping
from typing import Any

from ssd_tf.data.source import Source
from ssd_tf.data.sources import (
  coco,
  csv_boxes,
  lvis,
  open_images,
  pascal_voc,
  tfrecord,
  voc_files,
  yolo,
)
from ssd_tf.errors import InputError


def open_source(
  format_name: str, options: Mapping[str, Any], names: Mapping[int, str] | None = None
) -> Source:
  """Opens a data set.

  Args:
    options: a value for every key of the format's `merge_plan.OPTIONS`; paths as they exist,
      input_path a list of files.
    names: the label map, id to name, where the options have one. Records and Open Images need one;
      Pascal VOC and CSV without have the classes that occur, YOLO those of its data.yaml.

  Raises:
    InputError: it is broken, or has no label map that it needs.
  """
  name_to_id = names and {name: class_id for class_id, name in names.items()}
  return _OPENERS[format_name](name_to_id=name_to_id, **options)


def _open_coco(annotations_file, image_dir, **_):
  return coco.open_source(coco.load_annotations(annotations_file), image_dir)


def _open_lvis(annotations_file, image_dir, **_):
  return lvis.open_source(lvis.load_annotations(annotations_file), image_dir)


def _open_pascal_voc(data_dir, annotations_dir, year, name_to_id, **options):
  files = voc_files.list_files(data_dir, options['set'], year=year, annotations_dir=annotations_dir)
  return pascal_voc.open_source(files, name_to_id)


def _open_csv(csv_input, image_dir, name_to_id, **_):
  return csv_boxes.open_source(csv_input, image_dir, name_to_id)


def _open_yolo(data_yaml, name_to_id, **options):
  return yolo.open_source(yolo.read_data_yaml(data_yaml, options['set']), name_to_id)


def _open_open_images(image_dir, boxes_csv, labels_csv, class_descriptions_csv, name_to_id, **_):
  return open_images.open_source(
    image_dir, boxes_csv, labels_csv or None, name_to_id, class_descriptions_csv or None
  )


def _open_records(input_path, name_to_id, **_):
  if name_to_id is None:
    raise InputError('TFRecords need a label map')
  return tfrecord.open_source(input_path, {i: name for name, i in name_to_id.items()})


_OPENERS = {
  'coco': _open_coco,
  'lvis': _open_lvis,
  'pascal_voc': _open_pascal_voc,
  'csv': _open_csv,
  'yolo': _open_yolo,
  'open_images': _open_open_images,
  'tfrecord': _open_records,
}
