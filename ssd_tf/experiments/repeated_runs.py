"""Finds trainings repeated with several seeds: folders named <variant>_seed<N>."""

import os
from collections.abc import Sequence

from ssd_tf.errors import InputError
from ssd_tf.experiments.recorded_run import RecordedRun, find_runs
from ssd_tf.run.evaluation_log import EvaluationLog

AP = 'DetectionBoxes_Precision/mAP'
AP50 = 'DetectionBoxes_Precision/mAP@.50IOU'


def read_runs(model_dirs: str) -> tuple[list[RecordedRun], list[str]]:
  """Finds repeated trainings.

  Args:
    model_dirs: folders or globs, separated by commas; files that a glob matches are skipped.

  Returns:
    The runs, variants in the order given, seeds ascending; and a line for each matched folder that
    is not named <variant>_seed<N> and so was skipped.

  Raises:
    InputError: there is no such folder, two have the same name, or a metrics.jsonl is damaged,
      mixes data sets or lacks a metric.
  """
  runs, passed_over = {}, []
  for run in find_runs(model_dirs.split(',')):
    if run.seed_in_name is None:
      passed_over.append(f'{run.model_dir}: skipped, its name is not <variant>_seed<N>')
      continue
    other = runs.setdefault((run.variant, run.seed_in_name), run)
    if other is not run:
      raise InputError(
        f'{run.model_dir} and {other.model_dir} are both variant {run.variant!r}, seed '
        f'{run.seed_in_name}: name one of them, or rename it'
      )
    _check_metrics(run.evaluations, os.path.join(run.model_dir, 'eval'))
    _check_metrics(run.test_evaluations, os.path.join(run.model_dir, 'test', 'eval'))
  if not runs:
    raise InputError(f'model_dirs {model_dirs!r}: expected folders named <variant>_seed<N>')
  variants = list(dict.fromkeys(variant for variant, _ in runs))
  return sorted(
    runs.values(), key=lambda run: (variants.index(run.variant), run.seed_in_name)
  ), passed_over


def planned_steps(run: RecordedRun, runs: Sequence[RecordedRun]) -> int:
  """How many steps a run is to make; as many as the longest one made, where it has no config."""
  planned = run.config.train_config.num_steps if run.has_config else 0
  return planned or max((step for each in runs for step in each.evaluations), default=0)


def finished_runs(runs: Sequence[RecordedRun]) -> list[RecordedRun]:
  """Those whose last step is evaluated on the validation set."""
  return [
    run for run in runs if run.evaluations and max(run.evaluations) >= planned_steps(run, runs)
  ]


def _check_metrics(evaluations, eval_dir):
  for step, line in evaluations.items():
    if not {AP, AP50} <= line['metrics'].keys():
      raise InputError(
        f'{EvaluationLog(eval_dir).path}: step {step}: expected metrics {AP!r} and {AP50!r}, '
        f'received {", ".join(line["metrics"]) or "none"}'
      )
