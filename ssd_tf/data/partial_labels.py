"""Computes labeled classes in a graph, and maps records of one label map to the ids of another."""

from collections.abc import Collection, Mapping

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.labeled_classes import DROPPED


def labeled_classes_mask(
  *,
  explicit: tf.Tensor,
  verified: tf.Tensor,
  not_exhaustive: tf.Tensor,
  group_of: tf.Tensor,
  boxes: tf.Tensor,
  default: Collection[int],
  num_classes: int,
) -> tf.Tensor:
  """Does what `labeled_classes.labeled_class_ids` does, as tensors; bool[K], of the ids 1..K.

  Lists are i64[...]; explicit and verified ids that are empty are not in the record, a single 0
  means no class.
  """
  classes = tf.range(1, num_classes + 1, dtype=tf.int64)

  def mask(ids):
    return tf.reduce_any(ids[:, tf.newaxis] == classes, axis=0)

  default = set(default)
  by_default = tf.constant([i in default for i in range(1, num_classes + 1)])
  base = tf.where(tf.size(verified) > 0, mask(verified) | mask(boxes), by_default)
  partial = base & ~mask(not_exhaustive) & ~mask(group_of)
  return tf.where(tf.size(explicit) > 0, mask(explicit), partial)


def map_classes(
  example: dict[str, tf.Tensor],
  table: Mapping[int, int],
  num_classes: int,
  unused_ids: Collection[int] = (),
) -> dict[str, tf.Tensor]:
  """Brings an example from its data set's class ids to the model's.

  Boxes of dropped classes go. A class of the model is labeled if every class that becomes it is;
  one that none becomes is not.

  Args:
    example: keys of `fields`; groundtruth_classes and labeled_classes by the data set's ids, of
      which the greatest is k; labeled_classes bool[k].
    table: data set's id -> model's id, or DROPPED; an id that is not in it cannot occur.
    unused_ids: ids of the model that no class has; they count as labeled.

  Returns:
    The example, with labeled_classes bool[K].
  """
  ids = tf.constant([table.get(i, DROPPED) for i in range(max(table) + 1)], tf.int32)
  classes = tf.gather(ids, example[fields.GROUNDTRUTH_CLASSES])
  kept = tf.where(classes != DROPPED)[:, 0]
  mapped = {key: tf.gather(example[key], kept) for key in fields.PER_BOX}
  mapped[fields.GROUNDTRUTH_CLASSES] = tf.gather(classes, kept)
  # becomes[i, c]: class i + 1 of the data set becomes class c + 1 of the model.
  becomes = ids[1:, tf.newaxis] == tf.range(1, num_classes + 1)
  missing = becomes & ~example[fields.LABELED_CLASSES][:, tf.newaxis]
  mapped[fields.LABELED_CLASSES] = tf.reduce_any(becomes, axis=0) & ~tf.reduce_any(missing, axis=0)
  return label_unused({**example, **mapped}, unused_ids)


def label_unused(
  example: dict[str, tf.Tensor], unused_ids: Collection[int]
) -> dict[str, tf.Tensor]:
  """Labels an example for ids that no class has: nothing of the kind is in any image."""
  labeled = example[fields.LABELED_CLASSES]
  unused_ids = set(unused_ids)
  unused = tf.constant([i in unused_ids for i in range(1, labeled.shape[0] + 1)])
  return {**example, fields.LABELED_CLASSES: labeled | unused}
