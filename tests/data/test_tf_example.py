import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tf import fields
from ssd_tf.data import tf_example

# Not square, and 3 pixels alike in no two channels: a swap of sides or channels would show.
PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


def image_bytes(image_format, pixels=PIXELS):
  stream = io.BytesIO()
  Image.fromarray(pixels).save(stream, image_format)
  return stream.getvalue()


def annotation(**changes):
  values = {
    'encoded': image_bytes('PNG'),
    'format': 'png',
    'height': 4,
    'width': 6,
    'filename': 'été.png',
    'source_id': '17',
    # A plain box, one on the border, a tiny one.
    'boxes': np.float32([[0.25, 0.5, 0.75, 1.0], [0, 0, 1, 1], [0.5, 0.5, 0.51, 0.52]]),
    'class_ids': np.array([2, 1, 3]),
    'class_names': ['b', 'a', 'ç'],
  }
  return tf_example.Annotation(**{**values, **changes})


def decode(serialized, how, num_classes=3, **kwargs):
  def call(record):
    return tf_example.decode_example(record, num_classes, **kwargs)

  if how == 'eager':
    example = call(tf.constant(serialized))
  else:
    example = next(iter(tf.data.Dataset.from_tensors(serialized).map(call)))
  return {key: value.numpy() for key, value in example.items()}


both = pytest.mark.parametrize('how', ['eager', 'map'])


@both
def test_absent_keys_take_their_defaults(how):
  example = decode(tf_example.encode_example(annotation()), how)
  np.testing.assert_array_equal(example[fields.IMAGE], PIXELS)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_BOXES], annotation().boxes)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_CLASSES], [2, 1, 3])
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_WEIGHTS], [1, 1, 1])
  for key in (
    fields.GROUNDTRUTH_IS_CROWD,
    fields.GROUNDTRUTH_DIFFICULT,
    fields.GROUNDTRUTH_GROUP_OF,
  ):
    np.testing.assert_array_equal(example[key], [False] * 3)
  # 24 pixels: (.5 * .5, 1 * 1, .01 * .02) * 24.
  np.testing.assert_allclose(example[fields.GROUNDTRUTH_AREA], [6, 24, 0.0048], rtol=1e-5)
  np.testing.assert_array_equal(example[fields.LABELED_CLASSES], [True] * 3)
  assert example[fields.SOURCE_ID] == b'17'
  np.testing.assert_array_equal(example[fields.ORIGINAL_SIZE], [4, 6])
  assert {key: value.dtype for key, value in example.items() if key != fields.SOURCE_ID} == {
    fields.IMAGE: np.uint8,
    fields.GROUNDTRUTH_BOXES: np.float32,
    fields.GROUNDTRUTH_CLASSES: np.int32,
    fields.GROUNDTRUTH_WEIGHTS: np.float32,
    fields.GROUNDTRUTH_IS_CROWD: bool,
    fields.GROUNDTRUTH_DIFFICULT: bool,
    fields.GROUNDTRUTH_GROUP_OF: bool,
    fields.GROUNDTRUTH_AREA: np.float32,
    fields.LABELED_CLASSES: bool,
    fields.ORIGINAL_SIZE: np.int32,
  }


@both
def test_every_field_survives_writing_and_reading(how):
  written = annotation(
    difficult=np.array([True, False, False]),
    truncated=np.array([False, False, True]),
    is_crowd=np.array([False, True, False]),
    group_of=np.array([False, False, True]),
    area=np.float32([5, 20, 0.5]),
    weights=np.float32([0.5, 0, 2]),
    views=['Left', 'Frontal', ''],
    labeled_classes=[1, 3],
  )
  serialized = tf_example.encode_example(written)
  example = decode(serialized, how)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_DIFFICULT], written.difficult)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_IS_CROWD], written.is_crowd)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_GROUP_OF], written.group_of)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_AREA], written.area)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_WEIGHTS], written.weights)
  np.testing.assert_array_equal(example[fields.LABELED_CLASSES], [True, False, True])

  read = tf_example.parse_example(serialized)
  for name, value in vars(written).items():
    if isinstance(value, np.ndarray):
      np.testing.assert_array_equal(getattr(read, name), value, name)
    elif name != 'remarks':
      assert getattr(read, name) == value, name


@both
def test_no_boxes_and_no_labeled_classes(how):
  empty = annotation(
    boxes=np.zeros([0, 4]), class_ids=np.zeros([0]), class_names=[], labeled_classes=[]
  )
  serialized = tf_example.encode_example(empty)
  example = decode(serialized, how)
  assert example[fields.GROUNDTRUTH_BOXES].shape == (0, 4)
  for key in fields.PER_BOX[1:]:
    assert example[key].shape == (0,), key
  np.testing.assert_array_equal(example[fields.LABELED_CLASSES], [False] * 3)
  assert tf_example.parse_example(serialized).labeled_classes == []
  assert tf_example.parse_example(serialized).boxes.shape == (0, 4)


@both
@pytest.mark.parametrize('image_format', ['PNG', 'BMP', 'GIF', 'JPEG'])
def test_image_formats(how, image_format):
  encoded = image_bytes(image_format)
  serialized = tf_example.encode_example(annotation(encoded=encoded, height=0, width=0))
  example = decode(serialized, how)
  expected = np.asarray(Image.open(io.BytesIO(encoded)).convert('RGB'))
  # Two JPEG decoders may round differently; TensorFlow's uses a faster transform.
  tolerance = 4 if image_format == 'JPEG' else 0
  np.testing.assert_allclose(
    example[fields.IMAGE].astype(int), expected.astype(int), atol=tolerance
  )
  np.testing.assert_array_equal(example[fields.ORIGINAL_SIZE], [4, 6])


def test_gray_image_becomes_three_channels():
  serialized = tf_example.encode_example(annotation(encoded=image_bytes('PNG', PIXELS[..., 0])))
  image = decode(serialized, 'eager')[fields.IMAGE]
  np.testing.assert_array_equal(image, np.repeat(PIXELS[..., :1], 3, axis=-1))


def strip(serialized, *keys):
  example = tf.train.Example.FromString(serialized)
  for key in keys:
    del example.features.feature[key]
  return example.SerializeToString()


@both
def test_class_texts_serve_where_labels_lack(how):
  serialized = tf_example.encode_example(annotation())
  without = strip(serialized, 'image/object/class/label')
  names = {'a': 3, 'ç': 1, 'b': 2, 'unused': 7}
  example = decode(without, how, name_to_id=names)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_CLASSES], [2, 3, 1])
  # Labels, where there, are what counts.
  example = decode(serialized, how, name_to_id=names)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_CLASSES], [2, 1, 3])


@both
def test_source_id_falls_back_to_file_name_then_hash(how):
  serialized = tf_example.encode_example(annotation())
  example = decode(strip(serialized, 'image/source_id'), how)
  assert example[fields.SOURCE_ID].decode() == 'été.png'
  bare = strip(serialized, 'image/source_id', 'image/filename')
  assert int(decode(bare, how)[fields.SOURCE_ID]) > 0


@both
@pytest.mark.parametrize(
  'serialized,words',
  [
    (
      tf_example.encode_example(annotation(class_ids=[2, 15, 3])),
      ['1..3', '15', '17'],
    ),
    (strip(tf_example.encode_example(annotation()), 'image/object/bbox/xmax'), ['length', '17']),
    (strip(tf_example.encode_example(annotation()), 'image/object/class/label'), ['length', '17']),
  ],
)
def test_faulty_record_is_named(how, serialized, words):
  with pytest.raises(tf.errors.InvalidArgumentError) as error:
    decode(serialized, how)
  for word in words:
    assert word in str(error.value)


def test_unknown_class_text_is_refused():
  without = strip(tf_example.encode_example(annotation()), 'image/object/class/label')
  with pytest.raises(tf.errors.InvalidArgumentError, match='must lie in 1..3.*\n?.*0,? 1,? 0'):
    decode(without, 'eager', name_to_id={'a': 1})


def test_per_box_field_of_another_length_is_refused():
  with pytest.raises(ValueError, match='été.png: weight has 2 entries; expected 3'):
    tf_example.encode_example(annotation(weights=np.float32([1, 1])))


def test_keys_of_the_object_detection_api():
  serialized = tf_example.encode_example(
    annotation(area=np.ones(3), weights=np.ones(3), views=['', '', ''], labeled_classes=[1])
  )
  features = tf.train.Example.FromString(serialized).features.feature
  names = ['encoded', 'format', 'height', 'width', 'filename', 'source_id', 'key/sha256']
  names += [f'object/bbox/{side}' for side in ('ymin', 'xmin', 'ymax', 'xmax')]
  names += ['object/class/text', 'object/class/label', 'class/labeled_classes']
  flags = ('difficult', 'truncated', 'is_crowd', 'group_of', 'area', 'weight', 'view')
  names += [f'object/{name}' for name in flags]
  assert set(features) == {f'image/{name}' for name in names}


def test_keys_are_written_in_the_order_of_their_names():
  # As a map they would come in an order of the process's own: other bytes at each run.
  serialized = tf_example.encode_example(annotation())
  keys = list(tf.train.Example.FromString(serialized).features.feature)
  places = [serialized.index(b'\n' + bytes([len(key)]) + key.encode()) for key in sorted(keys)]
  assert len(keys) == 17 and places == sorted(places)
