"""The log lines of training and evaluation, in the Object Detection API's own shape.

Every line reaches stderr twice, as it does there, so that a parser of either finds it:

  INFO:tensorflow:Step 100 per-step time 0.293s
  I1203 14:31:52.428528 140070260955008 trainer.py:98] Step 100 per-step time 0.293s

The first comes from a handler on the logger named tensorflow, the second from absl's handler on
the root logger, to which the first one's records travel on. TensorFlow adds its handler only if it
is imported before absl takes over the root logger; `setup_logging` makes that certain.
"""

import logging as python_logging
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from absl import flags, logging

_LOGGER = python_logging.getLogger('tensorflow')
# What libraries log of each checkpoint and each evaluation.
_CHATTER = ('functional_saver', 'loop_fns')
_SIZE = re.compile(r'\((small|medium|large)\)')
_TABLE_COLUMNS = (
  'AP_VOC07/mAP',
  'AP_VOC12/mAP',
  'DetectionBoxes_Precision/mAP',
  'DetectionBoxes_Precision/mAP@.50IOU',
  'DetectionBoxes_Recall/AR@100',
  'Loss/total_loss',
)


def setup_logging() -> None:
  """Makes `emit` write both shapes to stderr, at level INFO unless the flags say otherwise.

  Call once, after flags are parsed. A second call changes nothing.
  """
  logging.use_absl_handler()
  logging.get_absl_logger().addFilter(_is_of_use)
  if not flags.FLAGS.is_parsed():
    logging.set_verbosity(logging.INFO)
  if not _LOGGER.handlers:
    handler = python_logging.StreamHandler(sys.stderr)
    handler.setFormatter(python_logging.Formatter(python_logging.BASIC_FORMAT))
    _LOGGER.addHandler(handler)
  _LOGGER.propagate = True


def _is_of_use(record):
  return record.module not in _CHATTER


def emit(lines: Iterable[str]) -> None:
  """Logs each message at level INFO, as coming from the caller's file and line."""
  for line in lines:
    _LOGGER.info('%s', line, stacklevel=2)


def show(text: str) -> None:
  """Writes what is not for the log to stdout: what pycocotools prints, as the original does."""
  sys.stdout.write(text)


def step_lines(
  step: int, seconds_per_step: float, losses: Mapping[str, float], learning_rate: float
) -> list[str]:
  """Writes the two messages of a training step: its time, and the losses by name.

  Losses, and last the learning rate, are printed as float32, sorted by name.

  Source: the Object Detection API's model_lib_v2.py prints a dict of float32 with pprint at width
  40. Here the block is joined by hand, since NumPy 2 shows a float32 as np.float32(...).
  """
  scalars = {**losses, 'learning_rate': learning_rate}
  items = [f'{name!r}: {np.float32(scalars[name])!s}' for name in sorted(scalars)]
  return [
    f'Step {step} per-step time {seconds_per_step:.3f}s',
    '{' + ',\n '.join(items) + '}',
  ]


def eval_lines(step: int, metrics: Mapping[str, float]) -> list[str]:
  """Writes the messages of an evaluation: a heading, a line per metric, and what -1 and nan mean.

  Unlike the original's, the last ones explain -1 (COCO) and nan (VOC, Open Images), if any.
  """
  lines = [f'Eval metrics at step {step}']
  lines += [f'\t+ {name}: {value:f}' for name, value in metrics.items()]
  for undefined, shown in ((lambda value: value == -1, '-1.000'), (math.isnan, 'nan')):
    lines += _explanations([name for name, value in metrics.items() if undefined(value)], shown)
  return lines


def _explanations(names, shown):
  groups = {}
  for name in names:
    # Of 'DetectionBoxes_PerformanceByCategory/mAP/cat' the name of the class says enough.
    is_figure_of_class = name.partition('/')[0].endswith(' ByCategory')
    label = name.partition('_')[2] if is_figure_of_class else name.split('/', 2)[-1]
    labeled_only = name.partition('/')[0].endswith('_Labeled')
    groups.setdefault(labeled_only, []).append(label)
  for labeled_only, labels in sorted(groups.items()):
    everything = not all(_SIZE.search(label) for label in labels)
    reason = 'no groundtruth at all' if everything else 'no groundtruth of this size'
    where = ' in labeled (image, class) pairs' if labeled_only else ''
    # A class may have several figures.
    yield f'{shown} ({reason}{where}): {", ".join(dict.fromkeys(labels))}'


def evaluation_table(evaluations: Iterable[tuple[int, Mapping[str, float]]]) -> str:
  """Puts evaluations, (step, metrics), into a table, a row each.

  The columns are the step and, of each set of metrics, the mean AP; with COCO's also AP at .50 and
  AR@100; and the total loss. A star marks the best of the first column of figures.
  """
  evaluations = list(evaluations)
  names = [
    name
    for name in dict.fromkeys(name for _, metrics in evaluations for name in metrics)
    if name in _TABLE_COLUMNS or re.search(r'^(?!DetectionBoxes)\w+_Precision/mAP@', name)
  ]
  best = max((metrics.get(names[0], -1.0) for _, metrics in evaluations), default=0.0)
  rows = [['step', *names]]
  for step, metrics in evaluations:
    figures = [f'{metrics[name]:.4f}' if name in metrics else '' for name in names]
    if metrics.get(names[0]) == best:
      figures[0] += '*'
    rows.append([str(step), *figures])
  return aligned(rows)


def aligned(rows: Sequence[Sequence[str]], left: int | None = None) -> str:
  """Puts rows of cells into lines; columns are aligned to the right, the one given to the left."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return '\n'.join(
    '  '.join(
      cell.ljust(width) if i == left else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    for row in rows
  )
