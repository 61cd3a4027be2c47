"""The CSV files of Open Images, millions of rows: read as a stream, kept as columns by image."""

import dataclasses
import math
from array import array
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import tqdm

from ssd_tf.data import box_units
from ssd_tf.data.sources import csv_rows
from ssd_tf.errors import InputError
from ssd_tf.files import text_file

_SIDES = ('YMin', 'XMin', 'YMax', 'XMax')
_FLAGS = ('IsGroupOf', 'IsTruncated')
_UNKNOWN = -1  # A flag that nobody has looked at.


class ImageRows:
  """Columns of rows, found by image."""

  def __init__(self, images: np.ndarray, num_images: int, *columns: np.ndarray):
    """Groups rows of images i32[m], numbered from 0; their columns stay where they are."""
    self.images = images
    self.counts = np.bincount(images, minlength=num_images)
    self.columns = columns
    self._order = np.argsort(images, kind='stable')
    self._ends = np.cumsum(self.counts)

  def of(self, image: int) -> tuple[np.ndarray, ...]:
    """The columns of an image's rows, in the file's order."""
    end = self._ends[image]
    rows = self._order[end - self.counts[image] : end]
    return tuple(column[rows] for column in self.columns)


@dataclasses.dataclass
class Reading:
  """What a file had besides the rows kept.

  Attributes:
    missing: ids of images that have rows of these classes, but no file.
    broken: image id -> what is wrong with a row of it; names file and line.
    num_unknown: rows whose IsGroupOf is not known, or which nobody verified.
  """

  num_rows: int = 0
  num_of_classes: int = 0
  first_label: str = ''
  missing: set[str] = dataclasses.field(default_factory=set)
  broken: dict[str, str] = dataclasses.field(default_factory=dict)
  num_unknown: int = 0


def read_boxes(
  path: str, numbers: Mapping[str, int], class_ids: Mapping[str, int]
) -> tuple[ImageRows, Reading]:
  """Reads the boxes of some classes in some images.

  Args:
    path: CSV file with the columns ImageID, LabelName, XMin, XMax, YMin, YMax in any order, and
      perhaps IsGroupOf and IsTruncated: 1, 0, or -1 for unknown, which counts as 0.
    numbers: image id -> number from 0, of the images that exist.
    class_ids: LabelName -> class id.

  Returns:
    Rows of class id i32, box f32[4] as annotated, [ymin, xmin, ymax, xmax], and bool[2], group_of
    and truncated; and the rest.

  Raises:
    InputError: the file is not as expected, or the boxes are in pixels.
  """
  reading = Reading()
  images, classes, boxes, flags = array('i'), array('i'), array('f'), array('b')
  names = ('LabelName', 'ImageID', *_SIDES, *_FLAGS)
  rows = _read_columns(path, names, optional=_FLAGS)
  for line, image_id, values in _rows_to_keep(rows, numbers, class_ids, reading):
    try:
      box = [_fraction(text) for text in values[2:6]]
      row_flags = [_number_of(text, (0, 1, _UNKNOWN)) for text in values[6:]]
    except ValueError as error:
      found = ', '.join(f'{n} {v!r}' for n, v in zip(names[2:], values[2:], strict=True))
      reading.broken.setdefault(image_id, f'{path}:{line}: image {image_id}: {error}: {found}')
      continue
    images.append(numbers[image_id])
    classes.append(class_ids[values[0]])
    boxes.extend(box)
    flags.extend(flag == 1 for flag in row_flags)
    reading.num_unknown += row_flags[0] == _UNKNOWN
  box_units.require_fractions(np.asarray(boxes), path)
  table = ImageRows(
    np.asarray(images),
    len(numbers),
    np.asarray(classes),
    np.asarray(boxes).reshape(-1, 4),
    np.asarray(flags).astype(bool).reshape(-1, 2),
  )
  return table, reading


def read_verified_labels(
  path: str, numbers: Mapping[str, int], class_ids: Mapping[str, int]
) -> tuple[ImageRows, Reading]:
  """Reads which of some classes people saw, or saw to be absent, in some images.

  Args:
    path: CSV file with the columns ImageID, Source, LabelName and Confidence: 1 present, 0 absent.
      Rows of a machine, or with another Confidence, are no verification.

  Returns:
    Rows of class id i32 and bool, present; and the rest.
  """
  reading = Reading()
  images, classes, present = array('i'), array('i'), array('b')
  rows = _read_columns(path, ('LabelName', 'ImageID', 'Source', 'Confidence'))
  for line, image_id, values in _rows_to_keep(rows, numbers, class_ids, reading):
    try:
      confidence = float(values[3])
    except ValueError:
      reading.broken.setdefault(
        image_id, f'{path}:{line}: image {image_id}: Confidence {values[3]!r}; expected 0 or 1'
      )
      continue
    if values[2] == 'machine' or confidence not in (0, 1):
      reading.num_unknown += 1
      continue
    images.append(numbers[image_id])
    classes.append(class_ids[values[0]])
    present.append(confidence == 1)
  table = ImageRows(
    np.asarray(images), len(numbers), np.asarray(classes), np.asarray(present).astype(bool)
  )
  return table, reading


def read_class_descriptions(path: str) -> list[tuple[str, str]]:
  """Reads (MID, name) of a CSV file of these two columns, perhaps with a header."""
  found = []
  for line, row in _read_rows(path):
    if len(row) != 2:
      raise InputError(f'{path}:{line}: {len(row)} columns; expected two, such as /m/01g317,Person')
    if row[0] != 'LabelName':
      found.append((row[0], row[1]))
  return found


def _rows_to_keep(rows, numbers, class_ids, reading):
  """Yields (line, image id, values) of known images and classes; counts the others."""
  for line, values in rows:
    reading.num_rows += 1
    label, image_id = values[:2]
    reading.first_label = reading.first_label or label
    if label not in class_ids:
      continue
    reading.num_of_classes += 1
    if image_id in numbers:
      yield line, image_id, values
    else:
      reading.missing.add(image_id)


def _fraction(text: str) -> float:
  found = float(text)
  if not math.isfinite(found) or '_' in text:
    raise ValueError('expected numbers from 0 to 1')
  return found


def _number_of(text: str, expected: Collection[int]) -> float:
  number = float(text)
  if number not in expected:
    raise ValueError(f'expected one of {expected}')
  return number


def _read_columns(path, names, optional=()) -> Iterator[tuple[int, list[str]]]:
  """Yields (line, values of the columns); '0' where the file lacks an optional one."""
  rows = _read_rows(path)
  _, header = next(rows, (1, []))
  if missing := [name for name in names if name not in (*header, *optional)]:
    raise InputError(
      f'{path}:1: no column {", ".join(missing)}; the first line has {", ".join(header) or "none"}'
    )
  csv_rows.require_unique(path, header)
  places = [header.index(name) if name in header else len(header) for name in names]
  for line, row in tqdm.tqdm(rows, path, unit='row', disable=None):
    if len(row) != len(header):
      raise InputError(
        f'{path}:{line}: {len(row)} columns; expected {len(header)} as in the first line: is the '
        'file cut short?'
      )
    row.append('0')
    yield line, [row[place] for place in places]


def _read_rows(path) -> Iterator[tuple[int, list[str]]]:
  """Yields (line, row) of all rows that are not empty."""
  with open(path, newline='', encoding='utf-8-sig') as file:
    try:
      yield from csv_rows.read_rows(file, path)
    except UnicodeDecodeError:
      text_file.read(path)  # Names the line.
      raise
