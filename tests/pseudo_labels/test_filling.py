"""Filling rules by literals; a box of weight 0 in a record makes its anchors ignored."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tiny_project

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.data import tf_example
from ssd_tf.pseudo_labels.filling import Candidates, fill, human_part

NAMES = {1: 'a', 2: 'b', 3: 'c'}
TOP_LEFT = [0.0, 0.0, 0.5, 0.25]
HALF_OF_IT = [0.0, 0.0, 0.25, 0.25]  # IoU 1/2.
LESS_OF_IT = [0.0, 0.0, 0.25, 0.1875]  # IoU 3/8.
RIGHT = [0.5, 0.5, 1.0, 0.75]
BORDER = [0.75, 0.875, 1.25, 1.125]  # A quarter of it is in the image.
TINY = [0.5, 0.25, 0.5 + 1 / 512, 0.25 + 1 / 512]


def annotation(boxes=(TOP_LEFT,), class_ids=(1,), labeled=(1,), **others):
  return tf_example.Annotation(
    encoded=b'pixels',
    format='png',
    height=48,
    width=80,
    filename='a.png',
    source_id='a',
    boxes=np.array(boxes, np.float32).reshape(-1, 4),
    class_ids=np.array(class_ids, np.int64),
    class_names=[NAMES[i] for i in class_ids],
    labeled_classes=None if labeled is None else list(labeled),
    **others,
  )


def candidates(*rows):
  """Of (box, class id, score, weight)."""
  boxes, ids, scores, weights = zip(*rows, strict=True) if rows else ([], [], [], [])
  return Candidates(
    np.array(boxes, np.float32).reshape(-1, 4),
    np.array(ids, np.int64),
    np.array(scores, np.float32),
    np.array(weights, np.float32),
  )


def filled(image, *rows, fillable=(1, 2, 3), max_overlap=0.5):
  return fill(
    image,
    candidates(*rows),
    fillable=fillable,
    labeled_by_default=(1, 2, 3),
    names=NAMES,
    max_overlap=max_overlap,
  )


def table(image):
  """(box, class name, weight, source, score) of each box."""
  numbers = (image.weights.tolist(), image.sources, image.scores.tolist())
  return list(zip(image.boxes.tolist(), image.class_names, *numbers, strict=True))


def test_boxes_are_added_for_unlabeled_classes_only():
  image = filled(
    annotation(),
    (RIGHT, 1, 0.875, 0.75),  # Labeled: people would have drawn it.
    (RIGHT, 2, 0.5, 0.75),
    (LESS_OF_IT, 3, 0.25, 0.0),
  )
  assert table(image) == [
    (TOP_LEFT, 'a', 1.0, 'human', 1.0),
    (RIGHT, 'b', 0.75, 'pseudo', 0.5),
    (LESS_OF_IT, 'c', 0.0, 'ignored', 0.25),
  ]
  assert image.class_ids.tolist() == [1, 2, 3]
  assert image.labeled_classes == [1, 2, 3]
  assert image.human_labeled_classes == [1]
  assert (image.encoded, image.source_id) == (b'pixels', 'a')


def test_a_class_that_is_not_fillable_stays_unlabeled():
  image = filled(annotation(), (RIGHT, 2, 0.5, 0.75), (RIGHT, 3, 0.5, 0.75), fillable=(3,))
  assert image.class_names == ['a', 'c']
  assert image.labeled_classes == [1, 3]
  same = annotation()
  assert filled(same, (RIGHT, 2, 0.5, 0.75), fillable=(1,)) is same


def test_a_class_of_which_nothing_is_found_is_labeled_too():
  image = filled(annotation([], [], labeled=[]), fillable=(2,))
  assert table(image) == []
  assert image.labeled_classes == [2]
  assert image.human_labeled_classes == []
  again = tf_example.parse_example(tf_example.encode_example(image))
  assert again.human_labeled_classes == []
  assert human_part(again).labeled_classes == []


@pytest.mark.parametrize(
  ('rows', 'kept'),
  [
    # Beside a person's box, at the limit and below it.
    ([(HALF_OF_IT, 2, 0.9, 1.0)], []),
    ([(HALF_OF_IT, 2, 0.9, 0.0)], []),
    ([(LESS_OF_IT, 2, 0.9, 1.0)], [0]),
    # Of two classes for one place: the higher score, but any weight before none.
    ([(RIGHT, 2, 0.5, 0.75), (RIGHT, 3, 0.75, 0.5)], [1]),
    ([(RIGHT, 2, 0.5, 0.75), (RIGHT, 3, 0.75, 0.0)], [0]),
    # What gives way to a person's box does not stand in the way of others.
    ([(TOP_LEFT, 2, 0.9, 1.0), (LESS_OF_IT, 3, 0.5, 1.0)], [1]),
    # Within a class, that is the non-maximum suppression's task.
    ([(RIGHT, 2, 0.75, 0.75), (RIGHT, 2, 0.5, 0.5)], [0, 1]),
    ([(TINY, 2, 0.5, 1.0)], [0]),
    ([([0.5, 0.5, 0.5, 0.75], 2, 0.5, 1.0)], []),  # No area.
    ([([1.0, 0.5, 1.5, 0.75], 2, 0.5, 1.0)], []),  # Outside.
    ([], []),
  ],
)
def test_overlaps(rows, kept):
  image = filled(annotation(), *rows)
  expected = [(rows[i][0], NAMES[rows[i][1]]) for i in kept]
  assert list(zip(image.boxes.tolist(), image.class_names, strict=True))[1:] == expected
  assert image.labeled_classes == [1, 2, 3]


def test_a_box_at_the_border_is_clipped_and_flags_and_area_are_extended():
  given = annotation(
    is_crowd=np.array([True]),
    difficult=np.array([True]),
    area=np.array([100], np.float32),
    weights=np.array([0.5], np.float32),
    views=['Frontal'],
  )
  image = filled(given, (BORDER, 2, 0.5, 0.75))
  assert image.boxes.tolist()[1] == [0.75, 0.875, 1.0, 1.0]
  assert image.is_crowd.tolist() == image.difficult.tolist() == [True, False]
  assert image.area.tolist() == [100, 12 * 10]  # 0.25 * 48 by 0.125 * 80 pixels.
  assert image.weights.tolist() == [0.5, 0.75]
  assert image.views == ['Frontal', '']
  assert image.truncated is None and image.group_of is None


def test_what_the_reader_cuts_off_first_comes_last():
  places = [[i / 8, 0.5, (i + 1) / 8, 1.0] for i in range(4)]
  image = filled(
    annotation(),
    (places[0], 2, 0.25, 0.0),
    (places[1], 2, 0.5, 0.5),
    (places[2], 3, 0.75, 0.0),
    (places[3], 3, 0.75, 0.5),
  )
  assert image.boxes.tolist() == [TOP_LEFT, places[3], places[1], places[2], places[0]]


def test_a_record_that_says_nothing_is_labeled_by_default():
  complete = annotation(labeled=None)
  assert filled(complete, (RIGHT, 2, 0.5, 1.0)) is complete
  partial = annotation(labeled=None, not_exhaustive=[2])
  image = filled(partial, (RIGHT, 2, 0.5, 1.0), (RIGHT, 3, 0.9, 1.0))
  assert image.class_names == ['a', 'b']
  assert (image.labeled_classes, image.human_labeled_classes) == ([1, 2, 3], [1, 3])


def test_an_earlier_round_is_replaced():
  first = filled(annotation(), (RIGHT, 2, 0.5, 0.75), (LESS_OF_IT, 3, 0.25, 0.0))
  read = tf_example.parse_example(tf_example.encode_example(first))
  original = human_part(read)
  assert original.boxes.tolist() == [TOP_LEFT]
  assert (original.class_names, original.sources) == (['a'], ['human'])
  assert (original.labeled_classes, original.human_labeled_classes) == ([1], None)
  second = filled(read, (RIGHT, 3, 0.875, 0.5), fillable=(3,))
  assert table(second)[1:] == [(RIGHT, 'c', 0.5, 'pseudo', 0.875)]
  assert (second.labeled_classes, second.human_labeled_classes) == ([1, 3], [1])


def test_without_a_note_the_classes_of_pseudo_boxes_count_as_unlabeled():
  image = annotation([TOP_LEFT, RIGHT], [1, 2], labeled=[1, 2, 3], sources=['human', 'pseudo'])
  original = human_part(image)
  assert original.boxes.tolist() == [TOP_LEFT]
  assert original.labeled_classes == [1, 3]


def test_a_box_of_weight_0_in_a_record_makes_its_anchors_ignored():
  loaded = Pipeline.load(tiny_project.ROOT / 'tests/testdata/tiny.config').config
  detector = builders.build_detector(loaded.model, is_training=True)
  anchors = detector.anchors.numpy()
  inside = np.flatnonzero((anchors >= 0).all(axis=1) & (anchors <= 1).all(axis=1))
  empty = tiny_project.annotations(1, seed=0)[0]
  image = filled(
    dataclasses.replace(empty, labeled_classes=[1]),
    (anchors[inside[0]], 2, 0.5, 0.0),
    (anchors[inside[-1]], 3, 0.75, 0.625),
    (TINY, 3, 0.25, 0.0),  # Fits no anchor, and must not be forced upon one.
  )
  example = tf_example.decode_example(tf_example.encode_example(image), num_classes=3)
  batch = {key: value[None] for key, value in example.items()}
  batch[fields.GROUNDTRUTH_MASK] = tf.ones([1, 3], tf.bool)
  targets = detector.assign_targets(batch)

  low = np.maximum(anchors[:, None, :2], image.boxes[None, :, :2])
  high = np.minimum(anchors[:, None, 2:], image.boxes[None, :, 2:])
  shared = np.maximum(high - low, 0).prod(axis=2)
  areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (anchors, image.boxes)]
  iou = shared / (areas[0][:, None] + areas[1] - shared)
  pseudo, ignored = iou[:, 0] >= 0.5, iou[:, 1] >= 0.5
  assert pseudo.any() and ignored.any() and not (pseudo & ignored).any()
  assert (iou[:, 2] < 0.5).all()
  expected = np.where(ignored, 0.0, np.where(pseudo, 0.625, 1.0))
  np.testing.assert_array_equal(targets.class_weights[0], expected)
  np.testing.assert_array_equal(targets.box_weights[0], np.where(pseudo, 0.625, 0.0))
  np.testing.assert_array_equal(np.asarray(targets.class_targets[0])[pseudo], 3)
  assert example[fields.LABELED_CLASSES].numpy().all()
