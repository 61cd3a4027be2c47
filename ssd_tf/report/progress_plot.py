"""AP and AR over the steps of a training, from its evaluations."""

import os
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ssd_tf import plots
from ssd_tf.evaluation.coco_figures import METRIC_NAMES
from ssd_tf.report import themed_svg
from ssd_tf.run.evaluation_log import EvaluationLog

Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]

_COLORS = ('#2166ac', '#d6604d', '#8c510a', '#4393c3', '#1b9e77', '#998ec3')


def read_curves(model_dir: str, split: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Reads what a training's evaluations measured.

  Args:
    model_dir: of the training.
    split: the data set, as in metrics.jsonl. Where that file has no evaluation of it, the event
      files are read, of which other stacks leave nothing else.

  Returns:
    (steps i64[n], values f64[n]) by COCO's names, steps rising; nan and -1 are left out. Of a
    training without any of COCO's figures, the mean APs of its other metrics.

  Raises:
    InputError: metrics.jsonl is damaged.
  """
  eval_dir = os.path.join(model_dir, 'eval')
  lines = EvaluationLog(eval_dir).comparable({'split': split})
  evaluations = {step: line['metrics'] for step, line in lines.items()}
  if evaluations:
    names = dict.fromkeys(name for metrics in evaluations.values() for name in metrics)
    scalars = {
      name: (
        np.array([step for step in sorted(evaluations) if name in evaluations[step]], np.int64),
        np.array([m[name] for _, m in sorted(evaluations.items()) if name in m], np.float64),
      )
      for name in names
    }
  elif plots.has_events(eval_dir):
    scalars = plots.read_scalars(eval_dir)
  else:
    return {}
  curves = {}
  names = [name for name in METRIC_NAMES if name in scalars] or plots.precision_tags(scalars)
  for name in names:
    steps, values = scalars[name]
    known = values >= 0  # False for nan too.
    if known.any():
      curves[name] = (steps[known], values[known])
  return curves


def plot_progress(curves: Curves, output_path: str) -> None:
  """Draws a panel of AP and, if there is any, one of AR, with a line for each figure.

  Args:
    curves: as `read_curves` gives them; not empty.
    output_path: the file to write, .svg.
  """
  last_step = max(steps[-1] for steps, _ in curves.values())
  others = [name for name in curves if name not in METRIC_NAMES]
  panels = {'average precision': others or METRIC_NAMES[:6], 'average recall': METRIC_NAMES[6:]}
  panels = {title: names for title, names in panels.items() if not curves.keys().isdisjoint(names)}
  with matplotlib.rc_context(plots.STYLE):
    figure = Figure(figsize=(4.8 * len(panels), 3.6), layout='constrained')
    for i, (title, names) in enumerate(panels.items()):
      axes = figure.add_subplot(1, len(panels), i + 1)
      for name, color in zip(names, _COLORS, strict=False):
        if name in curves:
          steps, values = curves[name]
          label = f'{plots.short_name(name)}  {values[-1]:.3f}'
          axes.plot(
            steps, values, 'o-', color=color, markersize=3.5, linewidth=1.4, clip_on=False,
            label=label,
          )  # fmt: skip
      axes.set(xlim=(0, max(last_step, 1)), ylim=(0, 1), xlabel='step', title=title)
      axes.legend(frameon=False, fontsize=8, loc='center left', bbox_to_anchor=(1.0, 0.5))
    themed_svg.save(figure, output_path)
