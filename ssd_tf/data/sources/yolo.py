"""Reads YOLO's data sets: an image beside a text file, and a data.yaml that says where they are.

Paths may be absolute or leave the folder of the file that has them, as is the habit here: a set is
whatever a data.yaml or an image list names. Only images are read there, and text files of labels
where YOLO looks for them.
"""

import collections
import dataclasses
import functools
import os
import re
from collections.abc import Mapping, Sequence

import numpy as np

from ssd_tf.data import image_files
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.source import Source
from ssd_tf.data.sources import yaml_file, yolo_labels, yolo_paths
from ssd_tf.errors import InputError
from ssd_tf.files import plain_text, text_file


class NoImagesError(InputError):
  """The one place of a set's images does not exist or has none: some tools name empty sets, too."""


@dataclasses.dataclass(frozen=True)
class YoloSet:
  """One set of images.

  Attributes:
    label_paths: the text file of each; it need not exist.
    class_names: by YOLO's class number, from 0.
    keypoint_values: how many numbers of keypoints may follow a box; 0: longer lines are polygons;
      None: not known.
  """

  image_paths: Sequence[str]
  label_paths: Sequence[str]
  class_names: Sequence[str]
  keypoint_values: int | None = None
  remarks: Sequence[tuple[str, str]] = ()


def read_data_yaml(path: str, set_name: str, kpt_shape: Sequence[str] | None = None) -> YoloSet:
  """Finds a set by a data.yaml; labels lie in the folder whose last 'images' is 'labels'.

  Args:
    path: of the file; has names (a list, or a mapping from numbers), and for each set a folder, a
      text file of image paths, or a list of these. They are relative to its `path`, else to the
      file's own folder. As Ultralytics does, `path` is looked for in the working folder and in
      folders named datasets, too, and a leading `../` is dropped where there is nothing.
    kpt_shape: instead of the file's: the number of keypoints of each line, and that of the values
      of each, 2 or 3; or 0: lines longer than a box are polygons.

  Raises:
    InputError: a key is missing or of the wrong type, names are not one for each number, or a
      folder or an image is missing; `NoImagesError` where that is all of the set.
  """
  content = yaml_file.read_mapping(path)
  for key in ('names', set_name):
    if key not in content or not content[key].value:
      raise InputError(
        f'{path}: {key} is missing or empty; its keys: {", ".join(content) or "none"}'
      )

  def at(key):
    return f'{path}:{content[key].line}: {key}'

  names = _names(content['names'].value, at('names'))
  if 'nc' in content and content['nc'].value != str(len(names)):
    raise InputError(
      f'{at("nc")}: is {content["nc"].value!r}, but there are {len(names)} names: fix the one that '
      'is wrong'
    )
  if kpt_shape is None and 'kpt_shape' in content:
    kpt_shape, where = content['kpt_shape'].value, at('kpt_shape')
  else:
    where = '--kpt_shape'
  root = os.path.dirname(path)
  if 'path' in content and content['path'].value:
    root = _data_folder(content['path'].value, root, at('path'))
  places = content[set_name].value
  places = places if isinstance(places, list) else [places]
  images, remarks, has_lists = [], [], False
  for place in places:
    found = yolo_paths.find(_text(place, at(set_name)), [root])
    if found is None:
      tried = os.path.normpath(os.path.join(root, place))
      error = NoImagesError if len(places) == 1 else InputError
      raise error(
        f'{at(set_name)}: {tried}: no such folder of images, nor a text file that lists them'
      )
    if len(places) == 1 and os.path.isdir(found) and not yolo_paths.has_images(found):
      raise NoImagesError(f'{at(set_name)}: {found}: no images in this folder')
    listed, odd = yolo_paths.list_images(found)
    images += listed
    remarks += odd
    has_lists |= os.path.isfile(found)
  values = _keypoint_values(kpt_shape, where)
  data = _make_set(images, yolo_paths.in_labels, names, values, remarks)
  # Beside the images that a list names, there may be those of other lists.
  return data if has_lists else _with_unused_labels(data)


def read_folders(
  image_dir: str, label_dir: str | None, names_path: str, kpt_shape: Sequence[str] | None = None
) -> YoloSet:
  """Finds a set by its folders.

  Args:
    label_dir: its text files; None: beside the images, or where `read_data_yaml` looks.
    names_path: a class name on each line (classes.txt, obj.names).

  Raises:
    InputError: no images, or no names; a line between names is blank.
  """
  lines = text_file.read_lines(names_path)
  if not lines:
    raise InputError(f'{names_path}: expected a class name on each line; the file is empty')
  for expected, (number, _) in enumerate(lines, start=1):
    if number != expected:
      raise InputError(
        f'{names_path}:{expected}: the line is blank, so the numbers of the classes below it are '
        'unclear: remove it, or name the class'
      )
  names = _names([name for _, name in lines], names_path)
  images, remarks = yolo_paths.list_images(image_dir)

  def in_label_dir(path):
    return yolo_paths.beside(os.path.join(label_dir, os.path.relpath(path, image_dir)))

  if label_dir is None:
    is_beside = any(os.path.isfile(yolo_paths.beside(path)) for path in images)
    label_path = yolo_paths.beside if is_beside else yolo_paths.in_labels
  elif os.path.isdir(label_dir):
    label_path = in_label_dir
  else:
    raise InputError(f'{label_dir}: no such folder of label files')
  values = _keypoint_values(kpt_shape, '--kpt_shape')
  return _with_unused_labels(_make_set(images, label_path, names, values, remarks))


def read_annotation(
  paths: tuple[str, str],
  class_names: Sequence[str],
  name_to_id: Mapping[str, int],
  keypoint_values: int | None = None,
  source_root: str = '',
) -> Annotation:
  """Reads an image, upright by its EXIF orientation as YOLO sees it, and its text file, if any.

  Args:
    paths: of the image and of the text file.
    source_root: source ids are paths from this folder; '': they are file names.

  Raises:
    InputError: the image is missing or broken; the first faulty line, with its number.
  """
  image_path, label_path = paths
  image = image_files.read_image(image_path, upright=True)
  numbers, boxes = yolo_labels.read_boxes(label_path, len(class_names), keypoint_values)
  names = [class_names[number] for number in numbers]
  filename = os.path.basename(image_path)
  return Annotation(
    **vars(image),
    filename=filename,
    source_id=os.path.relpath(image_path, source_root) if source_root else filename,
    boxes=boxes,
    class_ids=np.array([name_to_id[name] for name in names], np.int64),
    class_names=names,
  )


def open_source(data: YoloSet, name_to_id: Mapping[str, int] | None = None) -> Source:
  """Opens a set as a data set; without a label map, ids are YOLO's numbers and 1.

  Raises:
    InputError: a class is not in the label map; no image has a text file: then the labels are
      elsewhere; or the text files would be misread as a whole, see `yolo_labels.check_files`.
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
  remarks = list(data.remarks)
  if missing:
    text = f'{len(missing)} images have no text file, and are written as images without objects'
    remarks.append((os.path.dirname(missing[0]), text))
  found = sorted({*data.label_paths}.difference(missing))
  yolo_labels.check_files(found, len(data.class_names), data.keypoint_values)
  filenames = {os.path.basename(path) for path in data.image_paths}
  is_unique = len(filenames) == len(data.image_paths)
  read = functools.partial(
    read_annotation,
    class_names=data.class_names,
    name_to_id=name_to_id,
    keypoint_values=data.keypoint_values,
    source_root='' if is_unique else _common_folder(data.image_paths),
  )
  items = list(zip(data.image_paths, data.label_paths, strict=True))
  names = {class_id: name for name, class_id in name_to_id.items()}
  return Source(names, items, read, remarks, found)


def _text(value, where):
  if not isinstance(value, str):
    raise InputError(f'{where}: expected a text, or a list of texts, found {value!r:.60}')
  return plain_text.check(value, where)


def _names(value, where):
  """Checks that each class has a name of its own."""
  if isinstance(value, dict):
    numbers = [str(number) for number in range(len(value))]
    if sorted(value) != sorted(numbers):
      raise InputError(
        f'{where}: expected the numbers 0 to {len(numbers) - 1}, each once, found '
        f'{", ".join(value):.80}'
      )
    value = [value[number] for number in numbers]
  if not isinstance(value, list):
    raise InputError(f'{where}: expected a list, [cat, dog], or a mapping, found {value!r:.60}')
  numbers = {}
  for number, name in enumerate(value):
    plain_text.check(name, f'{where}: class {number}')
    if name in numbers:
      raise InputError(f'{where}: {name!r} is the name of classes {numbers[name]} and {number}')
    numbers[name] = number
  return value


def _keypoint_values(kpt_shape, where):
  """How many numbers of keypoints a line has; None if nobody says."""
  if kpt_shape is None:
    return None
  if kpt_shape == ['0']:
    return 0
  is_shape = isinstance(kpt_shape, list) and len(kpt_shape) == 2
  if not is_shape or not re.fullmatch('[1-9][0-9]{0,3},[23]', ','.join(map(str, kpt_shape))):
    raise InputError(
      f'{where}: expected the number of keypoints, and 2 or 3 values of each, such as 17, 3; '
      f'received {kpt_shape!r:.60}'
    )
  return int(kpt_shape[0]) * int(kpt_shape[1])


def _data_folder(written, folder, where):
  """What `path` of a data.yaml means: a folder beside it, or where Ultralytics keeps data sets."""
  folders = [folder, '', os.path.join(folder, 'datasets'), 'datasets']
  found = yolo_paths.find(_text(written, where), folders)
  if found is None or not os.path.isdir(found):
    places = ', '.join(os.path.abspath(each) for each in folders)
    raise InputError(
      f'{where}: no folder {written!r} in {places}; remove `path` if the data lie beside the file'
    )
  return found


def _make_set(image_paths, label_path, class_names, keypoint_values, remarks):
  """The set of images, each once, and of the text files that label_path names."""
  images = list({os.path.abspath(path): path for path in image_paths}.values())
  if len(images) < len(image_paths):
    text = f'{len(image_paths) - len(images)} images occur again elsewhere in the set'
    remarks = [*remarks, (_common_folder(images), f'{text}; each is written once')]
  labels = [label_path(path) for path in images]
  users = collections.defaultdict(list)
  for image, label in zip(images, labels, strict=True):
    users[label].append(os.path.basename(image))
  shared = [
    (label, f'its boxes are those of {len(names)} images: {", ".join(names)}')
    for label, names in users.items()
    if len(names) > 1
  ]
  return YoloSet(images, labels, class_names, keypoint_values, [*remarks, *shared])


def _common_folder(paths):
  return os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])


def _with_unused_labels(data):
  """Adds a remark about text files whose images are missing, or of a format that is not read."""
  unused = yolo_paths.labels_without_image(data.label_paths)
  if not unused:
    return data
  text = f'{len(unused)} text files are of no image of this set, such as this one'
  return dataclasses.replace(data, remarks=[*data.remarks, (unused[0], text)])
