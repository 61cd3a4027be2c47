"""Records with features that are not what they have to be: named by everything that reads them."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tiny_project

from ssd_tf.data import record_check, record_files, record_schema, tf_example
from ssd_tf.data.sources import tfrecord
from ssd_tf.errors import InputError
from ssd_tf.groundtruth import description
from ssd_tf.inference import input_images, records
from ssd_tf.ssd_tensorflow import data_sets

NAMES = dict(enumerate(tiny_project.NAMES, start=1))
OBJECT = 'image/object'


def features_with(**changes):
  """A sound record of two boxes, with other lists; None takes a feature out."""
  annotation = tiny_project.annotation(7, np.random.default_rng(0), num_boxes=2)
  example = tf.train.Example.FromString(tf_example.encode_example(annotation))
  for key, change in changes.items():
    feature = example.features.feature[key]
    feature.Clear()
    if change is None:
      del example.features.feature[key]
    else:
      kind, values = change
      getattr(feature, f'{kind}_list').value[:] = values
  return example


def write(path, example):
  """A file whose record 1 it is."""
  with tf.io.TFRecordWriter(str(path)) as writer:
    writer.write(features_with().SerializeToString())
    writer.write(example.SerializeToString())
  return str(path)


# Change of a record -> what is told of it.
WRONG = [
  ({'image/filename': ('int64', [3])}, 'image/filename holds integers; expected bytes'),
  ({'image/encoded': ('int64', [3])}, 'image/encoded holds integers; expected bytes'),
  ({'image/encoded': ('float', [3])}, 'image/encoded holds floats; expected bytes'),
  ({'image/height': ('bytes', [b'48'])}, 'image/height holds bytes; expected integers'),
  ({'image/height': ('float', [48])}, 'image/height holds floats; expected integers'),
  ({'image/width': ('int64', [-80])}, 'image/width is negative; expected pixels'),
  ({'image/source_id': ('int64', [3])}, 'image/source_id holds integers; expected bytes'),
  ({'image/source_id': ('bytes', [b'a', b'b'])}, 'image/source_id has 2 values; expected one'),
  ({'image/source_id': ('bytes', [b'caf\xe9'])}, 'image/source_id is not UTF-8'),
  ({'image/filename': ('bytes', [b'\xff'])}, 'image/filename is not UTF-8'),
  ({f'{OBJECT}/class/text': ('bytes', [b'a', b'\xe9'])}, 'class/text is not UTF-8'),
  ({f'{OBJECT}/bbox/xmin': ('bytes', [b'0', b'0'])}, 'bbox/xmin holds bytes; expected floats'),
  ({f'{OBJECT}/bbox/xmin': ('int64', [0, 0])}, 'bbox/xmin holds integers; expected floats'),
  ({f'{OBJECT}/class/label': ('float', [1, 2])}, 'class/label holds floats; expected integers'),
  ({f'{OBJECT}/bbox/label': ('bytes', [b'1'])}, 'bbox/label holds bytes; expected integers'),
  ({f'{OBJECT}/difficult': ('bytes', [b'0', b'1'])}, 'difficult holds bytes; expected integers'),
  ({f'{OBJECT}/difficult': ('int64', [0, 2])}, 'difficult has a number that is no flag'),
  ({f'{OBJECT}/group_of': ('int64', [-1, 0])}, 'group_of has a number that is no flag'),
  ({f'{OBJECT}/is_crowd': ('int64', [1])}, 'is_crowd has 1 entries for 2 boxes'),
  ({f'{OBJECT}/weight': ('float', [1, np.nan])}, 'weight has a number that is negative or not fin'),
  ({f'{OBJECT}/weight': ('float', [np.nan, 1])}, 'weight has a number that is negative or not fin'),
  ({f'{OBJECT}/weight': ('float', [1, -1])}, 'weight has a number that is negative or not finite'),
  ({f'{OBJECT}/weight': ('float', [1])}, 'weight has 1 entries for 2 boxes'),
  ({f'{OBJECT}/area': ('float', [np.nan, 1])}, 'area has a number that is negative or not finite'),
  ({f'{OBJECT}/area': ('float', [np.inf, 1])}, 'area has a number that is negative or not finite'),
  ({f'{OBJECT}/area': ('float', [-1, 1])}, 'area has a number that is negative or not finite'),
  ({f'{OBJECT}/area': ('float', [1, 2, 3])}, 'area has 3 entries for 2 boxes'),
  ({f'{OBJECT}/bbox/ymax': ('float', [1])}, 'ymin, xmin, ymax, xmax, class have 2, 2, 1, 2, 2'),
  ({f'{OBJECT}/class/label': ('int64', [1])}, 'ymin, xmin, ymax, xmax, class have 2, 2, 2, 2, 1'),
  ({f'{OBJECT}/class/text': ('bytes', [b'a'])}, 'class/text has 1 entries for 2 boxes'),
  ({f'{OBJECT}/score': ('float', [0.5, np.nan])}, 'score has a number that is not finite'),
  ({f'{OBJECT}/view': ('float', [0.5, 0.5])}, 'view holds floats; expected bytes'),
  ({'image/class/labeled_classes': ('bytes', [b'a'])}, 'labeled_classes holds bytes; expected int'),
]
IDS = [text.split(';')[0] for _, text in WRONG]
wrong_features = pytest.mark.parametrize(('changes', 'text'), WRONG, ids=IDS)
# What decode_example does not read, or takes for something.
NOT_DECODED = ('height', 'width', 'UTF-8', 'score', 'view', 'flag', 'text has 1')


@wrong_features
def test_every_fault_is_found_before_the_first_step(changes, text, tmp_path):
  path = write(tmp_path / 'a.record', features_with(**changes))
  with pytest.raises(InputError) as error:
    record_check.check_records([path], 3, NAMES)
  assert text.split(';')[0] in str(error.value) and '\n' not in str(error.value)
  assert f'{path}, record 1' in str(error.value)


@wrong_features
def test_reading_an_annotation_tells_it(changes, text):
  record = features_with(**changes).SerializeToString()
  with pytest.raises(InputError) as error:
    tf_example.parse_example(record, 'a.record, record 1')
  assert text in str(error.value) and str(error.value).startswith('a.record, record 1')
  if 'image/source_id' not in changes:
    assert 'source_id image 7' in str(error.value)


@wrong_features
def test_what_slips_through_the_first_look_is_named_when_it_is_decoded(changes, text, tmp_path):
  path = write(tmp_path / 'a.record', features_with(**changes))
  decode = functools.partial(tf_example.decode_example, num_classes=3)
  if any(part in text for part in NOT_DECODED):
    for _ in tf.data.TFRecordDataset(path).map(decode):
      pass
    return
  with (
    pytest.raises(InputError, match=r'a\.record: record 1 ') as error,
    record_files.explained_errors([([path], decode)]),
  ):
    for _ in tf.data.TFRecordDataset(path).map(decode):
      pass
  assert '\n' not in str(error.value)
  assert text in str(error.value) or 'another length' in str(error.value)


def test_a_sound_record_has_no_fault():
  for changes in (
    {},
    {f'{OBJECT}/weight': ('float', [0, 1]), f'{OBJECT}/area': ('float', [0, 5])},
    {f'{OBJECT}/class/text': None},
    {f'{OBJECT}/class/label': None},
    {f'{OBJECT}/class/label': None, f'{OBJECT}/class/text': None},  # To draw, for instance.
    {f'{OBJECT}/difficult': ('int64', [0, 1]), f'{OBJECT}/group_of': None},
    {'image/source_id': ('bytes', ['café'.encode()])},
    {'image/height': None, 'image/width': None, 'image/format': None},
    {'image/other': ('float', [np.nan])},
  ):
    assert list(record_schema.faults(features_with(**changes).features.feature)) == []


def test_a_class_id_beyond_32_bits_is_no_class():
  record = features_with(**{f'{OBJECT}/class/label': ('int64', [1, 2**32 + 1])})
  with pytest.raises(tf.errors.InvalidArgumentError, match='class ids must lie in 1..3'):
    tf_example.decode_example(tf.constant(record.SerializeToString()), 3)


def test_a_box_that_is_not_finite_does_not_train():
  record = features_with(**{f'{OBJECT}/bbox/ymin': ('float', [0.1, np.nan])})
  with pytest.raises(tf.errors.InvalidArgumentError, match='finite'):
    tf_example.decode_example(tf.constant(record.SerializeToString()), 3)


def test_an_image_that_does_not_decode_is_named(tmp_path):
  path = write(tmp_path / 'a.record', features_with(**{'image/encoded': ('bytes', [b'\x89PNG'])}))
  assert record_check.check_records([path], 3, NAMES).num_records == 2  # Pixels are not looked at.
  decode = functools.partial(tf_example.decode_example, num_classes=3)
  with (
    pytest.raises(InputError, match=r"a\.record: record 1 .*source_id 'image 7'"),
    record_files.explained_errors([([path], decode)]),
  ):
    for _ in tf.data.TFRecordDataset(path).map(decode):
      pass


def test_no_example_at_all_is_named(tmp_path):
  path = str(tmp_path / 'a.record')
  with tf.io.TFRecordWriter(path) as writer:
    writer.write(b'no protocol buffer')
  decode = functools.partial(tf_example.decode_example, num_classes=3)
  with (
    pytest.raises(InputError, match=r'a\.record: record 0 .* is no tf.train.Example'),
    record_files.explained_errors([([path], decode)]),
  ):
    for _ in tf.data.TFRecordDataset(path).map(decode):
      pass


def describe(path):
  description.describe_records([path], NAMES)


def merge(path):
  source = tfrecord.open_source([path], NAMES)
  for item in source.items:
    source.read(item)


def annotate(path):
  list(records.read_annotations([path], NAMES))


def count(path):
  data_sets.count_classes([path])


@pytest.mark.parametrize('tool', [describe, merge, annotate, count])
@pytest.mark.parametrize(
  ('changes', 'text'),
  [
    ({'image/filename': ('int64', [3])}, 'image/filename holds integers'),
    ({f'{OBJECT}/class/label': ('float', [1, 2])}, 'class/label holds floats'),
    ({f'{OBJECT}/bbox/xmin': ('bytes', [b'0', b'0'])}, 'bbox/xmin holds bytes'),
    ({f'{OBJECT}/class/text': ('bytes', [b'a', b'\xe9'])}, 'class/text is not UTF-8'),
  ],
)
def test_every_tool_names_file_record_and_source_id(tool, changes, text, tmp_path):
  path = write(tmp_path / 'a.record', features_with(**changes))
  with pytest.raises(InputError) as error:
    tool(path)
  assert text in str(error.value) and '\n' not in str(error.value)
  assert f'{path}, record 1' in str(error.value) and 'image 7' in str(error.value)


def test_detecting_passes_over_what_it_names(tmp_path, caplog):
  path = write(tmp_path / 'a.record', features_with(**{'image/filename': ('int64', [3])}))
  (image,) = input_images.from_records([path])
  assert image.name == 'image_7.png'
  assert f'{path}, record 1' in caplog.text and 'image/filename holds integers' in caplog.text


def test_a_class_that_the_label_map_lacks_is_named(tmp_path):
  """That is beyond the records which are looked at before."""
  for changes in (
    {f'{OBJECT}/class/label': None, f'{OBJECT}/class/text': ('bytes', [b'a', b'cow'])},
    {f'{OBJECT}/class/text': None, f'{OBJECT}/class/label': ('int64', [1, 9])},
  ):
    path = write(tmp_path / 'a.record', features_with(**changes))
    with pytest.raises(InputError, match=r'a\.record, record 1.*(cow|9)'):
      annotate(path)
