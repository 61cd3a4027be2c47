"""Examples for augmentation: made, changed eagerly and in a data set, and drawn many times."""

import numpy as np
import tensorflow as tf

from ssd_tf import fields

BOXES = ((0.1, 0.2, 0.6, 0.7), (0.0, 0.0, 1.0, 0.5), (0.5, 0.5, 0.52, 0.51))


def make_example(image, boxes=BOXES, num_classes=4, dtype=np.uint8):
  """Every per-box key holds the row's number, so that a row that moves alone is seen."""
  boxes = np.array(boxes, np.float32).reshape([-1, 4])
  rows = np.arange(len(boxes))
  return {
    fields.IMAGE: np.asarray(image, dtype),
    fields.GROUNDTRUTH_BOXES: boxes,
    fields.GROUNDTRUTH_CLASSES: rows.astype(np.int32) + 1,
    fields.GROUNDTRUTH_WEIGHTS: rows.astype(np.float32) / 10,
    fields.GROUNDTRUTH_IS_CROWD: rows % 2 == 0,
    fields.GROUNDTRUTH_DIFFICULT: rows % 2 == 1,
    fields.GROUNDTRUTH_GROUP_OF: rows % 3 == 0,
    fields.GROUNDTRUTH_AREA: rows.astype(np.float32) * 100,
    fields.LABELED_CLASSES: np.ones([num_classes], bool),
    fields.SOURCE_ID: np.array(b'7'),
    fields.ORIGINAL_SIZE: np.array(np.shape(image)[:2], np.int32),
  }


def noise(height, width, seed=0):
  return np.random.RandomState(seed).randint(0, 256, [height, width, 3]).astype(np.uint8)


def _unknown_sizes(example):
  """What decoding knows of an example: neither the image's size nor the number of boxes."""
  unknown = {fields.IMAGE: 2, **dict.fromkeys(fields.PER_BOX, 1)}
  return example | {
    key: tf.compat.v1.placeholder_with_default(
      example[key], [None] * count + example[key].shape[count:].as_list()
    )
    for key, count in unknown.items()
  }


def eager_and_mapped(operation, example, seed=(3, 4)):
  """The example that comes out of an eager call and, which has to be equal, of Dataset.map."""
  seed = tf.constant(seed, tf.int32)
  eager = operation({key: tf.constant(value) for key, value in example.items()}, seed)
  mapped = tf.data.Dataset.from_tensors(example).map(
    lambda tensors: operation(_unknown_sizes(tensors), seed)
  )
  assert mapped.element_spec[fields.IMAGE].shape[2] == 3
  assert mapped.element_spec[fields.GROUNDTRUTH_BOXES].shape.as_list() == [None, 4]
  mapped_spec, mapped = mapped.element_spec, next(mapped.as_numpy_iterator())
  assert mapped.keys() == example.keys()
  for key, value in mapped.items():
    np.testing.assert_array_equal(eager[key], value, err_msg=key)
    assert eager[key].dtype == mapped_spec[key].dtype
  return mapped


def many_draws(operation, example, count=400):
  """Lists the examples of `count` seeds, through one Dataset.map."""
  example = {key: tf.constant(value) for key, value in example.items()}
  seeds = tf.data.Dataset.range(count).map(lambda i: tf.stack([11, tf.cast(i, tf.int32)]))
  return list(seeds.map(lambda seed: operation(example, seed)).as_numpy_iterator())


def assert_only_image_changed(changed, example):
  for key, value in example.items():
    if key != fields.IMAGE:
      np.testing.assert_array_equal(changed[key], value, err_msg=key)


def assert_spread(values, low, high):
  """Evenly over low to high: least, greatest and mean, of about 400 values."""
  values = np.asarray(values, np.float64)
  width = high - low
  assert low - 1e-5 <= values.min() < low + 0.03 * width
  assert high - 0.03 * width < values.max() <= high + 1e-5
  # The mean of 400 has a standard deviation of width / sqrt(12 * 400).
  assert abs(values.mean() - (low + high) / 2) < 4 * width / np.sqrt(12 * len(values))


def rows_of(example):
  """The original row numbers, after checking that all per-box keys agree on them."""
  rows = np.round(example[fields.GROUNDTRUTH_WEIGHTS] * 10).astype(int)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_IS_CROWD], rows % 2 == 0)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_DIFFICULT], rows % 2 == 1)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_GROUP_OF], rows % 3 == 0)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_AREA], rows * np.float32(100))
  assert len(example[fields.GROUNDTRUTH_BOXES]) == len(example[fields.GROUNDTRUTH_CLASSES])
  assert len(rows) == len(example[fields.GROUNDTRUTH_BOXES])
  return rows.tolist()
