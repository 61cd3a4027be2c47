"""Finds the files of Pascal VOC data: folders, image lists, and the image of an annotation."""

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping, Sequence

from ssd_tf.data import image_files
from ssd_tf.errors import InputError
from ssd_tf.files import text_file

_IMAGE_FOLDERS = ('JPEGImages', 'images', 'Images', 'JPEGimages', '.')
# In a list for one class the second column says whether the class is in the image.
_COLUMN = re.compile(r'(.*\S)\s+(?:-1|0|1)')
_IMAGE = '|'.join(map(re.escape, image_files.EXTENSIONS))
_TWO_PATHS = re.compile(rf'(.*(?:{_IMAGE}))\s+(\S.*\.xml)', re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class VocFile:
  """One annotation file, and where to look for its image, if no list names its path.

  Attributes:
    images: image paths, by file name and by file name without extension.
  """

  path: str
  images: Mapping[str, str] = dataclasses.field(repr=False)
  image_folders: Sequence[str]
  image_path: str | None = None

  def __str__(self):
    return self.path


def list_files(
  data_dir: str, set_name: str, *, year: str = 'VOC2007', annotations_dir: str = 'Annotations'
) -> list[VocFile]:
  """Lists the annotation files of a set, in the order of the list, else by name.

  Args:
    data_dir: a VOCdevkit, which holds the folders of the years, or one such folder itself: it has
      annotations_dir (or 'annotations'), and its images in JPEGImages, images, beside the XML
      files or in data_dir.
    set_name: a list in ImageSets/Main, such as 'train'; 'all': every XML file there is. A line is
      the name of an annotation, also with the image's extension; a class's list has a second
      column, -1, 0 or 1. Or it has an image's path and an XML's, as Caffe's lists have, from the
      folder or from the VOCdevkit.
    year: the folder below a VOCdevkit, or 'merged': VOC2007 and VOC2012.

  Raises:
    InputError: no such folder or list, or it is empty.
  """
  files = []
  for root in _roots(data_dir, year, annotations_dir):
    xml_dir = _xml_dir(root, annotations_dir)
    if xml_dir is None:
      raise InputError(f'{root}: expected the folder {annotations_dir} with XML files in it')
    folders = [*(os.path.join(root, name) for name in _IMAGE_FOLDERS), xml_dir]
    if set_name == 'all':
      files += list_folder(xml_dir, folders)
    else:
      files += _listed_files(_list_path(root, set_name), root, xml_dir, folders)
  return files


def list_folder(xml_dir: str, image_dirs: Iterable[str]) -> list[VocFile]:
  """Lists the annotation files of a folder, by name, and the images in the given folders."""
  folders = [folder for folder in image_dirs if os.path.isdir(folder)]
  images = _index_images(folders)
  names = _xml_names(xml_dir)
  if not names:
    raise InputError(f'{xml_dir}: no XML file')
  return [VocFile(os.path.join(xml_dir, name), images, folders) for name in names]


def find_image(file: VocFile, filename: str) -> tuple[str, list[str]]:
  """Finds the image of an annotation file, and remarks on a name that differs.

  It is that of the list, else the image named as the XML file is, else the one that the XML names.
  """
  if file.image_path is not None:
    return file.image_path, []
  stem = os.path.splitext(os.path.basename(file.path))[0]
  named_stem = os.path.splitext(filename)[0]
  candidates = [filename, stem] if named_stem == stem else [stem, filename, named_stem]
  path = next((file.images[name] for name in candidates if name in file.images), None)
  if path is None:
    sought = ' or '.join(dict.fromkeys(name for name in (f'{stem}.*', filename) if name))
    raise InputError(f'{file.path}: no image {sought} in {", ".join(file.image_folders)}')
  if filename and stem not in (named_stem, filename):
    return path, [f'{file.path} names {filename!r}: {path} is taken']
  return path, []


def _roots(data_dir, year, annotations_dir):
  years = ('VOC2007', 'VOC2012') if year == 'merged' else (year,)
  roots = [os.path.join(data_dir, name) for name in years]
  if all(os.path.isdir(root) for root in roots):
    return roots
  if _xml_dir(data_dir, annotations_dir):
    return [data_dir]
  raise InputError(
    f'{data_dir}: expected the folder {" and ".join(years)}, or {annotations_dir} with XML files; '
    'give --data_dir, --year or --annotations_dir otherwise'
  )


def _xml_dir(root, annotations_dir):
  for name in (annotations_dir, annotations_dir.lower()):
    path = os.path.join(root, name)
    if os.path.isdir(path):
      return path
  return None


def _xml_names(xml_dir):
  return sorted(name for name in os.listdir(xml_dir) if name.lower().endswith('.xml'))


def _list_path(root, set_name):
  set_dir = os.path.join(root, 'ImageSets', 'Main')
  path = os.path.join(set_dir, f'{set_name}.txt')
  if not os.path.isfile(path):
    names = os.listdir(set_dir) if os.path.isdir(set_dir) else []
    known = sorted(os.path.splitext(name)[0] for name in names)
    raise InputError(
      f'{path}: no such image list; expected one of: {", ".join((*known, "all"))} '
      '(all: every XML file)'
    )
  return path


def _listed_files(list_path, root, xml_dir, folders):
  lines = text_file.read_lines(list_path)
  if not lines:
    raise InputError(f'{list_path}: the image list is empty')
  folders = [folder for folder in folders if os.path.isdir(folder)]
  images = _index_images(folders)
  xmls = {}
  for name in _xml_names(xml_dir):
    xmls.setdefault(os.path.splitext(name)[0], name)
  has_column = all(_COLUMN.fullmatch(line) for _, line in lines)
  files = []
  for number, line in lines:
    pair = _TWO_PATHS.fullmatch(line)
    if pair and os.path.splitext(line)[0] not in xmls:
      image_path, xml_path = (_from_root(path, root) for path in pair.groups())
      files.append(VocFile(xml_path, images, folders, image_path))
    else:
      name = _annotation_name(line, xmls, has_column, f'{list_path}:{number}')
      files.append(VocFile(os.path.join(xml_dir, name), images, folders))
  return files


def _annotation_name(line, xmls, has_column, place):
  """The XML's file name of a line; a name may end in a blank and a digit as a column does."""
  column = _COLUMN.fullmatch(line)
  names = [line, column[1]] if column else [line]
  found = [xmls.get(name) or xmls.get(_without_extension(name)) for name in names]
  if has_column and all(found) and found[0] != found[-1]:
    raise InputError(
      f'{place}: {line!r} may mean {found[0]}, or {found[1]} and a second column; expected a name '
      'that can be told from a column: write it with .xml'
    )
  return next(filter(None, found), f'{_without_extension(names[-1])}.xml')


def _without_extension(name):
  """Without the folder, too, where there is an extension: the path of an image or an XML file."""
  stem, extension = os.path.splitext(name)
  is_file = extension.lower() in (*image_files.EXTENSIONS, '.xml')
  return os.path.basename(stem) if is_file else name


def _from_root(path, root):
  """Paths of a list count from the folder of a year, or from the one above it."""
  folders = (root, os.path.dirname(os.path.abspath(root)))
  paths = [os.path.join(folder, path) for folder in folders]
  return next(filter(os.path.isfile, paths), paths[0])


def _index_images(folders):
  images = {}
  for folder in folders:
    for name in sorted(os.listdir(folder)):
      stem, extension = os.path.splitext(name)
      if extension.lower() in image_files.EXTENSIONS:
        images.setdefault(name, os.path.join(folder, name))
        images.setdefault(stem, os.path.join(folder, name))
  return images
