"""One cell of each row of a table with a row for each anchor and a column for each class."""

import tensorflow as tf


def of_columns(columns: tf.Tensor) -> tf.Tensor:
  """Returns where a table's cells are, one in each row.

  Args:
    columns: i32[B, A], the column of each row's cell.

  Returns:
    i32[B * A, 2]: row and column.
  """
  columns = tf.reshape(columns, [-1])
  return tf.stack([tf.range(tf.size(columns)), columns], axis=-1)


def at(values: tf.Tensor, cells: tf.Tensor) -> tf.Tensor:
  """Returns the values in some cells.

  Args:
    values: f[B, A, C].
    cells: i32[B * A, 2], of `of_columns`.

  Returns:
    f[B, A].
  """
  return tf.reshape(tf.gather_nd(_rows(values), cells), tf.shape(values)[:2])


def add_at(values: tf.Tensor, cells: list[tf.Tensor], changes: list[tf.Tensor]) -> tf.Tensor:
  """Adds to some cells.

  Args:
    values: f[B, A, C].
    cells: of `of_columns`; of several lists, all are added.
    changes: f[B, A] for each of the lists.

  Returns:
    f[B, A, C].
  """
  flat = tf.concat([tf.reshape(change, [-1]) for change in changes], axis=0)
  rows = tf.tensor_scatter_nd_add(_rows(values), tf.concat(cells, axis=0), flat)
  return tf.reshape(rows, tf.shape(values))


def _rows(values):
  return tf.reshape(values, [-1, tf.shape(values)[2]])
