"""Reads JSON files, with one line about what is broken; writes them for any reader."""

import json
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from ssd_tf.errors import InputError
from ssd_tf.files import text_file
from ssd_tf.files.failed_writes import open_for_writing


def load(
  path: str | os.PathLike, object_hook: Callable[[dict[str, Any]], Any] | None = None
) -> Any:
  """Reads a JSON file; the object_hook says what to make of each object, if not a dict.

  Raises:
    InputError: it is not UTF-8, no JSON, nested too deeply, or has a key twice in one object.
  """

  def make_object(pairs):
    entry = dict(pairs)
    if len(entry) < len(pairs):
      keys = [key for key, _ in pairs]
      twice = next(key for key in keys if keys.count(key) > 1)
      raise InputError(f'{path}: the key {twice!r} occurs twice in one object; keep one of them')
    return object_hook(entry) if object_hook else entry

  text = text_file.read(path)
  try:
    return json.loads(text, object_pairs_hook=make_object)
  except InputError:
    raise
  except RecursionError:
    raise InputError(
      f'{path}: its lists or objects are nested too deeply, hundreds of them within each other; '
      'is it damaged?'
    ) from None
  except ValueError as error:
    raise InputError(f'{path}: broken JSON: {error}') from error


def write(path: str | os.PathLike, content: Any) -> None:
  """Writes a JSON file, in its folder, which is made if it does not exist."""
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  with open_for_writing(path) as file:
    file.write(as_text(content))


def as_text(content: Any) -> str:
  """What a JSON file of this content holds, its objects and lists indented, with a last line break.

  Nan and infinity become null, since JSON has neither; arrays become lists.
  """
  text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
  return f'{text}\n'


def _plain(content):
  if hasattr(content, 'tolist'):  # An array or a number of NumPy, which is not imported for that.
    content = content.tolist()
  if isinstance(content, Mapping):
    return {key: _plain(value) for key, value in content.items()}
  if isinstance(content, list | tuple):
    return [_plain(value) for value in content]
  return None if isinstance(content, float) and not math.isfinite(content) else content
