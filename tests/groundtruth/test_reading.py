"""The table of groundtruth held to records written by hand."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf
import tiny_project

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.config.reader_classes import ReaderClasses
from ssd_tf.data import tf_example
from ssd_tf.errors import InputError
from ssd_tf.groundtruth.reading import read_reader_table, read_table

NAMES = {1: 'a', 2: 'b', 3: 'c'}
SAME = ReaderClasses(3, NAMES, frozenset([1, 2]), None)
# The records' b becomes the model's 1, their a is dropped, their c is not known; the model's 4 is
# nobody's.
MAPPED = ReaderClasses(3, NAMES, frozenset([1, 2]), {1: 0, 2: 1}, frozenset([4]))


def image(number, boxes, class_ids, **changes):
  """An image of 48 x 80 pixels."""
  found = tiny_project.annotation(number, np.random.default_rng(number), num_boxes=0)
  values = {
    'boxes': np.array(boxes, np.float32).reshape(-1, 4),
    'class_ids': np.array(class_ids, np.int64),
    'class_names': [NAMES.get(i, 'other') for i in class_ids],
    'source_id': f'image {number}',
  }
  return dataclasses.replace(found, **{**values, **changes})


WHOLE, LEFT = [0, 0, 1, 1], [0, 0, 1, 0.5]
IMAGES = [
  image(0, [WHOLE, LEFT], [1, 2], area=np.float32([100, 200]), is_crowd=np.array([True, False])),
  image(1, [], [], labeled_classes=[3], height=0, width=0),
  image(2, [LEFT, [0.5, 0, 0.5, 1], [0, 0, np.nan, 1]], [2, 2, 9], height=24, width=40,
        weights=np.float32([0.5, 1, 1]), sources=['human', 'pseudo', 'pseudo'],
        difficult=np.array([False, True, False]), group_of=np.array([True, False, False])),
]  # fmt: skip


@pytest.fixture
def path(tmp_path):
  tiny_project.write_records(tmp_path / 'a.record', IMAGES)
  return str(tmp_path / 'a.record')


def test_columns(path):
  found = read_table([path], SAME)
  assert (found.num_images, found.num_records, found.is_complete) == (3, 3, True)
  assert found.place(2) == (path, 2, 'image 2')
  # By the record, else by the image; what the image really has.
  np.testing.assert_array_equal(found.sizes, [[48, 80], [48, 80], [24, 40]])
  np.testing.assert_array_equal(found.header_sizes, [[48, 80]] * 3)
  # A box that holds a group tells that its class is not labeled exhaustively.
  assert list(found.labeled) == [{1, 2}, {3}, {1}]
  assert found.says_labeled.tolist() == [False, True, False]
  assert found.image_index.tolist() == [0, 0, 2, 2, 2]
  assert found.image_starts.tolist() == [0, 2, 2, 5]
  assert found.class_ids.tolist() == [1, 2, 2, 2, 9]
  assert found.model_class_ids.tolist() == [1, 2, 2, 2, 0]
  assert list(found.class_texts) == ['a', 'b', 'b', 'b', 'other']
  np.testing.assert_array_equal(found.boxes[:2], [WHOLE, LEFT])
  assert found.has_area.tolist() == found.usable.tolist() == [True, True, True, False, False]
  # As annotated; 24 * 20; none.
  np.testing.assert_array_equal(found.areas[:4], [100, 200, 480, 0])
  assert found.is_crowd.tolist() == [True, False, False, False, False]
  assert found.group_of.tolist() == [False, False, True, False, False]
  assert found.difficult.tolist() == [False, False, False, True, False]
  assert found.weights.tolist() == [1, 1, 0.5, 1, 1]
  assert list(found.box_sources) == ['', '', 'human', 'pseudo', 'pseudo']
  assert found.sampled(2).tolist() == [True, False, True]


def test_classes_of_the_model(path):
  found = read_table([path], MAPPED)
  assert found.model_class_ids.tolist() == [0, 1, 1, 1, 0]
  assert list(found.labeled) == [{1, 4}, {4}, {4}]
  assert found.usable.tolist() == [False, True, True, False, False]


def test_names_serve_where_ids_lack(tmp_path):
  example = tf.train.Example.FromString(tf_example.encode_example(IMAGES[2]))
  del example.features.feature['image/object/class/label']
  path = str(tmp_path / 'a.record')
  with tf.io.TFRecordWriter(path) as writer:
    writer.write(example.SerializeToString())
  assert read_table([path], SAME).class_ids.tolist() == [2, 2, 0]


def test_no_record_and_no_box(tmp_path):
  tiny_project.write_records(tmp_path / 'a.record', [])
  tiny_project.write_records(tmp_path / 'b.record', IMAGES[1:2])
  for name, num_images in (('a', 0), ('b', 1)):
    found = read_table([str(tmp_path / f'{name}.record')], SAME)
    assert (found.num_images, found.boxes.shape) == (num_images, (0, 4))
    assert found.sizes.shape == (num_images, 2)
    assert found.areas.shape == found.usable.shape == (0,)


def test_the_same_image_has_the_same_hash(tmp_path):
  path = str(tmp_path / 'a.record')
  tiny_project.write_records(path, [IMAGES[0], IMAGES[2], image(0, [], [])])
  first, other, copy = read_table([path], SAME).image_hashes
  assert first == copy != other


def test_records_are_spread_evenly(tmp_path):
  paths = [str(tmp_path / name) for name in ('a.record', 'b.record')]
  for i, path in enumerate(paths):
    tiny_project.write_records(path, [image(10 * i + k, [], []) for k in range(5)])
  found = read_table(paths, SAME, max_records=5)
  assert (found.num_records, found.is_complete, found.part) == (10, False, ' looked at')
  assert found.positions.tolist() == [0, 2, 4, 6, 8]
  assert found.record_numbers.tolist() == [0, 2, 4, 1, 3]
  assert list(found.paths) == [paths[0]] * 3 + [paths[1]] * 2


def test_a_table_is_read_again_only_when_something_changed(path):
  first = read_table([path], SAME)
  assert read_table([path], SAME) is first
  assert read_table([path], MAPPED) is not first
  os.utime(path, (0, 0))
  assert read_table([path], SAME) is not first
  with pytest.raises(ValueError, match='read-only'):
    first.boxes[0] = 0


def test_faulty_records_are_refused_or_left_out(path):
  with tf.io.TFRecordWriter(path) as writer:
    for record in (IMAGES[0], b'\xff\xff', IMAGES[2]):
      writer.write(record if isinstance(record, bytes) else tf_example.encode_example(record))
  with pytest.raises(InputError, match=r'a.record, record 1 \(counted from 0\): is no tf'):
    read_table([path], SAME)
  assert read_table([path], SAME, skips_faulty=True).record_numbers.tolist() == [0, 2]
  with open(path, 'r+b') as file:
    file.truncate(os.path.getsize(path) - 20)
  with pytest.raises(InputError, match=r'a.record: record 2 \(counted from 0\) reaches beyond'):
    read_table([path], SAME)
  found = read_table([path], SAME, skips_faulty=True)
  assert (found.record_numbers.tolist(), found.num_records) == ([], 0)


def test_a_reader_refuses_what_cannot_be_matched_with_its_classes(tmp_path):
  tiny_project.make(tmp_path)
  pipeline, field = Pipeline.load(str(tmp_path / 'tiny.config')), 'train_input_reader'
  assert read_reader_table(pipeline, field).num_images == 10
  for wrong, message in (
    (
      image(1, [WHOLE], [7]),
      r'record 1 \(.*\): has a box of class id 7; expected one of \[1, 2, 3',
    ),
    (image(1, [WHOLE], [1], height=0, encoded=b'\xff\xd8\xff'), 'its image has no known size'),
  ):
    tiny_project.write_records(tmp_path / 'train.record', [IMAGES[0], wrong])
    with pytest.raises(InputError, match=message):
      read_reader_table(pipeline, field)
    assert read_reader_table(pipeline, field, skips_faulty=True).num_images == 2
