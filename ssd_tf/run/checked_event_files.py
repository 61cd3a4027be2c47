"""Writes event files and verifies them, because TensorFlow reports few failed writes."""

import errno
import glob
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import orbit
import tensorflow as tf

from ssd_tf.files.failed_writes import writing

_HEADER, _FOOTER = 12, 4  # Of a record: its length and a checksum; a checksum of its content.
_PROBE_BYTES = 1 << 16


class CheckedSummaries(orbit.utils.SummaryManager):
  """Writes summaries as orbit's does; after a flush, the event files hold all of them.

  TensorFlow drops a summary that it cannot write whole, such as a picture on a full disk, and
  continues after the partial record, which readers cannot pass. So each flush checks the new
  records.
  """

  def __init__(self, directory: str, global_step: tf.Variable):
    super().__init__(directory, tf.summary.scalar, global_step=global_step)
    self._own = f'{glob.escape(directory)}/events.out.tfevents.*.{os.getpid()}.*'
    # A process that was killed may have had the same number, as in a container, and left half a
    # record.
    self._before = set(glob.glob(self._own))
    self._checked = {}  # Path -> bytes that are known to be whole records.

  def flush(self) -> None:
    """Writes what is waiting; raises tf.errors.OpError or OSError if it could not be written."""
    super().flush()
    for path in set(glob.glob(self._own)) - self._before:
      self._checked[path] = end = end_of_records(path, self._checked.get(path, 0))
      if end < os.path.getsize(path):
        _fail_to_write(path)


def end_of_records(path: str, start: int = 0) -> int:
  """Where the last whole record of a file ends: at the file's size unless it is cut short."""
  with open(path, 'rb') as file:
    for _, length in records(file, start):
      start += _HEADER + length + _FOOTER
  return start


def records(file: BinaryIO, start: int = 0) -> Iterator[tuple[int, int]]:
  """Where the content of each whole record begins, and its length, without reading it.

  Between two of them the file may be read anywhere.
  """
  size = os.fstat(file.fileno()).st_size
  while start + _HEADER + _FOOTER <= size:
    file.seek(start)
    length = struct.unpack('<Q', file.read(_HEADER)[:8])[0]
    start += _HEADER + length + _FOOTER
    if start > size:
      return
    yield start - _FOOTER - length, length


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
