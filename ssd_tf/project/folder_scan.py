"""Lists the files below a user's folder of data by kind, and the part that a path belongs to."""

import dataclasses
import os
import re
from collections.abc import Sequence

from ssd_tf.data import image_files
from ssd_tf.errors import InputError

# Written beside prepared records: a folder with it is ours, not the user's data.
MANIFEST = 'data_set.json'
# A folder with the first and one of the others is a model_dir.
_CONFIG, _OF_MODEL_DIR = 'pipeline.config', ('checkpoint', os.path.join('data', MANIFEST))

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
  'texts': ('.txt',),
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
    texts: of other text files, such as YOLO's labels.
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
  texts: Sequence[str] = ()

  @property
  def files(self) -> list[str]:
    """The paths of all kinds, sorted."""
    kinds = (getattr(self, field.name) for field in dataclasses.fields(self))
    return sorted(path for kind in kinds if not isinstance(kind, str) for path in kind)

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

  def only(self, paths: Sequence[str]) -> str:
    """The one path of several that may all be the annotations.

    Raises:
      InputError: there is more than one.
    """
    if len(paths) > 1:
      raise InputError(
        f'{self.root}: {" and ".join(paths[:2])} may both be the annotations; give the one to use '
        'instead of the folder, or move the other elsewhere'
      )
    return paths[0]

  @property
  def image_folders(self) -> list[str]:
    """The folders that hold images directly."""
    return sorted({os.path.dirname(path) for path in self.images})

  def folders_near(self, path: str) -> list[str]:
    """The image folders that a file's images may lie in: its own first, then the closest.

    Those of another part are left out, where there are others: an image of the same name there is
    another image.
    """
    part, folder = self.part_of(path, by_name=True), os.path.dirname(path)

    def is_apart(other):
      other_part = self.part_of(os.path.join(other, 'x'), by_name=False)
      return None not in (part, other_part) and part != other_part

    def distance(other):
      return other != folder, os.path.relpath(other, folder or '.').count(os.sep), other

    folders = [other for other in self.image_folders if not is_apart(other)]
    return sorted(folders or self.image_folders, key=distance)


def scan(root: str) -> FolderScan:
  """Looks through a folder and all below it, links to folders too, each once.

  Passed over are hidden folders and files, our own records and model_dirs below the folder, links
  to a folder that it lies in, and links to nothing.

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
  top = os.path.realpath(root)
  seen = {top}
  for folder, folders, names in os.walk(root, onerror=_raise, followlinks=True):
    real = {name: os.path.realpath(os.path.join(folder, name)) for name in sorted(folders)}
    folders[:] = [
      name
      for name, path in real.items()
      if not (name.startswith('.') or path in seen or _is_above(path, top) or _is_ours(path))
    ]
    seen.update(real.values())
    for name in sorted(names):
      path = os.path.join(folder, name)
      kind = None if name.startswith('.') else _kind(folder, name)
      if kind and os.path.isfile(path):
        found[kind].append(path)
  return FolderScan(root, **{kind: sorted(paths) for kind, paths in found.items()})


def is_record(name: str) -> bool:
  """Whether a file is named as TFRecords are, such as train.record-00000-of-00010."""
  return bool(_RECORD.fullmatch(name))


def _kind(folder, name):
  if is_record(name):
    return 'records'
  if name in _CLASS_NAMES:
    return 'class_names'
  if folder.endswith(os.path.join('ImageSets', 'Main')) and name.endswith('.txt'):
    return 'image_lists'
  return _KIND_OF_EXTENSION.get(os.path.splitext(name)[1].lower())


def _is_ours(folder):
  def has(name):
    return os.path.isfile(os.path.join(folder, name))

  return has(MANIFEST) or (has(_CONFIG) and any(map(has, _OF_MODEL_DIR)))


def _is_above(folder, other):
  return os.path.commonpath([folder, other]) == folder


def _raise(error):
  raise error
