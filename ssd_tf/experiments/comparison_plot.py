"""Curves of repeated trainings: each variant's training loss and validation AP over the steps."""

import os
from collections.abc import Sequence

import numpy as np

from ssd_tf import fields, plots
from ssd_tf.errors import InputError
from ssd_tf.experiments.repeated_runs import AP, Run
from ssd_tf.files.failed_writes import writing

_COLORS = ('#2166ac', '#d6604d', '#1b7837', '#762a83', '#e08214', '#4d4d4d')
_DASHES = ('-', '--', ':')  # The next for each round of the colors.


def draw(runs: Sequence[Run], output_path: str) -> list[str]:
  """Draws two panels, training loss and validation AP over the steps, in a color for each variant.

  Thin and pale: each run. Thick: the mean over the finished runs of a variant (over all if none is
  finished), at the steps that all of them have; of 40 points or more, as running mean over a
  twentieth of them.

  Args:
    runs: of the variants, in the order of the legend.
    output_path: the file to write, .svg.

  Returns:
    A line for each run that has no loss curve.
  """
  losses, notes = {}, []
  for run in runs:
    train_dir = os.path.join(run.model_dir, 'train')
    try:
      losses[run.name] = plots.read_scalars(train_dir)[fields.TOTAL_LOSS]
    except InputError as error:
      notes.append(f'{run.name}: no loss curve: {error}')
    except KeyError:
      notes.append(f'{run.name}: no loss curve: {train_dir} has no scalar {fields.TOTAL_LOSS}')
  os.makedirs(os.path.dirname(output_path) or '.', exist_ok=True)
  _draw_panels(runs, losses, output_path)
  return notes


def mean_curve(
  curves: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
  """Averages curves at the steps that all of them have.

  Args:
    curves: (steps i64[n], values f64[n]) of each, steps ascending.

  Returns:
    (steps i64[m], values f64[m]); m is 0 where they share no step, or there is none.
  """
  if not curves:
    return np.zeros(0, np.int64), np.zeros(0)
  shared = set.intersection(*(set(steps.tolist()) for steps, _ in curves))
  steps = np.array(sorted(shared), np.int64)
  return steps, np.mean([values[np.isin(own, steps)] for own, values in curves], axis=0)


def _draw_panels(runs, losses, output_path):
  import matplotlib
  from matplotlib.figure import Figure

  precisions = {run.name: curve for run in runs if (curve := _precision_curve(run))[0].size}
  with matplotlib.rc_context(plots.STYLE):
    figure = Figure(figsize=(10.2, 3.6), layout='constrained')
    panels = (
      ('training loss', 'total loss', losses),
      ('validation mean average precision', 'AP', precisions),
    )
    last_step = max((steps[-1] for *_, c in panels for steps, _ in c.values()), default=1)
    for i, (title, unit, curves) in enumerate(panels):
      axes = figure.add_subplot(1, 2, i + 1)
      _draw_variants(axes, runs, curves, marker='o' if unit == 'AP' else None)
      axes.set_title(title)
      axes.set_ylabel(unit)
      axes.set_xlabel('step')
      axes.set_xlim(0, max(last_step, 1))
      axes.set_ylim(0, 1.08 * axes.dataLim.y1 if curves else 1)
      if i == 0:
        axes.legend(frameon=False, loc='upper right')
    with writing(output_path):
      figure.savefig(output_path, format='svg', metadata={'Date': None})


def _draw_variants(axes, runs, curves, marker):
  for i, variant in enumerate(dict.fromkeys(run.variant for run in runs)):
    color = _COLORS[i % len(_COLORS)]
    dashes = _DASHES[i // len(_COLORS) % len(_DASHES)]
    own = [run for run in runs if run.variant == variant and run.name in curves]
    for run in own:
      axes.plot(*curves[run.name], dashes, color=color, alpha=0.3, linewidth=0.6)
    finished = [run for run in own if run.is_finished]
    mean = plots.smoothed(*mean_curve([curves[run.name] for run in finished or own]))
    style = {'color': color, 'linewidth': 1.6, 'marker': marker, 'markersize': 3}
    axes.plot(*mean, dashes, **style, label=variant, clip_on=False)


def _precision_curve(run):
  """(steps, validation AP); -1, no groundtruth, is left out."""
  points = [(step, line['metrics'][AP]) for step, line in run.validation.items()]
  known = [point for point in points if point[1] > -1]
  return np.array([s for s, _ in known], np.int64), np.array([ap for _, ap in known], np.float64)
