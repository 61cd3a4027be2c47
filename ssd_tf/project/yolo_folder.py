"""Opens YOLO in a user's folder: a data.yaml, or images, text files and class names."""

import dataclasses
import os
from collections.abc import Sequence

from ssd_tf.config.label_map import LabelMap
from ssd_tf.data.sources import yaml_file, yolo
from ssd_tf.data.sources.yolo import YoloSet
from ssd_tf.errors import InputError
from ssd_tf.project.folder_scan import FolderScan
from ssd_tf.project.opened import Opened

_PART_OF_KEY = {'train': 'train', 'val': 'val', 'valid': 'val', 'test': 'test'}


def open_data_yaml(scan: FolderScan, paths: Sequence[str], labels: LabelMap | None) -> Opened:
  """Opens the sets of a data.yaml.

  A val or test whose folder does not exist is left out, as is a test without labels: exports name
  them where they are empty, too.

  Args:
    scan: the folder.
    paths: its data.yaml alone.
    labels: the classes and their ids; None: YOLO's numbers and 1.

  Raises:
    InputError: the file or a set is at fault.
  """
  path = scan.only(paths)
  keys, sets, remarks = yaml_file.read_mapping(path), {}, []
  for key, part in _PART_OF_KEY.items():
    if key not in keys or not keys[key].value or part in sets:
      continue
    try:
      sets[part] = _with_labels(yolo.read_data_yaml(path, key), f'{path}:{keys[key].line}: {key}')
    except yolo.NoImagesError as error:
      if part == 'train':
        raise
      remarks.append(f'{error}; this part is left out.')
    except _NoLabelsError as error:
      if part != 'test':
        raise
      remarks.append(f'{error}; this part is left out.')
  if not sets:
    raise InputError(f'{path}: expected the key train with a folder of images')
  return _opened(sets, labels, remarks)


def open_plain(scan: FolderScan, paths: Sequence[str], labels: LabelMap | None) -> Opened:
  """Opens images and text files of which folders tell the parts; the same arguments.

  Args:
    scan: the folder.
    paths: classes.txt or obj.names; several if they say the same.
    labels: see `open_data_yaml`.

  Raises:
    InputError: the files are at fault.
  """
  contents = {}
  for path in paths:
    with open(path, 'rb') as file:
      contents.setdefault(file.read(), path)
  names_path = scan.only([*contents.values()])
  found = yolo.read_folders(scan.root, None, names_path)
  known = {*map(os.path.abspath, scan.images)}
  rows = {}
  for pair in zip(found.image_paths, found.label_paths, strict=True):
    if pair[0] in known:
      rows.setdefault(scan.part_of(pair[0], by_name=False), []).append(pair)
  if {None, 'train'} <= rows.keys():
    raise InputError(
      f'{rows[None][0][0]}: lies outside the folders that say train, val or test; move it into one '
      'of them'
    )
  sets = {}
  for part, pairs in rows.items():
    images, texts = zip(*pairs, strict=True)
    part = part or 'train'
    chosen = dataclasses.replace(found, image_paths=images, label_paths=texts, remarks=())
    sets[part] = _with_labels(chosen, f'{scan.root}: {part}')
  return _opened(sets, labels, [f'{place}: {text}.' for place, text in found.remarks])


class _NoLabelsError(InputError):
  pass


def _with_labels(found: YoloSet, place) -> YoloSet:
  if not any(map(os.path.isfile, found.label_paths)):
    raise _NoLabelsError(
      f'{place}: none of its {len(found.image_paths)} images has a text file of labels: expected '
      f'{found.label_paths[0]}, for one'
    )
  return found


def _opened(sets, labels, remarks):
  name_to_id = labels and labels.id_by_name
  parts = {part: yolo.open_source(found, name_to_id) for part, found in sets.items()}
  folders = {
    os.path.dirname(path)
    for found in sets.values()
    for path in (*found.image_paths, *found.label_paths)
  }
  return Opened(parts, remarks, sorted(folders))
