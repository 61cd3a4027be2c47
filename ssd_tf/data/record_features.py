"""What the features of a record have to be, and which of a record's are not."""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import tensorflow as tf

from ssd_tf.data.ssd_tensorflow_keys import KEYS, per_box_feature

BOX_SIDES = ('ymin', 'xmin', 'ymax', 'xmax')
FLAGS = ('is_crowd', 'difficult', 'group_of', 'truncated')
# Lists of class ids of the whole image. The first key is ours; the second is the Object Detection
# API's and Open Images', the next two are LVIS', the last is ours.
IMAGE_CLASSES = {
  'labeled_classes': 'image/class/labeled_classes',
  'verified_present': 'image/class/label',
  'verified_absent': 'image/neg_category_ids',
  'not_exhaustive': 'image/not_exhaustive_category_ids',
  'human_labeled_classes': 'image/class/human_labeled_classes',
}
_LABEL, _TEXT = 'image/object/class/label', 'image/object/class/text'
_TEXTS = ('image/format', 'image/filename', 'image/source_id')
_TEXTS_OF_BOXES = (_TEXT, 'image/object/view', 'image/object/source')
_ALL_TEXTS = (*_TEXTS, *_TEXTS_OF_BOXES)
_SIZES = ('image/height', 'image/width')
_FLAGS = tuple(f'image/object/{name}' for name in FLAGS)
_SIDES = tuple(f'image/object/bbox/{side}' for side in BOX_SIDES)
_AMOUNTS = ('image/object/weight', 'image/object/area')
_SCORE = 'image/object/score'
# Key -> the list of tf.train.Feature that it has to be.
KINDS = {
  **dict.fromkeys(('image/encoded', *_TEXTS, *_TEXTS_OF_BOXES), 'bytes_list'),
  **dict.fromkeys((*_SIZES, _LABEL, *_FLAGS, *IMAGE_CLASSES.values()), 'int64_list'),
  **dict.fromkeys((*_SIDES, *_AMOUNTS, _SCORE), 'float_list'),
}
KINDS |= {other: KINDS[key] for key, other in KEYS.items()}
_ONE = ('image/encoded', 'image/filename', 'image/source_id')  # Not a list.
_OF_BOXES = (*_TEXTS_OF_BOXES, *_FLAGS, *_AMOUNTS, _SCORE)
_NAMES = {'bytes_list': 'bytes', 'int64_list': 'integers', 'float_list': 'floats'}

_DTYPES = {'bytes_list': tf.string, 'int64_list': tf.int64, 'float_list': tf.float32}
# What neither training nor evaluation reads.
_PASSED_OVER = (
  *('image/format', *_SIZES, 'image/object/view', 'image/object/source', _SCORE),
  *('image/object/truncated', 'image/object/bbox/truncated'),
)
_PARSED = {
  'image/encoded': tf.io.FixedLenFeature([], tf.string),
  'image/filename': tf.io.FixedLenFeature([], tf.string, ''),
  'image/source_id': tf.io.FixedLenFeature([], tf.string, ''),
  **{
    key: tf.io.FixedLenSequenceFeature([], _DTYPES[kind], allow_missing=True)
    for key, kind in KINDS.items()
    if key not in (*_ONE, *_PASSED_OVER)
  },
}

Features = Mapping[str, tf.train.Feature]


class Fault(NamedTuple):
  """What is wrong with a record, which reads on after 'the record\'s' or 'records whose'.

  Attributes:
    found: the key, and what it has.
    expected: in its place.
  """

  found: str
  expected: str

  def __str__(self):
    return f'{self.found}; expected {self.expected}'


def faults(features: Features) -> Iterator[Fault]:
  """Finds what no class and no pixel is needed to tell.

  Args:
    features: of a tf.train.Example.

  Yields:
    Lists of another type than they have to be; if there is none, also those of another length than
    there are boxes, texts that are not UTF-8, and numbers that mean nothing. Boxes are not among
    them: where they lie is for those to tell who know what becomes of them.
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
    for key, other in KEYS.items():
      if other in lists and not lists.get(key):
        lists[key] = lists[other]
    yield from _length_faults(lists)
    yield from _value_faults(lists)


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
  """Does in a graph what `values` does, for what training and evaluation read.

  Args:
    serialized: string[], a tf.train.Example.

  Returns:
    By the Object Detection API's keys: image/encoded, image/filename and image/source_id, string[];
    the lists, empty where the record has none.

  Raises:
    tf.errors.InvalidArgumentError: a list has another type, or one of the three has not one value.
  """
  record = tf.io.parse_single_example(serialized, _PARSED)
  either = {key: other for key, other in KEYS.items() if key in _PARSED}
  return record | {key: or_default(record[key], record[other]) for key, other in either.items()}


def or_default(values: tf.Tensor, default: tf.Tensor) -> tf.Tensor:
  """A list, or the default where it is empty."""
  return tf.cond(tf.size(values) > 0, lambda: values, lambda: default)


def values(features: Features, key: str) -> list:
  """The numbers or bytes of a feature; of a per-box one under whichever key it is."""
  feature = per_box_feature(features, key)
  kind = feature.WhichOneof('kind')
  return list(getattr(feature, kind).value) if kind else []


def _length_faults(lists):
  lengths = [len(lists.get(key, ())) for key in _SIDES]
  # A record may have texts or ids alone; what needs neither of them takes one without.
  lengths.append(len(lists.get(_LABEL, ())) or len(lists.get(_TEXT, ())) or lengths[0])
  if len(set(lengths)) > 1:
    found = ', '.join(map(str, lengths))
    yield Fault(f'lists ymin, xmin, ymax, xmax, class have {found} entries', 'one each for a box')
    return
  for key in _OF_BOXES:
    if (count := len(lists.get(key, ()))) not in (0, lengths[0]):
      yield Fault(f'{key} has {count} entries for {lengths[0]} boxes', 'one for each, or none')


def _value_faults(lists):
  for key, numbers in lists.items():
    if key in _ALL_TEXTS:
      if not all(map(_is_utf_8, numbers)):
        yield Fault(f'{key} is not UTF-8', 'text in UTF-8')
    elif key in _SIZES:
      if min(numbers, default=0) < 0:
        yield Fault(f'{key} is negative', 'pixels')
    elif key in _FLAGS:
      if not {0, 1}.issuperset(numbers):
        yield Fault(f'{key} has a number that is no flag', '0 or 1')
    elif key in _AMOUNTS:
      # A sum with NaN in it fails every comparison.
      if not (min(numbers, default=0) >= 0 and sum(numbers) < math.inf):
        yield Fault(f'{key} has a number that is negative or not finite', '0 or more')
    elif key == _SCORE and not all(map(math.isfinite, numbers)):
      yield Fault(f'{key} has a number that is not finite', 'a score')


def _is_utf_8(text):
  try:
    text.decode('utf-8')
  except UnicodeDecodeError:
    return False
  return True
