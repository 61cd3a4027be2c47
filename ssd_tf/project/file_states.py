"""Compares files with those of an earlier run by their names, sizes and modification times."""

import hashlib
import os
from collections.abc import Iterable

from ssd_tf.project import folder_scan
from ssd_tf.project.folder_scan import FolderScan


def scan(path: str) -> FolderScan:
  """The files of a data set that is a folder, or those around one that is a file."""
  return folder_scan.scan(path if os.path.isdir(path) else os.path.dirname(path) or '.')


def digest(path: str, others: Iterable[str], folders: Iterable[str]) -> str:
  """Of all files that a data set may be read from.

  Args:
    path: the folder or file of the data set.
    others: further files.
    folders: further folders, of each the files directly in it; those below `path` count anyway.
  """
  found = scan(path)
  root = os.path.realpath(found.root)
  lines = [_line(file, os.path.relpath(file, found.root)) for file in found.files]
  lines += [_line(file, os.path.abspath(file)) for file in others]
  for folder in sorted(folders):
    real = os.path.realpath(folder)
    if os.path.commonpath([real, root]) != root and os.path.isdir(real):
      names = sorted(os.listdir(real))
      lines += [_line(os.path.join(real, name), os.path.join(real, name)) for name in names]
  return hashlib.sha256('\n'.join(lines).encode('utf-8', 'surrogateescape')).hexdigest()


def sizes(folder: str, names: Iterable[str]) -> dict[str, int]:
  """The sizes of files of a folder, by name; of those that there are."""
  paths = {name: os.path.join(folder, name) for name in names}
  return {name: os.path.getsize(path) for name, path in paths.items() if os.path.isfile(path)}


def _line(path, name):
  stat = os.lstat(path) if not os.path.exists(path) else os.stat(path)
  return f'{name} {stat.st_size} {stat.st_mtime_ns}'
