"""Saves the batch whose loss was not finite, as the network was fed it."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from ssd_tf import fields

FILE = 'non_finite_batch.npz'
_SHOWN_IDS = 64


class NonFiniteBatch:
  """What of a failed step is known, from all replicas.

  A graph whose assertion fails takes its tensors with it; so they are handed over before.
  """

  def __init__(self):
    self._parts = {}

  def keep(
    self,
    batches: Sequence[Mapping[str, tf.Tensor]],
    step: tf.Tensor,
    losses: tf.Tensor,
    replica: tf.Tensor,
  ) -> tf.Tensor:
    """Makes the operation, f32[], that takes over a replica's part of the step that failed.

    Args:
      batches: of the replica, those that make the step together.
      losses: in the order of `fields.LOSSES`, f32[4].
    """
    keys = sorted(batches[0])

    def store(step, losses, replica, *values):
      rows = [values[i : i + len(keys)] for i in range(0, len(values), len(keys))]
      batch = {
        key: np.concatenate(column)
        for key, column in zip(keys, zip(*rows, strict=True), strict=True)
      }
      self._parts[int(replica)] = (int(step), np.array(losses), batch)
      return np.float32(1)

    values = [batch[key] for batch in batches for key in keys]
    return tf.numpy_function(store, [step, losses, replica, *values], tf.float32)

  def message(self) -> str:
    """Step, terms and source ids; '' if nothing was kept."""
    if not self._parts:
      return ''
    step, losses, _ = self._parts[0]
    terms = ', '.join(f'{name} {x:g}' for name, x in zip(fields.LOSSES, losses, strict=True))
    ids = self._source_ids()
    more = f' and {len(ids) - _SHOWN_IDS} more' if len(ids) > _SHOWN_IDS else ''
    return f'at step {step}: {terms}; source ids: {", ".join(ids[:_SHOWN_IDS])}{more}'

  def save(self, folder: str) -> str:
    """Writes non_finite_batch.npz, and returns its path; '' if nothing was kept.

    It holds, by the keys of `fields`, what the network was fed: images, groundtruth, masks, with
    the examples of all replicas one after the other; source_id as text; replica, of each example
    the one it was on; step; and losses with loss_names.
    """
    if not self._parts:
      return ''
    step, losses, first = self._parts[0]
    parts = [(number, part[2]) for number, part in sorted(self._parts.items())]
    arrays = {key: np.concatenate([batch[key] for _, batch in parts]) for key in first}
    arrays[fields.SOURCE_ID] = np.array(self._source_ids())
    arrays['replica'] = np.concatenate(
      [np.full(len(batch[fields.SOURCE_ID]), number) for number, batch in parts]
    )
    path = os.path.join(folder, FILE)
    # The ending is .npz all the same: NumPy would add it.
    temporary = os.path.join(folder, f'part_of_{FILE}')
    np.savez_compressed(
      temporary, step=step, losses=losses, loss_names=np.array(fields.LOSSES), **arrays
    )
    os.replace(temporary, path)
    return path

  def _source_ids(self):
    return [
      source_id.decode('utf-8', 'replace')
      for _, (_, _, batch) in sorted(self._parts.items())
      for source_id in batch[fields.SOURCE_ID]
    ]
