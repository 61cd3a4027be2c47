"""Trainings repeated with several seeds: folders named <variant>_seed<N>, and their evaluations."""

import dataclasses
import glob
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from absl import logging

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.run.conditions import LOSSES
from ssd_tf.run.evaluation_log import EvaluationLog

AP = 'DetectionBoxes_Precision/mAP'
AP50 = 'DetectionBoxes_Precision/mAP@.50IOU'

_NAME = re.compile(r'(?P<variant>.+)_seed(?P<seed>\d+)')


@dataclasses.dataclass(frozen=True)
class Run:
  """One training.

  Attributes:
    variant: what the runs of one name have in common.
    seed: the number behind it.
    model_dir: where it lies.
    num_steps: how many steps it is to make.
    validation: lines of eval/metrics.jsonl by step, ascending; empty: it has none yet.
    test: the same of test/eval/metrics.jsonl.
  """

  variant: str
  seed: int
  model_dir: str
  num_steps: int
  validation: Mapping[int, Mapping[str, Any]]
  test: Mapping[int, Mapping[str, Any]]

  @property
  def name(self) -> str:
    """The folder's name."""
    return f'{self.variant}_seed{self.seed}'

  @property
  def last_step(self) -> int:
    """The last step evaluated on the validation set; 0: there is none."""
    return max(self.validation, default=0)

  @property
  def best_step(self) -> int:
    """The step of the highest validation AP, of equal ones the first; 0: there is none."""
    return max(self.validation, key=lambda s: self.validation[s]['metrics'][AP], default=0)

  @property
  def is_finished(self) -> bool:
    """Whether the last step is evaluated."""
    return bool(self.validation) and self.last_step >= self.num_steps


def read_runs(model_dirs: str) -> tuple[list[Run], list[str]]:
  """Reads the evaluations of runs.

  A run has num_steps of its pipeline.config to make, or, if the folder has none, as many as the
  longest run. Where a training was restarted and evaluated a step twice, the later line holds.

  Args:
    model_dirs: folders or globs, separated by commas; files that a glob matches are passed over.

  Returns:
    The runs, variants in the order given, seeds ascending; and a line for each matched folder that
    is not named <variant>_seed<N> and so was passed over.

  Raises:
    InputError: there is no such folder, two have the same name, or a metrics.jsonl is damaged or
      mixes data sets.
  """
  runs, passed_over = {}, []
  for folder in find_folders(model_dirs.split(',')):
    match = _NAME.fullmatch(os.path.basename(folder))
    if not match:
      passed_over.append(f'{folder}: passed over, its name is not <variant>_seed<N>')
      continue
    run = _read_run(folder, match['variant'], int(match['seed']))
    other = runs.setdefault(run.name, run)
    if other is not run:
      raise InputError(
        f'{folder} and {other.model_dir} are both variant {run.variant!r}, seed {run.seed}: name '
        'one of them, or rename it'
      )
  if not runs:
    raise InputError(f'model_dirs {model_dirs!r}: expected folders named <variant>_seed<N>')
  longest = max(run.last_step for run in runs.values())
  variants = list(dict.fromkeys(run.variant for run in runs.values()))
  return sorted(
    (dataclasses.replace(run, num_steps=run.num_steps or longest) for run in runs.values()),
    key=lambda run: (variants.index(run.variant), run.seed),
  ), passed_over


def find_folders(model_dirs: Iterable[str]) -> list[str]:
  """Finds the folders of trainings.

  Args:
    model_dirs: folders or globs; files that a glob matches are passed over.

  Returns:
    The folders, each once.

  Raises:
    InputError: one stands for no folder.
  """
  folders = []
  for path in filter(None, model_dirs):
    if os.path.isdir(path):
      found = [path]
    else:
      found = sorted(folder for folder in glob.glob(path) if os.path.isdir(folder))
    if not found:
      raise InputError(f'model_dirs: {path}: no such folder')
    folders += [os.path.normpath(folder) for folder in found]
  return list(dict.fromkeys(folders))


def _read_run(folder, variant, seed):
  config_path = os.path.join(folder, 'pipeline.config')
  config = os.path.exists(config_path) and Pipeline.load(config_path).config
  return Run(
    variant=variant,
    seed=seed,
    model_dir=folder,
    num_steps=config.train_config.num_steps if config else 0,
    validation=_read_coco_evaluations(os.path.join(folder, 'eval')),
    test=_read_coco_evaluations(os.path.join(folder, 'test', 'eval')),
  )


def read_evaluations(eval_dir: str) -> dict[int, dict[str, Any]]:
  """Reads the evaluations of a metrics.jsonl that can be compared.

  These are the ones under the conditions and settings that most steps were evaluated under (of
  as many, the later ones'); the others, tries with another threshold say, are left out with a
  warning. Where a step was evaluated twice, the later line holds.

  Args:
    eval_dir: the folder that it lies in.

  Returns:
    {step: line}, as `EvaluationLog.read` gives it, steps ascending; empty if there is no file.

  Raises:
    InputError: the file is damaged or mixes data sets.
  """
  groups = {}
  for line in (log := EvaluationLog(eval_dir)).read():
    groups.setdefault(_conditions(line), {})[line['step']] = line
  # As many: the later group, since `max` takes the first.
  evaluations = max(reversed(groups.values()), key=len, default={})
  if left_out := sum(map(len, groups.values())) - len(evaluations):
    logging.warning(
      '%s: %d evaluations under other conditions or settings than most, such as another '
      'post_processing, are left out.',
      log.path, left_out,
    )  # fmt: skip
  data_sets = {describe_data_set(line) for group in groups.values() for line in group.values()}
  if len(data_sets) > 1:
    raise InputError(
      f'{log.path}: expected evaluations on one data set, came '
      f'{"; ".join(sorted(data_sets))}: which is meant? move the lines of a test set to '
      'test/eval/metrics.jsonl, delete the others'
    )
  return dict(sorted(evaluations.items()))


def _conditions(line):
  """What its figures depend on; those here are no losses."""
  conditions = dict(line.get('conditions') or {})
  conditions.pop(LOSSES, None)
  return json.dumps([conditions, line.get('settings')], sort_keys=True)


def describe_data_set(line: Mapping[str, Any]) -> str:
  """Names the data set of an evaluation: '`val.record` (200 images)'."""
  images = f' ({line["images"]} images)' if 'images' in line else ''
  return f'`{line.get("split", "")}`{images}'


def _read_coco_evaluations(eval_dir):
  evaluations = read_evaluations(eval_dir)
  for step, line in evaluations.items():
    if not {AP, AP50} <= line['metrics'].keys():
      raise InputError(
        f'{EvaluationLog(eval_dir).path}: step {step}: expected metrics {AP!r} and {AP50!r}, came '
        f'{", ".join(line["metrics"]) or "none"}'
      )
  return evaluations
