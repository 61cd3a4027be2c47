import functools

import numpy as np
import pytest
from example_draws import eager_and_mapped, make_example, many_draws, noise, rows_of

from ssd_tf import fields
from ssd_tf.data.augmentation import labels

BOXES = [[0.1, 0.1 * i, 0.9, 0.1 * i + 0.08] for i in range(6)]


def example_of(classes, labeled=(True, True, True, True)):
  example = make_example(noise(5, 8), BOXES[: len(classes)])
  example[fields.GROUNDTRUTH_CLASSES] = np.array(classes, np.int32).reshape([-1])
  example[fields.LABELED_CLASSES] = np.array(labeled)
  return example


def drop(label, drop_probability=1.0):
  return functools.partial(
    labels.drop_label_probabilistically, label=label, drop_probability=drop_probability
  )


def remap(original_labels, new_label):
  return functools.partial(
    labels.remap_labels, original_labels=original_labels, new_label=new_label
  )


def test_a_dropped_label_takes_its_boxes_and_its_class_with_it():
  example = example_of([2, 1, 2, 3])
  changed = eager_and_mapped(drop(2), example)
  assert rows_of(changed) == [1, 3]
  np.testing.assert_array_equal(changed[fields.GROUNDTRUTH_CLASSES], [1, 3])
  np.testing.assert_array_equal(
    changed[fields.GROUNDTRUTH_BOXES], example[fields.GROUNDTRUTH_BOXES][[1, 3]]
  )
  # The objects of class 2 are still in the image: it says nothing of them any more.
  np.testing.assert_array_equal(changed[fields.LABELED_CLASSES], [True, False, True, True])
  np.testing.assert_array_equal(changed[fields.IMAGE], example[fields.IMAGE])


@pytest.mark.parametrize('classes', [[], [1, 3]])
def test_an_image_without_the_dropped_label_stays_as_it_is(classes):
  example = example_of(classes, labeled=(False, True, True, True))
  changed = eager_and_mapped(drop(2), example)
  for key, value in example.items():
    np.testing.assert_array_equal(changed[key], value, err_msg=key)


def test_each_box_is_dropped_on_its_own():
  example = example_of([2, 2, 1, 2])
  draws = many_draws(drop(2, 0.3), example)
  kept = [rows_of(draw) for draw in draws]
  assert all(2 in rows for rows in kept)
  # Pairs of boxes: both of 0, 1 and 3 in .7 * .7 of the draws.
  for row in (0, 1, 3):
    assert abs(np.mean([row in rows for rows in kept]) - 0.7) < 0.1
  assert abs(np.mean([{0, 1} <= set(rows) for rows in kept]) - 0.49) < 0.1
  for draw, rows in zip(draws, kept, strict=True):
    assert draw[fields.LABELED_CLASSES].tolist() == [True, len(rows) == 4, True, True]


def test_a_probability_of_zero_drops_nothing():
  example = example_of([2, 2, 2])
  assert all(rows_of(draw) == [0, 1, 2] for draw in many_draws(drop(2, 0.0), example, 50))


def test_remapped_labels():
  example = example_of([1, 2, 3, 4, 2])
  changed = eager_and_mapped(remap([2, 4], 3), example)
  np.testing.assert_array_equal(changed[fields.GROUNDTRUTH_CLASSES], [1, 3, 3, 3, 3])
  assert rows_of(changed) == [0, 1, 2, 3, 4]
  np.testing.assert_array_equal(changed[fields.LABELED_CLASSES], [True] * 4)
  np.testing.assert_array_equal(
    changed[fields.GROUNDTRUTH_BOXES], example[fields.GROUNDTRUTH_BOXES]
  )


@pytest.mark.parametrize(
  ('labeled', 'remapped'),
  [
    # 2 and 4 become 3: that is labeled if all three were; 2 and 4 are in no image any more.
    ((True, True, True, True), [True, True, True, True]),
    ((False, True, True, True), [False, True, True, True]),
    ((True, False, True, True), [True, True, False, True]),
    ((True, True, False, True), [True, True, False, True]),
    ((True, True, True, False), [True, True, False, True]),
  ],
)
def test_a_class_is_labeled_if_all_that_become_it_are(labeled, remapped):
  changed = eager_and_mapped(remap([2, 4], 3), example_of([3], labeled))
  assert changed[fields.LABELED_CLASSES].tolist() == remapped


def test_a_label_remapped_to_itself_and_an_image_without_boxes():
  changed = eager_and_mapped(remap([1, 2], 2), example_of([]))
  assert changed[fields.GROUNDTRUTH_CLASSES].shape == (0,)
  assert changed[fields.LABELED_CLASSES].tolist() == [True] * 4
  changed = eager_and_mapped(remap([2], 2), example_of([2, 1], (True, False, True, True)))
  np.testing.assert_array_equal(changed[fields.GROUNDTRUTH_CLASSES], [2, 1])
  assert changed[fields.LABELED_CLASSES].tolist() == [True, False, True, True]
