"""Defines a random change of an example, and applies several in sequence."""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from ssd_tf import fields

Example = dict[str, tf.Tensor]
Operation = Callable[[Example, tf.Tensor], Example]

# What operations change.
CHANGING = (fields.IMAGE, *fields.PER_BOX)


def augment(
  example: Example, seed: tf.Tensor, operations: Sequence[tuple[str, Operation]]
) -> Example:
  """Applies operations one after the other, each with a seed of its own.

  Args:
    seed: i32[2]; operation i gets fold_in(seed, i), so that equal operations draw differently.
    operations: (name, operation); the name shows up in the graph and in TensorFlow's errors.
  """
  for index, (name, operation) in enumerate(operations):
    with tf.name_scope(name):
      example = operation(example, tf.random.fold_in(seed, index))
  return example


def apply_if(
  example: Example,
  condition: tf.Tensor,
  change: Callable[[Example], Example],
  keys: Sequence[str] = CHANGING,
) -> Example:
  """Changes an example if a condition holds."""

  def values_of(example):
    return [example[key] for key in keys]

  values = tf.cond(condition, lambda: values_of(change(example)), lambda: values_of(example))
  return {**example, **dict(zip(keys, values, strict=True))}


def one_of(
  example: Example,
  seed: tf.Tensor,
  changes: Sequence[Callable[[Example], Example]],
  keys: Sequence[str] = CHANGING,
) -> Example:
  """Makes one of several changes, each equally likely."""

  def values_after(change):
    changed = change(example)
    return [changed[key] for key in keys]

  index = tf.random.stateless_uniform([], seed, 0, len(changes), tf.int32)
  values = tf.switch_case(index, [functools.partial(values_after, change) for change in changes])
  return {**example, **dict(zip(keys, values, strict=True))}


def random_integers(seed: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
  """Draws integers i32[n] of low to high - 1, at most 2^23 of them; low where there are none."""
  share = tf.random.stateless_uniform(tf.shape(low), seed)
  return low + tf.cast(share * tf.cast(tf.maximum(high - low, 0), tf.float32), tf.int32)
