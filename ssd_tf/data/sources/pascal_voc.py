"""Pascal VOC: XML annotations and their images, in the devkit's folders or in a plain folder."""

import collections
import dataclasses
import functools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ssd_tf.data import image_files, record_writer
from ssd_tf.data.sources import class_names
from ssd_tf.data.tf_example import Annotation
from ssd_tf.errors import InputError

_IMAGE_FOLDERS = ('JPEGImages', 'images', 'Images', 'JPEGimages', '.')


@dataclasses.dataclass(frozen=True)
class VocFile:
  """One annotation file, and where to look for its image.

  Attributes:
    path: of the XML.
    images: image paths, by file name and by file name without extension.
    image_folders: that were looked through, for the error message.
  """

  path: str
  images: Mapping[str, str] = dataclasses.field(repr=False)
  image_folders: Sequence[str]

  def __str__(self):
    return self.path


@dataclasses.dataclass(frozen=True)
class VocObject:
  """One <object> of an annotation file; the box in pixels, as written."""

  name: str
  box: tuple[float, float, float, float]  # ymin, xmin, ymax, xmax
  difficult: bool
  truncated: bool
  pose: str


def list_files(
  data_dir: str, set_name: str, *, year: str = 'VOC2007', annotations_dir: str = 'Annotations'
) -> list[VocFile]:
  """Lists the annotation files of a set.

  Args:
    data_dir: a VOCdevkit, which holds the folders of the years, or one such folder itself: it has
      annotations_dir (or 'annotations'), and its images in JPEGImages, images, beside the XML
      files or in data_dir.
    set_name: a list in ImageSets/Main, such as 'train'; 'all': every XML file there is.
    year: the folder below a VOCdevkit, or 'merged': VOC2007 and VOC2012; unused if data_dir is
      itself such a folder.
    annotations_dir: the folder of the XML files.

  Returns:
    The files, in the order of the list, else by name.

  Raises:
    InputError: no such folder or list, or it is empty.
  """
  files = []
  for root in _roots(data_dir, year, annotations_dir):
    xml_dir = _xml_dir(root, annotations_dir)
    folders = [*(os.path.join(root, name) for name in _IMAGE_FOLDERS), xml_dir]
    stems = None if set_name == 'all' else _stems_of_set(root, set_name)
    files += list_folder(xml_dir, folders, stems)
  return files


def list_folder(
  xml_dir: str, image_dirs: Iterable[str], stems: Sequence[str] | None = None
) -> list[VocFile]:
  """Lists the annotation files of a folder.

  Args:
    xml_dir: the folder.
    image_dirs: where to look for their images, in this order; those that do not exist are passed
      over.
    stems: names of the files without .xml; None: all there are.

  Returns:
    The files, in the order of `stems`, else by name.

  Raises:
    InputError: no XML file.
  """
  folders = [folder for folder in image_dirs if os.path.isdir(folder)]
  images = _index_images(folders)
  stems = _all_stems(xml_dir) if stems is None else stems
  return [VocFile(os.path.join(xml_dir, f'{stem}.xml'), images, folders) for stem in stems]


def list_rows(files: Iterable[VocFile]) -> list[tuple]:
  """The objects of all files as rows of `csv_boxes.COLUMNS`; an image without any has one row.

  Files that cannot be read are passed over here: the conversion reports them.

  Args:
    files: to read.

  Returns:
    (filename, width, height, class, xmin, ymin, xmax, ymax) of each object.
  """
  rows = []
  for file in files:
    try:
      objects, filename, size = _read_objects(file.path, ignore_difficult=False)
    except InputError:
      continue
    image = (filename, *(size[::-1] if size else ('', '')))
    for entry in objects:
      ymin, xmin, ymax, xmax = entry.box
      rows.append((*image, entry.name, xmin, ymin, xmax, ymax))
    if not objects:
      rows.append((*image, *[''] * 5))
  return rows


def list_class_names(
  files: Iterable[VocFile], ignore_difficult: bool = False
) -> dict[str, list[str]]:
  """Reads all annotation files for the class names that occur in them.

  Files that cannot be read are passed over here: the conversion reports them.

  Args:
    files: to read.
    ignore_difficult: do not count difficult objects.

  Returns:
    The names, in the order in which they first occur; for each the paths of the files with its
    boxes, one for every box.
  """
  paths = collections.defaultdict(list)
  for file in files:
    try:
      objects = _read_objects(file.path, ignore_difficult)[0]
    except InputError:
      continue
    for entry in objects:
      paths[entry.name].append(file.path)
  return dict(paths)


def check_class_names(
  files: Iterable[VocFile], name_to_id: Mapping[str, int], ignore_difficult: bool = False
) -> None:
  """Reads all annotation files and refuses class names that the label map lacks.

  Args:
    files: to read; those that cannot be read are passed over, see `list_class_names`.
    name_to_id: the label map.
    ignore_difficult: do not count difficult objects.

  Raises:
    InputError: every unknown name, how often it occurs, and where first.
  """
  found = list_class_names(files, ignore_difficult)
  by_count = sorted(found.items(), key=lambda item: -len(item[1]))
  class_names.require_known(
    {name: f'{len(paths)} boxes, first in {paths[0]}' for name, paths in by_count},
    name_to_id,
    'the XML files',
  )


def read_annotation(
  file: VocFile, name_to_id: Mapping[str, int], ignore_difficult: bool = False
) -> Annotation:
  """Reads an annotation file and its image.

  The image is the one named as the XML file is; if there is none, the one that <filename> names.
  Its size counts, not <size>. Coordinates are divided by it as they are written.

  Args:
    file: of `list_files`.
    name_to_id: the label map; it has every name that occurs, see `check_class_names`.
    ignore_difficult: leave difficult objects out.

  Returns:
    The annotation; boxes as annotated, not yet clipped. source_id is the image's file name.

  Raises:
    InputError: the XML or the image is missing or broken; names the file.

  Source: the Object Detection API's create_pascal_tf_record. As there, 1 is not subtracted from
  the coordinates, though those of the devkit count from 1. It divides by <size> instead.
  """
  objects, filename, size = _read_objects(file.path, ignore_difficult)
  image_path, remarks = _find_image(file, filename)
  image = image_files.read_image(image_path, size)
  if size is not None and size != (image.height, image.width):
    remarks.append(
      f'{file.path} says {size[1]} x {size[0]} pixels, the image has {image.width} x '
      f'{image.height}: the boxes are taken as pixels of the image'
    )
  boxes = np.array([entry.box for entry in objects], np.float64).reshape(-1, 4)
  return Annotation(
    **vars(image),
    filename=os.path.basename(image_path),
    source_id=os.path.basename(image_path),
    boxes=(boxes / ([image.height, image.width] * 2)).astype(np.float32),
    class_ids=np.array([name_to_id[entry.name] for entry in objects], np.int64),
    class_names=[entry.name for entry in objects],
    difficult=np.array([entry.difficult for entry in objects], bool),
    truncated=np.array([entry.truncated for entry in objects], bool),
    views=[entry.pose for entry in objects],
    remarks=remarks,
  )


def write_data_set(
  data_dir: str,
  set_name: str,
  name_to_id: Mapping[str, int],
  output_path: str,
  *,
  year: str = 'VOC2007',
  annotations_dir: str = 'Annotations',
  ignore_difficult: bool = False,
  **options: Any,
) -> record_writer.ConversionReport:
  """Converts a set to TFRecords.

  Args:
    data_dir: see `list_files`, as for the three others of its arguments.
    set_name: see there.
    name_to_id: the label map.
    output_path: the record file.
    year: see there.
    annotations_dir: see there.
    ignore_difficult: leave difficult objects out.
    **options: num_shards, num_workers, strict of `record_writer.write_records`.

  Returns:
    The report.

  Raises:
    InputError: as `list_files`, `check_class_names` and `record_writer.write_records`.
  """
  files = list_files(data_dir, set_name, year=year, annotations_dir=annotations_dir)
  return write_files(files, name_to_id, output_path, ignore_difficult=ignore_difficult, **options)


def write_files(
  files: Sequence[VocFile],
  name_to_id: Mapping[str, int],
  output_path: str,
  *,
  ignore_difficult: bool = False,
  **options: Any,
) -> record_writer.ConversionReport:
  """Converts annotation files to TFRecords.

  Args:
    files: of `list_files` or `list_folder`.
    name_to_id: the label map.
    output_path: the record file.
    ignore_difficult: leave difficult objects out.
    **options: num_shards, num_workers, strict of `record_writer.write_records`.

  Returns:
    The report.

  Raises:
    InputError: as `check_class_names` and `record_writer.write_records`.
  """
  check_class_names(files, name_to_id, ignore_difficult)
  convert = functools.partial(
    read_annotation, name_to_id=name_to_id, ignore_difficult=ignore_difficult
  )
  return record_writer.write_records(files, convert, output_path, **options)


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


def _all_stems(xml_dir):
  names = sorted(os.listdir(xml_dir))
  stems = [os.path.splitext(name)[0] for name in names if name.lower().endswith('.xml')]
  if not stems:
    raise InputError(f'{xml_dir}: no XML file')
  return stems


def _stems_of_set(root, set_name):
  set_dir = os.path.join(root, 'ImageSets', 'Main')
  path = os.path.join(set_dir, f'{set_name}.txt')
  if not os.path.isfile(path):
    names = os.listdir(set_dir) if os.path.isdir(set_dir) else []
    known = sorted(os.path.splitext(name)[0] for name in names)
    raise InputError(
      f'{path}: no such image list; expected one of: {", ".join((*known, "all"))} '
      '(all: every XML file)'
    )
  with open(path, encoding='utf-8-sig') as file:
    # A list for one class has a second column, which says whether the class is in the image.
    stems = [line.split()[0] for line in file if line.strip()]
  if not stems:
    raise InputError(f'{path}: the image list is empty')
  return stems


def _index_images(folders):
  images = {}
  for folder in folders:
    for name in sorted(os.listdir(folder)):
      stem, extension = os.path.splitext(name)
      if extension.lower() in image_files.EXTENSIONS:
        images.setdefault(name, os.path.join(folder, name))
        images.setdefault(stem, os.path.join(folder, name))
  return images


def _find_image(file, filename):
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


def _read_objects(path, ignore_difficult):
  """Returns the objects, <filename> without folders, and <size> as (height, width) or None."""
  try:
    root = ElementTree.parse(path).getroot()
  except (ElementTree.ParseError, ValueError, LookupError) as error:
    # The last two: an encoding that Python's parser does not know.
    raise InputError(f'{path}: broken XML: {error}') from error
  except OSError as error:
    raise InputError(f'{path}: cannot read the annotation: {error.strerror}') from error
  objects = [_object(element, path) for element in root.findall('object')]
  if ignore_difficult:
    objects = [entry for entry in objects if not entry.difficult]
  filename = re.split(r'[/\\]', _text(root, 'filename'))[-1]
  sides = [_text(root, f'size/{name}') for name in ('height', 'width')]
  try:
    size = tuple(round(float(side)) for side in sides)
  except ValueError:
    size = None
  # Some tools write 0 x 0 where they do not know.
  return objects, filename, size if size and all(size) else None


def _object(element, path):
  name = _text(element, 'name')
  if not name:
    raise InputError(f'{path}: an <object> has no <name>')
  box = []
  for side in ('ymin', 'xmin', 'ymax', 'xmax'):
    text = _text(element, f'bndbox/{side}')
    try:
      box.append(float(text))
    except ValueError:
      raise InputError(
        f'{path}: object {name!r}: <bndbox> <{side}> is {text!r}; expected a number of pixels'
      ) from None
  flags = [_text(element, flag).lower() in ('1', 'true') for flag in ('difficult', 'truncated')]
  return VocObject(name, tuple(box), *flags, _text(element, 'pose'))


def _text(element, name):
  return (element.findtext(name) or '').strip()
