"""Downloads a file: resumes an earlier attempt, and verifies the result."""

import contextlib
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request

from absl import logging
from tqdm import tqdm

from ssd_tf.errors import InputError
from ssd_tf.files.failed_writes import writing

_ATTEMPTS = 3  # In a row that bring nothing; while bytes come, there is no limit.
_PAUSE_SECONDS = 1.0
_TIMEOUT_SECONDS = 30.0
_CHUNK = 1 << 16
# What a broken transfer raises; URLError and a timeout are OSErrors.
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def fetch(url: str, path: str, *, size: int | None = None, sha256: str | None = None) -> None:
  """Downloads a file; nothing is at its path before all of it is there and checked.

  What has come is in PATH.part, from where a later call goes on. On a terminal, a bar shows how far
  it is.

  Args:
    url: of the file.
    path: where it is put; its folder exists.
    size: its bytes; None: as the server says.
    sha256: its digest; None: not compared.

  Raises:
    InputError: the server cannot be reached, does not have it, or has another file.
  """
  part = f'{path}.part'
  logging.info('Downloading %s to %s.', url, path)
  failures = 0
  while failures < _ATTEMPTS:
    before = _size_of(part)
    try:
      _transfer(url, part, size)
      check(part, url, size=size, sha256=sha256)
      os.replace(part, path)
      return
    except _BROKEN as error:
      reason = _reason(error)
      if isinstance(error, urllib.error.HTTPError) and error.code < 500:
        break  # Not there, or not for us: it will not be the next time.
    failures = 1 if _size_of(part) > before else failures + 1
    if failures < _ATTEMPTS:
      time.sleep(_PAUSE_SECONDS)
  came = _size_of(part)
  resume = f' after {came} bytes, from which the same command resumes' if came else ''
  raise InputError(
    f'{url}: cannot be downloaded ({reason}){resume}; or download it elsewhere, and put it at '
    f'{path}'
  )


def check(path: str, url: str, *, size: int | None, sha256: str | None) -> str:
  """Compares a file's size and digest; a file that differs is removed.

  Args:
    path: of the file.
    url: where it is from, for the error.
    size: expected bytes; None: any.
    sha256: expected digest; None: any.

  Returns:
    Its SHA-256.

  Raises:
    InputError: it differs.
  """
  came = os.path.getsize(path)
  found = digest(path)
  if size in (None, came) and sha256 in (None, found):
    return found
  os.remove(path)
  what = f'SHA-256 {found}, expected {sha256}'
  if size not in (None, came):
    what = f'{came} bytes, expected {size}'
  raise InputError(
    f'{url}: the download is damaged, or not the file that is known here ({what}), and was '
    'removed; try again, or give the path of a checkpoint of your own'
  )


def digest(path: str) -> str:
  """The SHA-256 of a file."""
  state = hashlib.sha256()
  with open(path, 'rb') as file:
    while chunk := file.read(_CHUNK):
      state.update(chunk)
  return state.hexdigest()


def _transfer(url, part, size):
  """Appends to the part what it lacks."""
  start = _size_of(part)
  if size is not None and start == size:
    return
  if size is not None and start > size:
    os.remove(part)
    start = 0
  request = urllib.request.Request(url, headers={'Range': f'bytes={start}-'} if start else {})
  try:
    response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
  except urllib.error.HTTPError as error:
    if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
      raise
    if error.headers.get('Content-Range') != f'bytes */{start}':  # Else all of it is there.
      os.remove(part)
      _transfer(url, part, size)
    return
  with response:
    range_start = re.match(r'bytes (\d+)-', response.headers.get('Content-Range', ''))
    resumes = response.status == http.client.PARTIAL_CONTENT and range_start is not None
    if resumes and int(range_start[1]) != start:
      raise ConnectionError(f'the server sent bytes from {range_start[1]} on, not from {start} on')
    start = start if resumes else 0
    length = response.headers.get('Content-Length')
    total = start + int(length) if length else None
    if size is not None and total is not None and total != size:
      raise InputError(
        f'{url}: has {total} bytes on the server, expected {size}: it is another file than known '
        'here; give the path of a checkpoint of your own'
      )
    _receive(response, part, start, total)
  if total is not None and _size_of(part) < total:
    raise ConnectionError(f'the transfer ended at {_size_of(part)} of {total} bytes')


def _receive(response, part, start, total):
  name = os.path.basename(part).removesuffix('.part')
  with (
    open(part, 'ab' if start else 'wb') as file,
    # disable=None: only on a terminal.
    tqdm(desc=name, initial=start, total=total, unit='B', unit_scale=True, disable=None) as bar,
  ):
    while chunk := response.read(_CHUNK):
      with writing(part):
        file.write(chunk)
        file.flush()
      bar.update(len(chunk))
    os.fsync(file.fileno())


def _size_of(path):
  with contextlib.suppress(FileNotFoundError):
    return os.path.getsize(path)
  return 0


def _reason(error):
  if isinstance(error, urllib.error.HTTPError):
    return f'HTTP {error.code} {error.reason}'
  reason = getattr(error, 'reason', error)
  return str(reason) or type(error).__name__
