"""Text files of users: UTF-8, or one clear line about the byte that is not."""

import json
import os
import re
from typing import Any

from ssd_tf.errors import InputError


def read(path: str | os.PathLike) -> str:
  """Reads a text file: UTF-8, with or without a byte order mark.

  Args:
    path: the file.

  Returns:
    Its text, line ends as they are in the file.

  Raises:
    InputError: it is not UTF-8; names the line.
    OSError: it cannot be read.
  """
  with open(path, 'rb') as file:
    raw = file.read()
  try:
    return raw.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    line = raw.count(b'\n', 0, error.start) + 1
    raise InputError(
      f'{path}:{line}: expected UTF-8 text, found byte 0x{raw[error.start]:02x}: is this the right'
      ' file? If so, save it as UTF-8'
    ) from None


def read_lines(path: str | os.PathLike) -> list[tuple[int, str]]:
  """Reads the lines of a text file that are not blank.

  Args:
    path: the file.

  Returns:
    (line number from 1, the line without white space around it) of each; lines end as on Linux,
    Windows or an old Mac.

  Raises:
    InputError, OSError: as `read`.
  """
  lines = enumerate(map(str.strip, re.split('\r\n?|\n', read(path))), start=1)
  return [(number, line) for number, line in lines if line]


def read_json(path: str | os.PathLike) -> Any:
  """Reads a JSON file.

  Args:
    path: the file.

  Returns:
    Its content.

  Raises:
    InputError: it is not UTF-8, or no JSON; names the line, and the column where known. An object
      has a name twice.
    OSError: it cannot be read.
  """
  text = read(path)

  def unique(pairs):
    content = dict(pairs)
    if len(content) < len(pairs):
      names = [name for name, _ in pairs]
      twice = next(name for name in names if names.count(name) > 1)
      raise InputError(f'{path}: an object has the name {twice!r} twice; remove one')
    return content

  try:
    return json.loads(text, object_pairs_hook=unique)
  except InputError:
    raise
  except json.JSONDecodeError as error:
    raise InputError(f'{path}:{error.lineno}:{error.colno}: no JSON: {error.msg}') from None
  except (ValueError, RecursionError) as error:  # A number of 5,000 digits; 10,000 brackets.
    raise InputError(f'{path}: no usable JSON: {error}') from None
