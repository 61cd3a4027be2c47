"""Flips and rotates an example, and places it beside itself."""

import functools

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.sequence import Example, apply_if
from ssd_tf.ops import boxes as box_ops


def random_horizontal_flip(
  example: Example, seed: tf.Tensor, *, probability: float = 0.5
) -> Example:
  """Mirrors image and boxes left to right with a given probability."""
  return _turned(
    example, seed, probability, lambda image: tf.reverse(image, [1]), box_ops.flip_left_right
  )


def random_vertical_flip(example: Example, seed: tf.Tensor, *, probability: float = 0.5) -> Example:
  """Mirrors image and boxes top to bottom with a given probability."""
  return _turned(example, seed, probability, lambda image: tf.reverse(image, [0]), _flip_up_down)


def random_rotation90(example: Example, seed: tf.Tensor, *, probability: float = 0.5) -> Example:
  """Turns image and boxes by 90 degrees counter-clockwise with a given probability."""
  return _turned(example, seed, probability, tf.image.rot90, _rotate_90)


def random_self_concat_image(
  example: Example,
  seed: tf.Tensor,
  *,
  concat_vertical_probability: float = 0.1,
  concat_horizontal_probability: float = 0.1,
) -> Example:
  """Sets the image below itself, beside itself, or both, each with a given probability."""
  vertical_seed, horizontal_seed = tf.unstack(tf.random.split(seed, 2))
  for axis, axis_seed, probability in (
    (0, vertical_seed, concat_vertical_probability),
    (1, horizontal_seed, concat_horizontal_probability),
  ):
    twice = functools.partial(_set_beside_itself, axis=axis)
    example = apply_if(example, _drawn(axis_seed, probability), twice)
  return example


def _drawn(seed, probability):
  return tf.random.stateless_uniform([], seed) < probability


def _turned(example, seed, probability, change_image, change_boxes):
  """The example, with a given probability with both of its image and its boxes changed."""

  def change(example):
    return {
      **example,
      fields.IMAGE: change_image(example[fields.IMAGE]),
      fields.GROUNDTRUTH_BOXES: change_boxes(example[fields.GROUNDTRUTH_BOXES]),
    }

  keys = (fields.IMAGE, fields.GROUNDTRUTH_BOXES)
  return apply_if(example, _drawn(seed, probability), change, keys)


def _flip_up_down(boxes):
  ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=1)
  return tf.stack([1.0 - ymax, xmin, 1.0 - ymin, xmax], axis=1)


def _rotate_90(boxes):
  ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=1)
  # The right border becomes the top, the top the left border.
  return tf.stack([1.0 - xmax, ymin, 1.0 - xmin, ymax], axis=1)


def _set_beside_itself(example, axis):
  """Axis 0: a second copy below; 1: to the right."""
  halved = example[fields.GROUNDTRUTH_BOXES] * ([0.5, 1.0] * 2 if axis == 0 else [1.0, 0.5] * 2)
  shift = [0.5, 0.0] * 2 if axis == 0 else [0.0, 0.5] * 2
  return {
    **example,
    **{key: tf.concat([example[key]] * 2, 0) for key in fields.PER_BOX},
    fields.GROUNDTRUTH_BOXES: tf.concat([halved, halved + shift], 0),
    fields.IMAGE: tf.concat([example[fields.IMAGE]] * 2, axis),
  }
