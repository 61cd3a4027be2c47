"""Event files that hold all that was written: TensorFlow tells of few writes that fail."""

import errno
import glob
import os
import struct

import orbit
import tensorflow as tf

from ssd_tf.failed_writes import writing

_HEADER, _FOOTER = 12, 4  # Of a record: its length and a checksum; a checksum of its content.
_PROBE_BYTES = 1 << 16


class CheckedSummaries(orbit.utils.SummaryManager):
  """Writes summaries as orbit's does; after a flush, the event files hold all of them.

  TensorFlow drops a summary that it cannot write whole, such as a picture on a full disk, and goes
  on behind what it has written of it, where no reader comes to. So what is new is looked at.

  Args:
    directory: gets the event files.
    global_step: of the summaries.
  """

  def __init__(self, directory: str, global_step: tf.Variable):
    super().__init__(directory, tf.summary.scalar, global_step=global_step)
    self._directory = directory
    self._checked = {}  # Path -> bytes that are known to be whole records.

  def flush(self) -> None:
    """Writes what is waiting.

    Raises:
      tf.errors.OpError, OSError: it could not be written.
    """
    super().flush()
    own = f'{glob.escape(self._directory)}/events.out.tfevents.*.{os.getpid()}.*'
    for path in glob.glob(own):
      self._checked[path] = end = end_of_records(path, self._checked.get(path, 0))
      if end < os.path.getsize(path):
        _fail_to_write(path)


def end_of_records(path: str, start: int = 0) -> int:
  """Where the last whole record of a file ends, by the lengths that its records tell.

  Args:
    path: a file of records.
    start: where one of them begins.

  Returns:
    The offset: the file's size unless it is cut short.
  """
  size = os.path.getsize(path)
  with open(path, 'rb') as file:
    while start < size:
      file.seek(start)
      header = file.read(_HEADER)
      if len(header) < _HEADER:
        break
      end = start + _HEADER + struct.unpack('<Q', header[:8])[0] + _FOOTER
      if end > size:
        break
      start = end
  return start


def _fail_to_write(path):
  """Raises what TensorFlow did not: by writing beside the file, as much as a block."""
  probe = f'{path}.part'
  try:
    with writing(path), open(probe, 'wb') as file:
      file.write(bytes(_PROBE_BYTES))
  finally:
    if os.path.exists(probe):
      os.remove(probe)
  raise OSError(errno.ENOSPC, 'is cut short, as a write failed: was there no space left?', path)
