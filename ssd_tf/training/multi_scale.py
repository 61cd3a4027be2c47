"""The training step at several sizes of the input: traced once for each."""

import functools

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.ops.size_draws import Size, SizeDraws
from ssd_tf.training.trainer import Trainer

INPUT_HEIGHT = 'input_height'  # The curve of the drawn sizes.


class MultiScaleTrainer(Trainer):
  """A trainer whose batches have images of another size every few steps.

  The size of a step is known before its batch is read, so that the step is compiled for it: with
  static shapes, and with that size's anchors.

  Args:
    draws: the size of each step, as the dataset's batches have them.
    **kwargs: of `Trainer`.
  """

  def __init__(self, *, draws: SizeDraws, **kwargs):
    super().__init__(**kwargs)
    self._draws = draws

  def create_train_loop_fn(self):
    """A Python loop, as `Trainer`'s own, around one compiled step for each size."""
    steps = {
      size: tf.function(functools.partial(self._step_of_size, size=size))
      for size in self._draws.sizes
    }

    def loop(iterator, num_steps):
      first = int(self.global_step.numpy())
      for step in range(first, first + int(num_steps)):
        steps[self._draws.size(step)](iterator)

    return loop

  def train_loop_end(self) -> None:
    """As `Trainer`'s own, with a curve of the drawn height."""
    super().train_loop_end()
    step = self.global_step.numpy()
    height, _ = self._draws.size(step - 1)
    tf.summary.scalar(INPUT_HEIGHT, height, step=step)

  def _step_of_size(self, iterator, size):
    self.train_step(_IteratorOfSize(iterator, self.strategy, size))


class _IteratorOfSize:
  """An iterator of batches, whose images are known to have one size."""

  def __init__(self, iterator, strategy: tf.distribute.Strategy, size: Size):
    self._iterator = iterator
    self._strategy = strategy
    self._size = size

  def __next__(self):
    return self._strategy.run(self._with_size, args=(next(self._iterator),))

  def _with_size(self, batch):
    images = batch[fields.IMAGE]
    shape = [images.shape[0], *self._size, images.shape[-1]]
    return {**batch, fields.IMAGE: tf.ensure_shape(images, shape)}
