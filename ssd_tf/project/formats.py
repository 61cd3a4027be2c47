"""The formats in which people have their data: which files tell one, and what opens them."""

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ssd_tf.config import label_map as label_maps
from ssd_tf.config.label_map import LabelMap
from ssd_tf.data.source import Source
from ssd_tf.data.sources import coco, coco_entries, csv_boxes, tfrecord, yaml_file, yolo
from ssd_tf.errors import InputError
from ssd_tf.files import json_file, text_file
from ssd_tf.project import voc_folder
from ssd_tf.project.folder_scan import FolderScan

_ONE = 'give the one to use instead of the folder'
_CSV_COLUMNS = {'filename', 'class', 'xmin', 'ymin', 'xmax', 'ymax'}


class Format(NamedTuple):
  """A format.

  Attributes:
    name: for people.
    choose: the files of a folder that are its annotations; none: the data set is of another.
    open: (the folder, those files, the label map or None) -> its parts by name, and remarks.
  """

  name: str
  choose: Callable[[FolderScan], Sequence[str]]
  open: Callable[
    [FolderScan, Sequence[str], LabelMap | None], tuple[Mapping[str, Source], Sequence[str]]
  ]


def _choose_yolo(scan):
  return [path for path in scan.yaml if 'names' in _yaml_keys(path)]


def _yaml_keys(path):
  try:
    return yaml_file.read_mapping(path).keys()
  except InputError:
    return ()


def _open_yolo(scan, paths, labels):
  path = _only(paths, scan)
  keys, sets = yaml_file.read_mapping(path), {}
  for key, part in (('train', 'train'), ('val', 'val'), ('valid', 'val'), ('test', 'test')):
    if key in keys and keys[key].value and part not in sets:
      sets[part] = yolo.read_data_yaml(path, key)
  if not sets:
    raise InputError(f'{path}: expected the key train with a folder of images')
  name_to_id = labels and labels.id_by_name
  return {part: yolo.open_source(found, name_to_id) for part, found in sets.items()}, []


def _open_yolo_folder(scan, paths, labels):
  found = yolo.read_folders(scan.root, None, _only(paths, scan))
  return {'all': yolo.open_source(found, labels and labels.id_by_name)}, []


def _choose_coco(scan):
  return [path for path in scan.json if _is_coco(path)]


def _is_coco(path):
  try:
    content = json_file.load(path)
  except InputError:
    return False
  return isinstance(content, dict) and {'images', 'annotations', 'categories'} <= content.keys()


def _open_coco(scan, paths, labels):
  by_part = scan.by_part(paths, by_name=True)
  for part, files in by_part.items():
    # Captions and keypoints of the same images may lie beside the boxes.
    instances = [path for path in files if os.path.basename(path).startswith('instances')]
    by_part[part] = [_only(instances or files, scan)]
  name_to_id = labels and labels.id_by_name
  sets = coco.load_sets(
    [path for (path,) in by_part.values()],
    lambda path: coco.load_annotations(
      path, prepare=lambda content: coco_entries.renumber(path, content, name_to_id)
    ),
  )
  parts = {}
  for part, annotations in zip(by_part, sets, strict=True):
    names = [str(image) for image in annotations.images]
    parts[part] = coco.open_source(annotations, _image_folder(scan, annotations.path, names))
  return _named(parts), []


def _choose_csv(scan):
  return [path for path in scan.csv if _header(path) >= _CSV_COLUMNS]


def _header(path):
  try:
    lines = text_file.read(path).lstrip('\r\n').splitlines()[:1]
  except InputError:
    return set()
  delimiter = max(',;\t', key=''.join(lines).count)
  return {name.strip() for row in csv.reader(lines, delimiter=delimiter) for name in row}


def _open_csv(scan, paths, labels):
  by_part = scan.by_part(paths, by_name=True)
  files = {part: _only(group, scan) for part, group in by_part.items()}
  folders = {path: _image_folder(scan, path, csv_boxes.filenames(path)) for path in files.values()}
  if labels:
    name_to_id = labels.id_by_name
  else:
    found = [csv_boxes.open_source(path, folder).name_to_id for path, folder in folders.items()]
    name_to_id = {name: i for i, name in enumerate(sorted({*().union(*found)}), start=1)}
  parts = {
    part: csv_boxes.open_source(path, folders[path], name_to_id) for part, path in files.items()
  }
  return _named(parts), []


def _open_records(scan, paths, labels):
  if labels is None:
    if len(scan.label_maps) != 1:
      found = ', '.join(scan.label_maps) or 'none'
      raise InputError(
        f'{scan.root}: TFRecords need their label map (pbtxt): expected one in the folder, found '
        f'{found}; give it by --label_map_path'
      )
    labels = label_maps.load(scan.label_maps[0])
  parts = {
    part: tfrecord.open_source(group, labels.name_by_id)
    for part, group in scan.by_part(paths, by_name=True).items()
  }
  return _named(parts), []


def _only(paths, scan):
  if len(paths) > 1:
    raise InputError(f'{scan.root}: {paths[0]} and {paths[1]} may both be the annotations; {_ONE}')
  return paths[0]


def _image_folder(scan, path, names):
  """The folder that most of the first names are relative to."""
  first = [name for name in names[:20] if not os.path.isabs(name)]
  near = [os.path.dirname(path) or '.', *scan.folders_near(path), scan.root]
  # A name may begin with a folder, as train/a.jpg does.
  folders = dict.fromkeys([*near, *(os.path.dirname(folder) for folder in near if folder)])
  counts = {
    folder: sum(os.path.isfile(os.path.join(folder, name)) for name in first) for folder in folders
  }
  return max(counts, key=counts.get)


def _named(parts):
  """Parts by name; the one that no word names trains beside val and test."""
  if {None, 'train'} <= parts.keys():
    raise InputError(
      f'{parts[None].files[0]}: does not say whether it trains or validates, as others here do; '
      'put train, val or test into its name'
    )
  return {part or 'train': source for part, source in parts.items()}


ALL = (
  Format('YOLO', _choose_yolo, _open_yolo),
  Format('COCO', _choose_coco, _open_coco),
  Format('Pascal VOC', voc_folder.choose, voc_folder.open_parts),
  Format('CSV', _choose_csv, _open_csv),
  Format('TFRecord', lambda scan: scan.records, _open_records),
  Format('YOLO', lambda scan: scan.class_names, _open_yolo_folder),
)
