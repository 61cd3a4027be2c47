"""Reads scalars of trainings and evaluations from TensorBoard's event files."""

import os
from collections.abc import Iterator, Mapping

import numpy as np

from ssd_tf.errors import InputError

Curve = tuple[np.ndarray, np.ndarray]


def read_scalars(event_dir: str) -> dict[str, Curve]:
  """Reads every scalar that TensorBoard would show for a folder; folders inside are not searched.

  Summaries of TF1 (simple values) and TF2 (tensors) are read alike. Where a training was restarted
  and wrote a step twice, the later value holds.

  Returns:
    (steps i64[n], values f64[n]) by tag, steps ascending.

  Raises:
    InputError: the folder is missing or has no event file.
  """
  points = {}
  for path in _event_files(event_dir):
    for tag, step, value in _scalar_events(path):
      points.setdefault(tag, {})[step] = value
  return {tag: curve_of(values) for tag, values in points.items()}


def has_events(folder: str) -> bool:
  """Whether it is a folder with event files."""
  return os.path.isdir(folder) and any('tfevents' in name for name in os.listdir(folder))


def curve_of(values: Mapping[int, float]) -> Curve:
  """Makes a curve of {step: value}: (steps i64[n], values f64[n]), steps ascending."""
  steps = sorted(values)
  return np.array(steps, np.int64), np.array([values[step] for step in steps], np.float64)


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
