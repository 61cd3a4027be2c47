"""Defines a fault of a config, and converts between errors and faults."""

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ssd_tf.errors import InputError


class Fault(NamedTuple):
  """What is wrong with a field of a config: what was found, what was expected, what to do."""

  field: str
  text: str

  def __str__(self):
    return f'{self.field}: {self.text}'


def refuse(faults: Iterable[Fault], path: str = '') -> None:
  """Raises an InputError of all faults, a line for each, if any; without a path of fields alone."""
  lines = dict.fromkeys(f'{path}: {fault}' if path else str(fault) for fault in faults)
  if lines:
    raise InputError('\n'.join(lines))


def faults_of(error: InputError) -> list[Fault]:
  """The faults that an error of lines 'field: text' is of."""
  lines = (line.partition(': ') for line in str(error).split('\n'))
  return [Fault(field, text) for field, _, text in lines]


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
  """Says which part of a config it is that something cannot be made from.

  Put around what makes it: numbers that each are in their range may still not go together, which a
  constructor says as a ValueError. Where that begins with the name of an argument, this is taken
  for the field of that name.

  Raises:
    InputError: in place of a ValueError, TypeError or OverflowError.
  """
  try:
    yield
  except InputError:
    raise
  except (ValueError, TypeError, OverflowError) as error:
    cause = ' '.join(str(error).split())
    if re.match(r'[a-z_]+: ', cause):
      raise InputError(f'{path}.{cause}') from error
    raise InputError(f'{path}: its values contradict each other: {cause}') from error
