"""Locks a file for one process; the lock ends with the process, however that ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from absl import logging

from ssd_tf.errors import InputError
from ssd_tf.files.failed_writes import writing


@contextlib.contextmanager
def hold(path: str, busy: str, instead: str) -> Iterator[None]:
  """Holds a lock until left or until the process ends; a file of a killed process does not block.

  Args:
    path: of the lock file; it tells who holds the lock, and is removed in the end.
    busy: what the error says first: what somebody else is doing.
    instead: what the user may do besides waiting for or stopping the other, for the error.

  Raises:
    InputError: another process, or another part of this one, holds it.
  """
  with contextlib.ExitStack() as stack:
    file = None
    # Another holder may have removed the file between our opening and locking it.
    while file is None or not _is_file_at(path, file):
      file = stack.enter_context(open(path, 'a+', encoding='utf-8'))
      _lock(file, busy, instead)
    try:
      with writing(path):
        file.truncate(0)
        os.write(file.fileno(), _holder().encode())  # Without a buffer to be written on closing.
      yield
    finally:
      # While it is locked: whoever opened it meanwhile finds that it is gone, and makes another.
      # If the folder was deleted meanwhile, another's may lie there.
      if _is_file_at(path, file):
        os.remove(path)


def is_held(path: str) -> bool:
  """Whether the lock file at a path is still the one that this process wrote on taking the lock."""
  try:
    with open(path, encoding='utf-8') as file:
      return file.read() == _holder()
  except FileNotFoundError:
    return False


def _holder():
  return f'{os.getpid()} on {os.uname().nodename}'


def _lock(file, busy, instead):
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    file.seek(0)
    holder = file.read().strip() or 'unknown'
    raise InputError(f'{busy} (process {holder}): wait for it or stop it, or {instead}') from None
  except OSError as error:  # A file system without locks.
    logging.warning('%s cannot be locked (%s): see that nothing else writes there meanwhile.',
                    file.name, error.strerror)  # fmt: skip


def _is_file_at(path, file):
  try:
    return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
  except FileNotFoundError:
    return False
