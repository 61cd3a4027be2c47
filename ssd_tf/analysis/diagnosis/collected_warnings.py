"""Warnings for the log as text, so that they can be findings."""

import logging


class CollectedWarnings(logging.Filter):
  """Keeps what absl would log as a warning, each once, instead of logging it; drops what is less.

  Used as a context manager: `with CollectedWarnings() as warnings: ...`, then `warnings.lines`.
  """

  def __init__(self):
    super().__init__()
    self.lines = []

  def __enter__(self):
    logging.getLogger('absl').addFilter(self)
    return self

  def __exit__(self, *_):
    logging.getLogger('absl').removeFilter(self)

  def filter(self, record: logging.LogRecord) -> bool:
    """Lets errors pass alone."""
    if record.levelno > logging.WARNING:
      return True
    if record.levelno == logging.WARNING and record.getMessage() not in self.lines:
      self.lines.append(record.getMessage())
    return False
