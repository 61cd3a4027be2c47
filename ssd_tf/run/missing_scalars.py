"""Restores evaluation scalars that an interrupted process did not write."""

import collections
import os
from collections.abc import Iterator

import tensorflow as tf
from absl import logging
from google.protobuf.message import DecodeError

from ssd_tf.errors import InputError
from ssd_tf.run.checked_event_files import CheckedSummaries, records
from ssd_tf.run.evaluation_log import EvaluationLog

# A scalar takes some hundred bytes; pictures take more, and need not be read.
_MOST_BYTES_OF_A_SCALAR = 1 << 14


def write_missing_scalars(log: EvaluationLog) -> None:
  """Writes what a log of evaluations has and the event files of the same folder lack.

  An evaluation is in the log first; a process that is killed then, or a full disk, leaves it
  without its scalars in TensorBoard. What is there already is not written again: a metric of a step
  that n evaluations have, and m events, is written of the last n - m ones. So that may be repeated,
  also if it is killed itself. Call it before evaluating into the folder, from which no other
  process may be evaluating.

  Args:
    log: its folder need not exist. If it is damaged, a warning says so and nothing is written.
  """
  try:
    lines = log.read()
  except InputError as error:
    logging.warning('%s. Whether TensorBoard has all evaluations is not known.', error)
    return
  if not lines:
    return
  values = collections.defaultdict(list)
  for line in lines:
    for tag, value in line['metrics'].items():
      values[line['step'], tag].append(value)
  written = collections.Counter(_steps_and_tags(log.eval_dir))
  missing = {key: found[written[key] :] for key, found in values.items()}
  missing = {key: found for key, found in missing.items() if found}
  if not missing:
    return
  summaries = CheckedSummaries(log.eval_dir, None)
  with summaries.summary_writer().as_default():
    for (step, tag), found in missing.items():
      for value in found:
        tf.summary.scalar(tag, value, step=step)
  summaries.flush()
  summaries.summary_writer().close()
  steps = sorted({step for step, _ in missing})
  logging.info(
    '%s: the event files lacked scalars of evaluations in metrics.jsonl, of step %s; they are '
    'written now.', log.eval_dir, ', '.join(map(str, steps)),
  )  # fmt: skip


def _steps_and_tags(folder) -> Iterator[tuple[int, str]]:
  """Of each summary in the event files but pictures; what no reader comes to does not count."""
  for name in sorted(os.listdir(folder)):
    if 'tfevents' in name:
      for event in _events(os.path.join(folder, name)):
        for value in event.summary.value:
          yield event.step, value.tag


def _events(path):
  with open(path, 'rb') as file:
    for begin, length in records(file):
      if length > _MOST_BYTES_OF_A_SCALAR:
        continue
      file.seek(begin)
      try:
        yield tf.compat.v1.Event.FromString(file.read(length))
      except DecodeError:
        logging.warning('%s: is damaged; what follows in it is skipped.', path)
        return
