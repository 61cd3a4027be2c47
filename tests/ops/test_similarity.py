"""Measures of likeness, by hand."""

import numpy as np

from ssd_tf.ops import similarity

BOXES = np.float32([[[0, 0, 1, 0.5]], [[0.5, 0, 1, 1]]])  # Two images of one box.
ANCHORS = np.float32([[0, 0, 1, 1], [0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])


def test_iou_and_its_threshold():
  # Halves against the whole; a quarter inside the half; apart, or inside.
  expected = [[[0.5, 0.5, 0]], [[0.5, 0, 0.5]]]
  np.testing.assert_allclose(similarity.IOU.compare(BOXES, ANCHORS), expected)
  above = similarity.thresholded_iou(0.4)
  np.testing.assert_array_equal(above.compare(BOXES, ANCHORS), [[[1, 1, 0]], [[1, 0, 1]]])
  assert not similarity.thresholded_iou(0.5).compare(BOXES, ANCHORS).numpy().any()


def test_ioa_is_the_share_of_the_anchor():
  expected = [[[0.5, 1, 0]], [[0.5, 0, 1]]]
  np.testing.assert_allclose(similarity.IOA.compare(BOXES, ANCHORS), expected)


def test_distance_is_negative():
  # .5^2; .5^2; .5^2 + .5^2 + .5^2, and so on.
  expected = [[[-0.25, -0.25, -0.75]], [[-0.25, -0.75, -0.25]]]
  received = similarity.NEGATIVE_SQUARED_DISTANCE.compare(BOXES, ANCHORS)
  np.testing.assert_allclose(received, expected)
