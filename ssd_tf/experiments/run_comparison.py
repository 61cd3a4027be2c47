"""Compares variants of a training over their seeds: mean, deviation, recovered share of a gap."""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping

from ssd_tf import plots
from ssd_tf.errors import InputError
from ssd_tf.experiments import comparison_plot
from ssd_tf.experiments.comparable_evaluations import describe_data_set
from ssd_tf.experiments.markdown import spread, table
from ssd_tf.experiments.repeated_runs import AP, AP50, finished_runs, planned_steps, read_runs

_BY_CLASS = 'DetectionBoxes_PerformanceByCategory/mAP/'
_CHECKPOINTS = ('last', 'best')
_HEADLINES = {AP: 'AP', AP50: 'AP50'}


@dataclasses.dataclass(frozen=True)
class Figures:
  """What one checkpoint of each finished run of a variant scored, all on one split.

  Attributes:
    variant: name.
    checkpoint: 'last' or 'best'.
    split: 'test' or 'validation'.
    steps: of the checkpoint, by seed.
    metrics: {name: value} by seed.
  """

  variant: str
  checkpoint: str
  split: str
  steps: Mapping[int, int]
  metrics: Mapping[int, Mapping[str, float]]

  def values(self, name: str) -> dict[int, float]:
    """A metric by seed; runs without it, or with -1, no groundtruth, are left out."""
    return {s: m[name] for s, m in self.metrics.items() if m.get(name, -1) > -1}

  def cells(self, names: Iterable[str]) -> list[str]:
    """Mean and deviation of metrics, as a table has them."""
    return [spread(self.values(name).values(), len(self.steps)) for name in names]


def compare_runs(
  model_dirs: str, *, naive: str = '', complete: str = '', plot_path: str = ''
) -> str:
  """Compares repeated trainings; see `tools/compare_runs.py`.

  Args:
    model_dirs: folders or globs, separated by commas.
    naive: the variant at the lower end of the gap; with complete only.
    complete: the variant at its upper end.
    plot_path: the .svg of the curves to write; empty: none.

  Returns:
    Markdown: the tables, and what is missing.

  Raises:
    InputError: folders, metrics.jsonl, names of variants or the plot_path are wrong.
  """
  if plot_path:
    plots.check_output_path(plot_path, 'plot_path')
  runs, notes = read_runs(model_dirs)
  variants = list(dict.fromkeys(run.variant for run in runs))
  if bool(naive) != bool(complete):
    raise InputError('naive and complete: give both or neither')
  for flag, variant in (('naive', naive), ('complete', complete)):
    if variant and variant not in variants:
      raise InputError(f'{flag}: no variant {variant!r}; there are {", ".join(variants)}')
  notes += _missing(runs, variants)
  rows = [_preferred_figures(runs, [v], c)[0] for v in variants for c in _CHECKPOINTS]
  notes += _missing_test(runs, rows)
  parts = [_heading(runs), *_metric_tables(rows)]
  if naive:
    share, share_notes = _share_table(runs, variants, naive, complete)
    parts.append(share)
    notes += share_notes
  if plot_path:
    notes += comparison_plot.draw_runs(runs, plot_path)
  if notes:
    parts.append('Missing or to be kept in mind:\n\n' + '\n'.join(f'- {note}' for note in notes))
  return '\n\n'.join(filter(None, parts)) + '\n'


def recovered_share(
  variant: Mapping[int, float], naive: Mapping[int, float], complete: Mapping[int, float]
) -> tuple[float | None, dict[int, float]]:
  """Measures how much of the gap between two variants a third one recovers, of a metric by seed.

  share = (variant - naive) / (complete - naive)

  Returns:
    The share of the means over all seeds of each, and the share by seed, of those that all three
    have. None, or the seed is left out, where complete is not above naive: there is no gap.
  """

  def share(value, low, high):
    return (value - low) / (high - low) if high > low else None

  seeds = sorted(variant.keys() & naive.keys() & complete.keys())
  by_seed = {s: share(variant[s], naive[s], complete[s]) for s in seeds}
  of_means = None
  if variant and naive and complete:
    of_means = share(*(statistics.mean(v.values()) for v in (variant, naive, complete)))
  return of_means, {s: value for s, value in by_seed.items() if value is not None}


def _lines(run, split):
  return run.test_evaluations if split == 'test' else run.evaluations


def _figures(runs, variant, checkpoint, split):
  steps, metrics = {}, {}
  for run in finished_runs(runs):
    if run.variant == variant:
      step = max(run.evaluations) if checkpoint == 'last' else run.best_step
      if step in (lines := _lines(run, split)):
        steps[run.seed_in_name], metrics[run.seed_in_name] = step, lines[step]['metrics']
  return Figures(variant, checkpoint, split, steps, metrics)


def _preferred_figures(runs, variants, checkpoint):
  """Figures of each variant: on the test set if all their runs have them, else on validation.

  Not of those runs alone that have a test line: where only last checkpoints are tested, these
  would be the runs whose last one happens to be the best.
  """
  test, validation = (
    [_figures(runs, variant, checkpoint, split) for variant in variants]
    for split in ('test', 'validation')
  )
  is_complete = all(t.steps.keys() == v.steps.keys() for t, v in zip(test, validation, strict=True))
  return test if is_complete and any(t.steps for t in test) else validation


def _missing(runs, variants):
  """What does not take part in the figures, or only with half its meaning."""
  notes = []
  seeds = {run.seed_in_name for run in runs}
  for variant in variants:
    absent = sorted(seeds - {run.seed_in_name for run in runs if run.variant == variant})
    if absent:
      notes.append(f'{variant}: no run with seed {_join(absent)}')
  finished = finished_runs(runs)
  for run in runs:
    if not run.evaluations:
      notes.append(f'{run.name}: left out of the figures, eval/metrics.jsonl is missing or empty')
    elif run not in finished:
      last = max(run.evaluations)
      notes.append(
        f'{run.name}: unfinished and left out of the figures, evaluated up to step {last} of '
        f'{planned_steps(run, runs)} (validation AP {run.evaluations[last]["metrics"][AP]:.3f})'
      )
  for split in ('validation', 'test'):
    lines = [line for run in runs for line in _lines(run, split).values()]
    data_sets = {describe_data_set(line): line for line in lines}
    if len(data_sets) > 1:
      notes.append(
        f'not all runs have the same {split} set, so that figures of different runs may not '
        f'compare: {"; ".join(data_sets)}'
      )
    for data_set, line in data_sets.items():
      if 'pairs' in line and line['labeled_pairs'] < line['pairs']:
        notes.append(
          f'{data_set}: only {line["labeled_pairs"]} of {line["pairs"]} (image, class) pairs are '
          'labeled: AP on it is too low'
        )
  return notes


def _missing_test(runs, rows):
  if not any(run.test_evaluations for run in runs):
    return ['no run has test/eval/metrics.jsonl: all figures are of the validation set']
  notes = []
  for row in rows:
    validation = _figures(runs, row.variant, row.checkpoint, 'validation')
    test = _figures(runs, row.variant, row.checkpoint, 'test')
    notes += [
      f'{row.variant}_seed{seed}: no test line of step {step} ({row.checkpoint}), so that row is '
      'of the validation set'
      for seed, step in validation.steps.items()
      if seed not in test.steps
    ]
  return notes


def _heading(runs):
  criteria = _unique(run.criterion for run in runs if run.evaluations)
  by = 'highest validation AP' if criteria in ([], [AP]) else f'by {_join(criteria)}'
  lines = [
    'Mean ± sample standard deviation over n seeds, of the last checkpoint and of the best one '
    f'({by}).'
  ]
  for split in ('validation', 'test'):
    data_sets = {describe_data_set(line) for run in runs for line in _lines(run, split).values()}
    if data_sets:
      lines.append(f'{split.capitalize()} set: {"; ".join(sorted(data_sets))}.')
  return '\n'.join(lines)


def _metric_tables(rows):
  """AP and AP50 of each row, and AP of each class where that was measured."""
  columns = ['variant', 'checkpoint', 'at step', 'split', 'n', *_HEADLINES.values()]
  yield table(
    columns,
    [
      [row.variant, row.checkpoint, _steps(row), row.split, len(row.steps), *row.cells(_HEADLINES)]
      for row in rows
    ],
  )
  metrics = [metrics for row in rows for metrics in row.metrics.values()]
  names = _unique(name for each in metrics for name in each if name.startswith(_BY_CLASS))
  if names:
    classes = [name.removeprefix(_BY_CLASS) for name in names]
    yield table(
      ['AP of class', 'checkpoint', 'split', *classes],
      [[row.variant, row.checkpoint, row.split, *row.cells(names)] for row in rows],
    )


def _share_table(runs, variants, naive, complete):
  """The table with its title, nothing if there is no third variant; and what cannot be measured."""
  lines, notes = [], []
  for variant in variants:
    for checkpoint in _CHECKPOINTS if variant not in (naive, complete) else ():
      trio = _preferred_figures(runs, (variant, naive, complete), checkpoint)
      cells, reasons = _share_cells(trio)
      lines.append([variant, checkpoint, trio[0].split, *cells])
      notes += reasons
  if not lines:
    return '', []
  title = (
    f'Recovered share of the gap, (variant - {naive}) / ({complete} - {naive}): of the means, and '
    'mean ± sample standard deviation over the seeds that all three have.'
  )
  columns = [f'{s}, {how}' for s in _HEADLINES.values() for how in ('of means', 'by seed')]
  return f'{title}\n\n{table(["variant", "checkpoint", "split", *columns], lines)}', notes


def _share_cells(trio):
  """The shares of one row; and a line for each that cannot be measured.

  trio: Figures of the variant, of the naive and of the complete one.
  """
  variant, naive, complete = trio
  cells, notes = [], []
  for name, short in _HEADLINES.items():
    values = [figures.values(name) for figures in trio]
    of_means, by_seed = recovered_share(*values)
    cells.append('-' if of_means is None else f'{of_means:.1%}')
    cells.append(spread(by_seed.values(), 0, '.1%'))
    place = f'recovered share of {variant.variant}, {variant.checkpoint}, {short}'
    no_gap = f'{complete.variant} is not above {naive.variant}'
    if all(values) and of_means is None:
      notes.append(f'{place}: none of the means, where {no_gap}')
    without = sorted(set.intersection(*map(set, values)) - by_seed.keys())
    if without:
      notes.append(f'{place}: without seed {_join(without)}, where {no_gap}')
  return cells, notes


def _steps(row):
  """One step if all seeds have the same, else that of each seed."""
  steps = [row.steps[seed] for seed in sorted(row.steps)]
  return _join(steps if len(set(steps)) > 1 else steps[:1])


def _unique(items):
  return list(dict.fromkeys(items))


def _join(items):
  return ', '.join(map(str, items))
