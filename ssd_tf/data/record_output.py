"""Writes the files of a record data set: whole or not at all, by one process at a time."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import tensorflow as tf

from ssd_tf.errors import InputError
from ssd_tf.files import file_lock

_TEMPORARY = '.tmp'


@dataclasses.dataclass(frozen=True)
class RecordOutput:
  """Where a data set is written; a file of the same name and pattern belongs to an earlier one."""

  output_path: str
  paths: Sequence[str]
  pattern: str
  keep_empty: bool = True

  def earlier_files(self) -> list[str]:
    """Lists files of earlier data sets of this name that a glob would read besides `paths`."""
    return [path for path in self._find(self.pattern) if path not in self.paths]

  def require_apart_from(self, input_paths: Iterable[str]) -> None:
    """Refuses (InputError) to overwrite what is read, or to remove it as an earlier file."""
    read = {os.path.realpath(path) for path in input_paths}
    for path in (*self.paths, *self.earlier_files()):
      if os.path.realpath(path) in read:
        raise InputError(f'{path}: is read, and would be replaced; give another output')

  def _find(self, pattern):
    folder = os.path.dirname(self.output_path)
    names = os.listdir(folder or '.') if os.path.isdir(folder or '.') else []
    paths = (os.path.join(folder, name) for name in names if re.fullmatch(pattern, name))
    return sorted(path for path in paths if os.path.isfile(path))

  @contextlib.contextmanager
  def open(self) -> Iterator[tuple[Callable[[int, bytes], None], list[str]]]:
    """Lets write files that appear under their names only if the block is left without an error.

    Then they replace the earlier data set of that name as a whole; otherwise nothing of this one is
    left, and the earlier one is as it was.

    Yields:
      write(number of the file in `paths`, record); and a list, which on leaving is filled with the
      earlier files that were removed.

    Raises:
      InputError: a file cannot be written, or somebody else is writing this data set.
    """
    folder, name = os.path.split(self.output_path)
    lock_path = os.path.join(folder, f'.{name}.lock')
    busy = f'{self.output_path}: another conversion is writing it'
    with contextlib.ExitStack() as stack:
      with self._explained():
        if folder:
          os.makedirs(folder, exist_ok=True)
        for path in (self.output_path, *self.paths):
          if os.path.isdir(path):
            raise InputError(f'{path}: is a folder; expected the name of a file to write')
        stack.enter_context(file_lock.hold(lock_path, busy, 'give another output'))
      stack.callback(self._remove_temporary)
      with contextlib.ExitStack() as open_files:
        with self._explained():
          writers = [tf.io.TFRecordWriter(path + _TEMPORARY) for path in self.paths]
        for writer in writers:
          open_files.callback(self._close, writer)

        def write(number, record):
          with self._explained():
            writers[number].write(record)

        removed = []
        yield write, removed
      with self._explained():
        removed += self._put_in_place()

  def _close(self, writer):
    with self._explained():
      writer.close()

  def _put_in_place(self):
    """Renames the files; returns the earlier ones that it removed."""
    earlier = self.earlier_files()
    for path in self.paths:
      if self.keep_empty or os.path.getsize(path + _TEMPORARY):
        os.replace(path + _TEMPORARY, path)
      elif os.path.exists(path):
        earlier.append(path)
    for path in earlier:
      os.remove(path)
    return earlier

  def _remove_temporary(self):
    """Also those of runs that were killed: nobody else writes this data set."""
    for path in self._find(self.pattern + re.escape(_TEMPORARY)):
      os.remove(path)

  @contextlib.contextmanager
  def _explained(self):
    try:
      yield
    except (OSError, tf.errors.OpError) as error:
      reason = getattr(error, 'strerror', None) or getattr(error, 'message', None) or error
      raise InputError(f'{self.output_path}: cannot be written: {reason}') from error


def sharded(output_path: str, num_shards: int = 1) -> RecordOutput:
  """Names the files of a sharded data set: the path itself, or path-00000-of-00010 and so on."""
  if num_shards < 1:
    raise InputError(f'num_shards is {num_shards}; expected at least 1')
  paths = [f'{output_path}-{i:05d}-of-{num_shards:05d}' for i in range(num_shards)]
  pattern = rf'{re.escape(os.path.basename(output_path))}(-\d{{5}}-of-\d{{5}})?'
  return RecordOutput(output_path, paths if num_shards > 1 else [output_path], pattern)


def numbered(output_path: str, num_files: int) -> RecordOutput:
  """Names the files of a numbered data set: voc_000.tfrecord and so on of voc.tfrecord."""
  root, extension = os.path.splitext(output_path)
  paths = [f'{root}_{i:03d}{extension}' for i in range(num_files)]
  pattern = rf'{re.escape(os.path.basename(root))}_\d{{3}}{re.escape(extension)}'
  return RecordOutput(output_path, paths, pattern, keep_empty=False)
