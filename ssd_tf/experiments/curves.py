"""Draws metrics of trainings over their steps."""

import dataclasses
import os
import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ssd_tf import fields, plots
from ssd_tf.errors import InputError
from ssd_tf.evaluation.coco_figures import METRIC_NAMES
from ssd_tf.experiments.event_scalars import Curve, has_events, read_scalars

LOSSES = (
  fields.LOCALIZATION_LOSS,
  fields.CLASSIFICATION_LOSS,
  fields.REGULARIZATION_LOSS,
  fields.TOTAL_LOSS,
)
_LEARNING_RATE = 'learning_rate'
_PRECISIONS = ('DetectionBoxes_Precision/mAP', 'DetectionBoxes_Precision/mAP@.50IOU')
_RECALLS = ('DetectionBoxes_Recall/AR@100', 'DetectionBoxes_Recall/AR@1')
# Of other metrics than COCO's, such as PascalBoxes_Precision/mAP@0.5IOU.
_OTHER_PRECISION = re.compile(r'\w+_Precision/mAP@.+')
COLORS = ('#2166ac', '#d6604d', '#1b7837', '#762a83', '#e08214', '#4d4d4d')
_TRAIN_COLOR, _EVAL_COLOR = COLORS[:2]


@dataclasses.dataclass(frozen=True)
class Line:
  """A line of a plot.

  Attributes:
    curve: steps i64[n], values f64[n].
    style: of matplotlib, such as '-' or 'o-'; as the color.
    is_pale: whether it is thin and pale, behind another one.
    key: the id of its group in the SVG.
  """

  curve: Curve
  color: str
  label: str = ''
  style: str = '-'
  is_pale: bool = False
  key: str | None = None


@dataclasses.dataclass(frozen=True)
class Panel:
  """Axes over the steps; lines that have a label are in the legend.

  Attributes:
    unit: beside the vertical axis.
    top: of the vertical axis; None: a little above the highest point.
    legend_outside: whether the legend lies at the right of the axes instead of where it finds room.
  """

  title: str
  unit: str
  lines: Sequence[Line]
  top: float | None = None
  legend_outside: bool = False


def draw(
  panels: Sequence[Panel], output_path: str, *, panel_size: tuple[float, float] = (3.4, 2.4)
) -> None:
  """Draws metrics over the steps, each panel with axes of its own from step 0 to the last of all.

  Args:
    panels: from left to right, then downwards, three beside each other.
    output_path: the file to write, .svg; its folder is made.
    panel_size: width and height of each, inches.
  """
  columns = min(3, len(panels))
  rows = -(-len(panels) // columns)
  ends = [line.curve[0][-1] for panel in panels for line in panel.lines if len(line.curve[0])]
  size = panel_size[0] * columns, panel_size[1] * rows
  with plots.new_figure(output_path, size) as figure:
    for i, panel in enumerate(panels):
      axes = figure.add_subplot(rows, columns, i + 1)
      _draw_panel(axes, panel)
      axes.set_xlim(0, max([1, *ends]))
      if i + columns >= len(panels):
        axes.set_xlabel('step')


def plot_losses(model_dir: str, output_path: str) -> None:
  """Draws the losses, the learning rate and, where evaluated, mAP over the steps, each in a panel.

  The panels of the losses also show the evaluation's, as points. A curve of 40 points or more is
  drawn pale, under its running mean over a twentieth of them.

  Raises:
    InputError: there is no event file in train/, none of the curves in it, or the path is no .svg.
  """
  plots.check_output_path(output_path)
  train, evaluation = _read_curves(model_dir)
  panels = [_loss_panel(tag, train, evaluation) for tag in LOSSES if tag in train]
  if _LEARNING_RATE in train:
    line = Line(train[_LEARNING_RATE], _TRAIN_COLOR, key=_LEARNING_RATE)
    panels.append(Panel('learning rate', 'learning rate', [line]))
  if not panels:
    raise InputError(
      f'{os.path.join(model_dir, "train")}: expected the scalars {[*LOSSES, _LEARNING_RATE]}, '
      f'received {sorted(train)}'
    )
  if tags := precision_tags(evaluation):
    panels.append(average_panel('mean average precision', 'AP', tags, evaluation))
  draw(panels, output_path)


def draw_curve_files(model_dir: str, output_dir: str) -> list[str]:
  """Draws each loss of a training into a file of its own, and AP and AR over its evaluations.

  The files are named as the curves in TensorBoard, Loss_total_loss.svg; mAP.svg and AR.svg are
  drawn where there are at least two evaluations.

  Returns:
    The names of the files.

  Raises:
    InputError: there is no event file in train/, or a loss is missing in it.
  """
  train, evaluation = _read_curves(model_dir)
  missing = [tag for tag in LOSSES if tag not in train]
  if missing:
    raise InputError(
      f'{os.path.join(model_dir, "train")}: expected the scalars {missing}, '
      f'received {sorted(train)}'
    )
  panels = {
    f'{tag.replace("/", "_")}.svg': _loss_panel(tag, train, evaluation) for tag in sorted(LOSSES)
  }
  for name, title, unit, tags in (
    ('mAP.svg', 'mean average precision', 'AP', precision_tags(evaluation)),
    ('AR.svg', 'average recall', 'AR', _RECALLS),
  ):
    if max((len(evaluation[tag][0]) for tag in tags if tag in evaluation), default=0) > 1:
      panels[name] = average_panel(title, unit, tags, evaluation)
  for name, panel in panels.items():
    draw([panel], os.path.join(output_dir, name))
  return list(panels)


def plot_averages(curves: Mapping[str, Curve], output_path: str) -> list[str]:
  """Draws a panel of AP and one of AR over the steps, with a line for each figure that is known.

  Args:
    curves: the metrics of evaluations by name: COCO's, or without them the mean APs of others.

  Returns:
    What is drawn, of 'AP' and 'AR'; without either no file is written.
  """
  precisions = [name for name in METRIC_NAMES[:6] if name in curves] or precision_tags(curves)
  panels = {
    'AP': average_panel('average precision', '', precisions, curves, legend_outside=True),
    'AR': average_panel('average recall', '', METRIC_NAMES[6:], curves, legend_outside=True),
  }
  panels = {unit: panel for unit, panel in panels.items() if panel.lines}
  if panels:
    draw(list(panels.values()), output_path, panel_size=(4.8, 3.6))
  return list(panels)


def average_panel(
  title: str,
  unit: str,
  names: Sequence[str],
  curves: Mapping[str, Curve],
  *,
  legend_outside: bool = False,
) -> Panel:
  """Makes a panel of AP or AR, each with its last value in the legend.

  Args:
    unit: of its vertical axis, which ends at 1.
    names: of the curves, as far as there are such; -1, no groundtruth, and nan are left out.
  """
  lines = []
  for name, color in zip(names, COLORS, strict=False):
    if name in curves and (known := curves[name][1] >= 0).any():
      steps, values = (points[known] for points in curves[name])
      label = f'{short_name(name)} {values[-1]:.3f}'
      lines.append(Line((steps, values), color, label, 'o-', key=name))
  return Panel(title, unit, lines, top=1, legend_outside=legend_outside)


def precision_tags(tags: Collection[str]) -> list[str]:
  """Picks those of mean APs: COCO's mAP and mAP@.50IOU, else the first two of other metrics."""
  found = [tag for tag in _PRECISIONS if tag in tags]
  return found or [tag for tag in tags if _OTHER_PRECISION.fullmatch(tag)][:2]


def short_name(tag: str) -> str:
  """Names a mean AP or AR: 'mAP@.50IOU' of COCO, 'PascalBoxes mAP@0.5IOU' of other metrics."""
  return re.sub(r'_\w+/', ' ', tag).removeprefix('DetectionBoxes ')


def smoothed(curve: Curve) -> Curve:
  """Gives a curve of 40 points or more as its running mean over a twentieth of them."""
  window = len(curve[0]) // 20
  if window < 2:
    return curve
  kernel = np.full(window, 1 / window)
  return tuple(np.convolve(points, kernel, 'valid') for points in curve)


def _loss_panel(tag, train, evaluation):
  lines = [
    Line(train[tag], _TRAIN_COLOR, is_pale=True, key=f'{tag} measured'),
    Line(smoothed(train[tag]), _TRAIN_COLOR, 'training' if tag in evaluation else '', key=tag),
  ]
  if tag in evaluation:
    lines.append(Line(evaluation[tag], _EVAL_COLOR, 'eval', 'o', key=f'{tag} evaluated'))
  return Panel(tag.split('/')[-1].replace('_', ' '), 'loss', lines)


def _draw_panel(axes, panel):
  for line in panel.lines:
    widths = {'alpha': 0.3, 'linewidth': 0.7} if line.is_pale else {'linewidth': 1.6}
    axes.plot(
      *line.curve, line.style, color=line.color, markersize=3.5, gid=line.key, clip_on=False,
      label=plots.literal(line.label) or None, **widths,
    )  # fmt: skip
  axes.set(title=panel.title, ylabel=panel.unit)
  highest = axes.dataLim.y1 if np.isfinite(axes.dataLim.y1) else 0  # Infinite without a point.
  axes.set_ylim(0, panel.top or 1.08 * highest or 1)
  if any(line.label for line in panel.lines):
    place = {'loc': 'center left', 'bbox_to_anchor': (1.0, 0.5)} if panel.legend_outside else {}
    axes.legend(frameon=False, fontsize=8, **place)


def _read_curves(model_dir):
  """The scalars of train/ and of eval/, of which the latter may be missing."""
  eval_dir = os.path.join(model_dir, 'eval')
  train = read_scalars(os.path.join(model_dir, 'train'))
  return train, read_scalars(eval_dir) if has_events(eval_dir) else {}
