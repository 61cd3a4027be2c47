"""One cell of each row of a table with a row for each anchor and a column for each class."""

import tensorflow as tf


def of_columns(columns: tf.Tensor) -> tf.Tensor:
  """Where a table's cells are, one a row: columns i32[B, A] -> (row, column) i32[B * A, 2]."""
  columns = tf.reshape(columns, [-1])
  return tf.stack([tf.range(tf.size(columns)), columns], axis=-1)


def at(values: tf.Tensor, cells: tf.Tensor) -> tf.Tensor:
  """The values f[B, A] in some cells, of `of_columns`, of f[B, A, C]."""
  return tf.reshape(tf.gather_nd(_rows(values), cells), tf.shape(values)[:2])


def add_at(values: tf.Tensor, cells: list[tf.Tensor], changes: list[tf.Tensor]) -> tf.Tensor:
  """Adds a list of changes, f[B, A] each, to the cells, of `of_columns`, in f[B, A, C]."""
  flat = tf.concat([tf.reshape(change, [-1]) for change in changes], axis=0)
  rows = tf.tensor_scatter_nd_add(_rows(values), tf.concat(cells, axis=0), flat)
  return tf.reshape(rows, tf.shape(values))


def _rows(values):
  return tf.reshape(values, [-1, tf.shape(values)[2]])
