"""Opens a user's folder or file of data: finds its format and its parts."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from ssd_tf.config import label_map as label_maps
from ssd_tf.config.label_map import LabelMap
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError
from ssd_tf.project import folder_scan, formats
from ssd_tf.project.folder_scan import FolderScan

_EXPECTED = (
  'expected Pascal VOC XML files, a COCO JSON, a data.yaml or classes.txt of YOLO, a CSV file with '
  'the columns filename,class,xmin,ymin,xmax,ymax, or TFRecords with a label map'
)
_KINDS = {'.json': 'json', '.yaml': 'yaml', '.yml': 'yaml', '.csv': 'csv'}
_ARCHIVES = ('.zip', '.tar', '.gz', '.tgz', '.bz2', '.xz', '.7z', '.rar')


@dataclasses.dataclass(frozen=True)
class DataSet:
  """A data set as it was found.

  Attributes:
    format: such as 'Pascal VOC'.
    place: the folder or file.
    parts: 'train', 'val' and 'test' as far as the data set tells them apart; else 'all' alone. The
      classes are the same in each, and each has an image.
    label_map: the classes.
    remarks: what else the user should know, a sentence each.
    folders: from which images or labels are read, as far as they are known.
  """

  format: str
  place: str
  parts: Mapping[str, Source]
  label_map: LabelMap
  remarks: Sequence[str] = ()
  folders: Sequence[str] = ()


def find(path: str, label_map_path: str | None = None) -> DataSet:
  """Finds out what format a data set has, and opens it.

  Args:
    path: a folder, looked through with all below it, or a file: a COCO JSON, a data.yaml of YOLO, a
      CSV file or a TFRecord file.
    label_map_path: the classes and their ids; None: records have the one that lies in the folder,
      every other format the classes that it names, numbered from 1.

  Returns:
    The data set.

  Raises:
    InputError: no format is found, or the data set is at fault; names the file.
    OSError: a file cannot be read.
  """
  if os.path.isfile(path):
    chosen, scan, files = _by_file(path)
    others = {}
  else:
    scan = folder_scan.scan(path)
    others = {each: found for each in formats.ALL if (found := each.choose(scan))}
    if not others:
      raise InputError(f'{path}: found no annotations; {_EXPECTED}')
    chosen = next(iter(others))
    files = others.pop(chosen)
  labels = label_maps.load_or_list(label_map_path) if label_map_path else None
  opened = chosen.open(scan, files, labels)
  remarks = [
    *opened.remarks,
    *(
      f'Also found {each.name}, in {found[0]}, which is not used: to use it, give a folder or a '
      'file with it alone.'
      for each, found in others.items()
      if each.name != chosen.name
    ),
  ]
  parts, emptied = _with_images(path, opened.parts)
  names = next(iter(parts.values())).names
  labels = labels or opened.labels or label_maps.of_names(names)
  return DataSet(chosen.name, path, parts, labels, [*remarks, *emptied], opened.folders)


def _with_images(path, parts):
  """The parts that have images, and a remark on each other."""
  remarks = [
    f'Its part {part} has no images, and is left out.'
    for part, source in parts.items()
    if not source.items and part != 'train'
  ]
  parts = {part: source for part, source in parts.items() if source.items or part == 'train'}
  if len(parts) == 1:  # Its name says nothing then: a folder may hold a val2017 alone.
    parts = {'all': next(iter(parts.values()))}
  elif 'train' not in parts:
    raise InputError(
      f'{path}: found only parts named {" and ".join(parts) or "nothing"}; expected train, too'
    )
  for part, source in parts.items():
    if not source.items:
      raise InputError(f'{path}: its part {part} has no images; expected at least one')
  return parts, remarks


def _by_file(path) -> tuple[formats.Format, FolderScan, list[str]]:
  """The format of a file, the scan of the folder around it, and the file."""
  kind = _KINDS.get(os.path.splitext(path)[1].lower())
  if folder_scan.is_record(os.path.basename(path)):
    kind = 'records'
  if path.lower().endswith(_ARCHIVES):
    raise InputError(f'{path}: is an archive; unpack it, and give the folder')
  if kind is None:
    raise InputError(f'{path}: {_EXPECTED}; or the folder that holds them')
  scan = folder_scan.scan(os.path.dirname(path) or '.')
  if kind in ('json', 'csv') and not scan.images:
    # Annotations often lie in a folder of their own beside those of the images.
    above = folder_scan.scan(os.path.dirname(os.path.abspath(scan.root)))
    scan = dataclasses.replace(above, label_maps=scan.label_maps)
  return next(each for each in formats.ALL if each.kind == kind), scan, [path]
