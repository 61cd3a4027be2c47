"""The network whose batch norms are folded: equal outputs, the other's variables."""

import keras
import numpy as np
import pytest
import tiny_project

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.models.folding import fold_batch_norm
from ssd_tf.models.normalization import FusedBatchNormalization

ROOT = tiny_project.ROOT


def noise(model, seed=0):
  _, height, width, channels = model.inputs[0].shape
  shape = (2, height, width, channels)
  return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def assert_equal_outputs(model, folded, tolerance=1e-4):
  images = noise(model)
  expected, actual = model(images, training=False), folded(images, training=False)
  assert expected.keys() == actual.keys()
  for name, value in expected.items():
    scale = np.abs(value).max()
    assert scale > 0
    np.testing.assert_allclose(actual[name], value, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize('extractor', ['ssd_mobilenet_v1_keras', 'ssd_mobilenet_v2_keras'])
def test_outputs_equal_and_follow_a_training(extractor):
  loaded = Pipeline.load(
    ROOT / 'tests/testdata/tiny.config', [f'model.ssd.feature_extractor.type={extractor}']
  ).config
  model = builders.build_detector(loaded.model, is_training=True).model
  tiny_project.randomize(model, seed=0)
  folded = fold_batch_norm(model)
  assert not any(isinstance(layer, FusedBatchNormalization) for layer in folded.layers)
  assert_equal_outputs(model, folded)
  tiny_project.randomize(model, seed=1)  # As an update changes the variables.
  assert_equal_outputs(model, folded)


def test_what_cannot_be_folded_stays():
  inputs = keras.Input((8, 12, 3))

  def conv(**kwargs):
    return keras.layers.Conv2D(4, 3, padding='same', **kwargs)

  def norm(name):
    return FusedBatchNormalization(name=name)

  with_bias = norm('after_bias')(conv()(inputs))
  activated = norm('after_activation')(conv(use_bias=False, activation='relu')(inputs))
  shared = conv(use_bias=False)
  twice = shared(inputs)
  separable = keras.layers.SeparableConv2D(4, 3, strides=2, padding='same', use_bias=False)
  outputs = {
    'with_bias': with_bias,
    'activated': activated,
    'also_itself': twice,  # The convolution has another consumer beside its norm.
    'twice': norm('folded_1')(twice),
    'same_weights': norm('folded_2')(shared(inputs * 0.5)),
    'separable': norm('folded_3')(separable(inputs)),
    'dilated': norm('folded_4')(conv(use_bias=False, dilation_rate=2)(inputs)),
  }
  model = keras.Model(inputs, outputs)
  rng = np.random.default_rng(0)
  for variable in model.variables:
    variable.assign(variable + rng.uniform(0.1, 0.5, variable.shape))
  folded = fold_batch_norm(model)
  left = {layer.name for layer in folded.layers if isinstance(layer, FusedBatchNormalization)}
  assert left == {'after_bias', 'after_activation'}
  assert_equal_outputs(model, folded, tolerance=1e-6)
