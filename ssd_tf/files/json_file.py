"""JSON files of users: read, or one line about what is broken."""

import json
import os
from collections.abc import Callable
from typing import Any

from ssd_tf.errors import InputError
from ssd_tf.files import text_file


def load(
  path: str | os.PathLike, object_hook: Callable[[dict[str, Any]], Any] | None = None
) -> Any:
  """Reads a JSON file.

  Args:
    path: the file, in UTF-8.
    object_hook: what to make of each object; None: the dict itself.

  Returns:
    Its content.

  Raises:
    InputError: it is not UTF-8, no JSON, nested too deeply, or has a key twice in one object.
    OSError: it cannot be read.
  """

  def make_object(pairs):
    entry = dict(pairs)
    if len(entry) < len(pairs):
      keys = [key for key, _ in pairs]
      twice = next(key for key in keys if keys.count(key) > 1)
      raise InputError(f'{path}: the key {twice!r} stands twice in one object; keep one of them')
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
