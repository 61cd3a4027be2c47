"""What a diagnosis finds.

A check is a function of a `Project` that yields a `Finding` for each fault, and notes that are good
to know. What it cannot look at, because the config, a record or a checkpoint is at fault, raises
InputError in it. Most checks hand figures on to functions of these alone, which yield likewise.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any


class Severity(enum.Enum):
  """How bad it is: an error leaves a training or its figures wrong, a warning makes them worse."""

  ERROR = 'error'
  WARNING = 'warning'
  NOTE = 'note'


@dataclasses.dataclass(frozen=True)
class Finding:
  """One thing that a check found.

  Attributes:
    check: what was checked, in a few words that stay the same, such as 'class ids'.
    severity: how bad it is.
    what: one sentence with its numbers.
    remedy: what to do, naming the field or flag; empty only for a note.
    numbers: the numbers of `what` by name, for programs.
    group: of the check, see `run.CHECKS`.
  """

  check: str
  severity: Severity
  what: str
  remedy: str = ''
  numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  group: str = ''

  @classmethod
  def error(cls, check: str, *found, **fields) -> 'Finding':
    """An error; `found` is what, remedy and numbers, as far as they are given."""
    return cls(check, Severity.ERROR, *found, **fields)

  @classmethod
  def warning(cls, check: str, *found, **fields) -> 'Finding':
    """A warning, as `error`."""
    return cls(check, Severity.WARNING, *found, **fields)

  @classmethod
  def note(cls, check: str, *found, **fields) -> 'Finding':
    """A note, as `error`."""
    return cls(check, Severity.NOTE, *found, **fields)
