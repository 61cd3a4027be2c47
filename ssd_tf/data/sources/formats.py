"""Lists the formats of data sets by name, with the function that opens each."""

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
  match format_name:
    case 'coco' | 'lvis':
      load = {'coco': coco, 'lvis': lvis}[format_name].load_annotations
      return coco.open_source(load(options['annotations_file']), options['image_dir'])
    case 'pascal_voc':
      folders = {key: options[key] for key in ('year', 'annotations_dir')}
      files = voc_files.list_files(options['data_dir'], options['set'], **folders)
      return pascal_voc.open_source(files, name_to_id)
    case 'csv':
      return csv_boxes.open_source(options['csv_input'], options['image_dir'], name_to_id)
    case 'yolo':
      return yolo.open_source(yolo.read_data_yaml(options['data_yaml'], options['set']), name_to_id)
    case 'open_images':
      return open_images.open_source(
        options['image_dir'],
        options['boxes_csv'],
        options['labels_csv'] or None,
        name_to_id,
        options['class_descriptions_csv'] or None,
      )
    case 'tfrecord' if names is None:
      raise InputError('TFRecords need a label map')
    case 'tfrecord':
      return tfrecord.open_source(options['input_path'], names)
  raise KeyError(format_name)
