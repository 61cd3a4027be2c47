"""The original's numbers and inputs that several tests of the ops compare with."""

import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.ops import box_coder, target_assigner

ROOT = pathlib.Path(__file__).parents[2]


def shared_folder():
  return pathlib.Path(os.environ.get('SSD_TF_TEST_DATA', ROOT.parent / 'shared'))


@pytest.fixture(scope='session')
def golden_file():
  """('balancap/losses.json') -> its path, here or where the large files of measurements lie."""

  def find(name):
    for directory in (ROOT / 'tests/testdata', shared_folder() / 'goldens'):
      if (directory / name).exists():
        return directory / name
    pytest.skip(f'{name} is absent; SSD_TF_TEST_DATA names the folder that holds goldens/')

  return find


@pytest.fixture(scope='session')
def goldens():
  """Where the large files of measurements lie."""
  shared = shared_folder()
  directory = shared / 'goldens/odapi'
  if not directory.exists():
    pytest.skip(f'{directory} is absent; SSD_TF_TEST_DATA names the folder that holds goldens/')
  return directory


@pytest.fixture(scope='session')
def loss_goldens(goldens):
  """Logits and box encodings as tensors, losses; sums and selected anchors under 'json'."""
  arrays = dict(np.load(goldens / 'd_losses.npz'))
  for name in ('logits', 'box_encodings'):
    arrays[name] = tf.constant(arrays[name])
  return {**arrays, 'json': json.loads((goldens / 'd_losses.json').read_text())}


@pytest.fixture(scope='session')
def ssd_anchors(goldens):
  return tf.constant(np.load(goldens / 'a_anchors.npz')['ssd_mobilenet_v2_320'])


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
