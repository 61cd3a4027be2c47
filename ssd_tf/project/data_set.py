"""What a user's folder or file of data holds: its format is found, and its parts are opened."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from ssd_tf.config import label_map as label_maps
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError
from ssd_tf.project import folder_scan, formats
from ssd_tf.project.folder_scan import FolderScan

_EXPECTED = (
  'expected Pascal VOC XML files, a COCO JSON, a data.yaml of YOLO, a CSV file with the columns '
  'filename,class,xmin,ymin,xmax,ymax, or TFRecords with a label map'
)
_KINDS = {'.json': 'json', '.yaml': 'yaml', '.yml': 'yaml', '.csv': 'csv'}


@dataclasses.dataclass(frozen=True)
class DataSet:
  """A data set as it was found.

  Attributes:
    format: such as 'Pascal VOC'.
    place: the folder or file.
    files: all files that it is read from, images too.
    parts: 'train', 'val' and 'test' as far as the data set tells them apart; else 'all' alone.
    remarks: what else the user should know, a sentence each.
  """

  format: str
  place: str
  files: Sequence[str]
  parts: Mapping[str, Source]
  remarks: Sequence[str] = ()

  @property
  def names(self) -> Mapping[int, str]:
    """The classes, id to name; the same in every part."""
    return next(iter(self.parts.values())).names


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
  scan = _scan(path)
  labels = label_maps.load_or_list(label_map_path) if label_map_path else None
  found = {each: files for each in formats.ALL if (files := each.choose(scan))}
  if not found:
    raise InputError(f'{path}: found no annotations; {_EXPECTED}')
  chosen, *others = found
  parts, remarks = chosen.open(scan, found[chosen], labels)
  if len(parts) == 1:  # Its name says nothing then: a folder may hold a val2017 alone.
    parts = {'all': next(iter(parts.values()))}
  elif 'train' not in parts:
    raise InputError(f'{path}: found only parts named {" and ".join(parts)}; expected train, too')
  remarks = [
    *remarks,
    *(f'Also found {each.name} in {found[each][0]}; give that file to use it.' for each in others),
  ]
  files = sorted({*found[chosen], *scan.images, *scan.image_lists})
  return DataSet(chosen.name, path, files, parts, remarks)


def _scan(path) -> FolderScan:
  """The files below a folder; of a file, those around it with no other annotations."""
  if not os.path.isfile(path):
    return folder_scan.scan(path)
  scan = folder_scan.scan(os.path.dirname(path) or '.')
  kind = _KINDS.get(os.path.splitext(path)[1].lower())
  if kind is None and os.path.realpath(path) in map(os.path.realpath, scan.records):
    kind = 'records'
  if kind is None:
    raise InputError(f'{path}: {_EXPECTED}; or the folder that holds them')
  nothing = dict.fromkeys(('json', 'yaml', 'csv', 'xml', 'records', 'class_names'), ())
  return dataclasses.replace(scan, **{**nothing, kind: [path]})
