"""Batches as the ops see them, by the keys of `fields`."""

import numpy as np
import tensorflow as tf

from ssd_tf import fields

GROUNDTRUTH = (
  fields.GROUNDTRUTH_BOXES,
  fields.GROUNDTRUTH_CLASSES,
  fields.GROUNDTRUTH_WEIGHTS,
  fields.GROUNDTRUTH_MASK,
  fields.GROUNDTRUTH_IS_CROWD,
)


def groundtruth(*columns):
  """Boxes, classes, weights, mask, and if given the mask of crowds, as a batch."""
  return dict(zip(GROUNDTRUTH, map(tf.convert_to_tensor, columns), strict=False))


def masks(num_images, num_classes, example_mask=None, labeled_classes=None):
  """Which images are real, and which classes they are labeled for; by default, all."""
  if example_mask is None:
    example_mask = np.ones([num_images], bool)
  if labeled_classes is None:
    labeled_classes = np.ones([num_images, num_classes], bool)
  return {
    fields.EXAMPLE_MASK: tf.convert_to_tensor(example_mask),
    fields.LABELED_CLASSES: tf.convert_to_tensor(labeled_classes),
  }


def outputs(class_logits, box_encodings):
  """What a network gives."""
  return {fields.CLASS_LOGITS: class_logits, fields.BOX_ENCODINGS: box_encodings}
