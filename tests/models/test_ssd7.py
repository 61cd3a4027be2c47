"""SSD7 against the layers that ssd_keras says it has."""

import json
import pathlib

import keras
import numpy as np

from ssd_tf import builders
from ssd_tf.builders import feature_extractor
from ssd_tf.protos import pipeline_pb2, ssd_pb2

LAYERS = pathlib.Path(__file__).parents[1] / 'testdata/ssd_keras/layers.json'


def ssd_7_config():
  """SSD7 for five classes at 300x480."""
  model = pipeline_pb2.DetectionModel()
  ssd = model.ssd
  ssd.num_classes = 5
  ssd.image_resizer.fixed_shape_resizer.height = 300
  ssd.image_resizer.fixed_shape_resizer.width = 480
  ssd.feature_extractor.type = 'ssd_7'
  for size in (24, 48, 96, 192):
    ssd.anchor_generator.flexible_grid_anchor_generator.anchor_grid.add(
      base_sizes=[size, size, size * 1.4, size], aspect_ratios=[0.5, 1, 1, 2]
    )
  ssd.box_predictor.convolutional_box_predictor.kernel_size = 3
  ssd.box_predictor.convolutional_box_predictor.use_dropout = False
  return model


def test_layers_of_ssd_keras():
  described = json.loads(LAYERS.read_text())['ssd7']
  expected = {
    f'{layer}/{name}': shape
    for layer, _, weights in described['layers_with_weights']
    for name, shape in weights
  }
  model = builders.build_model(ssd_7_config(), is_training=True)
  assert model.count_params() == described['param_count'] == 213_904
  found = {}
  for variable in model.variables:
    layer, leaf = variable.path.split('/')
    kind, number = layer.removesuffix('_batch_norm').rsplit('_', 1)
    if layer.startswith('ssd_7_'):
      name = number.replace('conv', 'bn') if layer.endswith('_batch_norm') else number
    else:
      name = {'class_head': 'classes', 'box_encoding_head': 'boxes'}[kind] + str(int(number) + 4)
    found[f'{name}/{leaf}'] = list(variable.shape)
  assert found == expected
  assert sum(np.prod(v.shape) for v in model.trainable_variables) == described['trainable']
  assert model.feature_map_sizes == [(37, 60), (18, 30), (9, 15), (4, 7)]
  assert len(builders.generate_anchors(ssd_7_config().ssd, model.feature_map_sizes)) == 11_692


def test_each_convolution_is_normalized_then_an_elu():
  message = ssd_pb2.SsdFeatureExtractor(
    type='ssd_7', depth_multiplier=0.25, min_depth=8, num_layers=2
  )
  images = keras.Input([64, 96, 3])
  maps = feature_extractor.build_feature_extractor(message, batch_norm_trainable=True)(images)
  assert [tuple(features.shape[1:]) for features in maps] == [(8, 12, 16), (4, 6, 12)]
  model = keras.Model(images, maps)
  names = ('conv1', 'conv1_batch_norm', 'conv1_activation', 'pool1')
  inner = keras.Model(images, [model.get_layer(f'ssd_7_{name}').output for name in names])
  image = np.random.default_rng(0).uniform(-1, 1, [1, 64, 96, 3]).astype(np.float32)
  # By the batch's statistics, as in training: half of the values are negative.
  convolved, normalized, activated, pooled = (x.numpy() for x in inner(image, training=True))
  mean, variance = convolved.mean((0, 1, 2)), convolved.var((0, 1, 2))
  np.testing.assert_allclose(
    normalized, (convolved - mean) / np.sqrt(variance + 0.001), rtol=0, atol=1e-5
  )
  assert (normalized < 0).mean() > 0.3
  np.testing.assert_allclose(
    activated, np.where(normalized > 0, normalized, np.expm1(normalized)), rtol=0, atol=1e-6
  )
  cells = activated.reshape(1, 32, 2, 48, 2, 8)
  np.testing.assert_array_equal(pooled, cells.max((2, 4)))
