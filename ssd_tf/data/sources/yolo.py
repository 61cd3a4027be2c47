"""YOLO's text files: an image beside a .txt with a line for each box, or for each polygon."""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from ssd_tf.data import image_files, record_writer
from ssd_tf.data.tf_example import Annotation
from ssd_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class YoloSet:
  """One set of images.

  Attributes:
    image_paths: by name.
    label_paths: the text file of each; it need not exist.
    class_names: by YOLO's class number, from 0.
  """

  image_paths: Sequence[str]
  label_paths: Sequence[str]
  class_names: Sequence[str]


def read_data_yaml(path: str, set_name: str) -> YoloSet:
  """Finds a set by a data.yaml.

  Args:
    path: of the file; has names (a list, or a mapping from numbers), and for each set a folder, a
      list of folders, or a text file of image paths. They are relative to its `path`, else to the
      file's own folder.
    set_name: train, val or test.

  Returns:
    The set. Labels lie where YOLO looks for them: in the folder whose last 'images' is 'labels'.

  Raises:
    InputError: a key is missing, or a folder is.
  """
  with open(path, encoding='utf-8') as file:
    try:
      content = yaml.safe_load(file)
    except yaml.YAMLError as error:
      raise InputError(f'{path}: not YAML: {" ".join(str(error).split())}') from error
  content = content if isinstance(content, dict) else {}
  for key in ('names', set_name):
    if not content.get(key):
      known = ', '.join(map(str, content)) or 'none'
      raise InputError(f'{path}: {key} is missing or empty; its keys: {known}')
  names = content['names']
  if isinstance(names, dict):
    if sorted(names) != list(range(len(names))):
      raise InputError(f'{path}: names: expected the numbers 0 to {len(names) - 1}, each once')
    names = [names[i] for i in range(len(names))]
  root = os.path.join(os.path.dirname(path), str(content.get('path') or ''))
  places = content[set_name] if isinstance(content[set_name], list) else [content[set_name]]
  places = [os.path.normpath(os.path.join(root, str(place))) for place in places]
  images = [image for place in places for image in _images_of(place)]
  return YoloSet(images, [_label_path(image) for image in images], [str(name) for name in names])


def read_folders(image_dir: str, label_dir: str | None, names_path: str) -> YoloSet:
  """Finds a set by its folders.

  Args:
    image_dir: its images.
    label_dir: its text files; None: beside the images, or where `read_data_yaml` looks.
    names_path: a class name on each line (classes.txt, obj.names).

  Returns:
    The set.

  Raises:
    InputError: no images, or no names.
  """
  with open(names_path, encoding='utf-8-sig') as file:
    names = [line.strip() for line in file if line.strip()]
  if not names:
    raise InputError(f'{names_path}: expected a class name on each line; the file is empty')
  images = _images_of(image_dir)
  stems = [os.path.splitext(os.path.basename(path))[0] for path in images]
  if label_dir is None:
    beside = [os.path.splitext(path)[0] + '.txt' for path in images]
    labels = beside if any(map(os.path.isfile, beside)) else [_label_path(path) for path in images]
  elif os.path.isdir(label_dir):
    labels = [os.path.join(label_dir, f'{stem}.txt') for stem in stems]
  else:
    raise InputError(f'{label_dir}: no such folder of label files')
  return YoloSet(images, labels, names)


def read_annotation(
  paths: tuple[str, str], class_names: Sequence[str], name_to_id: Mapping[str, int]
) -> Annotation:
  """Reads an image and its text file.

  A line is `class x y width height`, of the box's center, or `class x1 y1 x2 y2 x3 y3 ...` of a
  polygon, which becomes the box around it; all as fractions of the image. No file, or an empty
  one: no objects.

  Args:
    paths: of the image and of the text file.
    class_names: by YOLO's class number.
    name_to_id: the label map.

  Returns:
    The annotation; boxes as annotated, not yet clipped.

  Raises:
    InputError: the image is missing or broken; the first faulty line, with its number.
  """
  image_path, label_path = paths
  image = image_files.read_image(image_path, upright=True)
  rows = []
  if os.path.isfile(label_path):
    with open(label_path, encoding='utf-8') as file:
      rows = [
        _read_line(line, class_names, f'{label_path}: line {number}')
        for number, line in enumerate(file, start=1)
        if line.strip()
      ]
  names = [class_names[index] for index, _ in rows]
  filename = os.path.basename(image_path)
  return Annotation(
    **vars(image),
    filename=filename,
    source_id=filename,
    boxes=np.array([box for _, box in rows], np.float32).reshape(-1, 4),
    class_ids=np.array([name_to_id[name] for name in names], np.int64),
    class_names=names,
  )


def write_data_set(
  data: YoloSet, output_path: str, name_to_id: Mapping[str, int] | None = None, **options: Any
) -> record_writer.ConversionReport:
  """Converts a set to TFRecords.

  Args:
    data: the set.
    output_path: the record file.
    name_to_id: the label map; None: YOLO's numbers and 1.
    **options: num_shards, num_workers, strict of `record_writer.write_records`.

  Returns:
    The report.

  Raises:
    InputError: a class is not in the label map, or no image has a text file: then the labels are
      elsewhere.
  """
  if name_to_id is None:
    name_to_id = {name: i for i, name in enumerate(data.class_names, start=1)}
  unknown = [name for name in data.class_names if name not in name_to_id]
  if unknown:
    raise InputError(
      f'the label map has no {", ".join(map(repr, unknown))}; it has {", ".join(name_to_id)}'
    )
  missing = [path for path in data.label_paths if not os.path.isfile(path)]
  if len(missing) == len(data.label_paths):
    raise InputError(
      f'none of the {len(missing)} images has a text file of labels: there is no {missing[0]}, for '
      'one; give --label_dir'
    )
  remarks = []
  if missing:
    text = f'{len(missing)} images have no text file, and are written as images without objects'
    remarks.append((os.path.dirname(missing[0]), text))
  convert = functools.partial(read_annotation, class_names=data.class_names, name_to_id=name_to_id)
  items = list(zip(data.image_paths, data.label_paths, strict=True))
  return record_writer.write_records(items, convert, output_path, remarks=remarks, **options)


def _images_of(place):
  if os.path.isfile(place):
    with open(place, encoding='utf-8') as file:
      paths = [line.strip() for line in file if line.strip()]
    return [os.path.normpath(os.path.join(os.path.dirname(place), path)) for path in paths]
  if not os.path.isdir(place):
    raise InputError(f'{place}: no such folder of images')
  names = [
    name for name in sorted(os.listdir(place)) if name.lower().endswith(image_files.EXTENSIONS)
  ]
  if not names:
    raise InputError(f'{place}: no images in this folder')
  return [os.path.join(place, name) for name in names]


def _label_path(image_path):
  """Where YOLO looks for an image's labels: .../images/... becomes .../labels/...txt."""
  head, separator, tail = os.path.splitext(image_path)[0].rpartition(f'{os.sep}images{os.sep}')
  labels = f'{os.sep}labels{os.sep}' if separator else ''
  return f'{head}{labels}{tail}.txt'


def _read_line(line, class_names, where):
  """(class number, [ymin, xmin, ymax, xmax])."""
  try:
    number, *values = (float(word) for word in line.split())
  except ValueError:
    raise InputError(f'{where}: expected numbers, received {line.strip()!r}') from None
  if not (number.is_integer() and 0 <= number < len(class_names)):
    raise InputError(
      f'{where}: class {number:g}: expected a whole number from 0 to {len(class_names) - 1} '
      f'({len(class_names)} names)'
    )
  if len(values) == 4:
    x, y, width, height = values
    return int(number), [y - height / 2, x - width / 2, y + height / 2, x + width / 2]
  if len(values) < 6 or len(values) % 2:
    raise InputError(
      f'{where}: expected class x y width height, or class and at least 3 points x y of a polygon; '
      f'received {len(values) + 1} numbers'
    )
  xs, ys = values[::2], values[1::2]
  return int(number), [min(ys), min(xs), max(ys), max(xs)]
