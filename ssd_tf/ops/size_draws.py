"""Draws the input size of each training step in multi-scale training."""

import dataclasses

import tensorflow as tf

Size = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class SizeDraws:
  """Sizes, one of which is drawn every few steps, each with the same probability.

  The draw is a function of seed and step alone: whoever asks, in whatever order, gets the same
  size, so that a data set running ahead, every replica and a training that goes on agree.

  Attributes:
    sizes: (height, width), pixels; one that occurs twice is drawn twice as often.
    steps_per_size: steps between draws.

  Source: Redmon and Farhadi 2017, YOLO9000, section 2, where it is every 10 batches.
  """

  sizes: tuple[Size, ...]
  steps_per_size: int
  seed: int

  def index(self, step: tf.Tensor | int) -> tf.Tensor:
    """Draws the place in `sizes`, i32[], of the size of a step i64[], counted from 0."""
    draw = tf.cast(step, tf.int64) // self.steps_per_size
    # Below 0: the augmentation's seeds are (seed, position of the example), from 0 on.
    seed = tf.stack([tf.constant(self.seed, tf.int64), -1 - draw])
    return tf.random.stateless_uniform(
      [], seed, maxval=len(self.sizes), dtype=tf.int32, minval=0, alg='philox'
    )

  def size(self, step: int) -> Size:
    """The (height, width) of a step, outside of a graph; see `index`."""
    with tf.device('CPU:0'):  # No waiting for what a GPU still has to do.
      return self.sizes[int(self.index(step))]
