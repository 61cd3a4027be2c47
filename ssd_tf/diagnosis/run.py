"""A diagnosis: every check on one project, and what they found.

A check is a function (project) -> findings. What it cannot look at, because the config is at fault,
raises InputError in it: that is told, and the other checks go on.
"""

import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.diagnosis import (
  anchor_checks,
  class_checks,
  config_checks,
  data_checks,
  evaluation_checks,
  model_checks,
  overfit_checks,
  overlap_checks,
  schedule_checks,
  start_checks,
)
from ssd_tf.diagnosis.finding import Finding, Severity
from ssd_tf.diagnosis.project import Project
from ssd_tf.errors import InputError

Check = Callable[[Project], Iterable[Finding]]

# What is looked at -> the checks, in the order of the report.
GROUPS: Mapping[str, Sequence[Check]] = {
  'config': (config_checks.check_refusals,),
  'data': (
    data_checks.check_records,
    data_checks.check_images,
    data_checks.check_empty_images,
    class_checks.check_classes,
    class_checks.check_class_texts,
    class_checks.check_label_maps,
    class_checks.check_missing_labels,
    overlap_checks.check_duplicates,
  ),
  'anchors': (anchor_checks.check,),
  'start': (start_checks.check,),
  'schedule': (schedule_checks.check,),
  'evaluation': (
    overlap_checks.check_files,
    evaluation_checks.check_readers,
    evaluation_checks.check_perfect_detections,
    evaluation_checks.check_score_threshold,
    evaluation_checks.check_detection_limits,
  ),
  'model': (model_checks.check,),
}


def with_overfit(num_steps: int) -> Mapping[str, Sequence[Check]]:
  """All checks, and the one that trains, for at most so many steps."""

  def check_overfit(project):
    return overfit_checks.check(project, num_steps)

  return {**GROUPS, 'overfit': (check_overfit,)}


def diagnose(
  config_path: str,
  *,
  overrides: Sequence[str] = (),
  groups: Mapping[str, Sequence[Check]] = GROUPS,
  **options,
) -> dict[str, list[Finding]]:
  """Runs every check.

  Args:
    config_path: a pipeline.config; one with faults is diagnosed as far as it goes.
    overrides: changes to it, as `Pipeline.load` takes them.
    groups: what to look at.
    **options: of `Project`.

  Returns:
    Findings by group.

  Raises:
    InputError: an override or an option is at fault.
    OSError: there is no such config.
  """
  try:
    Pipeline.load(config_path)
  except InputError as error:
    return {'config': [_unreadable(error)]}
  project = Project(Pipeline.load(config_path, overrides), **options)
  return {group: [*_run(checks, project)] for group, checks in groups.items()}


def _run(checks, project):
  for check in checks:
    try:
      yield from check(project)
    except InputError as error:
      yield _not_looked_at(check, error, project)
    except Exception as error:  # A fault of a check must not cost the findings of the others.
      traceback.print_exc(file=sys.stderr)
      yield Finding(
        _name(check),
        Severity.ERROR,
        f'This check broke: {type(error).__name__}: {error}.',
        'This is a fault of the program, not of the config or the data: report it with the '
        'traceback above; the other checks hold.',
      )


def _not_looked_at(check, error, project):
  lines = [line.removeprefix(f'{project.pipeline.path}: ') for line in str(error).split('\n')]
  if all(any(line in refusal for refusal in project.refusals) for line in lines):
    return Finding(
      _name(check), Severity.NOTE, f'Not looked at, because the config is at fault: {lines[0]}.'
    )
  return Finding(
    _name(check), Severity.ERROR, f'{"; ".join(lines)}.', 'Fix this, and diagnose again.'
  )


def _name(check):
  module = check.__module__.rsplit('.', 1)[-1].removesuffix('_checks')
  name = check.__name__.removeprefix('check').strip('_').replace('_', ' ')
  return name or module


def _unreadable(error):
  return Finding(
    'config', Severity.ERROR, f'{error}.', 'Correct the file; nothing else was looked at.'
  )
