"""Localization losses against the original's numbers."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.ops import losses


def test_localization_losses_equal_the_original(loss_goldens, golden_targets):
  encodings = loss_goldens['box_encodings']
  box_targets, weights = golden_targets.box_targets, golden_targets.box_weights
  loss = losses.smooth_l1(encodings, box_targets, delta=1.0) * weights
  np.testing.assert_allclose(loss, loss_goldens['weighted_smooth_l1_d1'], rtol=1e-5, atol=1e-6)
  loss = losses.smooth_l1(encodings, box_targets, delta=0.5) * weights
  expected = loss_goldens['weighted_smooth_l1_d05__img1']
  np.testing.assert_allclose(loss[1], expected, rtol=1e-5, atol=1e-6)
  loss = losses.l2(encodings, box_targets) * weights
  expected = loss_goldens['weighted_l2__img1']
  np.testing.assert_allclose(loss[1], expected, rtol=1e-5, atol=1e-6)


def test_smooth_l1_is_a_parabola_that_becomes_a_line():
  encodings = tf.constant([[[0.5, -1, 3, 0]]])
  # delta 2: .125 + .5 + (2 * 3 - 2) + 0
  loss = losses.smooth_l1(encodings, tf.zeros_like(encodings), delta=2.0)
  np.testing.assert_allclose(loss, [[4.625]])


def test_different_shapes_are_named():
  with pytest.raises(ValueError, match=r'box_encodings, box_targets: .*\(1, 2, 4\).*\(2, 4\)'):
    losses.l2(tf.zeros([1, 2, 4]), tf.zeros([2, 4]))
