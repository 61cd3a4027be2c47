"""Small files that are there whole, as they were or as they are now, whenever a process dies."""

import os
from typing import Any

from ssd_tf.files import json_file
from ssd_tf.files.failed_writes import writing


def write_json(path: str, content: Any) -> None:
  """Writes a file of JSON, or replaces it in one go.

  Args:
    path: of the file; its folder exists.
  """
  # Not a random name: a leftover is overwritten.
  temporary = f'{path}.part'
  try:
    with writing(path), open(temporary, 'w', encoding='utf-8') as file:
      file.write(json_file.as_text(content))
      file.flush()
      os.fsync(file.fileno())
  except OSError:
    if os.path.exists(temporary):
      os.remove(temporary)
    raise
  os.replace(temporary, path)
