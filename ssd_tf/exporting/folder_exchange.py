"""Replaces a folder atomically: whenever a process dies, its old or its new content is whole."""

import contextlib
import ctypes
import errno
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Iterator

from ssd_tf.errors import InputError

_AT_CWD, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux's renameat2.
_CANNOT_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
_PART, _BEFORE = '.ssd_tf_part-', '.ssd_tf_before'


@contextlib.contextmanager
def replacing(folder: str) -> Iterator[str]:
  """Atomically gives a folder new content, which is written to a folder next to it.

  Killed at any moment, it leaves the old content or the new one, complete; so do two processes that
  replace the same folder at once. Files of the folder that the new content has not are kept, in
  subfolders too. What a killed process left next to the folder (`.NAME.ssd_tf_part-*`) is removed
  by the next one.

  Two exceptions. A folder that has to stay where it is gets the new files and subfolders one after
  the other, each atomically: if it is a mount point, the working directory or above it, if its
  parent cannot be written, or if it holds further subfolders. And where the file system cannot
  exchange two folders (NFS), there is nothing in place between two renames; killed there, the old
  content is called `.NAME.ssd_tf_before`, and the next process puts it back before it begins.

  Yields:
    An empty folder, to be filled. If that fails it is removed, and `folder` is as it was.

  Raises:
    InputError: a file is where a folder has to be, or the other way round.
  """
  folder = os.path.realpath(folder)
  if os.path.exists(folder) and not os.path.isdir(folder):
    raise InputError(f'{folder}: is a file; give a folder')
  parent, name = os.path.split(folder)
  os.makedirs(parent, exist_ok=True)
  is_fixed = _is_fixed(folder)
  with contextlib.ExitStack() as stack:
    with _locked(parent):
      _clean_up(folder)
      new = os.path.join(folder if is_fixed else parent, f'.{name}{_PART}{secrets.token_hex(4)}')
      os.mkdir(new)
      stack.callback(shutil.rmtree, new, ignore_errors=True)
      stack.enter_context(_locked(new))  # Tells others that it is in use.
    yield new
    _write_to_disk(new)
    with _locked(parent):
      pairs = [(folder, new)]
      if is_fixed or _has_further_folders(folder, new):
        parts = sorted(os.listdir(new))
        pairs = [(os.path.join(folder, part), os.path.join(new, part)) for part in parts]
      for pair in pairs:
        _prepare(*pair)
      for pair in pairs:
        _replace(*pair)
      shutil.rmtree(new, ignore_errors=True)


def _is_fixed(folder):
  """Whether the folder itself cannot be exchanged for another."""
  if not os.path.isdir(folder):
    return False
  above = os.path.commonpath([os.path.realpath(os.getcwd()), folder])
  parent = os.path.dirname(folder)
  return above == folder or os.path.ismount(folder) or not os.access(parent, os.W_OK | os.X_OK)


def _has_further_folders(folder, new):
  """Whether it holds folders that have no successor; they may be large, or in use."""
  if not os.path.isdir(folder):
    return False
  successors = os.listdir(new)
  with os.scandir(folder) as entries:
    return any(entry.is_dir() and entry.name not in successors for entry in entries)


@contextlib.contextmanager
def _locked(folder):
  """Waits for others that lock the folder; a lock ends with its process. Some systems have none."""
  descriptor = None
  with contextlib.suppress(OSError):
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
  try:
    yield
  finally:
    if descriptor is not None:
      os.close(descriptor)


def _clean_up(folder):
  """Puts back what a killed process had moved away, and removes what it had not finished."""
  parent, name = os.path.split(folder)
  for path in (_before(folder), *glob.glob(os.path.join(glob.escape(folder), f'.*{_BEFORE}'))):
    replaced = os.path.join(os.path.dirname(path), os.path.basename(path)[1 : -len(_BEFORE)])
    if os.path.lexists(path) and not os.path.lexists(replaced):
      os.rename(path, replaced)
    else:
      _remove(path)
  for place in (parent, folder):
    for path in glob.glob(os.path.join(glob.escape(place), f'.{glob.escape(name)}{_PART}*')):
      if not _is_locked(path):
        _remove(path)


def _is_locked(folder):
  """Whether another process is at work in the folder, or may be."""
  try:
    descriptor = os.open(folder, os.O_RDONLY)
  except OSError:
    return True
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError:
    return True
  finally:
    os.close(descriptor)
  return False


def _prepare(path, new):
  """Gives the successor of a file or folder what is only in the old one."""
  if os.path.lexists(path) and os.path.isdir(path) != os.path.isdir(new):
    raise _mismatch(path)
  if os.path.isdir(path):
    shutil.copystat(path, new)
    _keep(path, new)


def _replace(path, new):
  """Exchanges a file or folder for its successor."""
  if not os.path.lexists(path):
    os.rename(new, path)
    return
  if not _exchange(path, new):
    os.rename(path, _before(path))
    os.rename(new, path)
    os.rename(_before(path), new)
  if os.path.isdir(new) and not os.path.islink(new):
    _keep(new, path)  # Once more: what was added meanwhile.


def _keep(old, new):
  """Adds to a folder what only the old one has, as links to the same files."""
  with os.scandir(old) as entries:
    for entry in entries:
      kept = os.path.join(new, entry.name)
      is_folder = entry.is_dir(follow_symlinks=False)
      if is_folder and not os.path.lexists(kept):
        os.mkdir(kept)
        shutil.copystat(entry.path, kept)
      if not os.path.lexists(kept):
        _link(entry.path, kept)
      elif is_folder and os.path.isdir(kept):
        _keep(entry.path, kept)
      elif is_folder != os.path.isdir(kept) and not entry.is_symlink():
        raise _mismatch(entry.path)


def _mismatch(path):
  found, successor = ('folder', 'file') if os.path.isdir(path) else ('file', 'folder')
  return InputError(
    f'{path}: is a {found}, where a {successor} is to be written; move it away, or give another '
    'folder to write to'
  )


def _link(file, link):
  try:
    os.link(file, link, follow_symlinks=False)
  except OSError:  # A file system without links.
    shutil.copy2(file, link, follow_symlinks=False)


def _exchange(path, new):
  """Exchanges two files or folders atomically; returns whether the system is able to."""
  try:
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
  except AttributeError:
    return False
  if not renameat2(_AT_CWD, os.fsencode(path), _AT_CWD, os.fsencode(new), _EXCHANGE):
    return True
  number = ctypes.get_errno()
  if number in _CANNOT_EXCHANGE:
    return False
  raise OSError(number, os.strerror(number), path)


def _before(path):
  folder, name = os.path.split(path)
  return os.path.join(folder, f'.{name}{_BEFORE}')


def _remove(path):
  if os.path.isdir(path) and not os.path.islink(path):
    shutil.rmtree(path, ignore_errors=True)
  elif os.path.lexists(path):
    os.unlink(path)


def _write_to_disk(folder):
  """So that a power failure after the exchange does not leave empty files."""
  for place, _, names in os.walk(folder):
    for path in (place, *(os.path.join(place, name) for name in names)):
      descriptor = os.open(path, os.O_RDONLY)
      try:
        os.fsync(descriptor)
      finally:
        os.close(descriptor)
