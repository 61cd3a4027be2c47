"""What is added around images and maps: explicit padding, and sides that are multiples."""

import keras
import numpy as np
import odapi_goldens
import pytest
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.errors import InputError
from ssd_tf.models.conv_block import ConvHyperparams, conv_block, depthwise_block

PLAIN = {'batch_norm': None, 'activation': 'NONE'}


def conv(padded, kernel, strides):
  """A convolution of f[B,H,W,1] without padding of its own."""
  size = len(kernel)
  rows = (padded.shape[1] - size) // strides + 1
  columns = (padded.shape[2] - size) // strides + 1
  return sum(
    kernel[dy, dx] * padded[:, dy:, dx:][:, ::strides, ::strides][:, :rows, :columns]
    for dy in range(size)
    for dx in range(size)
  )


@pytest.mark.parametrize('block', [conv_block, depthwise_block])
@pytest.mark.parametrize('shape', [(6, 8), (5, 8), (1, 1)])
@pytest.mark.parametrize(('size', 'sides'), [(3, (1, 1)), (2, (0, 1)), (5, (2, 2))])
def test_explicit_padding_is_the_same_for_all_sizes(block, shape, size, sides):
  hyperparams = ConvHyperparams(keras.initializers.RandomNormal, explicit_padding=True, **PLAIN)
  inputs = keras.Input([*shape, 1])
  filters = () if block is depthwise_block else (1, size)
  options = {'kernel_size': size} if block is depthwise_block else {}
  model = keras.Model(
    inputs, block(inputs, *filters, hyperparams=hyperparams, **options, name='a', strides=2)
  )
  image = np.random.default_rng(0).normal(size=[2, *shape, 1]).astype(np.float32)
  kernel = model.get_layer('a').kernel.numpy()[:, :, 0, 0]
  expected = conv(np.pad(image, [(0, 0), sides, sides, (0, 0)]), kernel, 2)
  np.testing.assert_allclose(model(image), expected, atol=1e-6)


def tiny(text, backbone='ssd_mobilenet_v1'):
  config = odapi_goldens.tiny_model_config()
  config.ssd.feature_extractor.type = backbone
  text_format.Merge(text, config.ssd.feature_extractor)
  return config


@pytest.mark.parametrize('backbone', ['ssd_mobilenet_v1', 'ssd_mobilenet_v2'])
def test_use_explicit_padding_is_for_backbone_and_maps_not_for_heads(backbone):
  config = tiny('use_explicit_padding: true', backbone)
  config.ssd.box_predictor.convolutional_box_predictor.kernel_size = 3
  model = builders.build_model(config, is_training=False)
  # Sizes are those of SAME.
  assert model.feature_map_sizes == [(4, 6), (2, 3), (1, 2)]
  convolutions = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
  for layer in model.layers:
    if isinstance(layer, convolutions) and layer.kernel_size != (1, 1):
      is_head = '_head_' in layer.name
      assert layer.padding == ('same' if is_head else 'valid'), layer.name


def test_pad_to_multiple():
  # 64x96 pixels: 40 divides 80 and 120.
  padded = builders.build_model(tiny('pad_to_multiple: 40'), is_training=False)
  plain_config = tiny('')
  resizer = plain_config.ssd.image_resizer.fixed_shape_resizer
  resizer.height, resizer.width = 80, 120
  plain = builders.build_model(plain_config, is_training=False)
  # 80 / 16 = 5 and 120 / 16 = 7.5.
  assert padded.feature_map_sizes == plain.feature_map_sizes == [(5, 8), (3, 4), (2, 2)]
  for ours, theirs in zip(plain.variables, padded.variables, strict=True):
    ours.assign(theirs)
  images = np.random.default_rng(0).uniform(-1, 1, [2, 64, 96, 3]).astype(np.float32)
  bigger = np.pad(images, [(0, 0), (0, 16), (0, 24), (0, 0)])
  for key, value in padded(images).items():
    np.testing.assert_allclose(value, plain(bigger)[key], atol=1e-6)
  assert (
    len(builders.generate_anchors(tiny('pad_to_multiple: 40').ssd, padded.feature_map_sizes))
    == value.shape[1]
  )


@pytest.mark.parametrize('multiple', [1, 32])
def test_sides_that_are_multiples_stay(multiple):
  model = builders.build_model(tiny(f'pad_to_multiple: {multiple}'), is_training=False)
  assert not any(layer.name == 'pad_to_multiple' for layer in model.layers)


def test_a_multiple_of_nothing():
  with pytest.raises(InputError, match='pad_to_multiple: is 0; expected 1'):
    builders.build_model(tiny('pad_to_multiple: 0'), is_training=False)
