"""Writes tables of several trainings: experiments, and AP of each class over the steps."""

import csv
import os
from collections.abc import Sequence

from ssd_tf.experiments.markdown import spread, step_name, table
from ssd_tf.experiments.recorded_run import RecordedRun
from ssd_tf.files.failed_writes import open_for_writing
from ssd_tf.run.run_json import FINISHED

EXPERIMENTS = 'experiments'
_COLUMNS = (
  *('id', 'seed', 'name', 'started', 'seconds', 'steps', 'epochs', 'first_loss', 'last_loss'),
  *('metric', 'best', 'best_step', 'best_epoch', 'last', 'last_step', 'outcome', 'purpose'),
  *('analysis', 'notes', 'model_dir'),
)
_HEADER = (
  *('ID', 'Time', 'Name', 'Epoch', 'Loss', 'Best mAP/epoch', 'Purpose', 'Analysis', 'Notes'),
)


def write_tables(
  runs: Sequence[RecordedRun], output_dir: str, remarks: Sequence[str] = ()
) -> list[str]:
  """Writes the tables of trainings: experiments.md, experiments.csv, and <run>_classes.csv.

  Args:
    runs: the trainings; those of one id are one experiment with several seeds.
    output_dir: gets the files; made if it is missing.

  Returns:
    The paths written.
  """
  os.makedirs(output_dir, exist_ok=True)
  paths = [os.path.join(output_dir, f'{EXPERIMENTS}{ending}') for ending in ('.md', '.csv')]
  with open_for_writing(paths[0]) as file:
    file.write(describe_experiments(runs, remarks))
  rows = [experiment_row(run) for run in runs]
  _write_csv(paths[1], [_COLUMNS, *([row[name] for name in _COLUMNS] for row in rows)])
  for run in runs:
    if lines := class_rows(run):
      paths.append(os.path.join(output_dir, f'{run.name}_classes.csv'))
      _write_csv(paths[-1], lines)
  return paths


def describe_experiments(runs: Sequence[RecordedRun], remarks: Sequence[str] = ()) -> str:
  """Writes start losses, the table of experiments, and AP of each class over each run's steps."""
  metrics = sorted({run.metric for run in runs if run.evaluations})
  criteria = sorted({run.criterion for run in runs if run.criterion != run.metric})
  parts = [
    f'Best mAP is `{", ".join(metrics) or "not measured"}` on the validation set, a fraction of 1, '
    'with the epoch that it was reached in; loss is the total loss of the last logged training '
    'step, start loss that of the first. Of several seeds: mean ± sample standard deviation.'
    + (f' The best evaluation is that by `{", ".join(criteria)}`.' if criteria else ''),
    _start_losses(runs),
    experiment_table(runs),
    '\n'.join(f'- {remark}' for remark in remarks),
  ]
  for run in runs:
    if text := class_table(run):
      name = os.path.normpath(run.model_dir)
      parts.append(f'### AP of the classes: {name}, `{run.class_metric}`\n\n{text}')
  return '\n\n'.join(filter(None, parts)) + '\n'


def experiment_table(runs: Sequence[RecordedRun]) -> str:
  """A row for each experiment: the mean over its seeds."""
  return table(_HEADER, [_experiment_cells(group) for group in _rows_by_experiment(runs).values()])


def experiment_row(run: RecordedRun) -> dict[str, object]:
  """The figures of one training, by the names of the columns of experiments.csv.

  None where one is not known. Seconds are those of all times that it ran; epochs are steps * images
  per step / training images.
  """
  best, last = run.best_step, max(run.evaluations, default=None)
  first_loss, last_loss = run.losses or (None, None)
  return {
    **run.about,
    'seed': run.config.train_config.seed,
    'started': run.records[0]['started'] if run.records else None,
    'seconds': run.seconds,
    'steps': run.last_step,
    'epochs': run.epochs(run.last_step),
    'first_loss': first_loss,
    'last_loss': last_loss,
    'metric': run.metric,
    'best': None if best is None else run.figure(best),
    'best_step': best,
    'best_epoch': None if best is None else run.epochs(best),
    'last': None if last is None else run.figure(last),
    'last_step': last,
    'outcome': run.records[-1]['outcome'] if run.records else None,
    'model_dir': run.model_dir,
  }


def class_rows(run: RecordedRun) -> list[list[object]]:
  """AP of each class over the steps, with a header; the last row is the mean.

  Returns:
    ['class', step, ...], [name, AP, ...], ..., ['mAP', figure, ...], all of `run.class_metric`;
    None where a class had no groundtruth. Empty where classes were not told apart.
  """
  figures = {step: run.class_figures(step) for step in run.evaluations}
  figures = {step: classes for step, classes in figures.items() if classes}
  names = list(dict.fromkeys(name for classes in figures.values() for name in classes))
  if not names:
    return []
  known = {
    step: {name: value for name, value in classes.items() if value >= 0}
    for step, classes in figures.items()
  }
  return [
    ['class', *known],
    *([name, *(classes.get(name) for classes in known.values())] for name in names),
    ['mAP', *(run.figure(step, run.class_metric) for step in known)],
  ]


def class_table(run: RecordedRun) -> str:
  """`class_rows` as Markdown, '' where there are none."""
  if not (rows := class_rows(run)):
    return ''
  header, *classes, mean = [[row[0], *map(_short, row[1:])] for row in rows]
  return table(
    ['', 'Steps', *header[1:]],
    [
      *([name, 'AP', *figures] for name, *figures in classes),
      ['', '**mAP**', *(f'**{figure}**' for figure in mean[1:])],
    ],
  )


def _start_losses(runs):
  """A line for each experiment whose loss was logged."""
  lines = []
  for name, rows in _rows_by_experiment(runs).items():
    if known := [row['first_loss'] for row in rows if row['first_loss'] is not None]:
      lines.append(f'- Start loss of {name}: {spread(known, len(rows))}')
  return '\n'.join(lines)


def _rows_by_experiment(runs):
  groups = {}
  for run in runs:
    groups.setdefault(run.about['id'], []).append(experiment_row(run))
  return groups


def _experiment_cells(rows):
  """One line of the table, of the rows of all seeds."""

  def known(name):
    return [row[name] for row in rows if row[name] is not None]

  def first(name):
    return next(filter(None, known(name)), '')

  def each(name):
    """One number, or that of each seed where they differ."""
    return ', '.join(dict.fromkeys(f'{value:.1f}' for value in known(name))) or '-'

  days = ', '.join(dict.fromkeys(started[:10] for started in known('started')))
  times = known('seconds')
  time = f'{days}, {" + ".join(f"{seconds / 60:.1f}" for seconds in times)} min' if times else '-'
  best = f'{spread(known("best"), len(rows))}/{each("best_epoch")}' if known('best') else '-'
  return [
    rows[0]['id'],
    time,
    first('name'),
    each('epochs'),
    spread(known('last_loss'), len(rows)),
    best,
    first('purpose'),
    first('analysis'),
    '; '.join(filter(None, (first('notes'), *_unfinished(rows)))),
  ]


def _unfinished(rows):
  for row in rows:
    if row['outcome'] not in (None, FINISHED):
      yield f'seed {row["seed"]}, step {row["steps"]}: {row["outcome"]}'


def _short(value):
  """A fraction, or a step: 20k for 20,000."""
  if value is None:
    return '-'
  return f'{value:.3f}' if isinstance(value, float) else step_name(value)


def _write_csv(path, rows):
  with open_for_writing(path, newline='') as file:
    csv.writer(file).writerows(rows)  # None becomes an empty cell.
