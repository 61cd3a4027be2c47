"""Draws the training loss and validation AP of repeated trainings over the steps, by variant."""

import os
from collections.abc import Sequence

import numpy as np

from ssd_tf import fields
from ssd_tf.errors import InputError
from ssd_tf.experiments.curves import COLORS, Line, Panel, draw, smoothed
from ssd_tf.experiments.event_scalars import Curve, curve_of, read_scalars
from ssd_tf.experiments.recorded_run import RecordedRun
from ssd_tf.experiments.repeated_runs import AP, finished_runs

_DASHES = ('-', '--', ':')  # The next for each round of the colors.


def draw_runs(runs: Sequence[RecordedRun], output_path: str) -> list[str]:
  """Draws two panels, training loss and validation AP over the steps, in a color for each variant.

  Thin and pale: each run. Thick: the mean over the finished runs of a variant (over all if none is
  finished), at the steps that all of them have; of 40 points or more, as running mean over a
  twentieth of them.

  Returns:
    A line for each run that has no loss curve.
  """
  losses, precisions, notes = {}, {}, []
  for run in runs:
    train_dir = os.path.join(run.model_dir, 'train')
    try:
      losses[run.name] = read_scalars(train_dir)[fields.TOTAL_LOSS]
    except InputError as error:
      notes.append(f'{run.name}: no loss curve: {error}')
    except KeyError:
      notes.append(f'{run.name}: no loss curve: {train_dir} has no scalar {fields.TOTAL_LOSS}')
    values = {step: run.figure(step, AP) for step in run.evaluations}
    if known := {step: value for step, value in values.items() if value is not None}:
      precisions[run.name] = curve_of(known)
  title = 'validation mean average precision'
  panels = [
    Panel('training loss', 'total loss', list(_variant_lines(runs, losses))),
    Panel(title, 'AP', list(_variant_lines(runs, precisions, marker='o'))),
  ]
  draw(panels, output_path, panel_size=(5.1, 3.6))
  return notes


def mean_curve(curves: Sequence[Curve]) -> Curve:
  """Averages curves at the steps that all of them have; the result may be empty."""
  if not curves:
    return curve_of({})
  shared = set.intersection(*(set(steps.tolist()) for steps, _ in curves))
  steps = np.array(sorted(shared), np.int64)
  return steps, np.mean([values[np.isin(own, steps)] for own, values in curves], axis=0)


def _variant_lines(runs, curves, marker=''):
  finished = finished_runs(runs)
  for i, variant in enumerate(dict.fromkeys(run.variant for run in runs)):
    color = COLORS[i % len(COLORS)]
    dashes = _DASHES[i // len(COLORS) % len(_DASHES)]
    own = [run for run in runs if run.variant == variant and run.name in curves]
    for run in own:
      yield Line(curves[run.name], color, style=dashes, is_pale=True)
    averaged = [run for run in own if run in finished] or own
    mean = smoothed(mean_curve([curves[run.name] for run in averaged]))
    yield Line(mean, color, '' if marker else variant, f'{marker}{dashes}')  # One legend.
