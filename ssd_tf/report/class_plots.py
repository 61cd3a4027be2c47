"""Draws plots of the classes: AP against their boxes' properties, precision-recall, confusion."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from ssd_tf import plots
from ssd_tf.evaluation.error_analysis import ScoreHistogram
from ssd_tf.evaluation.voc_07_12_metrics import ClassResult
from ssd_tf.report.correlation import Correlation, correlate
from ssd_tf.report.precision_recall_plot import plot_precision_recall

_MARK_COLOR = '#2166ac'
_WRONG_COLOR = '#d6604d'
_LINE_COLOR = '#999999'
MANY_CLASSES = 25  # From here on plots are large, and their letters small.
_SHADES = LinearSegmentedColormap.from_list('shades', ['#eef3f8', '#9dc1e0', '#2166ac', '#0b3c70'])


def plot_scatter(
  x: np.ndarray, y: np.ndarray, names: Sequence[str], x_label: str, output_path: str
) -> tuple[Correlation | str, int]:
  """Draws AP over a figure of the classes, with names and the fitted line.

  Args:
    x: f64[n], of the classes.
    y: f64[n], their AP.

  Returns:
    The correlation, or why there is none; and how many names are left out, since others are near.
  """
  found = correlate(x, y)
  is_small = len(names) <= MANY_CLASSES
  with plots.new_figure(output_path, (4.8, 3.6) if is_small else (10.8, 7.2)) as figure:
    axes = figure.add_subplot()
    axes.plot(x, y, 'o', color=_MARK_COLOR, markersize=4.5, clip_on=False, zorder=3)
    low, high = _limits(x)
    axes.set(xlim=(low, high), ylim=_ap_limits(y), xlabel=x_label, ylabel='AP at IoU .50:.95')
    if isinstance(found, Correlation):
      ends = np.array([low, high])
      line = found.intercept + found.slope * ends
      axes.plot(ends, line, '--', color=_LINE_COLOR, linewidth=1.2, zorder=1)
    left_out = _write_names(axes, x, y, names, font_size=8 if is_small else 7)
  return found, left_out


def plot_curves(
  curves: Mapping[int, np.ndarray],
  names: Mapping[int, str],
  num_groundtruth: Mapping[int, int],
  title: str,
  output_path: str,
) -> None:
  """Draws the precision of each class over the recalls 0, .01, ..., 1.

  Args:
    curves: f64[101] by class id, as `CocoEvaluator.class_curves` gives them.
    num_groundtruth: boxes of each class; 0: its line is left out.
  """
  recalls = np.linspace(0, 1, 101)
  results = []
  for class_id, precision in curves.items():
    reached = precision > 0  # Beyond the last recall that is reached, COCO has 0.
    end = int(np.flatnonzero(reached)[-1]) + 1 if reached.any() else 0
    results.append(
      ClassResult(
        names[class_id],
        num_groundtruth[class_id],
        precision[:end],
        recalls[:end],
        {'AP': float(np.mean(precision))},
      )
    )
  plot_precision_recall(results, title, output_path, legend_title='AP')


def plot_confusion(matrix: np.ndarray, names: Mapping[int, str], output_path: str) -> None:
  """Draws the confusion matrix, shaded by the share of its row.

  Args:
    matrix: i64[K+1,K+1], as `error_analysis.confusion_matrix` gives it.
    names: of the classes; a label map need not have all of 1..K. Classes without any object or
      detection are left out.
  """
  occurs = (matrix.sum(axis=0) + matrix.sum(axis=1)) > 0
  kept = [*np.flatnonzero(occurs[1:]) + 1, 0]
  matrix = matrix[np.ix_(kept, kept)]
  labels = [plots.literal(names.get(i, f'class {i}')) for i in kept[:-1]]
  shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
  is_small = len(kept) <= MANY_CLASSES
  side = 0.42 * len(kept) if is_small else 0.14 * len(kept)
  with plots.new_figure(output_path, (side + 2.2, side + 1.8), axes_grid=False) as figure:
    axes = figure.add_subplot(aspect='equal')
    mesh = axes.pcolormesh(shares, cmap=_SHADES, vmin=0, vmax=1, edgecolors='none')
    mesh.set_rasterized(not is_small)
    if is_small:
      for row, column in np.ndindex(*matrix.shape):
        if matrix[row, column]:
          color = '#fefefe' if shares[row, column] > 0.45 else '#222222'
          axes.text(column + 0.5, row + 0.5, matrix[row, column], ha='center', va='center',
                    color=color, fontsize=7.5)  # fmt: skip
    size = 8.5 if is_small else 5.5
    middles = np.arange(len(kept)) + 0.5
    axes.set_xticks(middles, [*labels, 'missed'], rotation=90, fontsize=size)
    axes.set_yticks(middles, [*labels, 'no object'], fontsize=size)
    axes.set(xlabel='detected as', ylabel='groundtruth')
    axes.invert_yaxis()
    axes.tick_params(length=0)


def plot_kinds(counts: Mapping[str, int], output_path: str) -> None:
  """Draws how many false positives there are of each kind."""
  with plots.new_figure(output_path, (4.8, 2.2), axes_grid_axis='x') as figure:
    axes = figure.add_subplot()
    bars = axes.barh(list(counts), list(counts.values()), color=_WRONG_COLOR, height=0.6)
    axes.bar_label(bars, padding=3)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max(1, *counts.values()))
    axes.set_xlabel('false positives')
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(axis='y', length=0)


def plot_scores(histogram: ScoreHistogram, output_path: str) -> None:
  """Draws how many right and wrong detections have which score, on a logarithmic axis."""
  with plots.new_figure(output_path, (4.8, 3.0)) as figure:
    axes = figure.add_subplot()
    for counts, color, label in (
      (histogram.wrong, _WRONG_COLOR, 'wrong'),
      (histogram.right, _MARK_COLOR, 'right'),
    ):
      axes.stairs(counts, histogram.edges, color=color, linewidth=1.6, label=label)
    axes.set_yscale('symlog', linthresh=1)
    axes.set(xlim=(0, 1), xlabel='score', ylabel='detections')
    axes.set_ylim(0, 2 * max(1, histogram.wrong.max(), histogram.right.max()))
    axes.legend(frameon=False, loc='upper right')


def _write_names(axes, x, y, names, font_size):
  """Writes each name beside its point unless it would cover another; returns how many it leaves."""
  # In letters, which take .65 x 1.5 of the font size; the axes take .85 of the figure.
  width, height = 0.85 * 72 / font_size * axes.figure.get_size_inches() / (0.65, 1.5)
  (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
  columns, rows = (x - left) / (right - left) * width, (y - bottom) / (top - bottom) * height
  written = []
  for i, name in enumerate(names):
    is_left = columns[i] + 1 + len(name) > width
    begin = columns[i] - 1 - len(name) if is_left else columns[i] + 1
    end = begin + len(name)
    if any(begin < e and b < end and abs(rows[i] - row) < 1 for b, e, row in written):
      continue
    written.append((begin, end, rows[i]))
    axes.annotate(
      plots.literal(name), (x[i], y[i]), (-5 if is_left else 5, 0), textcoords='offset points',
      ha='right' if is_left else 'left', va='center', fontsize=font_size,
    )  # fmt: skip
  return len(names) - len(written)


def _limits(x):
  """Room on both sides of the points, but not below 0."""
  low, high = (float(np.min(x)), float(np.max(x))) if len(x) else (0.0, 1.0)
  room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
  return max(0.0, low - room), high + room


def _ap_limits(y):
  """The range of the APs with room above and below, a fifth of the scale at least."""
  low, high = (float(np.min(y)), float(np.max(y))) if len(y) else (0.0, 1.0)
  room = max(0.12 * (high - low), (0.2 - (high - low)) / 2)
  return max(0.0, low - room), min(1.0, high + room)
