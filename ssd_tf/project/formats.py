"""Lists the formats of users' data: the files that identify one, and the function that opens it."""

import csv
import dataclasses
import functools
import glob
import os
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ssd_tf.config import input_paths
from ssd_tf.config import label_map as label_maps
from ssd_tf.config.label_map import LabelMap
from ssd_tf.data.sources import coco, coco_entries, csv_boxes, tfrecord
from ssd_tf.errors import InputError
from ssd_tf.files import json_file, text_file
from ssd_tf.project import voc_folder, yolo_folder
from ssd_tf.project.folder_scan import FolderScan
from ssd_tf.project.opened import Opened

_CSV_COLUMNS = {'filename', 'class', 'xmin', 'ymin', 'xmax', 'ymax'}
_COCO_LISTS = ('images', 'annotations', 'categories')


class Format(NamedTuple):
  """A format.

  Attributes:
    name: for people.
    kind: the attribute of a `FolderScan` that lists the files which may be its annotations.
    is_one: whether a file of that kind is; raises OSError.
    open: (the folder, those files, the label map or None) -> the data set; raises InputError.
  """

  name: str
  kind: str
  is_one: Callable[[str], bool]
  open: Callable[[FolderScan, Sequence[str], LabelMap | None], Opened]

  def choose(self, scan: FolderScan) -> list[str]:
    """The files of a folder that are annotations of this format."""
    return [path for path in getattr(scan, self.kind) if self.is_one(path)]


def _is_coco(path):
  # Looked for in the text, since parsing takes seconds; captions of COCO have no categories.
  with open(path, 'rb') as file:
    content = file.read()
  return all(f'"{key}"'.encode() in content for key in _COCO_LISTS)


def _open_coco(scan, paths, labels):
  by_part = scan.by_part(paths, by_name=True)
  for part, files in by_part.items():
    # Keypoints of the same images may lie beside the boxes.
    instances = [path for path in files if os.path.basename(path).startswith('instances')]
    by_part[part] = scan.only(instances or files)
  contents = {path: json_file.load(path) for path in by_part.values()}
  names = {}
  for path, content in contents.items():
    names |= dict.fromkeys(coco_entries.used_categories(path, content))
  name_to_id = labels.id_by_name if labels else {name: i for i, name in enumerate(names, start=1)}
  parts, folders = {}, []
  for part, path in by_part.items():
    content = contents.pop(path)
    coco_entries.renumber(path, content, name_to_id)
    annotations = coco.read_content(path, content)
    folders.append(_image_folder(scan, path, list(map(str, annotations.images))))
    parts[part] = coco.open_source(annotations, folders[-1])
  return Opened(_named(parts), folders=folders)


def _has_csv_columns(path):
  try:
    lines = text_file.read(path).lstrip('\r\n').splitlines()[:1]
  except InputError:
    return False
  delimiter = max(',;\t', key=''.join(lines).count)
  names = {name.strip() for row in csv.reader(lines, delimiter=delimiter) for name in row}
  return names >= _CSV_COLUMNS


def _open_csv(scan, paths, labels):
  files = {part: scan.only(group) for part, group in scan.by_part(paths, by_name=True).items()}
  folders = {path: _image_folder(scan, path, csv_boxes.filenames(path)) for path in files.values()}
  if labels:
    name_to_id = labels.id_by_name
  else:
    found = [csv_boxes.open_source(path, folder).name_to_id for path, folder in folders.items()]
    name_to_id = {name: i for i, name in enumerate(sorted(set().union(*found)), start=1)}
  parts = {}
  for part, path in files.items():
    source = csv_boxes.open_source(path, folders[path], name_to_id)
    # Its remarks are of images that this file alone lacks.
    parts[part] = dataclasses.replace(source, remarks=())
  used = {os.path.normpath(item.path) for source in parts.values() for item in source.items}
  unused = [path for path in scan.images if os.path.normpath(path) not in used]
  remarks = []
  if unused:
    text = 'images are in no row of a CSV file'
    remarks.append(f'{len(unused)} {text}, such as {unused[0]}; they are left out.')
  return Opened(_named(parts), remarks, [*folders.values()])


def _open_records(scan, paths, labels):
  own = None
  if labels is None:
    if len(scan.label_maps) != 1:
      found = ' and '.join(scan.label_maps) or 'none'
      raise InputError(
        f'{scan.root}: TFRecords need their label map (pbtxt): expected one in the folder, found '
        f'{found}; give it by --label_map_path'
      )
    own = label_maps.load(scan.label_maps[0])
  parts = {}
  for part, group in scan.by_part(_all_shards(paths), by_name=True).items():
    source = tfrecord.open_source(group, (labels or own).name_by_id)
    read = functools.partial(_read_record, read=source.read, labels=labels or own, by_name=not own)
    parts[part] = dataclasses.replace(source, read=read)
  return Opened(_named(parts), labels=own)


def _all_shards(paths):
  """With the other shards of each; refuses sets of which one is missing."""
  shards = {path: re.fullmatch(r'(.+)-\d{5}-of-(\d{5})', path) for path in paths}
  whole = [path for path, shard in shards.items() if not shard]
  counts = {f'{glob.escape(shard[1])}@{shard[2]}' for shard in shards.values() if shard}
  return [*whole, *input_paths.expand_input_paths(sorted(counts))]


def _read_record(place, read, labels, by_name):
  """A record; by_name: a class that the label map has by name gets the id that it has there."""
  annotation = read(place)
  ids = annotation.class_ids
  if by_name:
    pairs = zip(annotation.class_names, ids.tolist(), strict=True)
    ids = np.array([labels.id_by_name.get(name, i) for name, i in pairs], np.int64)
  if unknown := sorted({*ids.tolist()} - {*labels.ids}):
    raise InputError(
      f'{place}: has boxes of class {", ".join(map(str, unknown))}, which the label map lacks; add '
      'it there'
    )
  names = [labels.name_by_id[i] for i in ids.tolist()]
  return dataclasses.replace(annotation, class_ids=ids, class_names=names)


def _image_folder(scan, path, names):
  """The folder that most of some names of images are relative to."""
  names = [*dict.fromkeys(names)]
  near = [os.path.dirname(path) or '.', *scan.folders_near(path), scan.root]
  # A name may begin with a folder, as train/a.jpg does.
  folders = dict.fromkeys([*near, *(os.path.dirname(folder) or '.' for folder in near)])
  for some in (names[:: len(names) // 50 + 1], names):
    counts = {folder: sum(_has(folder, name) for name in some) for folder in folders}
    best = max(counts, key=counts.get)
    if counts[best] or not some:
      return best
  raise InputError(
    f'{path}: none of its images is found, such as {names[0]}, in {scan.root} or below; put them '
    'there, or give the folder that holds both'
  )


def _has(folder, name):
  path = os.path.join(folder, name)
  is_below = not os.path.relpath(path, folder).startswith(os.pardir)
  return is_below and os.path.isfile(path)


def _named(parts):
  """Parts by name; the one that no word names trains beside val and test."""
  if {None, 'train'} <= parts.keys():
    raise InputError(
      f'{parts[None].files[0]}: does not say whether it trains or validates, as others here do; '
      'put train, val or test into its name, or move it elsewhere'
    )
  return {part or 'train': source for part, source in parts.items()}


def _is_data_yaml(path):
  with open(path, 'rb') as file:
    return bool(re.search(rb"""^["']?names["']?\s*:""", file.read(), re.MULTILINE))


ALL = (
  Format('YOLO', 'yaml', _is_data_yaml, yolo_folder.open_data_yaml),
  Format('COCO', 'json', _is_coco, _open_coco),
  Format('Pascal VOC', 'xml', voc_folder.is_annotation, voc_folder.open_parts),
  Format('CSV', 'csv', _has_csv_columns, _open_csv),
  Format('TFRecord', 'records', lambda path: True, _open_records),
  Format('YOLO', 'class_names', lambda path: True, yolo_folder.open_plain),
)
