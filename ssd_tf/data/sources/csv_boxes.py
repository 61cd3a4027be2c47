"""Reads CSV files with a row for each box, as tutorials of the Object Detection API make them."""

import collections
import csv
import functools
import io
import os
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ssd_tf.data import box_units, image_files
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.source import Source
from ssd_tf.data.sources import class_names, csv_rows, image_paths, stated_numbers
from ssd_tf.errors import InputError
from ssd_tf.files import plain_text, text_file
from ssd_tf.files.failed_writes import open_for_writing

COLUMNS = ('filename', 'width', 'height', 'class', 'xmin', 'ymin', 'xmax', 'ymax')
_SIDES = ('ymin', 'xmin', 'ymax', 'xmax')
_NEEDED = ('filename', 'class', *_SIDES)
_DELIMITERS = ',;\t'  # Of spreadsheets: the one that the header has most of.


class CsvBox(NamedTuple):
  """One row: the box in pixels, max exclusive."""

  name: str
  box: tuple[float, float, float, float]  # ymin, xmin, ymax, xmax


class CsvImage(NamedTuple):
  """One image and its rows; its name is the path below the folder of the images."""

  path: str
  name: str
  boxes: Sequence[CsvBox] = ()
  stated_size: tuple[int, int] | None = None

  def __str__(self):
    return self.path


def write_csv(csv_path: str, rows: Iterable[Sequence[Any]]) -> None:
  """Writes rows of COLUMNS below their header."""
  with open_for_writing(csv_path, newline='') as file:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    writer.writerows(rows)


def filenames(csv_path: str) -> list[str]:
  """Lists the names of images in a CSV file, one for each row; refuses what `open_source` does."""
  header, rows = _read_table(csv_path)
  column = header.index('filename')
  return [row[column].strip() for _, row in rows if len(row) > column]


def read_annotation(image: CsvImage, name_to_id: Mapping[str, int]) -> Annotation:
  """Reads an image and its rows, as boxes that are not yet clipped; refuses fractions."""
  encoded = image_files.read_image(image.path, image.stated_size)
  boxes = np.array([entry.box for entry in image.boxes], np.float64).reshape(-1, 4)
  return Annotation(
    **vars(encoded),
    filename=os.path.basename(image.path),
    source_id=image.name,
    boxes=box_units.normalize(boxes, encoded.height, encoded.width, image.path),
    class_ids=np.array([name_to_id[entry.name] for entry in image.boxes], np.int64),
    class_names=[entry.name for entry in image.boxes],
    remarks=encoded.size_remarks(image.stated_size, 'its rows say'),
  )


def open_source(
  csv_path: str,
  image_dir: str,
  name_to_id: Mapping[str, int] | None = None,
  *,
  include_unlisted_images: bool = False,
) -> Source:
  """Opens a CSV file and its images as a data set.

  A row whose class and coordinates are all empty says that its image has no objects.

  Args:
    csv_path: has a header with at least filename, class, xmin, ymin, xmax, ymax, in any order;
      between two cells is what the header has there: commas, semicolons or tabs.
    name_to_id: the label map; None: the classes that occur, numbered from 1 in this order.
    include_unlisted_images: with the images of image_dir that no row names, as images without
      objects. Left out, their number is remarked.

  Raises:
    InputError: the first faulty row with its line number; all coordinates are fractions; class
      names that the label map lacks.
  """
  images = _read_images(csv_path, image_dir)
  counts = collections.Counter(box.name for image in images for box in image.boxes)
  if name_to_id is None:
    name_to_id = {name: class_id for class_id, name in enumerate(counts, start=1)}
  found = {name: f'{count} rows' for name, count in counts.most_common()}
  class_names.require_known(found, name_to_id, f'the rows of {csv_path}')
  unlisted = _unlisted_images(images, image_dir)
  remarks = []
  if unlisted and include_unlisted_images:
    images = [*images, *unlisted]
  elif unlisted:
    text = (
      f'{len(unlisted)} images are in no row of {csv_path} and were left out; '
      '--include_unlisted_images writes them as images without objects'
    )
    remarks = [(image_dir, text)]
  read = functools.partial(read_annotation, name_to_id=name_to_id)
  names = {class_id: name for name, class_id in name_to_id.items()}
  return Source(names, images, read, remarks, [csv_path])


def _read_images(csv_path, image_dir):
  header, rows = _read_table(csv_path)
  images, size_places = {}, {}
  for line, row in rows:
    where = f'{csv_path}: line {line}'
    if any(cell.strip() for cell in row[len(header) :]):
      raise InputError(f'{where}: {len(row)} cells; expected {len(header)} as in the header')
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=False)}
    filename, boxes = _read_row(cells, where)
    path = image_paths.locate(image_dir, filename, f'{where}: filename')
    known = images.setdefault(path, CsvImage(path, os.path.relpath(path, image_dir), []))
    known.boxes.extend(boxes)
    size = _stated_size(cells, f'{where}: {filename}')
    if size and known.stated_size and size != known.stated_size:
      raise InputError(
        f'{where}: {filename}: its size is {size[1]} x {size[0]}, but {known.stated_size[1]} x '
        f'{known.stated_size[0]} on line {size_places[path]}; correct one of them'
      )
    if size and not known.stated_size:
      images[path], size_places[path] = known._replace(stated_size=size), line
  boxes = [entry.box for image in images.values() for entry in image.boxes]
  box_units.require_pixels(np.reshape(boxes, [-1, 4]), csv_path)
  return [*images.values()]


def _unlisted_images(images, image_dir):
  """The images of a folder that no row names, as images without objects, by name."""
  listed = {os.path.normpath(image.path) for image in images}
  names = [
    name for name in sorted(os.listdir(image_dir)) if name.lower().endswith(image_files.EXTENSIONS)
  ]
  found = [CsvImage(os.path.join(image_dir, name), name) for name in names]
  return [image for image in found if os.path.normpath(image.path) not in listed]


def _read_table(csv_path):
  """The header and an iterator over (line, cells) of the other rows."""
  text = text_file.read(csv_path)
  header_line = re.split(r'[\r\n]', text.lstrip('\r\n'), maxsplit=1)[0]
  delimiter = max(_DELIMITERS, key=header_line.count)
  rows = csv_rows.read_rows(io.StringIO(text, newline=''), csv_path, delimiter)
  header = [name.strip() for name in next(rows, (1, []))[1]]
  if missing := [name for name in _NEEDED if name not in header]:
    raise InputError(
      f'{csv_path}: the header has no {", ".join(missing)}; expected {",".join(COLUMNS)}, '
      f'received {",".join(header) or "an empty file"}'
    )
  csv_rows.require_unique(csv_path, header)
  return header, rows


def _read_row(cells, where):
  """The row's file name, and its box in a list, which is empty where the row has none."""
  filename, *others = (cells.get(name, '') for name in _NEEDED)
  if not filename:
    raise InputError(f'{where}: filename is empty')
  if not any(others):
    return filename, []
  if not cells.get('class'):
    raise InputError(f'{where}: {filename}: class is empty')
  box = []
  for side in _SIDES:
    text = cells.get(side, '')
    value = stated_numbers.pixels(text)
    if value is None:
      hint = ', with a point instead of the comma' if ',' in text else ''
      raise InputError(
        f'{where}: {filename}: {side} is {reprlib.repr(text)}; expected a number of pixels{hint}'
      )
    box.append(value)
  name = plain_text.check(cells['class'], f'{where}: {filename}: class')
  return filename, [CsvBox(name, tuple(box))]


def _stated_size(cells, where):
  """(height, width); None where a cell is empty, missing, or 0, by which some tools say nothing."""
  size = []
  for name in ('height', 'width'):
    text = cells.get(name, '')
    value = stated_numbers.whole_number(text or 0)
    if value is None or value < 0:
      raise InputError(
        f'{where}: {name} is {reprlib.repr(text)}; expected a whole number of pixels, or nothing'
      )
    size.append(value)
  return tuple(size) if all(size) else None
