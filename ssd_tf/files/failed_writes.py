"""Reports writes that fail for lack of space: the file and the reason, in one line."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from typing import IO

# The disk is full, a quota is used up, or a file may not be longer.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# TensorFlow has no number of the error, but `path; reason` after the name of the operation.
_OF_TENSORFLOW = re.compile(
  r'(?:(?P<path>[^\n]+); |OSError: .*)?'
  rf'(?P<reason>{"|".join(re.escape(os.strerror(number)) for number in _NO_SPACE)})'
)
_OPERATION = re.compile(r'^\{\{.*?\}\} ')
# A checkpoint is written under these names first.
_TEMPORARY = re.compile(r'(_temp/part-[^/]*|\.tempstate\d+)$')


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
  """Lets the OSErrors of writing a file name it, which those of a file object do not."""
  try:
    yield
  except OSError as error:
    if error.filename is None:
      error.filename = os.fspath(path)
    raise


@contextlib.contextmanager
def open_for_writing(
  path: str | os.PathLike, mode: str = 'w', newline: str | None = None
) -> Iterator[IO]:
  """Opens a file whose errors name it, see `writing`; text is UTF-8."""
  encoding = None if 'b' in mode else 'utf-8'
  with writing(path), open(path, mode, encoding=encoding, newline=newline) as file:
    yield file


def explain(error: BaseException) -> str | None:
  """Tells a failed write by its error, Python's own or TensorFlow's.

  Returns:
    `path: reason`, such as `model/ckpt-4: No space left on device`; None for an error that is not
    for lack of space.
  """
  if isinstance(error, OSError) and error.errno in _NO_SPACE:
    return f'{error.filename or "a file"}: {error.strerror}'
  if not type(error).__module__.startswith('tensorflow.'):
    return None
  if found := _OF_TENSORFLOW.search(_OPERATION.sub('', str(error))):
    path = _TEMPORARY.sub('', _TEMPORARY.sub('', found['path'] or 'a file'))
    return f'{path}: {found["reason"]}'
  return None
