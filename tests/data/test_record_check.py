import functools
import os

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.data import record_check, record_files, tf_example
from ssd_tf.errors import InputError

LABEL_NAMES = {1: 'cat', 2: 'dog'}
JPEG = tf.io.encode_jpeg(np.zeros([4, 6, 3], np.uint8)).numpy()


def make_record(boxes=((0.1, 0.2, 0.5, 0.6),), class_ids=None, encoded=JPEG, source_id='7'):
  class_ids = [1] * len(boxes) if class_ids is None else class_ids
  return tf_example.encode_example(
    tf_example.Annotation(
      encoded=encoded,
      format='jpeg',
      height=4,
      width=6,
      filename=f'{source_id}.jpg',
      source_id=source_id,
      boxes=np.array(boxes, np.float32).reshape([-1, 4]),
      class_ids=np.array(class_ids),
      class_names=['bird' if i > 2 else 'cat' for i in class_ids],
    )
  )


@pytest.fixture
def write(tmp_path):
  def write_file(*records, name='a.record'):
    path = str(tmp_path / name)
    with tf.io.TFRecordWriter(path) as writer:
      for record in records:
        writer.write(record)
    return path

  return write_file


def check(*paths, num_classes=2, **options):
  return record_check.check_records(paths, num_classes, LABEL_NAMES, **options)


def test_summary_counts_images_boxes_and_classes(write):
  full = [(0.0, 0.0, 1.0, 1.0), (0.5, 0.5, 0.501, 0.501), (0.2, 0.2, 0.2, 0.4)]
  first = write(make_record(full, [1, 2, 2]), make_record([]))
  second = write(make_record(), name='b.record')
  summary = check(first, second, max_num_boxes=2)
  assert summary == record_check.RecordSummary(
    num_files=2,
    num_records=3,
    is_complete=True,
    num_boxes=4,
    class_counts={1: 2, 2: 2},
    num_images_without_boxes=1,
    num_images_cut=1,
    num_boxes_without_area=1,
    max_boxes=3,
    labeled_sets={frozenset({1, 2}): 3},
  )
  assert str(summary) == (
    '3 records checked (all of 2 files): 4 boxes, 1 without area, at most 3 in an image, 1 images '
    'have more than are used; 1 images without boxes; boxes of each class id: {1: 2, 2: 2}'
  )


def test_limit_is_spread_over_the_files(write):
  paths = [write(*[make_record()] * 5, name=f'{i}.record') for i in range(2)]
  summary = check(*paths, max_records=6)
  assert (summary.num_records, summary.is_complete) == (6, False)
  assert '6 records checked (a part of 2 files)' in str(summary)


@pytest.mark.parametrize(
  ('record', 'message'),
  [
    (
      make_record([(0, 0, 1, 1)] * 3, [1, 15, 15]),
      r'2 boxes of class id 15 \(bird\) lie outside 1\.\.2: raise num_classes to 15 or more, or '
      r'map the class to one .*class_map of the reader .*\(.*a\.record, record 1, source_id 7\)',
    ),
    (make_record(class_ids=[0]), r"1 boxes of class 'cat' have id 0, which is background"),
    (make_record(class_ids=[-1]), r'1 boxes of class id -1 \(cat\) lie outside 1\.\.2: correct'),
    (make_record([(0.5, 0.1, 0.4, 0.2)]), '1 boxes with min > max, or not finite'),
    (make_record([(0.5, 0.1, np.nan, 0.2)]), '1 boxes with min > max, or not finite'),
    (make_record([(0, 0, 1, 1), (0, 0, 1, 1.01)]), '1 boxes reach outside the image'),
    (make_record([(-0.01, 0, 1, 1)]), '1 boxes reach outside the image'),
    (make_record(encoded=b''), '1 images of zero bytes'),
    (make_record(encoded=b'<html>'), '1 images that are no JPEG, PNG, GIF or BMP'),
    (b'no protocol buffer', r'1 records are no tf.train.Example.*a\.record, record 1\)'),
  ],
)
def test_a_record_at_fault_is_named(write, record, message):
  with pytest.raises(InputError, match=message):
    check(write(make_record(source_id='6'), record))


def test_a_class_that_the_label_map_lacks_is_named(write):
  path = write(make_record(class_ids=[1]), make_record(class_ids=[3]))
  with pytest.raises(InputError, match=r'1 boxes of class id 3 \(bird\) have no name in the label'):
    check(path, num_classes=3)
  assert record_check.check_records([path], 3, {}).class_counts == {1: 1, 3: 1}


def test_everything_is_reported_at_once_with_the_first_places(write):
  records = [make_record(class_ids=[3], source_id=str(i)) for i in range(5)]
  with pytest.raises(InputError) as error:
    check(write(*records, make_record([(0, 0, 2, 2)])))
  assert str(error.value).startswith('6 records checked: 5 boxes of class id 3 (bird) lie outside')
  assert 'source_id 2; and 2 more); 1 boxes reach outside' in str(error.value)
  assert '\n' not in str(error.value)


def test_lists_of_unequal_length_are_named(write):
  example = tf.train.Example.FromString(make_record())
  del example.features.feature['image/object/bbox/xmax']
  with pytest.raises(InputError, match='ymin, xmin, ymax, xmax, class have 1, 1, 1, 0, 1 entries'):
    check(write(example.SerializeToString()))


def test_class_texts_stand_in_for_missing_labels(write):
  example = tf.train.Example.FromString(make_record())
  del example.features.feature['image/object/class/label']
  assert check(write(example.SerializeToString())).class_counts == {1: 1}
  example.features.feature['image/object/class/text'].bytes_list.value[:] = [b'cow']
  with pytest.raises(InputError, match="class 'cow' have id 0, which is background, or no id"):
    check(write(example.SerializeToString()))


def damage(path, size=None, flip=None):
  with open(path, 'rb') as file:
    content = bytearray(file.read())
  if flip is not None:
    content[flip] ^= 255
  with open(path, 'wb') as file:
    file.write(content[:size])


def test_a_damaged_file_is_named_with_its_record(write):
  good = write(make_record(), name='good.record')
  path = write(*[make_record()] * 3)
  length = os.path.getsize(path) // 3
  damage(path, flip=length + 40)
  with pytest.raises(InputError, match=r'a\.record: record 1 \(counted from 0\) cannot be read'):
    check(good, path)


def test_a_file_cut_short_is_named_when_counted_and_when_read(write):
  path = write(*[make_record()] * 3)
  assert record_files.count_records(path) == 3
  damage(path, size=os.path.getsize(path) - 5)
  with pytest.raises(InputError, match=r'a\.record: record 2 .* reaches beyond the end'):
    record_files.count_records(path)
  with pytest.raises(InputError, match=r'a\.record: record 2 .* cannot be read \(truncated'):
    check(path)


def test_no_tfrecord_file_at_all(tmp_path):
  path = str(tmp_path / 'labels.csv')
  with open(path, 'w') as file:
    file.write('filename,width,height,class,xmin,ymin,xmax,ymax\n')
  with pytest.raises(InputError, match=r'labels\.csv: record 0 .* no TFRecord file'):
    check(path)
  open(path, 'w').close()
  with pytest.raises(InputError, match=r'labels\.csv: no record in there'):
    check(path)


def decode(serialized):
  return tf_example.decode_example(serialized, 2)


def test_an_error_of_the_running_pipeline_is_traced_to_its_record(write):
  # An image that begins like a JPEG: only decoding can tell.
  path = write(make_record(), make_record(encoded=JPEG[:200], source_id='cut'))
  dataset = tf.data.TFRecordDataset(path).map(decode)
  undecodable = r"a\.record: record 1 \(counted from 0, source_id 'cut'\) does not decode"
  explained = functools.partial(record_files.explained_errors, [([path], decode)])
  with pytest.raises(InputError, match=undecodable), explained():
    list(dataset)
  damage(path, flip=40)
  damaged = r'a\.record: record 0 \(counted from 0\) cannot be read'
  with pytest.raises(InputError, match=damaged), explained():
    list(dataset)


@pytest.mark.parametrize(
  'error',
  [
    tf.errors.InvalidArgumentError(None, None, 'shapes differ'),
    tf.errors.ResourceExhaustedError(None, None, 'out of memory'),
  ],
)
def test_an_error_that_is_no_records_fault_passes_unchanged(write, error):
  path = write(make_record())
  with pytest.raises(type(error)) as raised, record_files.explained_errors([([path], decode)]):
    raise error
  assert raised.value is error
