"""Collects warnings for the log as text, so that they can be findings."""

import logging

_LOGGERS = ('absl', 'tensorflow')  # The second is that of `evaluation.log_format`.


class CollectedWarnings(logging.Filter):
  """Keeps what would be logged as a warning, each once, instead of logging it; drops what is less.

  Used as a context manager: `with CollectedWarnings() as warnings: ...`, then `warnings.lines`.
  """

  def __init__(self):
    super().__init__()
    self.lines = []

  def __enter__(self):
    for name in _LOGGERS:
      logging.getLogger(name).addFilter(self)
    return self

  def __exit__(self, *_):
    for name in _LOGGERS:
      logging.getLogger(name).removeFilter(self)

  def filter(self, record: logging.LogRecord) -> bool:
    """Lets errors pass alone."""
    if record.levelno > logging.WARNING:
      return True
    if record.levelno == logging.WARNING and record.getMessage() not in self.lines:
      self.lines.append(record.getMessage())
    return False
