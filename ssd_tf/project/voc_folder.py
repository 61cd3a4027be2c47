"""Pascal VOC in a user's folder: a VOCdevkit with its lists, or images and XML files anywhere."""

import itertools
import os
from collections.abc import Mapping, Sequence

from ssd_tf.config.label_map import LabelMap
from ssd_tf.data.source import Source
from ssd_tf.data.sources import pascal_voc, voc_files
from ssd_tf.errors import InputError
from ssd_tf.project.folder_scan import FolderScan

# The lists of a VOCdevkit that train and that validate, the first pair that is there.
_PAIRS = (('train', 'val'), ('trainval', 'test'), ('train', 'test'))


def choose(scan: FolderScan) -> list[str]:
  """The XML files of a folder that look like annotations of images."""
  return [path for path in scan.xml if _is_annotation(path)]


def _is_annotation(path):
  with open(path, 'rb') as file:
    return b'<annotation' in file.read(4096)


def open_parts(
  scan: FolderScan, paths: Sequence[str], labels: LabelMap | None
) -> tuple[Mapping[str, Source], Sequence[str]]:
  """Opens the XML files of a folder.

  The lists in ImageSets/Main tell the parts, else folders named train, val or test. An image lies
  beside its XML file, or in another folder under the same name.

  Args:
    scan: the folder.
    paths: its XML files.
    labels: the classes and their ids; None: those that occur, from 1, by name.

  Returns:
    The parts, and remarks.

  Raises:
    InputError: a list is at fault, or a class is not in the label map.
  """
  files = _listed(scan) or _by_folder(scan, paths)
  if labels:
    name_to_id = labels.id_by_name
  else:
    found = pascal_voc.open_source([*itertools.chain(*files.values())]).name_to_id
    name_to_id = {name: class_id for class_id, name in enumerate(sorted(found), start=1)}
  if not name_to_id:
    raise InputError(f'{scan.root}: none of its {len(paths)} XML files has an object')
  parts = {part: pascal_voc.open_source(group, name_to_id) for part, group in files.items()}
  return parts, _remarks(scan, paths)


def _listed(scan):
  """The files of the parts that lists tell, of all years together; none without lists."""
  names_of = {}
  for path in scan.image_lists:
    root = os.path.dirname(os.path.dirname(os.path.dirname(path)))
    names_of.setdefault(root, set()).add(os.path.splitext(os.path.basename(path))[0])
  found = {}
  for root, names in names_of.items():
    pair = next((pair for pair in _PAIRS if names.issuperset(pair)), None)
    if pair:
      parts = {'train': pair[0], 'val': pair[1]}
      if 'test' in names and 'test' not in pair:
        parts['test'] = 'test'
    else:
      # One list alone says which images there are; of VOC2012 it is trainval.
      parts = {'train': next((n for n in ('trainval', 'train', 'val', 'test') if n in names), None)}
    for part, name in parts.items():
      if name:
        found.setdefault(part, []).extend(voc_files.list_files(root, name))
  return found


def _by_folder(scan, paths):
  """The files of the parts that folders tell, each folder's images sought close to it."""
  found = {}
  for folder in sorted({os.path.dirname(path) for path in paths}):
    there = {path for path in paths if os.path.dirname(path) == folder}
    sample = os.path.join(folder, 'x')
    files = voc_files.list_folder(folder, scan.folders_near(sample))
    part = scan.part_of(sample, by_name=False)
    found.setdefault(part, []).extend(file for file in files if file.path in there)
  if len(found) > 1 and {None, 'train'} <= found.keys():
    raise InputError(
      f'{found[None][0].path}: lies outside the folders that say train, val or test; move it into '
      'one of them'
    )
  # What lies apart from val and test trains.
  return {part or 'train': files for part, files in found.items()}


def _remarks(scan, paths):
  stems = {os.path.splitext(os.path.basename(path))[0] for path in paths}
  unused = [
    path for path in scan.images if os.path.splitext(os.path.basename(path))[0] not in stems
  ]
  if not unused:
    return []
  return [
    f'{len(unused)} images have no XML file of their name, such as {unused[0]}; they are left out.'
  ]
