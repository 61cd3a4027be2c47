"""Reads the lines of YOLO's text files: boxes, polygons, and boxes with keypoints."""

import collections
import math
import os
from collections.abc import Iterator, Sequence

import numpy as np

from ssd_tf.data import box_units
from ssd_tf.errors import InputError
from ssd_tf.files import text_file

# Keypoints, too, are drawn a little beyond their box.
_MARGIN = 0.1
# Of lines that may be either: from how many on they are taken for keypoints, or for quadrilaterals.
_MOST_LINES = 0.75
_NEARLY_ALL_LINES = 0.9


def read_boxes(
  path: str, num_classes: int, keypoint_values: int | None
) -> tuple[list[int], np.ndarray]:
  """Reads a text file; without it there are no boxes.

  A line is `class x y width height`, of the box's center; the same and keypoints, which are passed
  over; or `class x1 y1 x2 y2 x3 y3 ...` of a polygon (an oriented box is one of four corners),
  which becomes the box around it. All are fractions of the image.

  Args:
    keypoint_values: how many numbers follow a box; 0 or None: lines that are longer than a box are
      polygons.

  Returns:
    n numbers of classes; f32[n,4], [ymin, xmin, ymax, xmax], normalized, not yet clipped.

  Raises:
    InputError: the first faulty line, with its number.
  """
  class_numbers, boxes = [], []
  if os.path.isfile(path):
    for where, number, values in _lines(path, num_classes):
      class_numbers.append(number)
      boxes.append(_box(values, where, keypoint_values or 0))
  return class_numbers, np.array(boxes, np.float32).reshape(-1, 4)


def check_files(paths: Sequence[str], num_classes: int, keypoint_values: int | None) -> None:
  """Refuses a set of text files that would be misread as a whole.

  Raises:
    InputError: every file with boxes is faulty: the fault of the first; or keypoint_values is None,
      and what follows the boxes is not known to be polygons, see `_LongLines`.
  """
  faults, num_files, long_lines = [], 0, _LongLines()
  for path in paths:
    try:
      lines = list(_lines(path, num_classes))
      for where, _, values in lines:
        _box(values, where, keypoint_values or 0)
        if len(values) > 4 and keypoint_values is None:
          long_lines.add(where, values)
      num_files += bool(lines)
    except InputError as error:
      faults.append(str(error))
  if faults and not num_files:
    others = f' (and {len(faults) - 1} other files are faulty, all that have boxes)'
    raise InputError(f'{faults[0]}{others if len(faults) > 1 else ""}')
  long_lines.require_polygons()


class _LongLines:
  """Tells whether lines that are longer than a box are polygons, which no line alone tells.

  They may also be boxes with keypoints, or with the confidence and the number of a track. They are
  refused as ambiguous if all of them are of one length, and most make sense as a box inside the
  image with all keypoints inside that box: of polygons, only small ones near the center do. Eight
  numbers are taken for the corners of oriented boxes if they nearly always are a convex polygon.
  """

  def __init__(self):
    self._lengths = set()
    self._first = ''
    self._counts = collections.Counter()

  def add(self, where: str, values: Sequence[float]) -> None:
    """Counts a line, of the numbers behind its class."""
    self._first = self._first or where
    self._lengths.add(len(values))
    if len(self._lengths) == 1:
      self._counts.update(['lines', *_readings(values)])

  def require_polygons(self) -> None:
    """Raises InputError if the lines may be something else."""
    counts = self._counts
    if len(self._lengths) != 1 or counts['convex'] >= _NEARLY_ALL_LINES * counts['lines']:
      return
    (length,) = self._lengths
    for reading in ('track', 'visible', 'plain'):
      if counts[reading] < _MOST_LINES * counts['lines']:
        continue
      what, say = 'a polygon, or a box with its confidence and the number of its track', ''
      if reading != 'track':
        values = 3 if reading == 'visible' else 2
        shape = f'{(length - 4) // values},{values}'
        what = f'a polygon, or a box with keypoints of kpt_shape {shape}'
        say = f'say --kpt_shape={shape} for keypoints, or '
      raise InputError(
        f'{self._first}: {length + 1} numbers, as all {counts["lines"]:,} lines that are longer '
        f'than a box, may be {what}: {say}--kpt_shape=0 for polygons'
      )


def _lines(path, num_classes) -> Iterator[tuple[str, int, list[float]]]:
  """Yields (place, number of the class, the numbers behind it) of each line."""
  for line_number, line in text_file.read_lines(path):
    where = f'{path}: line {line_number}'
    try:
      number, *values = map(float, line.split())
    except ValueError:
      raise InputError(f'{where}: expected numbers, received {line[:80]!r}') from None
    if not all(map(math.isfinite, (number, *values))):
      raise InputError(f'{where}: expected finite numbers, received {line[:80]!r}')
    if not (number.is_integer() and 0 <= number < num_classes):
      raise InputError(
        f'{where}: class {number:g}: expected a whole number from 0 to {num_classes - 1} '
        f'({num_classes} names)'
      )
    yield where, int(number), values


def _box(values, where, keypoint_values):
  """[ymin, xmin, ymax, xmax] of a line."""
  count = len(values)
  if count == 4 or (keypoint_values and count == 4 + keypoint_values):
    x, y, width, height = values[:4]
    box_units.require_fractions(values[:4], where)
    if width < 0 or height < 0:
      raise InputError(f'{where}: expected a width and height above 0, found {width:g}, {height:g}')
    return [y - height / 2, x - width / 2, y + height / 2, x + width / 2]
  if keypoint_values:
    raise InputError(
      f'{where}: expected class x y width height and, by kpt_shape, {keypoint_values} numbers of '
      f'keypoints or none; received {count + 1} numbers'
    )
  if count < 6 or count % 2:
    hint = {5: '; a confidence, which labels do not have? Remove that column'}.get(count, '')
    if count > 6:
      hint = '; boxes with keypoints? Say how many: kpt_shape in data.yaml, or --kpt_shape'
    raise InputError(
      f'{where}: expected class x y width height, or class and at least 3 points x y of a polygon; '
      f'received {count + 1} numbers{hint}'
    )
  box_units.require_fractions(values, where)
  xs, ys = values[::2], values[1::2]
  return [min(ys), min(xs), max(ys), max(xs)]


def _readings(values):
  """What else than a polygon a line may be; and whether it is a convex one of four corners."""
  x, y, width, height, *rest = values
  found = []
  if len(values) == 8 and _is_convex(np.reshape(values, (4, 2))):
    found.append('convex')
  sides = (x - width / 2, y - height / 2, 1 - x - width / 2, 1 - y - height / 2)
  if min(width, height) <= 0 or min(sides) < -_MARGIN * max(width, height):
    return found
  if len(rest) == 2 and rest[1].is_integer():
    found.append('track')
  shapes = {'plain': 2}
  if len(rest) % 3 == 0 and {*rest[2::3]} <= {0, 1, 2}:
    shapes['visible'] = 3
  for reading, step in shapes.items():
    points = zip(rest[::step], rest[1::step], strict=True)
    if all(point == (0, 0) or _is_within(point, values) for point in points):
      found.append(reading)
  return found


def _is_within(point, box):
  return all(abs(point[i] - box[i]) <= (0.5 + _MARGIN) * box[2 + i] for i in range(2))


def _is_convex(points):
  edges = np.roll(points, -1, axis=0) - points
  after = np.roll(edges, -1, axis=0)
  turns = edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0]
  return bool((turns >= 0).all() or (turns <= 0).all())
