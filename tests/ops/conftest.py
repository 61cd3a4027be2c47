"""The original's numbers and inputs that several tests of the ops compare with."""

import pathlib

import numpy as np
import odapi_goldens
import pytest
import tensorflow as tf

from ssd_tf.ops import box_coder, target_assigner

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope='session')
def golden_file():
  """('balancap/losses.json') -> its path."""
  return (ROOT / 'tests/testdata').joinpath


@pytest.fixture(scope='session')
def loss_goldens():
  """Logits and box encodings of nine images, and the losses that the original computes of them."""
  return odapi_goldens.losses()


@pytest.fixture(scope='session')
def ssd_anchors():
  return tf.constant(odapi_goldens.arrays('a_anchors')['ssd_mobilenet_v2_320'])


@pytest.fixture(scope='session')
def coder():
  return box_coder.FasterRCNNBoxCoder(y_scale=10, x_scale=10, height_scale=5, width_scale=5)


@pytest.fixture(scope='session')
def golden_targets():
  """The nine images' targets as the original assigned them."""
  arrays = np.load(ROOT / 'tests/testdata/odapi/c_targets.npz')
  return target_assigner.Targets(
    class_targets=tf.constant(arrays['cls_targets_bg_onehot'].argmax(axis=-1), tf.int32),
    box_targets=tf.constant(arrays['reg_targets']),
    class_weights=tf.constant(arrays['cls_weights'][..., 0]),
    box_weights=tf.constant(arrays['reg_weights']),
    positive_mask=tf.constant(arrays['match'] >= 0),
  )
