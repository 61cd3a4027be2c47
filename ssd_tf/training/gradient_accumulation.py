"""Accumulates gradients: processes several batches one after the other for one step."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


class MicroBatches:
  """The batches of a step: one or more nests of tensors, of equal shapes."""

  def __init__(self, batches: Sequence[Any]):
    self.count = len(batches)
    self._batches = batches
    if self.count > 1:
      self._stacked = tf.nest.map_structure(lambda *parts: tf.stack(parts), *batches)

  def sum(self, function: Callable[[Any], Any], zeros: Any) -> Any:
    """Sums the results of a function over the batches: nests of tensors like the zeros.

    What the function needs for one batch is let go before the next one begins, so that it takes the
    memory of one batch, whatever their number. It is called once, and traced into a loop, unless
    there is one batch only; nothing may go across replicas in it then.
    """
    if self.count == 1:
      return function(self._batches[0])

    def add(i, sums):
      batch = tf.nest.map_structure(lambda parts: parts[i], self._stacked)
      return i + 1, tf.nest.map_structure(tf.add, sums, function(batch))

    _, sums = tf.while_loop(
      lambda i, _: i < self.count, add, (tf.constant(0), zeros), parallel_iterations=1
    )
    return sums
