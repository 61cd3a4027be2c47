"""Records: an image and its groundtruth as a tf.train.Example, by the Object Detection API's keys.

official.vision's TfExampleDecoder is not used: it has neither weight, difficult nor group_of, fills
a missing label with nothing said, and importing it loads tf_keras beside Keras 3.
"""

import dataclasses
import hashlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf import message

from ssd_tf import fields
from ssd_tf.data import image_files, partial_labels, record_features, record_files
from ssd_tf.data.record_features import or_default
from ssd_tf.errors import InputError

_BOX_SIDES = record_features.BOX_SIDES


@dataclasses.dataclass
class Annotation:
  """One image with its groundtruth, as a source gives it; n boxes.

  Attributes:
    encoded: the image file's bytes.
    format: 'jpeg', 'png', 'bmp' or 'gif'.
    height: of the image, in pixels.
    width: of the image, in pixels.
    filename: the image's file name.
    source_id: what the evaluation calls the image; unique in a data set.
    boxes: f32[n,4], normalized [ymin, xmin, ymax, xmax].
    class_ids: i64[n], 1..K.
    class_names: n names.
    difficult: bool[n]; None means all False, as for the next three.
    truncated: bool[n].
    is_crowd: bool[n].
    group_of: bool[n].
    area: f32[n] of the objects (not of their boxes, where masks are known), px^2; None: the boxes'.
    weights: f32[n]; None means all 1.
    views: n poses such as 'Frontal'; None means not recorded.
    labeled_classes: ids of the classes of which every instance in the image is annotated; None:
      see the next three, and where they are None too, all classes.
    verified_present: ids of classes known to be in the image; None means not recorded.
    verified_absent: ids of classes known not to be in the image; None means not recorded.
    not_exhaustive: ids of classes of which some instances may lack a box; None means not recorded.
    human_labeled_classes: ids of the classes labeled before a detector's boxes filled others, see
      `pseudo_labels.filling`; None means not recorded.
    sources: who made each box, such as 'human' or 'pseudo'; None means not recorded.
    scores: f32[n], of the detector that made the box, 1 for people's; None means not recorded.
    remarks: what a converter has to tell about this image; reported, not written.
    num_boxes_left_out: of the input, besides `boxes`; reported, not written.
    exif_orientation: of the image, if the boxes are not on the pixels as viewers turn them by it;
      see `image_files.EncodedImage`; reported, not written.
  """

  encoded: bytes
  format: str
  height: int
  width: int
  filename: str
  source_id: str
  boxes: np.ndarray
  class_ids: np.ndarray
  class_names: Sequence[str]
  difficult: np.ndarray | None = None
  truncated: np.ndarray | None = None
  is_crowd: np.ndarray | None = None
  group_of: np.ndarray | None = None
  area: np.ndarray | None = None
  weights: np.ndarray | None = None
  views: Sequence[str] | None = None
  labeled_classes: Sequence[int] | None = None
  verified_present: Sequence[int] | None = None
  verified_absent: Sequence[int] | None = None
  not_exhaustive: Sequence[int] | None = None
  human_labeled_classes: Sequence[int] | None = None
  sources: Sequence[str] | None = None
  scores: np.ndarray | None = None
  remarks: Sequence[str] = ()
  num_boxes_left_out: int = 0
  exif_orientation: int = 1

  def labeled_class_ids(self, default: Collection[int]) -> set[int]:
    """The classes labeled in the image; `default` where the record does not say."""
    verified = None
    if self.verified_present is not None or self.verified_absent is not None:
      verified = {*(self.verified_present or ()), *(self.verified_absent or ())}
    group_of = np.zeros(len(self.boxes), bool) if self.group_of is None else self.group_of
    class_ids = np.asarray(self.class_ids, np.int64)
    return partial_labels.labeled_class_ids(
      explicit=self.labeled_classes,
      verified=verified,
      not_exhaustive=self.not_exhaustive or (),
      group_of=class_ids[group_of].tolist(),
      boxes=class_ids.tolist(),
      default=default,
    )


def encode_example(annotation: Annotation) -> bytes:
  """Serializes an annotated image as a tf.train.Example.

  Optional fields that are None are left out of the record, but the flags, which become 0.

  Args:
    annotation: the image and its n boxes; an empty list of classes is written as the single id 0,
      because a record cannot tell an empty list from an absent one.

  Returns:
    The serialized record.

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
  per_box = {f'bbox/{side}': _floats(boxes[:, i]) for i, side in enumerate(_BOX_SIDES)}
  per_box['class/label'] = _ints(annotation.class_ids)
  per_box['class/text'] = _bytes(annotation.class_names)
  for name in record_features.FLAGS:
    flags = getattr(annotation, name)
    per_box[name] = _ints(np.zeros(n) if flags is None else flags)
  if annotation.area is not None:
    per_box['area'] = _floats(annotation.area)
  if annotation.weights is not None:
    per_box['weight'] = _floats(annotation.weights)
  if annotation.views is not None:
    per_box['view'] = _bytes(annotation.views)
  if annotation.sources is not None:
    per_box['source'] = _bytes(annotation.sources)
  if annotation.scores is not None:
    per_box['score'] = _floats(annotation.scores)
  for name, feature in per_box.items():
    count = len(getattr(feature, feature.WhichOneof('kind')).value)
    if count != n:
      raise ValueError(
        f'{annotation.filename}: {name} has {count} entries; expected {n}, one for each box'
      )
    features[f'image/object/{name}'] = feature
  for name, key in record_features.IMAGE_CLASSES.items():
    ids = getattr(annotation, name)
    if ids is not None:
      features[key] = _ints(ids or [0])
  return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
    deterministic=True  # Otherwise the order of the keys, and so the bytes, vary from run to run.
  )


def parse_example(serialized: bytes, place: str = 'a record') -> Annotation:
  """Reads a record back as an Annotation, without decoding the image; for listing and checking.

  Args:
    serialized: a tf.train.Example.
    place: its file and number, for the error.

  Returns:
    The annotation; what the record lacks is '', 0, empty or None as in Annotation. It has as many
    class ids as boxes, or none.

  Raises:
    InputError: it is no tf.train.Example, or not an annotated image: all of
      `record_features.faults`. It names the source_id.
  """
  try:
    features = tf.train.Example.FromString(serialized).features.feature
  except message.DecodeError as error:
    raise InputError(f'{place}: is no tf.train.Example; convert it again') from error
  if faults := '; '.join(map(str, record_features.faults(features))):
    source_id = record_files.source_id(features)
    raise InputError(
      f'{place}{f", source_id {source_id}" if source_id else ""}: {faults}; convert it again'
    )

  def values(key):
    return record_features.values(features, key)

  def texts(key):
    return [value.decode('utf-8') for value in values(key)]

  def array(key, dtype):
    found = values(key)
    return np.asarray(found, dtype) if found else None

  def ids(key):
    return [i for i in values(key) if i] if values(key) else None

  return Annotation(
    encoded=next(iter(values('image/encoded')), b''),
    format=next(iter(texts('image/format')), ''),
    height=next(iter(values('image/height')), 0),
    width=next(iter(values('image/width')), 0),
    filename=next(iter(texts('image/filename')), ''),
    source_id=next(iter(texts('image/source_id')), ''),
    boxes=np.stack(
      [np.asarray(values(f'image/object/bbox/{side}'), np.float32) for side in _BOX_SIDES], axis=-1
    ),
    class_ids=np.asarray(values('image/object/class/label'), np.int64),
    class_names=texts('image/object/class/text'),
    difficult=array('image/object/difficult', bool),
    truncated=array('image/object/truncated', bool),
    is_crowd=array('image/object/is_crowd', bool),
    group_of=array('image/object/group_of', bool),
    area=array('image/object/area', np.float32),
    weights=array('image/object/weight', np.float32),
    views=texts('image/object/view') or None,
    sources=texts('image/object/source') or None,
    scores=array('image/object/score', np.float32),
    **{name: ids(key) for name, key in record_features.IMAGE_CLASSES.items()},
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
    num_classes: K; class ids are 1..K.
    name_to_id: class name to id; used where a record has class texts but no labels.
    labeled_by_default: ids of the classes labeled in an image whose record does not say; None: all.

  Returns:
    The example, keys of ssd_tf.fields: IMAGE u8[h,w,3]; GROUNDTRUTH_BOXES f32[n,4] normalized;
    _CLASSES i32[n]; _WEIGHTS f32[n], absent: 1; _IS_CROWD, _DIFFICULT, _GROUP_OF bool[n], absent:
    False; _AREA f32[n] px^2, absent: the boxes' own; LABELED_CLASSES bool[K], see
    `partial_labels.labeled_class_ids`; SOURCE_ID string[], absent: the file name, else a hash of
    the image; ORIGINAL_SIZE i32[2], that of the decoded image, whatever the record says.

  Raises:
    tf.errors.InvalidArgumentError: the image does not decode; a per-box list has not n entries; a
      class id, of a box or labeled, is outside 1..K; a weight or area is negative; a number is not
      finite. All but the first name the record's source_id.

  Source: the Object Detection API's TfExampleDecoder, of which this reads a subset; it there trusts
  class texts over labels, and lets ids outside 1..K vanish in the one-hot encoding. What a record
  lacks under the API's keys is read under those of SSD-Tensorflow.
  """
  record = record_features.parse(serialized)
  image = image_files.decode_image(record['image/encoded'])
  size = tf.shape(image)[:2]
  source_id = _source_id(record)
  sides = [record[f'image/object/bbox/{side}'] for side in _BOX_SIDES]
  n = tf.size(sides[0])
  per_box = {
    fields.GROUNDTRUTH_WEIGHTS: or_default(record['image/object/weight'], tf.ones([n])),
    fields.GROUNDTRUTH_CLASSES: _classes(record, name_to_id),
  }
  for key, name in _FLAGS.items():
    flags = record[f'image/object/{name}'] != 0
    per_box[key] = or_default(flags, tf.zeros([n], tf.bool))
  with tf.control_dependencies(_checks(record, sides, per_box, num_classes, source_id)):
    boxes = tf.stack(sides, axis=-1)
    labeled_classes = _labeled_classes(record, per_box, num_classes, labeled_by_default)
  pixels = tf.cast(tf.reduce_prod(size), tf.float32)
  box_area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * pixels
  return {
    fields.IMAGE: image,
    fields.GROUNDTRUTH_BOXES: boxes,
    **per_box,
    fields.GROUNDTRUTH_AREA: or_default(record['image/object/area'], box_area),
    fields.LABELED_CLASSES: labeled_classes,
    fields.SOURCE_ID: source_id,
    fields.ORIGINAL_SIZE: size,
  }


def _checks(record, sides, per_box, num_classes, source_id):
  n = tf.size(sides[0])
  area = record['image/object/area']
  sizes = [tf.size(values) for values in (*sides[1:], *per_box.values())]
  sizes.append(tf.where(tf.size(area) > 0, tf.size(area), n))
  classes = per_box[fields.GROUNDTRUTH_CLASSES]
  labeled = record['image/class/labeled_classes']
  amounts = tf.concat([record['image/object/weight'], area], 0)
  is_finite = tf.math.is_finite(tf.concat([amounts, *sides], 0))
  return [
    tf.debugging.Assert(
      tf.reduce_all(amounts >= 0) & tf.reduce_all(is_finite),
      ['weights and areas must be 0 or more, and they and boxes finite; received:', amounts, *sides,
       'record:', source_id],
      summarize=100,
    ),
    tf.debugging.Assert(
      tf.reduce_all(tf.stack(sizes) == n),
      ['a per-box list has another length than bbox/ymin; expected:', n,
       'received xmin ymax xmax weight label is_crowd difficult group_of area:', tf.stack(sizes),
       'record:', source_id],
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


_FLAGS = {
  fields.GROUNDTRUTH_IS_CROWD: 'is_crowd',
  fields.GROUNDTRUTH_DIFFICULT: 'difficult',
  fields.GROUNDTRUTH_GROUP_OF: 'group_of',
}


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


def _labeled_classes(record, per_box, num_classes, default):
  classes = tf.cast(per_box[fields.GROUNDTRUTH_CLASSES], tf.int64)
  group_of = per_box[fields.GROUNDTRUTH_GROUP_OF]
  verified = [record[key] for key in ('image/class/label', 'image/neg_category_ids')]
  return partial_labels.labeled_classes_mask(
    explicit=record['image/class/labeled_classes'],
    verified=tf.concat(verified, 0),
    not_exhaustive=record['image/not_exhaustive_category_ids'],
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
