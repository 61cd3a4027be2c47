"""Records of SSD-Tensorflow's converter are read as those of the Object Detection API are."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data import record_check, tf_example
from ssd_tf.data.sources import ssd_tensorflow

# Not square; a box, a tiny one, and one on the border.
BOXES = np.float32([[0.25, 0.125, 0.75, 0.5], [0.5, 0.5, 0.51, 0.51], [0, 0, 1, 1]])


def feature(values):
  if isinstance(values[0], bytes):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
  if isinstance(values[0], int):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
  return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def theirs(boxes=BOXES, labels=(15, 15, 7), difficult=(0, 1, 0)):
  """A record with the features that SSD-Tensorflow's pascalvoc_to_tfrecords writes, no others."""
  pixels = np.zeros([16, 24, 3], np.uint8)
  features = {
    'image/encoded': [tf.io.encode_jpeg(pixels).numpy()],
    'image/format': [b'JPEG'],
    'image/height': [16],
    'image/width': [24],
    'image/channels': [3],
    'image/shape': [16, 24, 3],
  }
  if len(boxes):
    sides = zip(('ymin', 'xmin', 'ymax', 'xmax'), np.float64(boxes).T.tolist(), strict=True)
    features |= {f'image/object/bbox/{side}': values for side, values in sides}
    features['image/object/bbox/label'] = list(labels)
    features['image/object/bbox/label_text'] = [b'person' if i == 15 else b'car' for i in labels]
    features['image/object/bbox/difficult'] = list(difficult)
    features['image/object/bbox/truncated'] = [1, 0, 0]
  example = tf.train.Example(
    features=tf.train.Features(feature={name: feature(v) for name, v in features.items()})
  )
  return example.SerializeToString()


def in_a_data_set(record):
  data_set = tf.data.Dataset.from_tensors(record)
  return next(iter(data_set.map(lambda r: tf_example.decode_example(r, num_classes=20))))


@pytest.mark.parametrize('decode', [in_a_data_set, lambda r: tf_example.decode_example(r, 20)])
def test_their_record_decodes(decode):
  example = decode(theirs())
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_BOXES], BOXES)
  assert example[fields.GROUNDTRUTH_CLASSES].numpy().tolist() == [15, 15, 7]
  assert example[fields.GROUNDTRUTH_DIFFICULT].numpy().tolist() == [False, True, False]
  assert example[fields.ORIGINAL_SIZE].numpy().tolist() == [16, 24]


def test_their_record_without_boxes_decodes():
  example = tf_example.decode_example(theirs(boxes=[]), 20)
  assert example[fields.GROUNDTRUTH_BOXES].shape == (0, 4)
  assert example[fields.GROUNDTRUTH_CLASSES].shape == (0,)


def test_their_record_parses():
  annotation = tf_example.parse_example(theirs())
  assert annotation.class_ids.tolist() == [15, 15, 7]
  assert annotation.class_names == ['person', 'person', 'car']
  assert annotation.difficult.tolist() == [False, True, False]
  assert annotation.truncated.tolist() == [True, False, False]
  assert tf_example.parse_example(theirs(boxes=[])).class_ids.tolist() == []


def test_the_apis_keys_count_where_both_are():
  example = tf.train.Example.FromString(theirs())
  example.features.feature['image/object/class/label'].int64_list.value[:] = [1, 2, 3]
  record = example.SerializeToString()
  assert tf_example.decode_example(record, 20)[fields.GROUNDTRUTH_CLASSES].numpy().tolist() == [
    1, 2, 3,
  ]  # fmt: skip
  assert tf_example.parse_example(record).class_ids.tolist() == [1, 2, 3]


def test_a_check_counts_their_classes(tmp_path):
  path = str(tmp_path / 'a.tfrecord')
  with tf.io.TFRecordWriter(path) as writer:
    writer.write(theirs())
  summary = record_check.check_records([path], 20, {})
  assert (summary.class_counts, summary.num_boxes) == ({15: 2, 7: 1}, 3)


def test_either_stack_can_read_a_record_with_added_keys():
  annotation = tf_example.parse_example(theirs())
  annotation.filename = annotation.source_id = 'a.jpg'
  record = ssd_tensorflow.add_keys(tf_example.encode_example(annotation))
  written = tf.train.Example.FromString(record).features.feature
  wanted = tf.train.Example.FromString(theirs()).features.feature
  for name in wanted:
    if name != 'image/format':  # JPEG there; their reader takes any but PNG and raw for it.
      assert written[name] == wanted[name], name
  assert written['image/object/class/label'].int64_list.value == [15, 15, 7]
  assert written['image/object/difficult'].int64_list.value == [0, 1, 0]
