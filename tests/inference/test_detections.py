"""Detections as users take them apart."""

import numpy as np

from ssd_tf.evaluation import drawing
from ssd_tf.inference.detections import Detection, Detections

FOUND = Detections(
  image=np.zeros([40, 80, 3], np.uint8),
  boxes=np.array([[10.0, 40, 30, 50], [0, 0, 40, 80], [20, 0, 30, 20]]),
  scores=np.array([0.75, 0.5, 0.25], np.float32),
  class_ids=np.array([2, 1, 3]),
  class_names={1: 'cat', 2: 'dog'},
)


def test_they_are_iterated_one_by_one():
  assert list(FOUND) == [
    Detection(box=(10, 40, 30, 50), score=0.75, class_id=2, name='dog'),
    Detection(box=(0, 0, 40, 80), score=0.5, class_id=1, name='cat'),
    Detection(box=(20, 0, 30, 20), score=0.25, class_id=3, name='3'),
  ]
  assert len(FOUND) == 3 and FOUND.names == ['dog', 'cat', '3']


def test_those_above_a_threshold_keep_image_and_names():
  good = FOUND.above(0.5)
  assert len(good) == 2 and good.names == ['dog', 'cat'] and good.image is FOUND.image
  np.testing.assert_array_equal(good.boxes, FOUND.boxes[:2])
  assert len(FOUND.above(0.8)) == 0 and list(FOUND.above(0.8)) == []
  assert FOUND.above(0.8).as_dict() == {'height': 40, 'width': 80, 'detections': []}


def test_boxes_are_normalized_by_height_and_width():
  # 10 / 40, 40 / 80, 30 / 40, 50 / 80.
  np.testing.assert_array_equal(FOUND.normalized_boxes[0], [0.25, 0.5, 0.75, 0.625])


def test_they_are_drawn_on_a_copy():
  drawn = FOUND.above(0.7).draw()
  assert drawn.size == (80, 40)
  # The left edge of the dog's box.
  assert drawn.getpixel((40, 20)) == drawing.class_color(2) and not FOUND.image.any()
