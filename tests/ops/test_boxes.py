"""Box geometry against tables worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.ops import boxes as box_ops

# A half image, a tiny box, a box on the border, a padding row.
BOXES = np.float32([[0, 0, 0.5, 1], [0.5, 0.5, 0.51, 0.52], [0.75, 0.5, 1, 1], [0, 0, 0, 0]])


def test_area():
  # .5*1; .01*.02; .25*.5; 0
  np.testing.assert_allclose(box_ops.area(BOXES), [0.5, 0.0002, 0.125, 0], atol=1e-7)


def test_pairwise_iou():
  other = np.float32([[0, 0, 1, 1], [0.25, 0, 0.75, 1], [0, 0, 0, 0]])
  # Row 0: .5/1; .25 shared of .5 + .5 - .25. Row 1 lies inside both. Row 2 touches the second.
  expected = [[0.5, 1 / 3, 0], [0.0002, 0.0004, 0], [0.125, 0, 0], [0, 0, 0]]
  np.testing.assert_allclose(box_ops.pairwise_iou(BOXES, other), expected, atol=1e-6)


def test_pairwise_ioa_is_over_the_area_of_the_box():
  windows = np.float32([[0.25, 0, 0.875, 0.75]])
  # Row 0: .25*.75/.5; row 1 wholly inside; row 2: .125*.25/.125; the padding row has no area.
  expected = [[0.375], [1], [0.25], [0]]
  np.testing.assert_allclose(box_ops.pairwise_ioa(BOXES, windows), expected, atol=1e-5)


def test_leading_dimensions_broadcast():
  batch = np.stack([BOXES, BOXES[::-1]])
  iou = box_ops.pairwise_iou(batch, BOXES)
  np.testing.assert_array_equal(iou[0], box_ops.pairwise_iou(BOXES, BOXES))
  np.testing.assert_array_equal(iou[1], box_ops.pairwise_iou(BOXES[::-1], BOXES))


def test_no_boxes():
  none = np.zeros([0, 4], np.float32)
  assert box_ops.pairwise_iou(none, BOXES).shape == (0, 4)
  assert box_ops.clip_to_window(none, np.float32([0, 0, 1, 1])).shape == (0, 4)


def test_clip_to_window():
  boxes = np.float32([[-0.5, 0.25, 0.5, 2], [0.8, 0.8, 0.9, 0.9], [0.1, 0.1, 0.2, 0.2]])
  window = np.float32([0, 0, 0.5, 0.75])
  # The second box is outside: both its corners go to the window's corner.
  expected = [[0, 0.25, 0.5, 0.75], [0.5, 0.75, 0.5, 0.75], [0.1, 0.1, 0.2, 0.2]]
  np.testing.assert_allclose(box_ops.clip_to_window(boxes, window), expected)


def test_clip_takes_one_window_per_image():
  boxes = np.float32([[[0, 0, 1, 1]], [[0, 0, 1, 1]]])
  windows = np.float32([[0, 0, 1, 0.5], [0.25, 0, 1, 1]])
  expected = [[[0, 0, 1, 0.5]], [[0.25, 0, 1, 1]]]
  np.testing.assert_array_equal(box_ops.clip_to_window(boxes, windows), expected)


def test_change_frame_of_a_window_that_is_not_square():
  boxes = np.float32([[0.25, 0.5, 0.75, 1], [0, 0, 0.5, 0.5]])
  window = np.float32([0.25, 0.5, 0.75, 0.75])
  # y: (.25-.25)/.5, (.75-.25)/.5; x: (.5-.5)/.25, (1-.5)/.25. Second: y -.5, .5; x -2, 0.
  expected = [[0, 0, 1, 2], [-0.5, -2, 0.5, 0]]
  np.testing.assert_allclose(box_ops.change_frame(boxes, window), expected)


def test_flip_left_right():
  boxes = np.float32([[0.125, 0.25, 0.5, 1], [0, 0, 1, 0.5]])
  np.testing.assert_array_equal(
    box_ops.flip_left_right(boxes), [[0.125, 0, 0.5, 0.75], [0, 0.5, 1, 1]]
  )
  np.testing.assert_array_equal(box_ops.flip_left_right(box_ops.flip_left_right(boxes)), boxes)


def test_same_values_inside_dataset_map():
  def apply(boxes):
    window = tf.constant([0.25, 0, 0.75, 0.5])
    clipped = box_ops.change_frame(box_ops.clip_to_window(boxes, window), window)
    return box_ops.flip_left_right(clipped), box_ops.pairwise_ioa(boxes, window[None])

  mapped = next(iter(tf.data.Dataset.from_tensors(BOXES).map(apply)))
  for eager, graph in zip(apply(tf.constant(BOXES)), mapped, strict=True):
    np.testing.assert_array_equal(eager, graph)


def test_wrong_last_dimension_is_named():
  with pytest.raises(ValueError, match=r'boxes: expected shape \[\.\.\., 4\].*received \(2, 3\)'):
    box_ops.area(np.zeros([2, 3], np.float32))


def test_matched_iou_and_giou_by_hand():
  boxes1 = np.float32([[0, 0, 0.5, 1], [0, 0, 1, 0.5], [0, 0, 0.25, 0.25], [0.5, 0.5, 0.5, 0.5]])
  boxes2 = np.float32([[0, 0, 1, 1], [0, 0.5, 1, 1], [0.75, 0.75, 1, 1], [0.5, 0.5, 0.5, 0.5]])
  # Half; side by side; apart, 1/16 each within 1; two points on one spot.
  np.testing.assert_allclose(box_ops.matched_iou(boxes1, boxes2), [0.5, 0, 0, 0])
  giou = box_ops.matched_giou(boxes1, boxes2)
  np.testing.assert_allclose(giou, [0.5, 0, -(1 - 2 / 16), 0])


def test_matched_iou_is_the_diagonal_of_pairwise_iou():
  rng = np.random.default_rng(0)
  corners = rng.uniform(0, 0.6, [2, 30, 2])
  boxes = np.concatenate([corners, corners + rng.uniform(0, 0.4, [2, 30, 2])], -1).astype('f4')
  diagonal = np.diagonal(box_ops.pairwise_iou(boxes[0], boxes[1]))
  np.testing.assert_allclose(box_ops.matched_iou(boxes[0], boxes[1]), diagonal, rtol=1e-6)


def test_squared_distance():
  boxes1, boxes2 = (
    np.float32([[[0, 0, 1, 1], [1, 2, 3, 4]]]),
    np.float32([[0, 0, 1, 1], [0, 0, 0, 0]]),
  )
  # 1 + 4 + 4 + 9 and 1 + 4 + 9 + 16.
  distance = box_ops.pairwise_squared_distance(boxes1, boxes2)
  np.testing.assert_array_equal(distance, [[[0, 2], [18, 30]]])
