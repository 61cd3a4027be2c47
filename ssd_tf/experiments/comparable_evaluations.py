"""Selects the evaluations of a training on one data set and under one set of conditions."""

from collections.abc import Mapping
from typing import Any

from absl import logging

from ssd_tf.errors import InputError
from ssd_tf.run.evaluation_conditions import differences
from ssd_tf.run.evaluation_log import EvaluationLog


def read_evaluations(eval_dir: str) -> dict[int, dict[str, Any]]:
  """Reads the evaluations of a metrics.jsonl that can be compared.

  These are the ones under the conditions and settings that most steps were evaluated under (of
  as many, the later ones'); the others, tries with another threshold say, are left out with a
  warning. Where a step was evaluated twice, the later line holds.

  Returns:
    {step: line}, as `EvaluationLog.read` gives it, steps ascending; empty if there is no file.

  Raises:
    InputError: the file is damaged or mixes data sets.
  """
  log, groups = EvaluationLog(eval_dir), []
  rest = log.read()
  while rest:
    wanted = {name: rest[0].get(name) for name in ('conditions', 'settings')}
    groups.append(log.comparable(wanted, losses=False))
    rest = [line for line in rest if differences(wanted, line, losses=False)]
  # As many: the later group, since `max` takes the first.
  evaluations = max(reversed(groups), key=len, default={})
  if left_out := sum(map(len, groups)) - len(evaluations):
    logging.warning(
      '%s: %d evaluations under other conditions or settings than most, such as another '
      'post_processing, are left out.',
      log.path, left_out,
    )  # fmt: skip
  data_sets = {describe_data_set(line) for group in groups for line in group.values()}
  if len(data_sets) > 1:
    raise InputError(
      f'{log.path}: expected evaluations on one data set, received '
      f'{"; ".join(sorted(data_sets))}: which is meant? move the lines of a test set to '
      'test/eval/metrics.jsonl, delete the others'
    )
  return evaluations


def describe_data_set(line: Mapping[str, Any]) -> str:
  """Names the data set of an evaluation: '`val.record` (200 images)'."""
  images = f' ({line["images"]} images)' if 'images' in line else ''
  return f'`{line.get("split", "")}`{images}'
