"""A diagnosis: every check on one project, and what they found."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

from absl import logging

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.diagnosis import (
  anchor_checks,
  class_checks,
  config_checks,
  data_checks,
  evaluation_checks,
  learning_rate_checks,
  model_checks,
  overfit_checks,
  overlap_checks,
  schedule_checks,
  start_checks,
)
from ssd_tf.diagnosis.finding import Finding
from ssd_tf.diagnosis.project import Project
from ssd_tf.errors import InputError

Check = Callable[[Project], Iterable[Finding]]

# (group, check), in the order of the report. Some look at nothing unless a project asks for it.
CHECKS: Sequence[tuple[str, Check]] = (
  ('config', config_checks.check),
  ('data', data_checks.check_records),
  ('data', data_checks.check_images),
  ('data', data_checks.check_empty_images),
  ('data', class_checks.check_classes),
  ('data', class_checks.check_class_texts),
  ('data', class_checks.check_label_maps),
  ('data', class_checks.check_missing_labels),
  ('data', overlap_checks.check_duplicates),
  ('anchors', anchor_checks.check),
  ('start', start_checks.check),
  ('schedule', learning_rate_checks.check),
  ('schedule', schedule_checks.check),
  ('evaluation', overlap_checks.check_files),
  ('evaluation', evaluation_checks.check_readers),
  ('evaluation', evaluation_checks.check_perfect_detections),
  ('evaluation', evaluation_checks.check_score_threshold),
  ('evaluation', evaluation_checks.check_detection_limits),
  ('model', model_checks.check),
  ('overfit', overfit_checks.check),
)


def diagnose(
  path: str,
  *,
  overrides: Sequence[str] = (),
  checks: Sequence[tuple[str, Check]] = CHECKS,
  **options,
) -> list[Finding]:
  """Runs the checks on a config, which may have faults: it is diagnosed as far as it goes.

  Args:
    path: of a pipeline.config.
    **options: of `Project`.

  Returns:
    The findings, in the order of the checks.

  Raises:
    InputError: an override or an option is at fault.
    OSError: there is no such config.
  """
  try:
    Pipeline.load(path)
  except InputError as error:
    what, remedy = f'{error}.', 'Correct the file; nothing else was looked at.'
    return [Finding.error('config', what, remedy, group='config')]
  project = Project(Pipeline.load(path, overrides), **options)
  return [
    dataclasses.replace(finding, group=group)
    for group, check in checks
    for finding in _run(check, project)
  ]


def _run(check, project) -> Iterator[Finding]:
  try:
    yield from check(project)
  except InputError as error:
    yield _not_looked_at(check, error, project)
  # Whatever a fault of one check raises, it must not cost the findings of the others.
  except Exception as error:
    logging.exception('%s.%s', check.__module__, check.__name__)
    yield Finding.error(
      _name(check),
      f'This check broke: {type(error).__name__}: {error}.',
      'This is a fault of the program, not of the config or the data: report it with the traceback '
      'above; the other checks hold.',
    )


def _not_looked_at(check, error, project):
  lines = project.faults(str(error))
  if all(any(line in refusal for refusal in project.refusals) for line in lines):
    return Finding.note(_name(check), f'Not looked at, because the config is at fault: {lines[0]}.')
  return Finding.error(_name(check), f'{"; ".join(lines)}.', 'Fix this, and diagnose again.')


def _name(check):
  """'images' of data_checks.check_images, 'start' of start_checks.check."""
  module = check.__module__.rsplit('.', 1)[-1].removesuffix('_checks')
  return (check.__name__.removeprefix('check').strip('_') or module).replace('_', ' ')
