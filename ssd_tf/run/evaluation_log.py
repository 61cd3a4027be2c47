"""Reads and writes the log of a model's evaluations: metrics.jsonl, a line of JSON for each.

All that is known of earlier evaluations is read from it: which checkpoint is the best, whether to
stop early, what need not be evaluated again.
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
from ssd_tf.run.evaluation_conditions import differences

_BEGIN = '{"step": '


class EvaluationLog:
  """The evaluations in a folder; the file is read when first asked for, then kept in memory.

  A process that is killed, or a full disk, can leave half a line at the end. `append` removes it,
  so that the next line is one by itself; reading passes over half lines, wherever they are, and
  warns. Where a half line and the next one were joined, as older versions did, the whole one is
  read. Any other damage is an error: figures may be wrong or missing, and nobody would notice.

  Args:
    eval_dir: the folder: of a training, eval/ in its model_dir. It need not exist.
  """

  def __init__(self, eval_dir: str):
    self.eval_dir = eval_dir
    self.path = os.path.join(eval_dir, 'metrics.jsonl')
    self._lines: list[dict[str, Any] | InputError] | None = None

  def append(self, step: int, metrics: Mapping[str, float], details: Mapping[str, Any]) -> None:
    """Adds an evaluation; if that fails half way, such as on a full disk, the file is as before.

    A metric of nan becomes null, since JSON has no nan. Without the details, what the figures have
    to be read with, a number cannot be compared.
    """
    os.makedirs(self.eval_dir, exist_ok=True)
    figures = {name: None if math.isnan(value) else value for name, value in metrics.items()}
    line = json.dumps({'step': step, 'metrics': figures, **details}, ensure_ascii=False)
    content = memoryview(f'{line}\n'.encode())
    # Without a buffer, which would be written once more when the file is closed.
    with writing(self.path), open(self.path, 'a+b', buffering=0) as file:
      end = _end_last_line(file, self.path)
      try:
        while content:
          content = content[file.write(content) :]
        os.fsync(file.fileno())
      except OSError:
        file.truncate(end)
        raise
    if self._lines is not None:
      self._lines.append(_evaluation(line))

  def read(self, *, skip_damaged: bool = False) -> list[dict[str, Any]]:
    """Gives all evaluations, or all but the damaged lines, where these have been told.

    Returns:
      Of each, in the order written, step, metrics (nan for null) and the details; empty if there is
      no such file.

    Raises:
      InputError: a line is neither what `append` writes nor the first part of that.
    """
    if self._lines is None:
      self._lines = _read(self.path) if os.path.exists(self.path) else []
    faults = [line for line in self._lines if isinstance(line, InputError)]
    if faults and not skip_damaged:
      raise faults[0]
    return [line for line in self._lines if not isinstance(line, InputError)]

  def comparable(
    self, details: Mapping[str, Any], *, losses: bool = True, skip_damaged: bool = False
  ) -> dict[int, dict[str, Any]]:
    """The evaluations whose figures can be compared, by step, rising; of each step the last one.

    Args:
      details: split, settings and conditions of those wanted, see `differences`.
      losses: whether their losses are to be compared.
    """
    lines = self.read(skip_damaged=skip_damaged)
    lines = [line for line in lines if not differences(details, line, losses=losses)]
    return {line['step']: line for line in sorted(lines, key=lambda line: line['step'])}


def _read(path):
  with open(path, 'rb') as file:
    lines = [_parse(text, f'{path}:{number}') for number, text in enumerate(file, start=1)]
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
  if _parse(content[end:], f'{file_path}:{number}') is not None:
    return size + file.write(b'\n')  # A damaged line stays, as one of its own; readers report it.
  file.truncate(end)
  return end


def _parse(text, place):
  """The evaluation of a line; None for half a line; an error, not raised, for other damage."""
  try:
    return _evaluation(text)
  except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
    shown = text.decode(errors='replace').strip()
    joined = shown.rfind(_BEGIN)
    if joined > 0:
      logging.warning('%s: half a line is skipped, before a whole one.', place)
      return _parse(shown[joined:].encode(), place)
    if _is_cut_off(shown):
      logging.warning(
        '%s: half a line is skipped (%r): a process was killed, or the disk was full, while it '
        'was written.', place, shown[:80],
      )  # fmt: skip
      return None
    return InputError(
      f'{place}: expected a line of JSON with step and metrics, received {shown[:80]!r}; delete '
      'the line, and its step can be evaluated again'
    )


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
