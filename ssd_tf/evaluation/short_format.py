"""Formats a training's log for people: a line for each interval, a block for each evaluation."""

import math
from collections.abc import Mapping

from ssd_tf import fields
from ssd_tf.evaluation import log_format

_PARTS = {
  fields.CLASSIFICATION_LOSS: 'classification',
  fields.LOCALIZATION_LOSS: 'localization',
  fields.REGULARIZATION_LOSS: 'regularization',
}
_LABELS = {
  'DetectionBoxes_Precision/mAP': 'AP at IoU .50 to .95',
  'DetectionBoxes_Precision/mAP@.50IOU': 'AP at IoU .50',
  'DetectionBoxes_Precision/mAP@.75IOU': 'AP at IoU .75',
  'DetectionBoxes_Precision/mAP (small)': 'AP of small boxes',
  'DetectionBoxes_Precision/mAP (medium)': 'AP of medium boxes',
  'DetectionBoxes_Precision/mAP (large)': 'AP of large boxes',
  'DetectionBoxes_Recall/AR@100': 'AR with 100 detections',
  fields.TOTAL_LOSS: 'loss',
}


def progress_line(
  step: int,
  num_steps: int | None,
  measured: Mapping[str, float],
  last_figure: str = '',
) -> str:
  """Writes the line of an interval.

  Args:
    num_steps: of the training; None: there is no last one.
    measured: losses by name, learning_rate and steps_per_sec, as `Trainer.measured`.
    last_figure: what the last evaluation came to, such as 'AP 0.512'; '' where there was none.
  """
  rate = measured['steps_per_sec']
  parts = ', '.join(f'{label} {measured[name]:.3f}' for name, label in _PARTS.items())
  items = [
    f'step {step:,}' + (f' of {num_steps:,}' if num_steps else ''),
    f'loss {measured[fields.TOTAL_LOSS]:.3f} ({parts})',
    f'rate {measured["learning_rate"]:.3g}',
    f'{rate:.2f} steps/s',
  ]
  if num_steps:
    items.append(f'{_duration((num_steps - step) / rate)} left')
  if last_figure:
    items.append(f'last {last_figure}')
  return ' | '.join(items)


def evaluation_block(
  step: int, num_images: int, metrics: Mapping[str, float], metric: str, best_step: int | None
) -> str:
  """Writes the main figures of an evaluation as a small table.

  Args:
    metrics: scalars by name.
    metric: that the best is chosen by; shown first, and marked where this is the best so far.
    best_step: of the best evaluation so far; None: none has a figure.
  """
  names = [name for name in metrics if name in _LABELS or name.endswith(('/mAP', 'mAP@0.5IOU'))]
  names = list(dict.fromkeys([*([metric] if metric in metrics else []), *names]))
  rows = []
  for name in names:
    note = 'the best so far' if name == metric and step == best_step else ''
    if metrics[name] == -1 or math.isnan(metrics[name]):
      note = log_format.why_undefined(name)
    rows.append([f'  {_LABELS.get(name, name)}', figure(metrics[name]), note])
  heading = f'Evaluation at step {step:,}, on {num_images:,} images:'
  if best_step is not None and best_step != step:
    heading = f'{heading[:-1]} (the best so far is that of step {best_step:,}):'
  lines = log_format.aligned(rows, left=(0, 2)).splitlines()
  return '\n'.join([heading, *map(str.rstrip, lines)])


def figure(value: float) -> str:
  """A metric's value with three digits behind the point; a dash where there is none."""
  return '-' if value == -1 or math.isnan(value) else f'{value:.3f}'


def _duration(seconds):
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02d}:{seconds:02d}' if hours else f'{minutes}:{seconds:02d}'
