"""Formats log lines of training and evaluation, as the Object Detection API or as we do.

In the API's shape every line reaches stderr twice, as it does there, so that a parser of either
finds it:

  INFO:tensorflow:Step 100 per-step time 0.293s
  I1203 14:31:52.428528 140070260955008 trainer.py:98] Step 100 per-step time 0.293s

The first comes from a handler on the logger named tensorflow, the second from absl's handler on
the root logger, to which the first one's records travel on. TensorFlow adds its handler only if it
is imported before absl takes over the root logger; `setup_logging` makes that certain.

The short shape is for people: a line for each interval, a block for each evaluation, messages as
plain sentences. What is logged does not depend on the shape: the handlers do, and without
`setup_logging` the short lines and COCO's table go nowhere.
"""

import contextlib
import logging as python_logging
import math
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags, logging

API, SHORT, BOTH = SHAPES = ('api', 'short', 'both')
_LOGGER = python_logging.getLogger('tensorflow')
_ABSL = logging.get_absl_logger()
_ONLY_API = python_logging.getLogger('absl.only_api')  # What the short lines say in their own way.
_SHORT, _TABLE = (python_logging.getLogger(f'ssd_tf.{name}') for name in ('short', 'table'))
for _each in (_SHORT, _TABLE):  # Silent, until they are shown.
  _each.propagate = False
  _each.setLevel(python_logging.CRITICAL)
_log_files: list[python_logging.Handler] = []
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


def setup_logging(shape: str = API) -> None:
  """Shows lines and messages on the console, at level INFO unless the flags say otherwise.

  Call once, after flags are parsed. A second call with the same shape changes nothing.

  Args:
    shape: API: what `emit` logs, twice on stderr, with all messages as absl shows them, and COCO's
      table on stdout. SHORT: what `tell` and `show_short` log, and warnings, on stderr. BOTH.
  """
  _ABSL.addFilter(_is_of_use)
  if not flags.FLAGS.is_parsed():
    logging.set_verbosity(logging.INFO)
  if shape == SHORT:
    python_logging.root.removeHandler(logging.get_absl_handler())
    _LOGGER.handlers.clear()  # TensorFlow's own; its warnings travel on to the root.
    _LOGGER.setLevel(python_logging.WARNING)
    _add_handler(python_logging.root, sys.stderr, 'Warning: %(message)s', python_logging.WARNING)
  else:
    logging.use_absl_handler()
    _add_handler(_LOGGER, sys.stderr, python_logging.BASIC_FORMAT)
    _add_handler(_TABLE, sys.stdout, '%(message)s')
    _TABLE.handlers[0].terminator = ''
    _TABLE.setLevel(python_logging.INFO)
  if shape != API:
    _add_handler(_SHORT, sys.stderr, '%(message)s')
    _SHORT.setLevel(python_logging.INFO)
  _LOGGER.propagate = True


def _add_handler(logger, stream, text_format, level=python_logging.NOTSET):
  if not logger.handlers:
    handler = python_logging.StreamHandler(stream)
    handler.setFormatter(python_logging.Formatter(text_format))
    handler.setLevel(level)
    logger.addHandler(handler)


def _is_of_use(record):
  return record.module not in _CHATTER


@contextlib.contextmanager
def writing_to(path: str) -> Iterator[None]:
  """Appends every line in the API's shape, and all messages, to a file; each once.

  What of it cannot be written is left out: a full disk ends a training where it saves.
  """
  handler = _LogFile(path, delay=True, encoding='utf-8')
  handler.setFormatter(python_logging.Formatter('%(levelname)s:tensorflow:%(message)s'))
  _log_files.append(handler)
  _ABSL.addHandler(handler)
  try:
    yield
  finally:
    _log_files.remove(handler)
    _ABSL.removeHandler(handler)
    handler.close()


class _LogFile(python_logging.FileHandler):
  def handleError(self, record):
    """Leaves it out."""


def emit(lines: Iterable[str]) -> None:
  """Logs each message at level INFO, as coming from the caller's file and line."""
  for line in lines:
    _LOGGER.info('%s', line, stacklevel=2)
    for file in _log_files:
      file.handle(_LOGGER.makeRecord('', python_logging.INFO, '', 0, line, (), None))


def emit_once(line: str) -> None:
  """Logs a line that the API does not have, as absl shows it; the short shape leaves it out."""
  _ONLY_API.info('%s', line, stacklevel=2)


@logging.skip_log_prefix
def tell(message: str, *values: Any) -> None:
  """Logs a message that everyone should see, in every shape; others are for the API's alone.

  Args:
    values: are put into the message, as `logging.info` does it.
  """
  logging.info(message, *values)
  _SHORT.info(message, *values)


def show_short(text: str) -> None:
  """Logs what the short shape alone shows."""
  _SHORT.info('%s', text)


def show(text: str) -> None:
  """Writes what is not for the log to stdout: what pycocotools prints, as the original does."""
  _TABLE.info('%s', text)


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
    reason = why_undefined(next((one for one in labels if not _SIZE.search(one)), labels[0]))
    where = ' in labeled (image, class) pairs' if labeled_only else ''
    # A class may have several figures.
    yield f'{shown} ({reason}{where}): {", ".join(dict.fromkeys(labels))}'


def why_undefined(name: str) -> str:
  """What -1 or nan tells of a metric."""
  return 'no groundtruth of this size' if _SIZE.search(name) else 'no groundtruth at all'


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


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = ()) -> str:
  """Puts rows of cells into lines; columns are aligned to the right, those given to the left."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return '\n'.join(
    '  '.join(
      cell.ljust(width) if i in left else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    for row in rows
  )
