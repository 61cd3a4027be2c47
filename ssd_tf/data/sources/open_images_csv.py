"""Reads the CSV files of Open Images, millions of rows, as a stream into columns by image."""

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
  """What a file has of some classes in some images, and what else was in it.

  Attributes:
    rows: those that are kept.
    missing: ids of images that have rows of these classes, but no file.
    broken: image id -> what is wrong with a row of it; names file and line.
    num_unknown: rows whose IsGroupOf is not known, or which nobody verified.
  """

  path: str
  rows: ImageRows | None = None
  num_rows: int = 0
  num_of_classes: int = 0
  first_label: str = ''
  missing: set[str] = dataclasses.field(default_factory=set)
  broken: dict[str, str] = dataclasses.field(default_factory=dict)
  num_unknown: int = 0


def read_boxes(path: str, numbers: Mapping[str, int], class_ids: Mapping[str, int]) -> Reading:
  """Reads the boxes of some classes (LabelName -> id) in some images (id -> number from 0).

  Args:
    path: CSV file with the columns ImageID, LabelName, XMin, XMax, YMin, YMax in any order, and
      perhaps IsGroupOf and IsTruncated: 1, 0, or -1 for unknown, which counts as 0.

  Returns:
    Rows of class id i32, box f32[4] as annotated, [ymin, xmin, ymax, xmax], and bool[2], group_of
    and truncated.

  Raises:
    InputError: the file is not as expected, or the boxes are in pixels.
  """
  boxes, flags = array('f'), array('b')

  def keep(values, reading):
    box = [_fraction(text) for text in values[:4]]
    row_flags = [_number_of(text, (0, 1, _UNKNOWN)) for text in values[4:]]
    boxes.extend(box)
    flags.extend(flag == 1 for flag in row_flags)
    reading.num_unknown += row_flags[0] == _UNKNOWN
    return True

  reading, *columns = _read(path, (*_SIDES, *_FLAGS), numbers, class_ids, keep, optional=_FLAGS)
  box_units.require_fractions(np.asarray(boxes), path)
  boxes, flags = np.asarray(boxes).reshape(-1, 4), np.asarray(flags).astype(bool).reshape(-1, 2)
  reading.rows = ImageRows(columns[0], len(numbers), columns[1], boxes, flags)
  return reading


def read_verified_labels(
  path: str, numbers: Mapping[str, int], class_ids: Mapping[str, int]
) -> Reading:
  """Reads which of some classes people saw, or saw to be absent, in some images: class id, present.

  Args:
    path: CSV file with the columns ImageID, Source, LabelName and Confidence: 1 present, 0 absent.
      Rows of a machine, or with another Confidence, are no verification.
  """
  present = array('b')

  def keep(values, reading):
    source, text = values
    try:
      confidence = float(text)
    except ValueError:
      raise ValueError('expected 0 or 1') from None
    is_verified = source != 'machine' and confidence in (0, 1)
    if is_verified:
      present.append(confidence == 1)
    reading.num_unknown += not is_verified
    return is_verified

  reading, *columns = _read(path, ('Source', 'Confidence'), numbers, class_ids, keep)
  present = np.asarray(present).astype(bool)
  reading.rows = ImageRows(columns[0], len(numbers), columns[1], present)
  return reading


def read_class_descriptions(path: str) -> list[tuple[str, str]]:
  """Reads (MID, name) of a CSV file of these two columns, perhaps with a header."""
  found = []
  for line, row in _read_rows(path):
    if len(row) != 2:
      raise InputError(f'{path}:{line}: {len(row)} columns; expected two, such as /m/01g317,Person')
    if row[0] != 'LabelName':
      found.append((row[0], row[1]))
  return found


def _read(path, names, numbers, class_ids, keep, optional=()):
  """A Reading without its rows; of the rows that `keep` takes, images and classes i32[m]."""
  reading = Reading(path)
  images, classes = array('i'), array('i')
  for line, (label, image_id, *values) in _read_columns(
    path, ('LabelName', 'ImageID', *names), optional
  ):
    reading.num_rows += 1
    reading.first_label = reading.first_label or label
    if label not in class_ids:
      continue
    reading.num_of_classes += 1
    if image_id not in numbers:
      reading.missing.add(image_id)
      continue
    try:
      is_kept = keep(values, reading)
    except ValueError as error:
      found = ', '.join(f'{n} {v!r}' for n, v in zip(names, values, strict=True))
      reading.broken.setdefault(image_id, f'{path}:{line}: image {image_id}: {error}: {found}')
      continue
    if is_kept:
      images.append(numbers[image_id])
      classes.append(class_ids[label])
  return reading, np.asarray(images), np.asarray(classes)


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
