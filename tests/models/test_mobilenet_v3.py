"""MobileNet v3 against Keras's own, against NumPy, and against the paper's numbers."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.models import mobilenet_v3
from ssd_tf.models.conv_block import ConvHyperparams
from ssd_tf.models.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small

HYPERPARAMS = ConvHyperparams(keras.initializers.HeNormal, activation='RELU_6')
BACKBONES = {'large': mobilenet_v3_large, 'small': mobilenet_v3_small}
RNG = np.random.default_rng(0)


def built(size, image_size=(None, None), **kwargs):
  images = keras.Input([*image_size, 3])
  scale = {name: kwargs.pop(name) for name in ('depth_multiplier', 'min_depth') if name in kwargs}
  hyperparams = dataclasses.replace(HYPERPARAMS, **scale)
  return keras.Model(images, BACKBONES[size](images, hyperparams, **kwargs))


def randomize(model):
  for variable in model.variables:
    if variable.path.endswith('moving_variance'):
      variable.assign(RNG.uniform(0.5, 1.5, variable.shape))
    elif 'kernel' not in variable.path:
      variable.assign(variable.numpy() + RNG.normal(0, 0.2, variable.shape))


@pytest.mark.parametrize(('size', 'expanded_block'), [('large', 12), ('small', 8)])
@pytest.mark.parametrize('depth_multiplier', [1.0, 0.75])
def test_it_is_the_network_that_keras_has(size, expanded_block, depth_multiplier):
  # Sides that stay odd through all five strides: there Keras pads as SAME does.
  shape = (33, 65, 3)
  model = built(size, shape[:2], depth_multiplier=depth_multiplier, reduce_coarsest=False)
  make = {
    'large': keras.applications.MobileNetV3Large,
    'small': keras.applications.MobileNetV3Small,
  }
  reference = make[size](
    input_shape=shape,
    alpha=depth_multiplier,
    include_top=False,
    weights=None,
    include_preprocessing=False,
  )
  randomize(model)
  assert [v.shape for v in model.variables] == [v.shape for v in reference.variables]
  for ours, theirs in zip(model.variables, reference.variables, strict=True):
    theirs.assign(ours)
  # Keras numbers the first block apart: its `expanded_conv_<i>` is block i.
  expanded = reference.get_layer(f'expanded_conv_{expanded_block}_expand_bn').output
  reference = keras.Model(reference.input, [keras.ops.hard_silu(expanded), reference.output])
  images = RNG.normal(0, 1, [2, *shape]).astype(np.float32)
  for ours, theirs in zip(model(images), reference(images), strict=True):
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * scale)


# With the classifier and 1000 classes: 5.4 M and 2.5 M (Howard et al. 2019, table 3); torchvision
# publishes 5,483,032 and 2,542,856. The last two layers have 960 * 1280 + 1280 + 1280 * 1000 + 1000
# and 576 * 1024 + 1024 + 1024 * 1000 + 1000 of them.
@pytest.mark.parametrize(
  ('size', 'classifier', 'published'),
  [('large', 2_511_080, 5_483_032), ('small', 1_615_848, 2_542_856)],
)
def test_parameters_of_the_classification_network(size, classifier, published):
  model = built(size, reduce_coarsest=False)
  assert sum(v.numpy().size for v in model.trainable_variables) + classifier == published


@pytest.mark.parametrize(
  ('size', 'kwargs', 'channels'),
  [
    ('large', {}, (672, 480)),  # 6 * 112; 6 * 160 / 2
    ('small', {}, (288, 288)),  # 6 * 48; 6 * 96 / 2
    ('large', {'reduce_coarsest': False}, (672, 960)),
    ('small', {'reduce_coarsest': False}, (288, 576)),
    # 112 / 2 = 56, times 6; 480 / 2. 48 / 2 = 24, times 6; 288 / 2.
    ('large', {'depth_multiplier': 0.5}, (336, 240)),
    ('small', {'depth_multiplier': 0.5}, (144, 144)),
    # 48 / 8 = 6, at least 16, times 6; 288 / 8 = 36, to 40.
    ('small', {'depth_multiplier': 0.125, 'min_depth': 16}, (96, 40)),
  ],
)
def test_feature_maps(size, kwargs, channels):
  maps = built(size, (320, 160), **kwargs).outputs
  assert [tuple(features.shape[1:]) for features in maps] == [
    (20, 10, channels[0]),
    (10, 5, channels[1]),
  ]


def test_squeeze_and_excite_in_numpy():
  inputs = keras.Input([4, 6, 72])
  model = keras.Model(inputs, mobilenet_v3.squeeze_and_excite(inputs, HYPERPARAMS, name='block'))
  randomize(model)
  features = RNG.normal(0.5, 2, [2, 4, 6, 72]).astype(np.float32)
  squeeze, squeeze_bias, excite, excite_bias = (v.numpy() for v in model.variables)
  assert squeeze.shape == (1, 1, 72, 24)  # 72 / 4 = 18: 16 would be less by more than a tenth.
  hidden = np.maximum(features.mean((1, 2)) @ squeeze[0, 0] + squeeze_bias, 0)
  gate = np.clip(hidden @ excite[0, 0] + excite_bias + 3, 0, 6) / 6
  np.testing.assert_allclose(model(features), features * gate[:, None, None], atol=1e-5)


def test_a_block_in_numpy():
  """Expansion, h-swish, 5x5 depthwise, h-swish, squeeze and excite, projection, sum."""
  block = mobilenet_v3.Block(5, 48, 16, True, 'HARD_SWISH', 1)
  inputs = keras.Input([5, 7, 16])
  hyperparams = ConvHyperparams(keras.initializers.HeNormal, activation='HARD_SWISH')
  outputs, _ = mobilenet_v3._block(
    inputs, block, hyperparams, expansion=48, filters=16, name='block'
  )
  model = keras.Model(inputs, outputs)
  randomize(model)
  values = {v.path.removeprefix('block_'): v.numpy() for v in model.variables}
  images = RNG.normal(0, 1, [2, 5, 7, 16]).astype(np.float32)

  def normalized(x, name):
    gamma, beta, mean, variance = (
      values[f'{name}_batch_norm/{leaf}']
      for leaf in ('gamma', 'beta', 'moving_mean', 'moving_variance')
    )
    return (x - mean) / np.sqrt(variance + 0.001) * gamma + beta

  def hard_swish(x):
    return x * np.clip(x + 3, 0, 6) / 6

  expanded = hard_swish(normalized(images @ values['expand/kernel'][0, 0], 'expand'))
  padded = np.pad(expanded, [(0, 0), (2, 2), (2, 2), (0, 0)])
  kernel = values['depthwise/kernel'][..., 0]
  filtered = sum(padded[:, y : y + 5, x : x + 7] * kernel[y, x] for y in range(5) for x in range(5))
  filtered = hard_swish(normalized(filtered, 'depthwise'))
  hidden = filtered.mean((1, 2)) @ values['squeeze/kernel'][0, 0] + values['squeeze/bias']
  gate = np.maximum(hidden, 0) @ values['excite/kernel'][0, 0] + values['excite/bias']
  gated = filtered * (np.clip(gate + 3, 0, 6) / 6)[:, None, None]
  expected = images + normalized(gated @ values['project/kernel'][0, 0], 'project')
  np.testing.assert_allclose(model(images), expected, atol=3e-5)


def test_the_hyperparams_are_those_of_every_convolution_but_for_the_activation():
  hyperparams = ConvHyperparams(
    lambda: keras.initializers.Constant(0.5),
    l2_weight=0.02,
    batch_norm={'momentum': 0.5},
    batch_norm_trainable=False,
  )
  images = keras.Input([32, 32, 3])
  model = keras.Model(images, mobilenet_v3_small(images, hyperparams))
  kernels = [v.numpy() for v in model.variables if v.path.endswith('kernel')]
  assert all((kernel == 0.5).all() for kernel in kernels)
  total = sum(kernel.size for kernel in kernels) * 0.25
  np.testing.assert_allclose(sum(model.losses), 0.01 * total, rtol=1e-5)
  norms = [layer for layer in model.layers if layer.name.endswith('batch_norm')]
  assert {(norm.momentum, norm.frozen) for norm in norms} == {(0.5, True)}
  activations = {la.activation.__name__ for la in model.layers if la.name.endswith('activation')}
  assert activations == {'relu', 'hard_silu'}


@pytest.mark.parametrize('size', BACKBONES)
def test_one_step_lowers_the_loss_and_a_save_brings_it_back(size, tmp_path):
  keras.utils.set_random_seed(1)
  model = built(size, (64, 96), depth_multiplier=0.25)
  images = RNG.normal(0, 1, [4, 64, 96, 3]).astype(np.float32)
  targets = [RNG.normal(0, 1, [4, *m.shape[1:]]).astype(np.float32) for m in model.outputs]

  def loss():
    maps = model(images, training=True)
    return sum(
      tf.reduce_mean((ours - wanted) ** 2) for ours, wanted in zip(maps, targets, strict=True)
    )

  with tf.GradientTape() as tape:
    before = loss()
  gradients = tape.gradient(before, [v.value for v in model.trainable_variables])
  assert all(np.isfinite(gradient).all() for gradient in gradients)
  assert sum(np.abs(gradient).max() > 0 for gradient in gradients) == len(gradients)
  norm = tf.linalg.global_norm(gradients)
  for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
    variable.assign_sub(0.01 * gradient / norm)
  assert loss() < before
  model.save_weights(tmp_path / 'v3.weights.h5')
  other = built(size, (64, 96), depth_multiplier=0.25)
  assert np.abs(other(images)[1] - model(images)[1]).max() > 1e-3
  other.load_weights(tmp_path / 'v3.weights.h5')
  for ours, theirs in zip(other(images), model(images), strict=True):
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(('dtype', 'tolerance'), [('float16', 0.02), ('bfloat16', 0.15)])
def test_mixed_precision(dtype, tolerance):
  before = keras.config.dtype_policy()
  try:
    keras.config.set_dtype_policy(f'mixed_{dtype}')
    model = built('small', (33, 65))
  finally:
    keras.config.set_dtype_policy(before)
  reference = built('small', (33, 65))
  reference.set_weights(model.get_weights())
  images = RNG.normal(0, 1, [2, 33, 65, 3]).astype(np.float32)
  maps = zip(model(images, training=True), reference(images, training=True), strict=True)
  for ours, theirs in maps:
    assert ours.dtype == dtype
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(tf.cast(ours, tf.float32), theirs, atol=tolerance * scale)
