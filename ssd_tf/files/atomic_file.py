"""Replaces small files atomically: whenever a process dies, the old or the new content is whole."""

import os
from typing import Any

from ssd_tf.files import json_file
from ssd_tf.files.failed_writes import writing


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a file, or replaces it atomically; its folder exists."""
  # Not a random name: a leftover is overwritten.
  temporary = f'{os.fspath(path)}.part'
  try:
    with writing(path), open(temporary, 'w', encoding='utf-8') as file:
      file.write(text)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except OSError:
    if os.path.exists(temporary):
      os.remove(temporary)
    raise


def write_json(path: str | os.PathLike, content: Any) -> None:
  """Writes what `json_file.as_text` makes of the content, as `write_text`."""
  write_text(path, json_file.as_text(content))
