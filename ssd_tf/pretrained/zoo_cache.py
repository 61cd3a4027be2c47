"""Downloads checkpoints of the Object Detection API's model zoos once into the user's cache."""

import gzip
import os
import re
import shutil
import tarfile
import zlib

from ssd_tf.errors import InputError
from ssd_tf.files import atomic_file, file_lock, json_file
from ssd_tf.pretrained import downloads
from ssd_tf.pretrained.weights_table import Weights

_DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)
# Of the members, those that are kept: the checkpoint and its config, without SavedModels.
_WANTED = re.compile(
  r'(?:.*/)?((?:ckpt|model\.ckpt)[\w.-]*\.(?:index|data-\d{5}-of-\d{5})|pipeline\.config)'
)


def folder() -> str:
  """The folder of downloads: zoo in $SSD_TF_CACHE, or in ~/.cache/ssd_tf."""
  return os.path.join(
    os.environ.get('SSD_TF_CACHE') or os.path.expanduser('~/.cache/ssd_tf'), 'zoo'
  )


def cached_checkpoint(weights: Weights) -> str | None:
  """The prefix of a checkpoint that was downloaded and unpacked before; None if it was not."""
  place = os.path.join(folder(), weights.file_name)
  names = sorted(os.listdir(place)) if os.path.isdir(place) else []
  prefixes = [name.removesuffix('.index') for name in names if name.endswith('.index')]
  return os.path.join(place, prefixes[-1]) if prefixes else None


def obtain(weights: Weights) -> str:
  """Downloads and unpacks a checkpoint, unless that was done before.

  The archive's size and SHA-256 are compared with those of the table. Where the table has none, the
  first download's SHA-256 is kept beside it, and compared with that of a later one. An archive that
  a user placed in `folder` is taken in place of a download. Of the archive only the checkpoint and
  its config are kept.

  Args:
    weights: of a zoo.

  Returns:
    The prefix of the checkpoint.

  Raises:
    InputError: it cannot be downloaded, is damaged, or holds no whole checkpoint; another process
      is downloading it; the cache cannot be written.
  """
  found = cached_checkpoint(weights)
  if found:
    return found
  place = os.path.join(folder(), weights.file_name)
  try:
    os.makedirs(folder(), exist_ok=True)
    busy = f'{weights.name} is being downloaded'
    with file_lock.hold(f'{place}.lock', busy, 'give the path of a checkpoint'):
      # Another process may have been faster.
      return cached_checkpoint(weights) or _obtain(weights, place)
  except (PermissionError, NotADirectoryError, FileExistsError) as error:
    raise InputError(
      f'{error.filename}: {error.strerror}; set SSD_TF_CACHE to a folder that can be written'
    ) from error


def _obtain(weights, place):
  archive, record = f'{place}.tar.gz', f'{place}.json'
  known = json_file.load(record) if os.path.exists(record) else {}
  sha256 = weights.sha256 or known.get('sha256')
  if not os.path.exists(archive):
    downloads.fetch(weights.url, archive, size=weights.size, sha256=sha256)
  found = downloads.check(archive, weights.url, size=weights.size, sha256=sha256)
  part = f'{place}.part'
  shutil.rmtree(part, ignore_errors=True)
  os.mkdir(part)
  try:
    _unpack(archive, part)
    _check_whole(part)
  except (*_DAMAGE, InputError) as error:
    shutil.rmtree(part)
    os.remove(archive)
    raise InputError(
      f'{weights.url}: the download is damaged, and was removed ({error}); try again, or '
      f'download it elsewhere and put it at {archive}'
    ) from error
  content = {'url': weights.url, 'size': os.path.getsize(archive), 'sha256': found}
  atomic_file.write_json(record, content)
  os.rename(part, place)
  os.remove(archive)
  return cached_checkpoint(weights)


def _unpack(archive, target):
  """Unpacks regular files of wanted names, without their folders: none leads out of the target."""
  with gzip.open(archive) as stream:
    with tarfile.open(fileobj=stream, mode='r|') as tar:
      for member in tar:
        wanted = _WANTED.fullmatch(member.name)
        if wanted and member.isfile():
          with open(os.path.join(target, wanted[1]), 'wb') as file:
            shutil.copyfileobj(tar.extractfile(member), file)
    while stream.read(1 << 20):  # To the end, where the checksum of all is.
      pass


def _check_whole(target):
  """Reads every tensor, whose checksums are compared."""
  from ssd_tf.pretrained.checkpoint_file import CheckpointFile  # TensorFlow: not for a listing.

  prefixes = [name.removesuffix('.index') for name in os.listdir(target) if '.index' in name]
  if len(prefixes) != 1:
    raise InputError(f'expected one checkpoint in it, found {len(prefixes)}')
  file = CheckpointFile(os.path.join(target, prefixes[0]))
  for name in file.shapes:
    file.read(name)
