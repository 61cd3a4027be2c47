"""Checks texts of users' files, such as names of classes and images, that have to fit one line."""

import re
import reprlib

from ssd_tf.errors import InputError

# Control characters and line separators, which end a line or a string somewhere; and surrogates
# without their other half, which no file can hold as UTF-8.
_UNFIT = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def check(value: object, place: str) -> str:
  """Refuses what is no name: of another type, blank, or with a newline or control character.

  Args:
    place: the file and the line, record or field in it, for the error.

  Raises:
    InputError: it is no such text; names the place, what was found and what is wrong with it.
  """
  found = f'found {reprlib.repr(value)}'
  if not isinstance(value, str):
    raise InputError(f'{place}: expected text, {found}, of type {type(value).__name__}')
  if not value.strip():
    raise InputError(f'{place}: expected text, {found}, which is empty')
  if unfit := _UNFIT.search(value):
    raise InputError(
      f'{place}: expected text on one line, {found}: it has the character U+{ord(unfit[0]):04X}'
    )
  return value
