"""Computes the box around a COCO segmentation: polygons, or a mask as run lengths."""

import itertools
from collections.abc import Sequence

from ssd_tf.data.sources import stated_numbers

Box = tuple[float, float, float, float]


def box_of(segmentation: object) -> Box | None:
  """The box around an annotation's segmentation.

  Args:
    segmentation: as in a COCO JSON: a list of polygons [x1, y1, x2, y2, ...] (or one of them, not
      in a list), or {'size': [height, width], 'counts': run lengths}, which are a list, or a text
      where they are compressed.

  Returns:
    (x, y, width, height) in pixels; None: it is missing, empty or none of these.
  """
  if isinstance(segmentation, dict):
    return _box_of_runs(segmentation)
  if not isinstance(segmentation, list) or not segmentation:
    return None
  polygons = segmentation if isinstance(segmentation[0], list) else [segmentation]
  xs, ys = [], []
  for polygon in polygons:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
      return None
    values = [stated_numbers.pixels(value) for value in polygon]
    if None in values:
      return None
    xs += values[::2]
    ys += values[1::2]
  return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _box_of_runs(mask) -> Box | None:
  """Of a mask whose pixels are counted down the columns: so many 0, so many 1, and so on."""
  size, counts = mask.get('size'), mask.get('counts')
  if isinstance(counts, str):
    counts = _uncompressed(counts)
  for values in (size, counts):
    if not isinstance(values, list) or not all(type(v) is int and v >= 0 for v in values):
      return None
  if len(size) != 2 or sum(counts) != size[0] * size[1] or not any(counts[1::2]):
    return None
  height = size[0]
  ends = [0, *itertools.accumulate(counts)]
  # Of each run of 1: its first pixel and its last.
  runs = [(start, end - 1) for start, end in zip(ends[1::2], ends[2::2], strict=False)]
  runs = [(start, last) for start, last in runs if start <= last]
  left, right = runs[0][0] // height, runs[-1][1] // height
  if any(start // height < last // height for start, last in runs):
    top, bottom = 0, height - 1  # It goes on at the top of the next column.
  else:
    top = min(start % height for start, _ in runs)
    bottom = max(last % height for _, last in runs)
  return float(left), float(top), float(right - left + 1), float(bottom - top + 1)


def _uncompressed(text: str) -> Sequence[int] | None:
  """The run lengths of a compressed mask, None if it is broken.

  Source: rleFrString of the COCO API's maskApi.c, which reads beyond the end of a text that is cut
  short: each number has 5 bits a character, the lowest first, from the fourth on as the difference
  to the last but one.
  """
  counts, value, shift = [], 0, 0
  for character in text:
    code = ord(character) - 48
    if not 0 <= code < 64:
      return None
    value |= (code & 0x1F) << shift
    shift += 5
    if code & 0x20:
      continue  # The number goes on.
    if code & 0x10:
      value -= 1 << shift
    counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    value, shift = 0, 0
  return None if shift else counts
