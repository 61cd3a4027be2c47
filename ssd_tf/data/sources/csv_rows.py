"""Reads rows of CSV files; an error says in one line what is broken."""

import csv
from collections.abc import Iterable, Iterator, Sequence

from ssd_tf.errors import InputError


def read_rows(
  lines: Iterable[str], path: str, delimiter: str = ','
) -> Iterator[tuple[int, list[str]]]:
  """Yields (line, from 1; cells) of the rows that are not empty; refuses unclosed quotes."""
  reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
  start = 1
  try:
    for row in reader:
      if row:
        yield start, row
      start = reader.line_num + 1
  except csv.Error as error:
    raise InputError(
      f'{path}:{start}: broken CSV, in the row that begins here: {error}; is a quote (") missing, '
      'or one too many?'
    ) from error


def require_unique(path: str, header: Sequence[str]) -> None:
  """Refuses a header that has a column twice: which of them counts?"""
  if twice := sorted({name for name in header if name and header.count(name) > 1}):
    raise InputError(
      f'{path}:1: the header has {", ".join(twice)} more than once: {",".join(header)}'
    )
