"""Batch norm against NumPy: what it returns, and what it leaves in the moving statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.models.normalization import FusedBatchNormalization, make_deterministic

INPUTS = np.random.default_rng(0).normal(2.0, 3.0, [4, 5, 7, 3]).astype(np.float32)


def layer_with_values(**kwargs):
  layer = FusedBatchNormalization(momentum=0.9, epsilon=0.01, **kwargs)
  layer.build(INPUTS.shape)
  layer.gamma.assign([1.0, 2.0, 3.0])
  layer.beta.assign([0.5, 0.0, -0.5])
  layer.moving_mean.assign([1.0, 2.0, 3.0])
  layer.moving_variance.assign([4.0, 5.0, 6.0])
  return layer


def expected(mean, variance):
  return (INPUTS - mean) / np.sqrt(np.add(variance, 0.01)) * [1.0, 2.0, 3.0] + [0.5, 0.0, -0.5]


@pytest.mark.parametrize('synchronized', [False, True])
def test_training_uses_the_batch_and_moves_the_statistics(synchronized):
  layer = layer_with_values(synchronized=synchronized)
  outputs = layer(INPUTS, training=True)
  mean, variance = INPUTS.mean((0, 1, 2)), INPUTS.var((0, 1, 2))
  np.testing.assert_allclose(outputs, expected(mean, variance), atol=2e-5)
  np.testing.assert_allclose(layer.moving_mean, 0.9 * np.array([1, 2, 3]) + 0.1 * mean, rtol=1e-5)
  unbiased = variance * 140 / 139  # 4 * 5 * 7 = 140 values of each channel
  np.testing.assert_allclose(
    layer.moving_variance, 0.9 * np.array([4, 5, 6]) + 0.1 * unbiased, rtol=1e-5
  )


@pytest.mark.parametrize(
  ('options', 'training'), [({}, False), ({'frozen': True}, True), ({'trainable': False}, True)]
)
def test_inference_and_frozen_use_the_moving_statistics(options, training):
  layer = layer_with_values(**options)
  outputs = layer(INPUTS, training=training)
  np.testing.assert_allclose(outputs, expected([1, 2, 3], [4, 5, 6]), atol=2e-5)
  np.testing.assert_array_equal(layer.moving_mean, [1, 2, 3])
  np.testing.assert_array_equal(layer.moving_variance, [4, 5, 6])


def test_frozen_still_learns_gamma_and_beta():
  layer = layer_with_values(frozen=True)
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(layer(INPUTS, training=True))
  gamma, beta = tape.gradient(loss, [v.value for v in layer.trainable_variables])
  normalized = (INPUTS - [1, 2, 3]) / np.sqrt(np.add([4, 5, 6], 0.01))
  np.testing.assert_allclose(gamma, normalized.sum((0, 1, 2)), rtol=1e-4)
  np.testing.assert_allclose(beta, [140] * 3)  # 4 * 5 * 7 values of each channel.


def test_synchronized_has_the_gradient_of_the_fused():
  gradients = []
  for synchronized in (False, True):
    layer = layer_with_values(synchronized=synchronized)
    with tf.GradientTape() as tape:
      inputs = tf.constant(INPUTS)
      tape.watch(inputs)
      loss = tf.reduce_sum(layer(inputs, training=True) ** 3)
    gradients.append(tape.gradient(loss, inputs))
  np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-3, atol=1e-2)


def test_center_and_scale_say_what_trains():
  layer = FusedBatchNormalization(center=False, scale=False)
  layer.build([None, 2, 2, 3])
  assert layer.trainable_variables == []
  assert [v.name for v in layer.variables] == ['gamma', 'beta', 'moving_mean', 'moving_variance']


def test_a_saved_model_comes_back_with_its_settings(tmp_path):
  inputs = keras.Input([5, 7, 3])
  layer = FusedBatchNormalization(momentum=0.7, epsilon=0.02, synchronized=True, name='norm')
  model = keras.Model(inputs, layer(inputs))
  model.save(tmp_path / 'model.keras')
  loaded = keras.models.load_model(
    tmp_path / 'model.keras', custom_objects={'FusedBatchNormalization': FusedBatchNormalization}
  )
  config = loaded.get_layer('norm').get_config()
  assert (config['momentum'], config['epsilon'], config['synchronized']) == (0.7, 0.02, True)
  np.testing.assert_allclose(loaded(INPUTS), model(INPUTS))


def test_frozen_of_single_operations_is_what_the_kernel_computes():
  results = []
  for is_deterministic in (False, True):
    layer = layer_with_values(frozen=True)
    inputs = keras.Input(INPUTS.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    if is_deterministic:
      make_deterministic(model)
    watched = [tf.constant(INPUTS), *(v.value for v in layer.trainable_variables)]
    with tf.GradientTape() as tape:
      tape.watch(watched)
      outputs = model(watched[0], training=True)
      loss = tf.reduce_sum(outputs**3)
    results.append([outputs, *tape.gradient(loss, watched)])
  for fused, single in zip(*results, strict=True):
    np.testing.assert_allclose(single, fused, rtol=1e-4, atol=1e-3)
