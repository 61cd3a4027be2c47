"""Opens Pascal VOC in a user's folder: a VOCdevkit, or images and XML files anywhere."""

import collections
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from ssd_tf.config.label_map import LabelMap
from ssd_tf.data.sources import pascal_voc, voc_files, voc_xml
from ssd_tf.data.sources.voc_files import VocFile
from ssd_tf.errors import InputError
from ssd_tf.project.folder_scan import FolderScan
from ssd_tf.project.opened import Opened

# The lists of a VOCdevkit that train and that validate, the first pair that is there.
_PAIRS = (('train', 'val'), ('trainval', 'test'), ('train', 'test'))


class _Look(NamedTuple):
  """What an XML file says: the classes of its objects, and its image; None: it has none."""

  file: VocFile
  names: Sequence[str]
  image: str | None


def is_annotation(path: str) -> bool:
  """Whether an XML file looks like the annotation of an image."""
  with open(path, 'rb') as file:
    return bool(re.search(rb'<annotation[\s>]', file.read(4096)))


def open_parts(scan: FolderScan, paths: Sequence[str], labels: LabelMap | None) -> Opened:
  """Opens the XML files of a folder.

  The lists in ImageSets/Main tell the parts, else folders named train, val or test, of the XML
  files or of their images. An image lies beside its XML file, or in another folder under the same
  name, but never in a folder of another part.

  Args:
    scan: the folder.
    paths: its XML files.
    labels: the classes and their ids; None: those that occur, from 1, by name.

  Raises:
    InputError: a list is at fault, it cannot be told which image belongs to which XML file, or a
      class is not in the label map.
  """
  listed = _listed(scan)
  if listed:
    looks = {part: [_look(file) for file in files] for part, files in listed.items()}
  else:
    looks = _by_folder(scan, paths)
  found = [look for group in looks.values() for look in group]
  _require_one_xml_each(found)
  names = sorted({name for look in found for name in look.names})
  if not names:
    voc_xml.read_xml(found[0].file.path)  # Where none can be read, this tells why.
    raise InputError(f'{scan.root}: none of its {len(found)} XML files has an object')
  name_to_id = labels.id_by_name if labels else {name: i for i, name in enumerate(names, start=1)}
  parts = {
    part: pascal_voc.open_source([look.file for look in group], name_to_id)
    for part, group in looks.items()
  }
  return Opened(parts, _remarks(scan, paths, found))


def _look(file):
  try:
    found = voc_xml.read_xml(file.path)
  except InputError:  # The writer of the records reports it.
    return _Look(file, (), None)
  names = [entry.name for entry in found.objects]
  try:
    return _Look(file, names, os.path.normpath(voc_files.find_image(file, found.filename)[0]))
  except InputError:
    return _Look(file, names, None)


def _listed(scan):
  """The files of the parts that lists tell, of all years together; none without lists."""
  names_of = {}
  for path in scan.image_lists:
    root = os.path.dirname(os.path.dirname(os.path.dirname(path)))
    if any(os.path.isdir(os.path.join(root, name)) for name in ('Annotations', 'annotations')):
      names_of.setdefault(root, set()).add(os.path.splitext(os.path.basename(path))[0])
  found = {}
  for root, names in names_of.items():
    for part, name in _lists_of_parts(names).items():
      found.setdefault(part, []).extend(voc_files.list_files(root, name))
  return found


def _lists_of_parts(names):
  """The list of each part, of those that there are."""
  pair = next((pair for pair in _PAIRS if names.issuperset(pair)), None)
  if pair:
    lists = {'train': pair[0], 'val': pair[1]}
    return lists | ({'test': 'test'} if 'test' in names - {*pair} else {})
  if 'trainval' in names:
    return {'train': 'trainval'}
  return {name: name for name in ('train', 'val', 'test') if name in names}


def _by_folder(scan, paths):
  """What the files of the parts say that folders tell, each file's image sought close to it."""
  looks = []
  for folder in sorted({os.path.dirname(path) for path in paths}):
    there = {path for path in paths if os.path.dirname(path) == folder}
    files = voc_files.list_folder(folder, scan.folders_near(os.path.join(folder, 'x')))
    looks += [_look(file) for file in files if file.path in there]
  same_name = collections.defaultdict(list)
  for path in scan.images:
    same_name[os.path.basename(path)].append(path)
  found = {}
  for look in looks:
    part = scan.part_of(look.file.path, by_name=False)
    if part is None and look.image:
      part = _part_of_image(scan, look, same_name[os.path.basename(look.image)])
    found.setdefault(part, []).append(look)
  apart = [look.file.path for look in found.get(None, ()) if look.image]
  if apart and 'train' in found:
    raise InputError(
      f'{apart[0]}: lies outside the folders that say train, val or test, as {len(apart)} XML '
      'files do; move them into these folders, or elsewhere'
    )
  # What lies apart from val and test trains.
  rest = found.pop(None, [])
  return {'train': found.pop('train', []) + rest, **found} if rest else found


def _part_of_image(scan, look, same_name):
  parts = {scan.part_of(path, by_name=False): path for path in same_name}
  parts.pop(None, None)
  if len(parts) > 1:
    raise InputError(
      f'{look.file.path}: its image may be {" or ".join(parts.values())}; put the XML files of '
      'each into a folder of its own with train, val or test in its name'
    )
  return scan.part_of(look.image, by_name=False)


def _require_one_xml_each(looks):
  xmls = collections.defaultdict(set)
  for look in looks:
    if look.image:
      xmls[look.image].add(os.path.normpath(look.file.path))
  shared = {image: sorted(files) for image, files in xmls.items() if len(files) > 1}
  for image, files in shared.items():
    others = f' ({len(shared)} images are shared like this)' if len(shared) > 1 else ''
    raise InputError(
      f'{image}: would be the image of {" and of ".join(files)}{others}; remove the XML file that '
      'is not its own, or add the image that is missing'
    )


def _remarks(scan, paths, looks):
  remarks = []
  unlisted = sorted(set(paths) - {look.file.path for look in looks})
  if unlisted:
    remarks.append(
      f'{len(unlisted)} XML files are in no list of ImageSets/Main, such as {unlisted[0]}; they '
      'are left out.'
    )
  stems = {os.path.splitext(os.path.basename(path))[0] for path in unlisted}
  used = {look.image for look in looks}
  unused = [
    path
    for path in scan.images
    if os.path.normpath(path) not in used
    and os.path.splitext(os.path.basename(path))[0] not in stems
  ]
  if unused:
    remarks.append(
      f'{len(unused)} images have no XML file, such as {unused[0]}; they are left out.'
    )
  return remarks
