"""Runs every check of a diagnosis on one project, and collects the findings."""

import dataclasses
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from absl import logging

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.diagnosis import (
  anchor_checks,
  class_checks,
  config_checks,
  data_checks,
  evaluation_checks,
  leakage_checks,
  learning_rate_checks,
  model_checks,
  overfit_checks,
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
  ('data', leakage_checks.check_duplicates),
  ('anchors', anchor_checks.check),
  ('start', start_checks.check),
  ('schedule', learning_rate_checks.check),
  ('schedule', schedule_checks.check),
  ('evaluation', leakage_checks.check_files),
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
  checkpoint: str | None = None,
  model_dir: str | None = None,
  **options,
) -> list[Finding]:
  """Runs the checks on a config, which may have faults: it is diagnosed as far as it goes.

  Args:
    path: of a pipeline.config.
    checkpoint: a checkpoint that is to be diagnosed too.
    model_dir: instead: the folder of a training, of which the newest checkpoint is taken; one that
      has none yet, or is not there, is that of a training to come.
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
    what, remedy = f'{error}.', 'Correct the file; nothing else was checked.'
    return [Finding.error('config', what, remedy, group='config')]
  is_trained = model_dir is not None and glob.glob(os.path.join(glob.escape(model_dir), '*.index'))
  checkpoint = model_dir if is_trained else checkpoint
  project = Project(Pipeline.load(path, overrides), checkpoint=checkpoint, **options)
  left_out = []
  findings = [
    dataclasses.replace(finding, group=group)
    for group, check in checks
    for finding in _run(check, project, left_out)
  ]
  if left_out:
    what = f'Not checked, because the config has faults: {", ".join(left_out)}.'
    findings.append(Finding.note('config', what, group='config'))
  if model_dir is not None and not is_trained:
    what = f'{model_dir} holds no checkpoint yet: what the model detects is not checked.'
    findings.append(Finding.note('checkpoint', what, group='model'))
  return findings


def _run(check, project, left_out) -> Iterator[Finding]:
  try:
    yield from check(project)
  except InputError as error:
    faults = project.faults(str(error))
    if all(_is_told(fault, project.refusals) for fault in faults):
      left_out.append(_name(check))
    else:
      yield Finding.error(_name(check), f'{"; ".join(faults)}.', 'Fix this, and diagnose again.')
  # Whatever a fault of one check raises, it must not cost the findings of the others.
  except Exception as error:
    logging.exception('%s.%s', check.__module__, check.__name__)
    yield Finding.error(
      _name(check),
      f'This check failed: {type(error).__name__}: {error}.',
      'This is a fault of the program, not of the config or the data: report it with the traceback '
      'above; the other checks hold.',
    )


def _is_told(fault, refusals):
  """Whether a fault of a field, or of its reader, is among the refusals."""
  return any(text in refusal for text in (fault, fault.split(': ', 1)[-1]) for refusal in refusals)


def _name(check):
  """'images' of data_checks.check_images, 'start' of start_checks.check."""
  module = check.__module__.rsplit('.', 1)[-1].removesuffix('_checks')
  return (check.__name__.removeprefix('check').strip('_') or module).replace('_', ' ')
