"""metrics.jsonl of the folder of a model's evaluations: a line of JSON for each."""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

from ssd_tf.errors import InputError


def path(eval_dir: str) -> str:
  """Where the file of a folder is."""
  return os.path.join(eval_dir, 'metrics.jsonl')


def append(
  eval_dir: str, step: int, metrics: Mapping[str, float], details: Mapping[str, Any]
) -> None:
  """Adds an evaluation.

  Args:
    eval_dir: the folder: of a training, eval/ in its model_dir.
    step: of the model that was evaluated.
    metrics: by name; nan becomes null, since JSON has no nan.
    details: what the figures have to be read with; without, a number cannot be compared.
  """
  file_path = path(eval_dir)
  os.makedirs(os.path.dirname(file_path), exist_ok=True)
  figures = {name: None if math.isnan(value) else value for name, value in metrics.items()}
  line = json.dumps({'step': step, 'metrics': figures, **details}, ensure_ascii=False)
  with open(file_path, 'a', encoding='utf-8') as file:
    file.write(line + '\n')


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
  """Reads all evaluations.

  Args:
    eval_dir: the folder.

  Returns:
    Of each, in the order written, step, metrics (nan for null) and the details; empty if there is
    no such file.

  Raises:
    InputError: a line is not what `append` writes.
  """
  file_path = path(eval_dir)
  if not os.path.exists(file_path):
    return []
  with open(file_path, encoding='utf-8') as file:
    return [_parse(text, f'{file_path}:{number}') for number, text in enumerate(file, start=1)]


def _parse(text, place):
  try:
    line = json.loads(text)
    metrics = {
      name: math.nan if value is None else float(value) for name, value in line['metrics'].items()
    }
    return {**line, 'step': int(line['step']), 'metrics': metrics}
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f'{place}: expected a line of JSON with step and metrics, came {text.strip()[:80]!r}; if a '
      'killed run left half a line, delete it'
    ) from error
