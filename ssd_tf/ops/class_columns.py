"""Reads and changes one class column for each anchor, in tensors with a column for each class."""

import tensorflow as tf


def indices_of(columns: tf.Tensor) -> tf.Tensor:
  """Returns the indices (anchor, column) i32[B * A, 2] of one column i32[B, A] for each anchor."""
  columns = tf.reshape(columns, [-1])
  return tf.stack([tf.range(tf.size(columns)), columns], axis=-1)


def gather(values: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
  """Returns the values f[B, A] of f[B, A, C] at the indices, of `indices_of`."""
  return tf.reshape(tf.gather_nd(_rows(values), indices), tf.shape(values)[:2])


def add(values: tf.Tensor, indices: list[tf.Tensor], changes: list[tf.Tensor]) -> tf.Tensor:
  """Adds changes, f[B, A] each, to f[B, A, C] at their indices, each of `indices_of`."""
  flat = tf.concat([tf.reshape(change, [-1]) for change in changes], axis=0)
  rows = tf.tensor_scatter_nd_add(_rows(values), tf.concat(indices, axis=0), flat)
  return tf.reshape(rows, tf.shape(values))


def _rows(values):
  return tf.reshape(values, [-1, tf.shape(values)[2]])
