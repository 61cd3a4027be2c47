"""Records: an image and its groundtruth as a tf.train.Example, by the Object Detection API's keys.

official.vision's TfExampleDecoder is not used: it has neither weight, difficult nor group_of,
silently fills in a missing label, and importing it loads tf_keras beside Keras 3.
"""

import hashlib
from collections.abc import Collection, Mapping

import numpy as np
import tensorflow as tf
from google.protobuf import message

from ssd_tf import fields
from ssd_tf.data import image_files, partial_labels, record_files, record_schema
from ssd_tf.data.annotation import BOX_FIELDS, BOX_SIDES, IMAGE_CLASSES, Annotation
from ssd_tf.data.record_schema import or_default
from ssd_tf.errors import InputError

# What training and evaluation are given of each box, besides its class.
_DECODED = [
  field for field in BOX_FIELDS if field.example_key not in (None, fields.GROUNDTRUTH_CLASSES)
]


def encode_example(annotation: Annotation) -> bytes:
  """Serializes an annotated image as a tf.train.Example.

  Optional fields that are None are left out of the record, but the flags, which become 0. An empty
  list of classes is written as the single id 0: a record cannot tell an empty list from an absent
  one.

  Raises:
    ValueError: a per-box field has not n entries.

  Source: the keys of the Object Detection API's dataset tools.
  """
  n = len(annotation.boxes)
  boxes = np.asarray(annotation.boxes, np.float32).reshape(n, 4)
  features = {
    'image/encoded': _bytes([annotation.encoded]),
    'image/format': _bytes([annotation.format]),
    'image/height': _ints([annotation.height]),
    'image/width': _ints([annotation.width]),
    'image/filename': _bytes([annotation.filename]),
    'image/source_id': _bytes([annotation.source_id]),
    'image/key/sha256': _bytes([hashlib.sha256(annotation.encoded).hexdigest()]),
  }
  for i, side in enumerate(BOX_SIDES):
    features[f'image/object/bbox/{side}'] = _floats(boxes[:, i])
  for field in BOX_FIELDS:
    if getattr(annotation, field.name) is None and not field.is_always_written:
      continue
    values = annotation.values(field)
    if len(values) != n:
      name = field.key.removeprefix('image/object/')
      raise ValueError(
        f'{annotation.filename}: {name} has {len(values)} entries; expected {n}, one for each box'
      )
    features[field.key] = _TO_FEATURE[field.kind](values)
  for name, key in IMAGE_CLASSES.items():
    ids = getattr(annotation, name)
    if ids is not None:
      features[key] = _ints(ids or [0])
  return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
    deterministic=True  # Otherwise the order of the keys, and so the bytes, vary from run to run.
  )


def parse_example(serialized: bytes, place: str = 'a record') -> Annotation:
  """Reads a record back as an Annotation, without decoding the image; for listing and checking.

  What the record lacks is '', 0, empty or None. It has as many class ids as boxes, or none.

  Raises:
    InputError: it is no tf.train.Example, or has `record_schema.faults`; names the source_id.
  """
  try:
    features = tf.train.Example.FromString(serialized).features.feature
  except message.DecodeError as error:
    raise InputError(f'{place}: is no tf.train.Example; convert it again') from error
  if faults := '; '.join(map(str, record_schema.faults(features))):
    source_id = record_files.source_id(features)
    raise InputError(
      f'{place}{f", source_id {source_id}" if source_id else ""}: {faults}; convert it again'
    )
  return annotation_of(features)


def annotation_of(features: Mapping[str, tf.train.Feature]) -> Annotation:
  """Does as `parse_example`, of the features of a record that has no `record_schema.faults`."""

  def values(key):
    return record_schema.values(features, key)

  def texts(key):
    return [value.decode('utf-8') for value in values(key)]

  def ids(key):
    found = values(key)
    return [i for i in found if i] if found else None

  def of_boxes(field):
    found = texts(field.key) if field.dtype is str else values(field.key)
    return field.collect(found) if found or field.is_required else None

  sides = [np.asarray(values(f'image/object/bbox/{side}'), np.float32) for side in BOX_SIDES]
  return Annotation(
    encoded=next(iter(values('image/encoded')), b''),
    format=next(iter(texts('image/format')), ''),
    height=next(iter(values('image/height')), 0),
    width=next(iter(values('image/width')), 0),
    filename=next(iter(texts('image/filename')), ''),
    source_id=next(iter(texts('image/source_id')), ''),
    boxes=np.stack(sides, axis=-1),
    **{field.name: of_boxes(field) for field in BOX_FIELDS},
    **{name: ids(key) for name, key in IMAGE_CLASSES.items()},
  )


def decode_example(
  serialized: tf.Tensor,
  num_classes: int,
  name_to_id: Mapping[str, int] | None = None,
  labeled_by_default: Collection[int] | None = None,
) -> dict[str, tf.Tensor]:
  """Decodes a record into an example: the image's pixels and its groundtruth.

  Args:
    serialized: string[], a tf.train.Example; its image is JPEG, PNG, BMP or GIF (first frame).
    name_to_id: class name to id; used where a record has class texts but no labels.
    labeled_by_default: ids of the classes labeled in an image whose record does not say; None: all.

  Returns:
    The example, keys of ssd_tf.fields: IMAGE u8[h,w,3]; GROUNDTRUTH_BOXES f32[n,4] normalized;
    _CLASSES i32[n]; _WEIGHTS f32[n], absent: 1; _IS_CROWD, _DIFFICULT, _GROUP_OF bool[n], absent:
    False; _AREA f32[n] px^2, absent: the boxes' own; LABELED_CLASSES bool[K], see
    `labeled_classes.labeled_class_ids`; SOURCE_ID string[], absent: the file name, else a hash of
    the image; ORIGINAL_SIZE i32[2], that of the decoded image, whatever the record says.

  Raises:
    tf.errors.InvalidArgumentError: the image does not decode; a per-box list has not n entries; a
      class id, of a box or labeled, is outside 1..K; a weight or area is negative; a number is not
      finite. All but the first name the record's source_id.

  Source: the Object Detection API's TfExampleDecoder, of which this reads a subset; it there trusts
  class texts over labels, and lets ids outside 1..K vanish in the one-hot encoding. What a record
  lacks under the API's keys is read under those of SSD-Tensorflow.
  """
  record = record_schema.parse(serialized)
  image = image_files.decode_image(record['image/encoded'])
  size = tf.shape(image)[:2]
  source_id = _source_id(record)
  sides = [record[f'image/object/bbox/{side}'] for side in BOX_SIDES]
  classes = _classes(record, name_to_id)
  with tf.control_dependencies(_checks(record, sides, classes, num_classes, source_id)):
    boxes = tf.stack(sides, axis=-1)
    per_box = _per_box(record, boxes, size)
    labeled_classes = _labeled_classes(
      record, classes, per_box[fields.GROUNDTRUTH_GROUP_OF], num_classes, labeled_by_default
    )
  return {
    fields.IMAGE: image,
    fields.GROUNDTRUTH_BOXES: boxes,
    fields.GROUNDTRUTH_CLASSES: classes,
    **per_box,
    fields.LABELED_CLASSES: labeled_classes,
    fields.SOURCE_ID: source_id,
    fields.ORIGINAL_SIZE: size,
  }


def _per_box(record, boxes, size):
  """What the record says of its boxes besides their class, by keys of `fields`."""
  n, pixels = tf.shape(boxes)[0], tf.cast(tf.reduce_prod(size), tf.float32)
  found = {}
  for field in _DECODED:
    values = record[field.key]
    if field.is_box_area:
      default = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * pixels
    else:
      default = tf.fill([n], field.default)
    found[field.example_key] = or_default(values != 0 if field.dtype is bool else values, default)
  return found


def _checks(record, sides, classes, num_classes, source_id):
  n = tf.size(sides[0])
  required = tf.stack([tf.size(values) for values in (*sides[1:], classes)])
  optional = tf.stack([tf.size(record[field.key]) for field in _DECODED])
  names = ' '.join(field.key.removeprefix('image/object/') for field in _DECODED)
  labeled = record['image/class/labeled_classes']
  amounts = tf.concat([record[field.key] for field in _DECODED if field.is_amount], 0)
  numbers = [record[field.key] for field in _DECODED if field.dtype is np.float32]
  is_finite = tf.math.is_finite(tf.concat([*numbers, *sides], 0))
  return [
    tf.debugging.Assert(
      tf.reduce_all(amounts >= 0) & tf.reduce_all(is_finite),
      ['weights and areas must be 0 or more, and they and boxes finite; received:', amounts, *sides,
       'record:', source_id],
      summarize=100,
    ),
    tf.debugging.Assert(
      tf.reduce_all(required == n) & tf.reduce_all((optional == n) | (optional == 0)),
      ['a per-box list has another length than bbox/ymin; expected:', n,
       f'received xmin ymax xmax label, and {names}, of which each may be absent:', required,
       optional, 'record:', source_id],
      summarize=10,
    ),
    tf.debugging.Assert(
      tf.reduce_all((classes >= 1) & (classes <= num_classes)),
      [f'class ids must lie in 1..{num_classes}; received:', classes,
       'class texts:', record['image/object/class/text'], 'record:', source_id],
      summarize=100,
    ),
    tf.debugging.Assert(
      tf.reduce_all((labeled >= 0) & (labeled <= num_classes)),
      [f'labeled_classes must lie in 1..{num_classes}; received:', labeled, 'record:', source_id],
      summarize=100,
    ),
  ]  # fmt: skip


def _source_id(record):
  digest = tf.strings.to_hash_bucket_fast(record['image/encoded'], 2**63 - 1)
  name = tf.strings.as_string(digest)
  for key in ('image/filename', 'image/source_id'):
    name = tf.where(tf.strings.length(record[key]) > 0, record[key], name)
  return name


def _classes(record, name_to_id):
  # The cast alone would make a class of an id beyond 32 bits.
  labels = tf.clip_by_value(record['image/object/class/label'], -1, tf.int32.max)
  labels = tf.cast(labels, tf.int32)
  if not name_to_id:
    return labels
  # One comparison with every name: a lookup table would be a resource that has to outlive the
  # graph it is made in. An unknown name becomes 0, which the caller refuses.
  same = record['image/object/class/text'][:, tf.newaxis] == tf.constant(list(name_to_id))
  ids = tf.constant(list(name_to_id.values()), tf.int32)
  return or_default(labels, tf.reduce_sum(tf.where(same, ids, 0), axis=1))


def _labeled_classes(record, classes, group_of, num_classes, default):
  classes = tf.cast(classes, tf.int64)
  verified = [record[IMAGE_CLASSES[name]] for name in ('verified_present', 'verified_absent')]
  return partial_labels.labeled_classes_mask(
    explicit=record[IMAGE_CLASSES['labeled_classes']],
    verified=tf.concat(verified, 0),
    not_exhaustive=record[IMAGE_CLASSES['not_exhaustive']],
    group_of=tf.where(group_of, classes, 0),
    boxes=classes,
    default=range(1, num_classes + 1) if default is None else default,
    num_classes=num_classes,
  )


def _bytes(values):
  values = [value if isinstance(value, bytes) else value.encode('utf-8') for value in values]
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _ints(values):
  return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))


def _floats(values):
  values = np.asarray(values, np.float32).tolist()
  return tf.train.Feature(float_list=tf.train.FloatList(value=values))


_TO_FEATURE = {'bytes_list': _bytes, 'int64_list': _ints, 'float_list': _floats}
