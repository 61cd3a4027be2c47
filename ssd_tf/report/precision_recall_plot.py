"""Draws precision over recall of every class as one SVG."""

import math
from collections.abc import Sequence

import numpy as np

from ssd_tf import plots
from ssd_tf.evaluation.voc_07_12_metrics import ClassResult

_LEGEND_ROWS = 20
_LINE_STYLES = ('-', '--', ':')


def plot_precision_recall(
  results: Sequence[ClassResult],
  title: str,
  output_path: str,
  legend_title: str = 'AP VOC2007 / VOC2012',
) -> None:
  """Draws a line for each class that has groundtruth, its average precisions in the legend.

  `legend_title` says what the average precisions are.
  """
  import matplotlib

  drawn = [result for result in results if result.num_groundtruth]
  columns = max(1, math.ceil(len(drawn) / _LEGEND_ROWS))
  with plots.new_figure(output_path, (5.2 + 2.6 * columns, 4.6)) as figure:
    axes = figure.add_subplot()
    colors = matplotlib.colormaps['tab10'].colors
    for i, result in enumerate(drawn):
      line_style = _LINE_STYLES[i // len(colors) % len(_LINE_STYLES)]
      axes.plot(
        *_points(result),
        color=colors[i % len(colors)],
        linestyle=line_style,
        linewidth=1.3,
        clip_on=False,
        label=_label(result),
      )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel='recall', ylabel='precision', title=title)
    if drawn:
      figure.legend(
        loc='outside right upper',
        title=legend_title,
        frameon=False,
        ncols=columns,
        fontsize=8,
        title_fontsize=8,
      )
    without = len(results) - len(drawn)
    if without:
      figure.supxlabel(f'{without} of {len(results)} classes have no groundtruth', fontsize=8)


def _points(result):
  """Recall and precision, from recall 0 on at the first detection's precision."""
  return (
    np.concatenate([[0.0], result.recall]),
    np.concatenate([result.precision[:1], result.precision])
    if len(result.precision)
    else np.zeros(1),
  )


def _label(result):
  # Matplotlib leaves out labels that begin with an underscore, and takes $ for mathematics.
  name = plots.literal(result.name).lstrip('_') or 'class'
  return f'{name}  ' + ' / '.join(f'{ap:.3f}' for ap in result.average_precision.values())
