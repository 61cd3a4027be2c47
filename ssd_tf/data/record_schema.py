"""Defines the features of a record, and finds those of a record that do not conform."""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import tensorflow as tf

from ssd_tf.data.annotation import BOX_FIELDS, BOX_SIDES, IMAGE_CLASSES

_TEXTS = ('image/format', 'image/filename', 'image/source_id')
_SIZES = ('image/height', 'image/width')
_SIDES = tuple(f'image/object/bbox/{side}' for side in BOX_SIDES)
_FIELDS = {field.key: field for field in BOX_FIELDS}
# The Object Detection API's key -> SSD-Tensorflow's for the same list, one entry for each box.
SSD_TENSORFLOW_KEYS = {
  field.key: field.ssd_tensorflow_key for field in BOX_FIELDS if field.ssd_tensorflow_key
}
_LABEL, _TEXT = 'image/object/class/label', 'image/object/class/text'
# Key -> the list of tf.train.Feature that it has to be.
KINDS = {
  **dict.fromkeys(('image/encoded', *_TEXTS), 'bytes_list'),
  **dict.fromkeys((*_SIZES, *IMAGE_CLASSES.values()), 'int64_list'),
  **dict.fromkeys(_SIDES, 'float_list'),
  **{key: field.kind for key, field in _FIELDS.items()},
}
KINDS |= {other: KINDS[key] for key, other in SSD_TENSORFLOW_KEYS.items()}
_ONE = ('image/encoded', 'image/filename', 'image/source_id')  # Not a list.
_NAMES = {'bytes_list': 'bytes', 'int64_list': 'integers', 'float_list': 'floats'}

_DTYPES = {'bytes_list': tf.string, 'int64_list': tf.int64, 'float_list': tf.float32}
# What neither training nor evaluation reads.
_PASSED_OVER = {'image/format', *_SIZES} | {
  each
  for key, field in _FIELDS.items()
  if field.example_key is None and key != _TEXT
  for each in (key, SSD_TENSORFLOW_KEYS.get(key, key))
}
_PARSED = {
  'image/encoded': tf.io.FixedLenFeature([], tf.string),
  'image/filename': tf.io.FixedLenFeature([], tf.string, ''),
  'image/source_id': tf.io.FixedLenFeature([], tf.string, ''),
  **{
    key: tf.io.FixedLenSequenceFeature([], _DTYPES[kind], allow_missing=True)
    for key, kind in KINDS.items()
    if key not in _PASSED_OVER.union(_ONE)
  },
}

Features = Mapping[str, tf.train.Feature]


class Fault(NamedTuple):
  """What is wrong with a record: a key and what it has, which reads on after 'records whose'."""

  found: str
  expected: str

  def __str__(self):
    return f'{self.found}; expected {self.expected}'


def faults(features: Features) -> Iterator[Fault]:
  """Yields what no class and no pixel is needed to tell; where boxes lie is for others to tell.

  Lists of another type than they have to be; if there is none, also those of another length than
  there are boxes, texts that are not UTF-8, and numbers that mean nothing.
  """
  wrong, lists = [], {}
  for key, feature in features.items():
    kind, expected = feature.WhichOneof('kind'), KINDS.get(key)
    if kind is None or expected is None:
      continue
    lists[key] = getattr(feature, kind).value
    if kind != expected:
      wrong.append(Fault(f'{key} holds {_NAMES[kind]}', _NAMES[expected]))
    elif key in _ONE and len(lists[key]) != 1:
      wrong.append(Fault(f'{key} has {len(lists[key])} values', 'one'))
  yield from wrong
  if not wrong:
    for key, other in SSD_TENSORFLOW_KEYS.items():
      if other in lists and not lists.get(key):
        lists[key] = lists[other]
    yield from _length_faults(lists)
    yield from _value_faults(lists)


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
  """Does in a graph what `values` does, for what training and evaluation read; of a string[].

  Returns:
    By the Object Detection API's keys: image/encoded, image/filename and image/source_id, string[];
    the lists, empty where the record has none.

  Raises:
    tf.errors.InvalidArgumentError: a list has another type, or one of the three has not one value.
  """
  record = tf.io.parse_single_example(serialized, _PARSED)
  either = {key: other for key, other in SSD_TENSORFLOW_KEYS.items() if key in _PARSED}
  return record | {key: or_default(record[key], record[other]) for key, other in either.items()}


def or_default(values: tf.Tensor, default: tf.Tensor) -> tf.Tensor:
  """A list, or the default where it is empty."""
  return tf.cond(tf.size(values) > 0, lambda: values, lambda: default)


def values(features: Features, key: str) -> list:
  """The numbers or bytes of a feature; of a per-box one under whichever key it is."""
  for name in (key, SSD_TENSORFLOW_KEYS.get(key)):
    feature = features[name] if name and name in features else None
    kind = feature and feature.WhichOneof('kind')
    if kind and (found := getattr(feature, kind).value):
      return list(found)
  return []


def _length_faults(lists):
  lengths = [len(lists.get(key, ())) for key in _SIDES]
  # A record may have texts or ids alone; what needs neither of them takes one without.
  lengths.append(len(lists.get(_LABEL, ())) or len(lists.get(_TEXT, ())) or lengths[0])
  if len(set(lengths)) > 1:
    found = ', '.join(map(str, lengths))
    yield Fault(f'lists ymin, xmin, ymax, xmax, class have {found} entries', 'one each for a box')
    return
  for key in _FIELDS:
    if key != _LABEL and (count := len(lists.get(key, ()))) not in (0, lengths[0]):
      yield Fault(f'{key} has {count} entries for {lengths[0]} boxes', 'one for each, or none')


def _value_faults(lists):
  for key, numbers in lists.items():
    field = _FIELDS.get(key)
    if key in _TEXTS or (field and field.dtype is str):
      if not all(map(_is_utf_8, numbers)):
        yield Fault(f'{key} is not UTF-8', 'text in UTF-8')
    elif key in _SIZES:
      if min(numbers, default=0) < 0:
        yield Fault(f'{key} is negative', 'pixels')
    elif field and field.dtype is bool:
      if not {0, 1}.issuperset(numbers):
        yield Fault(f'{key} has a number that is no flag', '0 or 1')
    elif field and field.is_amount:
      # A sum with NaN in it fails every comparison.
      if not (min(numbers, default=0) >= 0 and sum(numbers) < math.inf):
        yield Fault(f'{key} has a number that is negative or not finite', '0 or more')
    elif field and not all(map(math.isfinite, numbers)):
      yield Fault(f'{key} has a number that is not finite', 'a finite one')


def _is_utf_8(text):
  try:
    text.decode('utf-8')
  except UnicodeDecodeError:
    return False
  return True
