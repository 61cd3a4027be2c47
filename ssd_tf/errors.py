"""Defines the exceptions for invalid input and for signals, and words of their messages."""

import difflib
import signal
from collections.abc import Collection, Sequence

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InputError(ValueError):
  """A file, record, field or flag of the user's is wrong; the message alone is enough to fix it.

  The command line prints the message as one line, without a traceback. It names the place, what
  was expected, what came, and what to do.
  """


def listed(names: Sequence[str], most: int) -> str:
  """'a, b and 3 more': the first names, and how many others there are."""
  more = f' and {len(names) - most} more' if len(names) > most else ''
  return f'{", ".join(names[:most])}{more}'


def closest(name: str, known: Collection[str]) -> str:
  """A hint: 'did you mean "..."?', or the known names where none is near."""
  near = difflib.get_close_matches(name, known, n=1)
  return f'did you mean "{near[0]}"?' if near else f'known: {", ".join(sorted(known)) or "none"}'


class Terminated(KeyboardInterrupt):
  """The process was told to end by a signal other than Ctrl-C's, and ends as by Ctrl-C."""

  def __init__(self, number: int):
    super().__init__()
    self.number = signal.Signals(number)


def signal_of(interrupt: KeyboardInterrupt) -> signal.Signals:
  """The signal that an interrupt came by."""
  return interrupt.number if isinstance(interrupt, Terminated) else signal.SIGINT
