"""The files below a user's folder of data, by kind, and the part that a path belongs to."""

import dataclasses
import os
import re
from collections.abc import Sequence

from ssd_tf.data import image_files
from ssd_tf.errors import InputError

# Written beside prepared records: a folder with it is ours, not the user's data.
MANIFEST = 'data_set.json'

_PARTS = {
  'train': ('train', 'training', 'trainval'),
  'val': ('val', 'valid', 'validation', 'eval', 'evaluation', 'dev'),
  'test': ('test', 'testing'),
}
_PART_OF_WORD = {word: part for part, words in _PARTS.items() for word in words}
_KINDS = {
  'images': image_files.EXTENSIONS,
  'xml': ('.xml',),
  'json': ('.json',),
  'csv': ('.csv',),
  'yaml': ('.yaml', '.yml'),
  'label_maps': ('.pbtxt',),
}
_KIND_OF_EXTENSION = {extension: kind for kind, all_ in _KINDS.items() for extension in all_}
# train.record, train.tfrecord, train.record-00000-of-00010, train-00000-of-00010.tfrecord.
_RECORD = re.compile(r'.*\.(?:tf)?records?(?:-\d+-of-\d+)?', re.IGNORECASE)
_CLASS_NAMES = ('classes.txt', 'obj.names')


@dataclasses.dataclass(frozen=True)
class FolderScan:
  """Files below a folder, sorted; without hidden ones.

  Attributes:
    root: the folder.
    images: paths of images.
    xml: of XML files.
    json: of JSON files.
    csv: of CSV files.
    yaml: of YAML files.
    label_maps: of label maps.
    records: of TFRecord files.
    class_names: of the files in which YOLO's tools list classes.
    image_lists: of the lists in ImageSets/Main of Pascal VOC.
  """

  root: str
  images: Sequence[str] = ()
  xml: Sequence[str] = ()
  json: Sequence[str] = ()
  csv: Sequence[str] = ()
  yaml: Sequence[str] = ()
  label_maps: Sequence[str] = ()
  records: Sequence[str] = ()
  class_names: Sequence[str] = ()
  image_lists: Sequence[str] = ()

  def part_of(self, path: str, *, by_name: bool) -> str | None:
    """The part that a path names, 'train', 'val' or 'test', by its words; the last one counts.

    Args:
      path: below the root.
      by_name: whether its file name counts, besides the folders below the root.

    Returns:
      The part; None where no word tells.
    """
    relative = os.path.relpath(path, self.root)
    text = os.path.splitext(relative)[0] if by_name else os.path.dirname(relative)
    words = [_PART_OF_WORD.get(word.lower()) for word in re.split('[^a-zA-Z]+', text)]
    return next((part for part in reversed(words) if part), None)

  def by_part(self, paths: Sequence[str], *, by_name: bool) -> dict[str | None, list[str]]:
    """Groups paths by `part_of`, train, val and test first."""
    groups = {part: [] for part in (*_PARTS, None)}
    for path in paths:
      groups[self.part_of(path, by_name=by_name)].append(path)
    return {part: group for part, group in groups.items() if group}

  @property
  def image_folders(self) -> list[str]:
    """The folders that hold images directly."""
    return sorted({os.path.dirname(path) for path in self.images})

  def folders_near(self, path: str) -> list[str]:
    """The image folders, those of the same part first, then those closest to a path."""
    part, folder = self.part_of(path, by_name=True), os.path.dirname(path)

    def distance(other):
      is_other_part = self.part_of(os.path.join(other, ''), by_name=False) not in (None, part)
      return is_other_part, os.path.relpath(other, folder).count(os.sep), other

    return sorted(self.image_folders, key=lambda other: (other != folder, *distance(other)))


def scan(root: str) -> FolderScan:
  """Looks through a folder and all below it, links to folders too, each once.

  Args:
    root: the folder.

  Returns:
    Its files.

  Raises:
    InputError: there is no such folder.
  """
  if not os.path.isdir(root):
    raise InputError(f'{root}: no such file or folder')
  found = {field.name: [] for field in dataclasses.fields(FolderScan) if field.name != 'root'}
  seen = {os.path.realpath(root)}
  for folder, folders, names in os.walk(root, onerror=_raise, followlinks=True):
    real = {name: os.path.realpath(os.path.join(folder, name)) for name in sorted(folders)}
    folders[:] = [
      name
      for name, path in real.items()
      if not name.startswith('.') and path not in seen and not _is_ours(path)
    ]
    seen.update(real.values())
    for name in sorted(names):
      kind = None if name.startswith('.') else _kind(folder, name)
      if kind:
        found[kind].append(os.path.join(folder, name))
  return FolderScan(root, **{kind: sorted(paths) for kind, paths in found.items()})


def _kind(folder, name):
  if _RECORD.fullmatch(name):
    return 'records'
  if name in _CLASS_NAMES:
    return 'class_names'
  if folder.endswith(os.path.join('ImageSets', 'Main')) and name.endswith('.txt'):
    return 'image_lists'
  return _KIND_OF_EXTENSION.get(os.path.splitext(name)[1].lower())


def _is_ours(folder):
  return os.path.isfile(os.path.join(folder, MANIFEST))


def _raise(error):
  raise error
