"""Convolution hyperparameters: what each field of the message makes of a convolution."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from ssd_tf.builders.hyperparams import build_hyperparams
from ssd_tf.errors import InputError
from ssd_tf.models.conv_block import conv_block, depthwise_block
from ssd_tf.protos import hyperparams_pb2

PATH = 'model.ssd.feature_extractor.conv_hyperparams'
PLAIN = 'activation: NONE '
IMAGES = np.random.default_rng(0).normal(0.5, 2.0, [3, 4, 6, 64]).astype(np.float32)


def built(text, batch_norm_trainable=True):
  return build_hyperparams(
    text_format.Parse(text, hyperparams_pb2.Hyperparams()), PATH, batch_norm_trainable
  )


def convolution(text, filters=32, channels=64, kernel_size=1, depthwise=False):
  """A model of one block."""
  inputs = keras.Input([None, None, channels])
  if depthwise:
    outputs = depthwise_block(inputs, built(text), name='conv')
  else:
    outputs = conv_block(inputs, filters, kernel_size, built(text), name='conv')
  return keras.Model(inputs, outputs)


def kernel_of(model):
  return model.get_layer('conv').kernel.numpy()


def identity(text):
  """A 1x1 block of 32 channels that starts as the identity, with a bias of 0.25 if it has one."""
  model = convolution(text, channels=32)
  layer = model.get_layer('conv')
  layer.kernel.assign(np.eye(32).reshape([1, 1, 32, 32]))
  if layer.use_bias:
    layer.bias.assign([0.25] * 32)
  return model


# A kernel of 2, -1 and else 0: sum of squares 5, of absolute values 3.
@pytest.mark.parametrize(
  ('regularizer', 'loss'),
  [
    ('l2_regularizer { weight: 0.4 }', 1.0),  # 0.4 / 2 * 5
    ('l2_regularizer {}', 2.5),
    ('l1_regularizer { weight: 0.4 }', 1.2),
    ('l1_regularizer {}', 3.0),
    ('', 0.0),
  ],
)
@pytest.mark.parametrize('depthwise_field', ['', 'regularize_depthwise: true '])
def test_regularizers(regularizer, loss, depthwise_field):
  for depthwise in (False, True):
    text = f'{PLAIN}{depthwise_field}regularizer {{ {regularizer} }}'
    model = convolution(text, filters=64, depthwise=depthwise)
    kernel = np.zeros(model.get_layer('conv').kernel.shape)
    kernel.flat[:2] = [2, -1]
    model.get_layer('conv').kernel.assign(kernel)
    np.testing.assert_allclose(sum(model.losses), loss, rtol=1e-6)


def test_no_regularizer_at_all():
  assert convolution(PLAIN).losses == []


# A 3x3 kernel of 64 -> 32 channels: fan in 576, fan out 288, average 432.
@pytest.mark.parametrize(
  ('initializer', 'mean', 'stddev', 'largest'),
  [
    # Cut off at 2 of its stddev, which makes it narrower by 0.8796.
    ('truncated_normal_initializer { mean: 0.3 stddev: 0.5 }', 0.3, 0.4398, 1.3),
    ('random_normal_initializer { mean: -0.2 stddev: 0.1 }', -0.2, 0.1, None),
    ('variance_scaling_initializer {}', 0, (2 / 576) ** 0.5, None),
    ('variance_scaling_initializer { factor: 3 mode: FAN_OUT }', 0, (3 / 288) ** 0.5, None),
    ('variance_scaling_initializer { factor: 1 mode: FAN_AVG }', 0, (1 / 432) ** 0.5, None),
    (
      'variance_scaling_initializer { factor: 1 uniform: true }',
      *(0, (1 / 576) ** 0.5, (3 / 576) ** 0.5),
    ),
    ("keras_initializer_by_name: 'he_normal'", 0, (2 / 576) ** 0.5, None),
    ('', 0, (2 / 864) ** 0.5, (6 / 864) ** 0.5),  # Glorot: 6 / (fan in + fan out)
  ],
)
def test_initializers(initializer, mean, stddev, largest):
  keras.utils.set_random_seed(0)
  kernel = kernel_of(convolution(f'{PLAIN}initializer {{ {initializer} }}', kernel_size=3))
  assert kernel.mean() == pytest.approx(mean, abs=0.02 * stddev)  # 18,432 values
  assert kernel.std() == pytest.approx(stddev, rel=0.02)
  if largest:
    assert 0.99 * largest < kernel.max() <= largest


@pytest.mark.parametrize(
  'initializer', ['', "initializer { keras_initializer_by_name: 'he_normal' }"]
)
def test_two_kernels_start_with_other_values(initializer):
  hyperparams = built(initializer)
  values = [hyperparams.initializer()([3, 3, 4, 4]) for _ in range(2)]
  assert np.abs(values[0] - values[1]).max() > 0.01


@pytest.mark.parametrize(
  ('activation', 'values'),
  [
    ('NONE', [-2.0, 0.5, 7.0]),
    ('RELU', [0.0, 0.5, 7.0]),
    ('RELU_6', [0.0, 0.5, 6.0]),
    # x / (1 + exp(-x))
    ('SWISH', [-0.238406, 0.311230, 6.993623]),
  ],
)
def test_activations(activation, values):
  model = identity(f'activation: {activation} batch_norm {{ center: true }}')
  # The moving statistics are 0 and 1: only epsilon, 0.001, is left of the batch norm.
  scaled = np.reshape([-2.0, 0.5, 7.0] * 32, [1, 1, 3, 32], order='F') * 1.001**0.5
  outputs = model(scaled.astype(np.float32), training=False)
  np.testing.assert_allclose(outputs[0, 0, :, 5], values, atol=2e-6)


def test_the_default_activation_is_relu():
  assert built('').activation == 'RELU'


@pytest.mark.parametrize(
  ('normalizer', 'bias'),
  [
    ('', True),
    ('batch_norm {}', False),
    ('sync_batch_norm {}', False),
    ('batch_norm { center: false }', True),
    ('group_norm {}', False),
    ('batch_norm {} force_use_bias: true', True),
    ('group_norm {} force_use_bias: true', True),
  ],
)
def test_a_bias_is_where_nothing_else_adds_one(normalizer, bias):
  for depthwise in (False, True):
    layer = convolution(f'{PLAIN}{normalizer}', depthwise=depthwise).get_layer('conv')
    assert layer.use_bias == bias


def test_every_field_of_batch_norm():
  text = 'decay: 0.9 center: false scale: true epsilon: 0.25'
  norm = identity(f'{PLAIN}batch_norm {{ {text} }}').get_layer('conv_batch_norm')
  assert (norm.momentum, norm.center, norm.scale) == (pytest.approx(0.9), False, True)
  assert (norm.epsilon, norm.synchronized) == (0.25, False)
  defaults = built('sync_batch_norm {}').batch_norm
  assert defaults == {
    'momentum': pytest.approx(0.999),
    'epsilon': pytest.approx(0.001),
    'center': True,
    'scale': False,
    'synchronized': True,
  }


@pytest.mark.parametrize('kind', ['batch_norm', 'sync_batch_norm'])
@pytest.mark.parametrize(
  ('train', 'trainable', 'learns'), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_train_false_keeps_batch_norm_frozen(kind, train, trainable, learns):
  text = f'{PLAIN}{kind} {{ train: {str(train).lower()} epsilon: 0.0 }}'
  hyperparams = built(text, batch_norm_trainable=trainable)
  inputs = keras.Input([4, 6, 64])
  model = keras.Model(inputs, conv_block(inputs, 32, 1, hyperparams, name='conv'))
  norm = model.get_layer('conv_batch_norm')
  outputs = model(IMAGES, training=True).numpy()
  raw = IMAGES @ kernel_of(model)[0, 0]
  if learns:
    expected = (raw - raw.mean((0, 1, 2))) / raw.std((0, 1, 2))
    assert np.abs(norm.moving_mean.numpy()).max() > 0
  else:
    expected = raw  # The moving statistics are 0 and 1.
    np.testing.assert_array_equal(norm.moving_mean, [0] * 32)
    assert norm.trainable_variables == [norm.beta]  # As the original; `scale` is false.
  np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_group_norm():
  model = convolution(f'{PLAIN}group_norm {{}}', filters=64)
  norm = model.get_layer('conv_group_norm')
  norm.gamma.assign(np.linspace(1, 2, 64))
  norm.beta.assign(np.linspace(-1, 1, 64))
  raw = (IMAGES @ kernel_of(model)[0, 0]).reshape([3, 4, 6, 32, 2])  # Groups of 64 / 32 channels.
  normalized = raw - raw.mean((1, 2, 4), keepdims=True)
  normalized /= np.sqrt(normalized.var((1, 2, 4), keepdims=True) + 1e-6)
  expected = normalized.reshape([3, 4, 6, 64]) * np.linspace(1, 2, 64) + np.linspace(-1, 1, 64)
  for training in (False, True):
    np.testing.assert_allclose(model(IMAGES, training=training), expected, atol=2e-5)


def test_group_norm_of_channels_that_are_no_groups_is_an_error():
  with pytest.raises(
    InputError, match='group_norm: conv has 24 channels; expected a multiple of 3'
  ):
    convolution('group_norm {}', filters=24)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('op: FC', f'{PATH}.op: is FC; expected CONV'),
    (
      "initializer { keras_initializer_by_name: 'he' }",
      f"{PATH}.initializer.keras_initializer_by_name: 'he' is no initializer of Keras",
    ),
  ],
)
def test_errors(text, message):
  with pytest.raises(InputError) as error:
    built(text)
  assert str(error.value).startswith(message)


@pytest.fixture(params=['float16', 'bfloat16'])
def half(request):
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(f'mixed_{request.param}')
  yield request.param
  keras.config.set_dtype_policy(before)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize(
  'normalizer',
  ['batch_norm { decay: 0.5 }', 'sync_batch_norm { decay: 0.5 }', 'group_norm {}'],
)
def test_mixed_precision_computes_in_half_and_keeps_statistics_in_float32(
  normalizer, training, half
):
  model = convolution(f'activation: SWISH {normalizer}')
  outputs = model(IMAGES, training=training)
  assert outputs.dtype == half
  assert {variable.dtype for variable in model.variables} == {'float32'}
  keras.config.set_dtype_policy('float32')
  full = convolution(f'activation: SWISH {normalizer}')
  full.get_layer('conv').kernel.assign(model.get_layer('conv').kernel)
  expected = full(IMAGES, training=training)
  # 11 and 8 bits of the significand; a sum of 64 products; values up to about 6.
  tolerance = {'float16': 0.02, 'bfloat16': 0.15}[half]
  np.testing.assert_allclose(tf.cast(outputs, tf.float32), expected, atol=tolerance)
  for ours, theirs in zip(model.variables, full.variables, strict=True):
    np.testing.assert_allclose(ours, theirs, atol=tolerance * 0.2, err_msg=ours.path)
