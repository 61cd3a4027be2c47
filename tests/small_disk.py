"""A disk that can be full: a small file system where one may be mounted, else a limit of files."""

import contextlib
import os
import pathlib
import resource
import subprocess

_SIZE = 8 << 20


class Disk:
  """A folder to which little more can be written, once it is told so.

  Attributes:
    folder: of it.
    reason: what a write fails of.
  """

  def __init__(self, folder, is_mounted):
    self.folder = folder
    self.reason = 'No space left on device' if is_mounted else 'File too large'
    self._filler = folder / '.filler' if is_mounted else None

  def fill(self, leave=0):
    """Leaves so many bytes: in all, or for each file."""
    if self._filler is None:
      resource.setrlimit(resource.RLIMIT_FSIZE, (leave, resource.RLIM_INFINITY))
      return
    status = os.statvfs(self.folder)
    self._filler.write_bytes(bytes(status.f_bavail * status.f_bsize - leave))

  def free(self):
    """Lets files be written again."""
    if self._filler is None:
      resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    else:
      self._filler.unlink(missing_ok=True)


@contextlib.contextmanager
def disk(folder: pathlib.Path, mounted: bool):
  """Yields a Disk in a new folder; `mounted` is a wish, as only root may mount."""
  folder.mkdir()
  mount = ['mount', '-t', 'tmpfs', '-o', f'size={_SIZE}', 'tmpfs', str(folder)]
  try:
    mounted = mounted and not subprocess.run(mount, check=False, capture_output=True).returncode
  except FileNotFoundError:
    mounted = False
  it = Disk(folder, mounted)
  try:
    yield it
  finally:
    it.free()
    if mounted:
      # Event files stay open until they are collected.
      subprocess.run(['umount', '--lazy', str(folder)], check=True)
