"""What a diagnosis says."""

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
  """

  check: str
  severity: Severity
  what: str
  remedy: str = ''
  numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)
