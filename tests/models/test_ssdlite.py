"""SSDLite: the original's numbers, depthwise convolutions everywhere, and how they are made."""

import keras
import numpy as np
import odapi_goldens
import pytest
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.errors import InputError

SSDLITE = 'ssdlite_mobilenet_v2_300_c3'
DEPTHWISE = 'feature_extractor { use_depthwise: true } box_predictor { '
DEPTHWISE += 'convolutional_box_predictor { use_depthwise: true kernel_size: 3 } }'


def tiny(text=DEPTHWISE, backbone='ssd_mobilenet_v1'):
  config = odapi_goldens.tiny_model_config()
  config.ssd.feature_extractor.type = backbone
  text_format.Merge(text, config.ssd)
  return config


@pytest.mark.parametrize('name', [SSDLITE, 'ssd_mobilenet_v2_320', 'ssd_mobilenet_v1_300_c90'])
def test_an_ssd_equals_the_original(name, tmp_path):
  golden = odapi_goldens.load(name, tmp_path)
  theirs = odapi_goldens.arrays(f'g_{name}_outputs')
  odapi_goldens.check_outputs(golden, theirs)
  backbone = {
    'v1': [
      'mobilenet_v1_block_11_pointwise_activation',
      'mobilenet_v1_block_13_pointwise_activation',
    ],
    'v2': ['mobilenet_v2_block_13_expand_activation', 'mobilenet_v2_conv_1_activation'],
  }
  layers = [f'feature_map_{i}_expand_activation' for i in range(2, 6)]
  layers = backbone['v1' if 'v1' in name else 'v2'] + layers
  odapi_goldens.check_feature_maps(golden, theirs, layers)


@pytest.mark.parametrize('backbone', ['ssd_mobilenet_v1', 'ssd_mobilenet_v2_keras'])
def test_every_3x3_convolution_after_the_backbone_is_depthwise(backbone):
  model = builders.build_model(tiny(backbone=backbone), is_training=True)
  layers = [
    layer
    for layer in model.layers
    if isinstance(layer, keras.layers.Conv2D) and not layer.name.startswith('mobilenet')
  ]
  # The third map is squeezed and expanded; three maps have two heads.
  assert len(layers) == 2 + 3 * 2 and all(layer.kernel_size == (1, 1) for layer in layers)
  depthwise = [layer for layer in model.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
  named = sorted(la.name for la in depthwise if not la.name.startswith('mobilenet'))
  heads = [f'{kind}_head_{i}_depthwise' for kind in ('box_encoding', 'class') for i in range(3)]
  assert named == [*heads, 'feature_map_2_depthwise']
  # Sides halve as without: 64x96 pixels, strides 16, 32 and 64.
  assert model.feature_map_sizes == [(4, 6), (2, 3), (1, 2)]


def test_depthwise_kernels_after_the_backbone_are_not_regularized():
  config = tiny()
  config.ssd.feature_extractor.conv_hyperparams.initializer.truncated_normal_initializer.stddev = 9
  model = builders.build_model(config, is_training=True)
  regularized = [layer.name for layer in model.layers if layer.losses]
  assert not any('depthwise' in name for name in regularized if not name.startswith('mobilenet'))
  assert 'mobilenet_v1_block_1_depthwise' in regularized and 'class_head_0' in regularized
  # Glorot's uniform distribution: |w| < sqrt(6 / (fan_in + fan_out)), whatever the config says;
  # the fans of a kernel [3, 3, C, 1] are 9 C and 9.
  kernel = model.get_layer('feature_map_2_depthwise').kernel.numpy()
  limit = np.sqrt(6 / (9 * kernel.shape[2] + 9))
  assert 0.9 * limit < np.abs(kernel).max() < limit
  assert np.abs(model.get_layer('feature_map_2_expand').kernel.numpy()).max() > 5


@pytest.mark.parametrize('num_layers', [1, 2, 4, 6])
def test_num_layers(num_layers):
  config = tiny()
  config.ssd.feature_extractor.num_layers = num_layers
  config.ssd.anchor_generator.ssd_anchor_generator.num_layers = num_layers
  sizes = [(4, 6), (2, 3), (1, 2), (1, 1), (1, 1), (1, 1)][:num_layers]
  detector = builders.build_detector(config, is_training=False)
  assert detector.model.feature_map_sizes == sizes
  assert detector.model.output['box_encodings'].shape[1] == len(detector.anchors)


def test_too_many_layers_and_a_kernel_that_sees_one_pixel():
  config = tiny()
  config.ssd.feature_extractor.num_layers = 7
  config.ssd.anchor_generator.ssd_anchor_generator.num_layers = 7
  with pytest.raises(InputError, match='num_layers: is 7; ssd_mobilenet_v1 has 6 at most'):
    builders.build_model(config, is_training=False)
  config = tiny()
  config.ssd.box_predictor.convolutional_box_predictor.kernel_size = 1
  with pytest.raises(InputError, match='convolutional_box_predictor.kernel_size: is 1'):
    builders.build_model(config, is_training=False)


def test_a_frozen_batch_norm_keeps_its_statistics_and_learns():
  config = tiny('freeze_batchnorm: true')
  model = builders.build_model(config, is_training=True)
  images = np.random.default_rng(0).normal(size=[2, 64, 96, 3]).astype(np.float32)
  model(images, training=True)
  for variable in model.variables:
    if 'moving' in variable.path:
      np.testing.assert_array_equal(variable, 'variance' in variable.path)
  trained = [v.path for v in model.trainable_variables]
  assert 'mobilenet_v1_conv_0_batch_norm/gamma' in trained


def test_hyperparams_of_the_backbone_are_stock_unless_overridden():
  config = tiny('feature_extractor { override_base_feature_extractor_hyperparams: false }')
  for overridden, momentum, l2 in ((False, 0.9997, 4e-5), (True, 0.97, 0.5)):
    extractor = config.ssd.feature_extractor
    extractor.override_base_feature_extractor_hyperparams = overridden
    extractor.conv_hyperparams.regularizer.l2_regularizer.weight = 0.5
    model = builders.build_model(config, is_training=True)
    norm = model.get_layer('mobilenet_v1_conv_0_batch_norm')
    assert norm.momentum == pytest.approx(momentum)
    # The loss is weight / 2 * the sum of squares.
    convolution = model.get_layer('mobilenet_v1_conv_0')
    assert convolution.kernel_regularizer.l2 == pytest.approx(l2 / 2)
    assert model.get_layer('feature_map_2_squeeze_batch_norm').momentum == pytest.approx(0.97)
