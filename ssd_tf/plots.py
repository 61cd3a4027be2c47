"""Curves of a training, read from its TensorBoard event files and drawn as one SVG."""

import os
import re
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from ssd_tf import fields
from ssd_tf.errors import InputError
from ssd_tf.files.failed_writes import writing

_LOSSES = (
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
_COLUMNS = 3
_TRAIN_COLOR = '#2166ac'
_EVAL_COLOR = '#d6604d'
_TEXT_COLOR = '#333333'

# The same numbers give the same file, byte for byte; letters stay letters.
STYLE = {
  'svg.hashsalt': 'ssd_tf',
  'svg.fonttype': 'none',
  'font.family': 'sans-serif',
  'font.size': 9,
  'text.color': _TEXT_COLOR,
  'axes.labelcolor': _TEXT_COLOR,
  'axes.edgecolor': '#999999',
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.titlesize': 10,
  'axes.titlelocation': 'left',
  'axes.linewidth': 0.8,
  'axes.grid': True,
  'axes.grid.axis': 'y',
  'axes.axisbelow': True,
  'grid.color': '#e5e5e5',
  'grid.linewidth': 0.8,
  'xtick.color': _TEXT_COLOR,
  'ytick.color': _TEXT_COLOR,
  'xtick.major.size': 3,
  'ytick.major.size': 0,
}

Scalars = Mapping[str, tuple[np.ndarray, np.ndarray]]


def read_scalars(event_dir: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Reads every scalar that TensorBoard would show for a folder.

  Summaries of TF1 (simple values) and TF2 (tensors) are read alike. Where a training was restarted
  and wrote a step twice, the later value holds.

  Args:
    event_dir: a folder with events.out.tfevents.* files; folders inside are not searched.

  Returns:
    (steps i64[n], values f64[n]) by tag, steps ascending.

  Raises:
    InputError: the folder is missing or has no event file.
  """
  points = {}
  for path in _event_files(event_dir):
    for tag, step, value in _scalar_events(path):
      points.setdefault(tag, {})[step] = value
  return {
    tag: (np.array(sorted(values), np.int64), np.array([values[s] for s in sorted(values)]))
    for tag, values in points.items()
  }


def has_events(folder: str) -> bool:
  """Whether it is a folder with event files."""
  return os.path.isdir(folder) and any('tfevents' in name for name in os.listdir(folder))


def plot_losses(model_dir: str, output_path: str) -> None:
  """Draws the losses, the learning rate and, where evaluated, mAP over the steps, each in a panel.

  The panels of the losses also show the evaluation's, as points. A curve of 40 points or more is
  drawn pale, under its running mean over a twentieth of them.

  Args:
    model_dir: of a training: event files in train/ and, if it was evaluated, in eval/.
    output_path: the file to write, .svg.

  Raises:
    InputError: there is no event file in train/, none of the curves in it, or the path is no .svg.
  """
  if not output_path.endswith('.svg'):
    raise InputError(f'output_path {output_path!r}: expected a file name that ends in .svg')
  train, evaluation = _read_curves(model_dir)
  panels = [(tag,) for tag in (*_LOSSES, _LEARNING_RATE) if tag in train]
  if not panels:
    raise InputError(
      f'{os.path.join(model_dir, "train")}: expected the scalars {[*_LOSSES, _LEARNING_RATE]}, '
      f'came {sorted(train)}'
    )
  if precisions := precision_tags(evaluation):
    panels.append(precisions)
  os.makedirs(os.path.dirname(output_path) or '.', exist_ok=True)
  _draw_panels(panels, train, evaluation, output_path)


def draw_curve_files(model_dir: str, output_dir: str) -> list[str]:
  """Draws each loss of a training into a file of its own, and AP and AR over its evaluations.

  The files are named as the curves in TensorBoard, Loss_total_loss.svg; mAP.svg and AR.svg are
  drawn where there are at least two evaluations.

  Args:
    model_dir: of a training: event files in train/ and, if it was evaluated, in eval/.
    output_dir: an existing folder.

  Returns:
    The names of the files.

  Raises:
    InputError: there is no event file in train/, or a loss is missing in it.
  """
  train, evaluation = _read_curves(model_dir)
  missing = [tag for tag in _LOSSES if tag not in train]
  if missing:
    raise InputError(
      f'{os.path.join(model_dir, "train")}: expected the scalars {missing}, came {sorted(train)}'
    )
  names = []
  for tag in sorted(_LOSSES):
    names.append(f'{tag.replace("/", "_")}.svg')
    _draw_panels([(tag,)], train, evaluation, os.path.join(output_dir, names[-1]))
  for tags, name in ((precision_tags(evaluation), 'mAP.svg'), (_RECALLS, 'AR.svg')):
    if max((len(evaluation[tag][0]) for tag in tags if tag in evaluation), default=0) > 1:
      names.append(name)
      _draw_panels([tags], train, evaluation, os.path.join(output_dir, name))
  return names


def precision_tags(tags: Collection[str]) -> list[str]:
  """Picks those of mean APs: COCO's mAP and mAP@.50IOU, else the first two of other metrics."""
  found = [tag for tag in _PRECISIONS if tag in tags]
  return found or [tag for tag in tags if _OTHER_PRECISION.fullmatch(tag)][:2]


def short_name(tag: str) -> str:
  """Names a mean AP or AR: 'mAP@.50IOU' of COCO, 'PascalBoxes mAP@0.5IOU' of other metrics."""
  return re.sub(r'_\w+/', ' ', tag).removeprefix('DetectionBoxes ')


def smoothed(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Gives a curve of 40 points or more as its running mean over a twentieth of them.

  Args:
    steps: i64[n], ascending.
    values: f64[n].

  Returns:
    (steps f64[m], values f64[m]); with fewer points the curve itself.
  """
  window = len(values) // 20
  if window < 2:
    return steps, values
  kernel = np.full(window, 1 / window)
  return np.convolve(steps, kernel, 'valid'), np.convolve(values, kernel, 'valid')


def _read_curves(model_dir):
  """The scalars of train/ and of eval/, of which the latter may be missing."""
  eval_dir = os.path.join(model_dir, 'eval')
  train = read_scalars(os.path.join(model_dir, 'train'))
  return train, read_scalars(eval_dir) if has_events(eval_dir) else {}


def _event_files(event_dir):
  if not os.path.isdir(event_dir):
    raise InputError(f'{event_dir}: expected a folder with TensorBoard event files; it is missing')
  # The name goes on with the second of creation, so that this is the order of time.
  names = sorted(name for name in os.listdir(event_dir) if 'tfevents' in name)
  if not names:
    raise InputError(f'{event_dir}: expected events.out.tfevents.* files, found none')
  return [os.path.join(event_dir, name) for name in names]


def _scalar_events(path: str) -> Iterator[tuple[str, int, float]]:
  """Gives (tag, step, value) of every scalar in an event file, in the order written."""
  # TensorBoard brings TensorFlow with it: only now, so that --help is quick. Its reader turns TF1
  # summaries into TF2's, and stops quietly at the half record that a killed training leaves.
  from tensorboard.backend.event_processing import event_file_loader
  from tensorboard.util import tensor_util

  scalar_tags = set()
  for event in event_file_loader.EventFileLoader(path).Load():
    for value in event.summary.value:
      # Only the first summary of a tag need say what it is.
      if value.metadata.plugin_data.plugin_name == 'scalars':
        scalar_tags.add(value.tag)
      if value.tag in scalar_tags:
        yield value.tag, event.step, float(tensor_util.make_ndarray(value.tensor))


def _draw_panels(panels, train, evaluation, output_path):
  import matplotlib
  from matplotlib.figure import Figure

  columns = min(_COLUMNS, len(panels))
  rows = -(-len(panels) // columns)
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(3.4 * columns, 2.4 * rows), layout='constrained')
    last_step = max(curves[tag][0][-1] for curves in (train, evaluation) for tag in curves)
    for i, tags in enumerate(panels):
      axes = figure.add_subplot(rows, columns, i + 1)
      if tags[0] in (*_LOSSES, _LEARNING_RATE):
        _draw_curve(axes, tags[0], train, evaluation, with_legend=i == 0)
      else:
        _draw_averages(axes, evaluation, tags)
      axes.set_xlim(0, max(last_step, 1))
      if i + columns >= len(panels):
        axes.set_xlabel('step')
    with writing(output_path):
      figure.savefig(output_path, format='svg', metadata={'Date': None})


def _draw_curve(axes, tag, train, evaluation, with_legend):
  steps, values = train[tag]
  if tag != _LEARNING_RATE:
    axes.plot(steps, values, color=_TRAIN_COLOR, alpha=0.25, linewidth=0.8, gid=f'{tag} measured')
    steps, values = smoothed(steps, values)
  axes.plot(steps, values, color=_TRAIN_COLOR, linewidth=1.6, label='training', gid=tag)
  if tag in evaluation:
    style = {'color': _EVAL_COLOR, 'markersize': 4, 'clip_on': False, 'label': 'eval'}
    axes.plot(*evaluation[tag], 'o', gid=f'{tag} evaluated', **style)
    if with_legend:
      axes.legend(frameon=False, loc='best')
  axes.set_title(tag.split('/')[-1].replace('_', ' '))
  axes.set_ylabel('learning rate' if tag == _LEARNING_RATE else 'loss')
  axes.set_ylim(0, 1.08 * axes.dataLim.y1 or None)


def _draw_averages(axes, evaluation, tags):
  """Draws mAP and mAP@.50, or AR, each named at its last point; -1, no groundtruth, is left out."""
  curves = []
  for tag, color in zip(tags, (_EVAL_COLOR, '#8c510a'), strict=False):
    if tag in evaluation and (known := evaluation[tag][1] >= 0).any():
      curves.append((tag, color, *(points[known] for points in evaluation[tag])))
  highest = max((values[-1] for *_, values in curves), default=0)
  for tag, color, steps, values in curves:
    style = {'color': color, 'markersize': 4, 'linewidth': 1.6, 'clip_on': False}
    axes.plot(steps, values, 'o-', gid=tag, **style)
    axes.annotate(
      f'{short_name(tag)} {values[-1]:.3f}',
      (steps[-1], values[-1]),
      xytext=(-4, 6 if values[-1] == highest else -13),  # Else it lies on the other's curve.
      textcoords='offset points',
      ha='right',
      color=color,
    )
  is_recall = tags[0] in _RECALLS
  axes.set_title('average recall' if is_recall else 'mean average precision')
  axes.set_ylabel('AR' if is_recall else 'AP')
  axes.set_ylim(0, 1.15)  # Room for the name of a curve that ends at 1.
  axes.set_yticks(np.linspace(0, 1, 6))
