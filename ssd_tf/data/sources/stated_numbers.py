"""Reads numbers of annotation files by value, whether written as a number or as text."""

import math

_MAX_PIXELS = 1e9  # Beyond any image, and far below what float32 cannot hold.


def number(value: object) -> float | None:
  """The finite number that a value of a JSON or CSV file is, or is the text of; or None."""
  if isinstance(value, bool) or not isinstance(value, (int, float, str)):
    return None
  # float() also takes digits of other scripts, and underscores between them.
  if isinstance(value, str) and ('_' in value or not value.isascii()):
    return None
  try:
    found = float(value)
  except (ValueError, OverflowError):
    return None
  return found if math.isfinite(found) else None


def whole_number(value: object) -> int | None:
  """As `number`, of a whole number: 7, 7.0, '7' and '007' are the same."""
  if type(value) is int:
    return value
  found = number(value)
  if found is None or not found.is_integer():
    return None
  try:
    return int(value)  # Beyond 2^53, not every whole number is a float.
  except ValueError:
    return int(found)  # '7.0'.


def pixels(value: object) -> float | None:
  """A coordinate or a length in pixels; None if `number` is, or if it lies beyond any image."""
  found = number(value)
  return found if found is not None and abs(found) <= _MAX_PIXELS else None


def area(value: object) -> float | None:
  """An area in square pixels; None if `number` is, or if it is negative or beyond any image."""
  found = number(value)
  return found if found is not None and 0 <= found <= _MAX_PIXELS**2 else None
