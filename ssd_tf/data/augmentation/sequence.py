"""What a random change of an example is, and how several follow each other."""

from collections.abc import Callable, Sequence

import tensorflow as tf

Example = dict[str, tf.Tensor]
Operation = Callable[[Example, tf.Tensor], Example]


def augment(
  example: Example, seed: tf.Tensor, operations: Sequence[tuple[str, Operation]]
) -> Example:
  """Applies operations one after the other, each with a seed of its own.

  Args:
    example: see `ssd_tf.fields`; image u8[h,w,3].
    seed: i32[2]; operation i gets fold_in(seed, i), so that equal operations draw differently.
    operations: (name, operation); the name shows up in the graph and in TensorFlow's errors.

  Returns:
    The example; the image's size and the number of boxes may have changed.
  """
  for index, (name, operation) in enumerate(operations):
    with tf.name_scope(name):
      example = operation(example, tf.random.fold_in(seed, index))
  return example
