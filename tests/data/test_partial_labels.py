import numpy as np
import pytest
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data import labeled_classes, partial_labels
from ssd_tf.data.labeled_classes import DROPPED

both = pytest.mark.parametrize('how', ['eager', 'map'])


def as_list(ids):
  """As a record has it: [] where it says nothing, [0] for no class."""
  return [] if ids is None else sorted(ids) or [0]


def mask_of(how, default, num_classes, **ids):
  def call(tensors):
    return partial_labels.labeled_classes_mask(**tensors, default=default, num_classes=num_classes)

  tensors = {name: tf.constant(as_list(values), tf.int64) for name, values in ids.items()}
  if how == 'eager':
    return call(tensors).numpy()
  return next(iter(tf.data.Dataset.from_tensors(tensors).map(call))).numpy()


def case(expected, explicit=None, verified=None, not_exhaustive=(), group_of=(), boxes=()):
  ids = {
    'explicit': explicit,
    'verified': verified,
    'not_exhaustive': not_exhaustive,
    'group_of': group_of,
    'boxes': boxes,
  }
  return ids, expected


@both
@pytest.mark.parametrize(
  ('ids', 'expected'),
  [
    case({1, 2, 4}),  # The default: nothing is said.
    case({1, 2, 4}, boxes={3}),  # Nor does a box say that all of its class have one.
    case({2}, not_exhaustive={1}, group_of={4}, boxes={4}),
    case({3}, explicit={3}),
    case(set(), explicit=set()),
    # Explicit ids decide alone.
    case({2, 3}, explicit={2, 3}, verified={1}, not_exhaustive={2}, group_of={3}, boxes={3, 4}),
    case(set(), explicit=set(), verified={1}, boxes={2}),
    case({1, 3}, verified={1, 3}),  # In place of the default.
    case({1, 3}, verified={1}, boxes={3}),
    case({3}, verified=set(), boxes={3}),
    case(set(), verified=set()),
    case({1}, verified={1, 2}, not_exhaustive={2}),
    case({1}, verified={1}, not_exhaustive={2}, boxes={2}),
    case({1}, verified={1, 3}, group_of={3}, boxes={3}),
    case(set(), verified={1, 2}, not_exhaustive={1}, group_of={2}, boxes={1, 2}),
  ],
)
def test_labeled_classes_by_table(how, ids, expected):
  default = [4, 2, 1]
  assert labeled_classes.labeled_class_ids(**ids, default=default) == expected
  mask = mask_of(how, default, num_classes=4, **ids)
  assert mask.dtype == bool
  np.testing.assert_array_equal(mask, [class_id in expected for class_id in range(1, 5)])


def test_ids_and_mask_agree_on_random_images():
  rng = np.random.default_rng(0)
  num_classes, num_images = 7, 300
  default = [1, 2, 5, 7]

  def subset(share_none):
    if rng.random() < share_none:
      return None
    return {*(np.flatnonzero(rng.random(num_classes) < rng.random()) + 1).tolist()}

  shares = {'explicit': 0.6, 'verified': 0.4, 'not_exhaustive': 0, 'group_of': 0, 'boxes': 0}
  images = [{name: subset(share) for name, share in shares.items()} for _ in range(num_images)]
  ragged = {
    name: tf.ragged.constant([as_list(image[name]) for image in images], tf.int64, ragged_rank=1)
    for name in shares
  }

  def call(tensors):
    return partial_labels.labeled_classes_mask(**tensors, default=default, num_classes=num_classes)

  in_map = list(tf.data.Dataset.from_tensor_slices(ragged).map(call).as_numpy_iterator())
  labeled = set()
  for i, image in enumerate(images):
    ids = labeled_classes.labeled_class_ids(**image, default=default)
    expected = [class_id in ids for class_id in range(1, num_classes + 1)]
    np.testing.assert_array_equal(in_map[i], expected, err_msg=str(image))
    eager = call({name: values[i] for name, values in ragged.items()})
    np.testing.assert_array_equal(eager, expected, err_msg=str(image))
    labeled.add(tuple(expected))
  assert len(labeled) > 50  # The draws are not all alike.


def example_of(classes, labeled, **changes):
  """An image of 4 x 6 with a box for each class; every per-box value tells its row."""
  n = len(classes)
  rows = np.arange(n)
  return {
    fields.IMAGE: np.arange(72, dtype=np.uint8).reshape(4, 6, 3),
    fields.GROUNDTRUTH_BOXES: np.float32([[0, i / 8, 1, (i + 1) / 8] for i in rows]).reshape(n, 4),
    fields.GROUNDTRUTH_CLASSES: np.array(classes, np.int32),
    fields.GROUNDTRUTH_WEIGHTS: (rows / 4).astype(np.float32),
    fields.GROUNDTRUTH_IS_CROWD: rows % 2 == 1,
    fields.GROUNDTRUTH_DIFFICULT: rows % 3 == 1,
    fields.GROUNDTRUTH_GROUP_OF: rows % 3 == 2,
    fields.GROUNDTRUTH_AREA: (rows * 10).astype(np.float32),
    fields.LABELED_CLASSES: np.array(labeled, bool),
    fields.SOURCE_ID: b'7',
    fields.ORIGINAL_SIZE: np.int32([4, 6]),
    **changes,
  }


def map_classes(how, example, table, num_classes, unused_ids=()):
  def call(tensors):
    return partial_labels.map_classes(tensors, table, num_classes, unused_ids)

  if how == 'eager':
    mapped = call({key: tf.constant(value) for key, value in example.items()})
  else:
    mapped = next(iter(tf.data.Dataset.from_tensors(example).map(call)))
  return {key: value.numpy() for key, value in mapped.items()}


# 1 and 3 become 2, 2 becomes 4, 4 is dropped; nothing becomes 1 or 3.
MERGED = {1: 2, 3: 2, 2: 4, 4: DROPPED}


@both
@pytest.mark.parametrize(
  ('labeled', 'expected'),
  [
    ([1, 1, 1, 1], [0, 1, 0, 1]),
    ([1, 1, 1, 0], [0, 1, 0, 1]),  # What is dropped need not be labeled.
    ([1, 1, 0, 1], [0, 0, 0, 1]),  # One of the two that become 2 is not.
    ([0, 1, 1, 1], [0, 0, 0, 1]),
    ([1, 0, 1, 0], [0, 1, 0, 0]),
    ([0, 0, 0, 1], [0, 0, 0, 0]),
    ([0, 0, 0, 0], [0, 0, 0, 0]),
  ],
)
def test_a_merged_class_is_labeled_if_all_that_become_it_are(how, labeled, expected):
  mapped = map_classes(how, example_of([1, 2], labeled), MERGED, num_classes=4)
  assert mapped[fields.LABELED_CLASSES].dtype == bool
  np.testing.assert_array_equal(mapped[fields.LABELED_CLASSES], np.array(expected, bool))


@both
def test_boxes_of_dropped_classes_go_with_all_that_is_said_of_them(how):
  example = example_of([3, 4, 2, 4, 1], [1, 1, 1, 1])
  mapped = map_classes(how, example, MERGED, num_classes=4)
  assert mapped[fields.GROUNDTRUTH_CLASSES].dtype == np.int32
  np.testing.assert_array_equal(mapped[fields.GROUNDTRUTH_CLASSES], [2, 4, 2])
  kept = [0, 2, 4]
  np.testing.assert_array_equal(
    mapped[fields.GROUNDTRUTH_BOXES], np.float32([[0, i / 8, 1, (i + 1) / 8] for i in kept])
  )
  np.testing.assert_array_equal(mapped[fields.GROUNDTRUTH_WEIGHTS], [0, 0.5, 1])
  np.testing.assert_array_equal(mapped[fields.GROUNDTRUTH_IS_CROWD], [False, False, False])
  np.testing.assert_array_equal(mapped[fields.GROUNDTRUTH_DIFFICULT], [False, False, True])
  np.testing.assert_array_equal(mapped[fields.GROUNDTRUTH_GROUP_OF], [False, True, False])
  np.testing.assert_array_equal(mapped[fields.GROUNDTRUTH_AREA], [0, 20, 40])
  for key in (fields.IMAGE, fields.SOURCE_ID, fields.ORIGINAL_SIZE):
    np.testing.assert_array_equal(mapped[key], example[key])
  assert mapped.keys() == example.keys()


@both
@pytest.mark.parametrize('classes', [[], [4], [4, 4]])
def test_no_box_and_only_boxes_of_dropped_classes(how, classes):
  mapped = map_classes(how, example_of(classes, [1, 1, 0, 1]), MERGED, num_classes=4)
  assert mapped[fields.GROUNDTRUTH_BOXES].shape == (0, 4)
  for key in fields.PER_BOX[1:]:
    assert mapped[key].shape == (0,), key
  np.testing.assert_array_equal(mapped[fields.LABELED_CLASSES], [False, False, False, True])


@both
@pytest.mark.parametrize(
  ('unused_ids', 'expected'),
  [((), [0, 1, 0, 0]), ([3], [0, 1, 1, 0]), ((1, 3), [1, 1, 1, 0])],
)
def test_a_class_that_none_becomes_is_labeled_only_if_no_class_has_its_id(
  how, unused_ids, expected
):
  example = example_of([], [1, 0, 1, 0])
  mapped = map_classes(how, example, MERGED, 4, unused_ids)
  np.testing.assert_array_equal(mapped[fields.LABELED_CLASSES], np.array(expected, bool))


@both
def test_ids_with_gaps_and_a_model_of_more_classes(how):
  # 2 is no class of the data set; its place in labeled_classes says nothing.
  example = example_of([3, 1], [1, 0, 1])
  mapped = map_classes(how, example, {3: 1, 1: 5}, num_classes=6)
  np.testing.assert_array_equal(mapped[fields.GROUNDTRUTH_CLASSES], [1, 5])
  np.testing.assert_array_equal(mapped[fields.GROUNDTRUTH_IS_CROWD], [False, True])
  np.testing.assert_array_equal(
    mapped[fields.LABELED_CLASSES], [True, False, False, False, True, False]
  )


@both
def test_the_same_classes_change_nothing(how):
  example = example_of([2, 1, 3, 2], [1, 0, 1])
  mapped = map_classes(how, example, {1: 1, 2: 2, 3: 3}, num_classes=3)
  for key, value in example.items():
    np.testing.assert_array_equal(mapped[key], value, key)


@both
def test_random_tables_as_a_loop_over_classes_gives(how):
  rng = np.random.default_rng(1)
  for _ in range(12 if how == 'eager' else 4):
    k, num_classes = rng.integers(1, 7, 2).tolist()
    ids = sorted({*(rng.permutation(k)[: rng.integers(1, k + 1)] + 1).tolist(), k})
    table = {i: int(rng.integers(0, num_classes + 1)) for i in ids}
    labeled = rng.random(k) < 0.6
    example = example_of(rng.choice(ids, 6), labeled)
    mapped = map_classes(how, example, table, num_classes)
    kept = [i for i, c in enumerate(example[fields.GROUNDTRUTH_CLASSES]) if table[c] != DROPPED]
    for key in fields.PER_BOX:
      expected = example[key][kept]
      if key == fields.GROUNDTRUTH_CLASSES:
        expected = np.array([table[c] for c in expected], np.int32)
      np.testing.assert_array_equal(mapped[key], expected, key)
    for c in range(1, num_classes + 1):
      sources = [i for i in ids if table[i] == c]
      expected = bool(sources) and all(labeled[i - 1] for i in sources)
      assert mapped[fields.LABELED_CLASSES][c - 1] == expected, (table, labeled, c)
