"""metrics.jsonl of the folder of a model's evaluations: a line of JSON for each.

A process that is killed, or a full disk, can leave half a line at the end. `append` removes it, so
that the next line is one by itself; the readers pass over half lines, wherever they are, and warn.
Where a half line and the next one were joined, as older versions did, the whole one is read. Any
other damage is an error: figures may be wrong or missing, and nobody would notice.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from typing import Any

from absl import logging

from ssd_tf.errors import InputError
from ssd_tf.files.failed_writes import writing

LOSSES = 'losses'  # Of the conditions of an evaluation, the one that changes losses alone.
_BEGIN = '{"step": '


def path(eval_dir: str) -> str:
  """Where the file of a folder is."""
  return os.path.join(eval_dir, 'metrics.jsonl')


def append(
  eval_dir: str, step: int, metrics: Mapping[str, float], details: Mapping[str, Any]
) -> None:
  """Adds an evaluation; if that fails half way, such as on a full disk, the file is as before.

  Args:
    eval_dir: the folder: of a training, eval/ in its model_dir.
    step: of the model that was evaluated.
    metrics: by name; nan becomes null, since JSON has no nan.
    details: what the figures have to be read with; without, a number cannot be compared.

  Raises:
    OSError: the file cannot be written.
  """
  file_path = path(eval_dir)
  os.makedirs(os.path.dirname(file_path), exist_ok=True)
  figures = {name: None if math.isnan(value) else value for name, value in metrics.items()}
  line = json.dumps({'step': step, 'metrics': figures, **details}, ensure_ascii=False)
  content = memoryview(f'{line}\n'.encode())
  # Without a buffer, which would be written once more when the file is closed.
  with writing(file_path), open(file_path, 'a+b', buffering=0) as file:
    end = _end_last_line(file, file_path)
    try:
      while content:
        content = content[file.write(content) :]
      os.fsync(file.fileno())
    except OSError:
      file.truncate(end)
      raise


def read(
  eval_dir: str,
  split: str,
  settings: Mapping[str, Any] | None = None,
  conditions: Mapping[str, Any] | None = None,
) -> dict[int, dict[str, float]]:
  """Reads the evaluations on one data set.

  Args:
    eval_dir: the folder.
    split: the data set, as in the details.
    settings: as in the details; evaluations with others are left out.
    conditions: likewise, unless they are None.

  Returns:
    The metrics by step, of each step the last ones; empty if there is no such file.

  Raises:
    InputError: a line is not what `append` writes.
  """
  evaluations = {}
  for line in read_lines(eval_dir):
    fits = line.get('split') == split and line.get('settings', {}) == dict(settings or {})
    if fits and (conditions is None or line.get('conditions') == conditions):
      evaluations[line['step']] = line['metrics']
  return evaluations


def read_lines(eval_dir: str) -> list[dict[str, Any]]:
  """Reads all evaluations; half lines are passed over, with a warning of each.

  Args:
    eval_dir: the folder.

  Returns:
    Of each, in the order written, step, metrics (nan for null) and the details; empty if there is
    no such file.

  Raises:
    InputError: a line is neither what `append` writes nor the first part of that.
  """
  file_path = path(eval_dir)
  if not os.path.exists(file_path):
    return []
  with open(file_path, 'rb') as file:
    lines = [_parse(text, f'{file_path}:{number}') for number, text in enumerate(file, start=1)]
  return [line for line in lines if line is not None]


def _end_last_line(file, file_path):
  """Removes half a line at the end, or ends a whole one; returns the size of the file then."""
  size = file.seek(0, os.SEEK_END)
  if not size or (file.seek(size - 1), file.read(1))[1] == b'\n':
    return size
  file.seek(0)
  content = file.readall()
  end = content.rfind(b'\n') + 1
  number = content.count(b'\n') + 1
  try:
    is_half = _parse(content[end:], f'{file_path}:{number}') is None
  except InputError:
    is_half = False  # It stays, as a line of its own; the readers report it.
  if not is_half:
    return size + file.write(b'\n')
  file.truncate(end)
  return end


def _parse(text, place):
  """The evaluation of a line; None for half a line."""
  try:
    return _evaluation(text)
  except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
    shown = text.decode(errors='replace').strip()
    joined = shown.rfind(_BEGIN)
    if joined > 0:
      logging.warning('%s: half a line is passed over, before a whole one.', place)
      return _parse(shown[joined:].encode(), place)
    if _is_cut_off(shown):
      logging.warning(
        '%s: half a line is passed over (%r): a process was killed, or the disk was full, while it '
        'was written.', place, shown[:80],
      )  # fmt: skip
      return None
    raise InputError(
      f'{place}: expected a line of JSON with step and metrics, came {shown[:80]!r}; delete the '
      'line, and its step can be evaluated again'
    ) from error


def _evaluation(text):
  line = json.loads(text)
  metrics = {
    name: math.nan if value is None else float(value) for name, value in line['metrics'].items()
  }
  return {**line, 'step': int(line['step']), 'metrics': metrics}


def _is_cut_off(text):
  """Whether it is the first part of a line: begins as one, and lacks a bracket or more."""
  outside = re.sub(r'"(\\.|[^"\\])*("|\\?$)', '', text)
  begins = text.startswith(_BEGIN) or (text != '' and _BEGIN.startswith(text))
  return begins and outside.count('{') > outside.count('}')
