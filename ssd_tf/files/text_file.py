"""Reads users' UTF-8 text files; an error names the byte that is not UTF-8."""

import os
import re

from ssd_tf.errors import InputError


def read(path: str | os.PathLike) -> str:
  """Reads a text file: UTF-8, with or without a byte order mark; line ends as they are in the file.

  Raises:
    InputError: it is not UTF-8; names the line.
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
  """The lines of a text file that are not blank: (line number from 1, the line stripped) of each.

  They end as on Linux, Windows or an old Mac.
  """
  lines = enumerate(map(str.strip, re.split('\r\n?|\n', read(path))), start=1)
  return [(number, line) for number, line in lines if line]
