"""Localization losses against the original's numbers."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.ops import losses


def test_localization_losses_equal_the_original(loss_goldens, golden_targets):
  encodings = loss_goldens['box_encodings']
  box_targets, weights = golden_targets.box_targets, golden_targets.box_weights
  loss = losses.smooth_l1(encodings, box_targets, delta=1.0) * weights
  np.testing.assert_allclose(loss[1], loss_goldens['weighted_smooth_l1_d1'], rtol=1e-5, atol=1e-6)
  loss = losses.smooth_l1(encodings, box_targets, delta=0.5) * weights
  expected = loss_goldens['weighted_smooth_l1_d05']
  np.testing.assert_allclose(loss[1], expected, rtol=1e-5, atol=1e-6)
  loss = losses.l2(encodings, box_targets) * weights
  expected = loss_goldens['weighted_l2']
  np.testing.assert_allclose(loss[1], expected, rtol=1e-5, atol=1e-6)


def test_sums_over_everything_equal_the_original(loss_goldens, golden_targets):
  encodings, sums = loss_goldens['box_encodings'], loss_goldens['json']['sums']
  box_targets, weights = golden_targets.box_targets, golden_targets.box_weights
  for name, values in (
    ('weighted_smooth_l1_d1', losses.smooth_l1(encodings, box_targets, delta=1.0) * weights),
    ('weighted_smooth_l1_d05', losses.smooth_l1(encodings, box_targets, delta=0.5) * weights),
    # The original squares the weight of a box too, which is no weight then.
    ('weighted_l2', losses.l2(encodings, box_targets) * weights**2),
  ):
    np.testing.assert_allclose(np.sum(values, dtype=np.float64), sums[name], rtol=1e-6)
  even = tf.range(9) % 2 == 0
  values = losses.smooth_l1(encodings, box_targets, delta=1.0) * weights
  values = np.sum(tf.boolean_mask(values, even), dtype=np.float64)
  golden = sums['weighted_smooth_l1_d1_losses_mask_even_images']
  np.testing.assert_allclose(values, golden, rtol=1e-6)


def test_l1_and_l2_by_hand():
  encodings, box_targets = tf.constant([[[0.5, -1, 3, 0]]]), tf.constant([[[0.0, 1, 1, 0]]])
  np.testing.assert_allclose(losses.l1(encodings, box_targets), [[0.5 + 2 + 2]])
  np.testing.assert_allclose(losses.l2(encodings, box_targets), [[(0.25 + 4 + 4) / 2]])


def reference_iou(box, target, generalized):
  """In NumPy, of two boxes."""
  sides = np.minimum(box[2:], target[2:]) - np.maximum(box[:2], target[:2])
  shared = np.prod(np.maximum(sides, 0))
  union = np.prod(box[2:] - box[:2]) + np.prod(target[2:] - target[:2]) - shared
  hull = np.prod(np.maximum(box[2:], target[2:]) - np.minimum(box[:2], target[:2]))
  return shared / union - generalized * (hull - union) / hull


@pytest.mark.parametrize('loss', [losses.iou, losses.giou])
def test_overlap_losses_are_those_of_the_definition(loss, loss_goldens, ssd_anchors, coder):
  boxes = coder.decode(loss_goldens['box_encodings'][1:3], ssd_anchors)
  targets = coder.decode(tf.roll(loss_goldens['box_encodings'][1:3], 1, axis=0), ssd_anchors)
  with tf.GradientTape() as tape:
    tape.watch(boxes)
    values = loss(boxes, targets)
  gradient = tape.gradient(values, boxes)
  expected = [
    [1 - reference_iou(*pair, loss is losses.giou) for pair in zip(*image, strict=True)]
    for image in zip(boxes.numpy().astype('f8'), targets.numpy().astype('f8'), strict=True)
  ]
  np.testing.assert_allclose(values, expected, atol=1e-5)
  # A step against the gradient makes it better.
  assert np.isfinite(gradient).all()
  assert np.sum(loss(boxes - 1e-4 * gradient, targets)) < np.sum(values)


def test_overlap_losses_of_boxes_without_area_have_a_finite_gradient():
  boxes = tf.constant([[[0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0], [0.1, 0.2, 0.1, 0.4]]])
  for loss in (losses.iou, losses.giou):
    with tf.GradientTape() as tape:
      tape.watch(boxes)
      values = loss(boxes, tf.constant([[[0.5, 0.5, 0.5, 0.5], [0, 0, 1, 1], [0, 0, 1, 1]]]))
    assert np.isfinite(values).all() and np.isfinite(tape.gradient(values, boxes)).all()


def test_smooth_l1_is_a_parabola_that_becomes_a_line():
  encodings = tf.constant([[[0.5, -1, 3, 0]]])
  # delta 2: .125 + .5 + (2 * 3 - 2) + 0
  loss = losses.smooth_l1(encodings, tf.zeros_like(encodings), delta=2.0)
  np.testing.assert_allclose(loss, [[4.625]])


def test_different_shapes_are_named():
  with pytest.raises(ValueError, match=r'box_encodings, box_targets: .*\(1, 2, 4\).*\(2, 4\)'):
    losses.l2(tf.zeros([1, 2, 4]), tf.zeros([2, 4]))
