"""Changes which boxes an example has, their classes, and what its image is labeled for."""

from collections.abc import Collection

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data import partial_labels
from ssd_tf.data.augmentation.sequence import Example


def drop_label_probabilistically(
  example: Example, seed: tf.Tensor, *, label: int, drop_probability: float = 1.0
) -> Example:
  """Drops each box of one class, of 1 to K, with a given probability.

  An image that loses a box of the class is no longer labeled for it: the object is still there, so
  a loss must not call it background, as it does in the original. An image that loses none keeps
  what it says of the class.

  Source: the original's drop_label_probabilistically, but for labeled_classes.
  """
  labeled = example[fields.LABELED_CLASSES]
  classes = example[fields.GROUNDTRUTH_CLASSES]
  drawn = tf.random.stateless_uniform(tf.shape(classes), seed) < drop_probability
  dropped = drawn & (classes == label)
  kept = tf.where(~dropped)[:, 0]
  is_label = tf.range(1, labeled.shape[0] + 1) == label
  return {
    **example,
    **{key: tf.gather(example[key], kept) for key in fields.PER_BOX},
    fields.LABELED_CLASSES: labeled & ~(is_label & tf.reduce_any(dropped)),
  }


def remap_labels(
  example: Example, seed: tf.Tensor, *, original_labels: Collection[int], new_label: int
) -> Example:
  """Gives the boxes of some classes another class, all of 1 to K.

  The new class is labeled if it was, and all of the original ones were. The original ones count as
  labeled: no object is called so any more.

  Source: the original's remap_labels, which knows no labeled_classes.
  """
  del seed
  num_classes = example[fields.LABELED_CLASSES].shape[0]
  table = {i: i for i in range(1, num_classes + 1)} | dict.fromkeys(original_labels, new_label)
  return partial_labels.map_classes(
    example, table, num_classes, unused_ids=set(original_labels) - {new_label}
  )
