"""Small files that are there whole, as they were or as they are now, whenever a process dies."""

import json
import math
import os
from typing import Any

from ssd_tf.files.failed_writes import writing


def write_json(path: str, content: Any) -> None:
  """Writes a file of JSON, or replaces it in one go.

  Args:
    path: of the file; its folder exists.
    content: what JSON knows; nan becomes null, since JSON has no nan.
  """
  # Not a random name: a leftover is overwritten.
  temporary = f'{path}.part'
  try:
    with writing(path), open(temporary, 'w', encoding='utf-8') as file:
      json.dump(_without_nan(content), file, indent=2, ensure_ascii=False, allow_nan=False)
      file.write('\n')
      file.flush()
      os.fsync(file.fileno())
  except OSError:
    if os.path.exists(temporary):
      os.remove(temporary)
    raise
  os.replace(temporary, path)


def _without_nan(content):
  if isinstance(content, dict):
    return {key: _without_nan(value) for key, value in content.items()}
  if isinstance(content, list | tuple):
    return [_without_nan(value) for value in content]
  return None if isinstance(content, float) and not math.isfinite(content) else content
