"""Extractors beyond MobileNet v1 and v2: their maps, and the API's own configs of them."""

import dataclasses
import functools
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_project

from ssd_tf import builders, fields
from ssd_tf.builders import feature_extractor
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.protos import ssd_pb2
from ssd_tf.run import checkpoints

CONFIGS = pathlib.Path(__file__).parents[1] / 'testdata/odapi_configs'
V3_LARGE = 'ssdlite_mobilenet_v3_large_320x320_coco'
V3_SMALL = 'ssdlite_mobilenet_v3_small_320x320_coco'
PPN = 'ssd_mobilenet_v1_ppn_shared_box_predictor_300x300_coco14_sync'
EMBEDDED = 'embedded_ssd_mobilenet_v1_coco'


def maps_of(image_size, **fields_of_message):
  message = ssd_pb2.SsdFeatureExtractor(**fields_of_message)
  message.conv_hyperparams.batch_norm.SetInParent()
  images = keras.Input([*image_size, 3])
  maps = feature_extractor.build_feature_extractor(message, batch_norm_trainable=True)(images)
  assert len(maps) == feature_extractor.num_feature_maps(message)
  return keras.Model(images, maps)


@pytest.mark.parametrize('suffix', ['', '_keras'])
@pytest.mark.parametrize(
  ('kind', 'image_size', 'options', 'expected'),
  [
    # Backbone 672 and 480 (see test_mobilenet_v3.py); then 512, 256, 256, 128.
    (
      *('ssd_mobilenet_v3_large', (320, 320), {'use_depthwise': True}),
      [(20, 20, 672), (10, 10, 480), (5, 5, 512), (3, 3, 256), (2, 2, 256), (1, 1, 128)],
    ),
    (
      *('ssd_mobilenet_v3_small', (160, 320), {'num_layers': 4}),
      [(10, 20, 288), (5, 10, 288), (3, 5, 512), (2, 3, 256)],
    ),
    # Block 11 of MobileNet v1 has 512 filters; halved where the multiplier is 0.5.
    (
      *('ssd_mobilenet_v1_ppn', (300, 160), {}),
      [(19, 10, 512), (10, 5, 512), (5, 3, 512), (3, 2, 512), (2, 1, 512), (1, 1, 512)],
    ),
    (
      *('ssd_mobilenet_v1_ppn', (96, 160), {'depth_multiplier': 0.5, 'num_layers': 3}),
      [(6, 10, 256), (3, 5, 256), (2, 3, 256)],
    ),
    # 512, 1024, 512, 256, 256 eighths, at least 40.
    (
      *('embedded_ssd_mobilenet_v1', (256, 256), {'depth_multiplier': 0.125, 'min_depth': 40}),
      [(16, 16, 64), (8, 8, 128), (4, 4, 64), (2, 2, 40), (1, 1, 40)],
    ),
    (
      *('embedded_ssd_mobilenet_v1', (256, 128), {'depth_multiplier': 0.125, 'num_layers': 3}),
      [(16, 8, 64), (8, 4, 128), (4, 2, 64)],
    ),
  ],
)
def test_feature_maps(suffix, kind, image_size, options, expected):
  model = maps_of(image_size, type=kind + suffix, **options)
  assert [tuple(features.shape[1:]) for features in model.outputs] == expected


def test_the_last_kernel_of_the_embedded_one_is_its_map():
  model = maps_of((256, 256), type='embedded_ssd_mobilenet_v1', depth_multiplier=0.125)
  kernels = [model.get_layer(f'feature_map_{i}_expand').kernel.shape[:2] for i in (2, 3, 4)]
  assert kernels == [(3, 3), (3, 3), (2, 2)]


@pytest.mark.parametrize(
  ('kind', 'depthwise'),
  [('ssd_mobilenet_v3_small', False), ('embedded_ssd_mobilenet_v1', False)]
  + [('ssd_mobilenet_v1_ppn', True)],
)
def test_stock_backbones_are_regularized_as_the_originals(kind, depthwise):
  model = maps_of((64, 64), type=kind, depth_multiplier=0.25)
  of_kernels = {'depthwise': 0.0, 'other': 0.0}
  for layer in model.layers:
    if layer.name.startswith('mobilenet') and hasattr(layer, 'kernel'):
      key = 'depthwise' if isinstance(layer, keras.layers.DepthwiseConv2D) else 'other'
      of_kernels[key] += 2e-5 * np.square(layer.kernel.numpy()).sum()
  expected = of_kernels['other'] + depthwise * of_kernels['depthwise']
  np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-4)


# Howard et al. 2019, table 6, on COCO, batch norms not counted: 4.97 M and 2.49 M, and with the
# coarsest layers halved 3.22 M and 1.77 M.
@pytest.mark.parametrize(
  ('name', 'reduced', 'published'),
  [
    *((V3_LARGE, True, 3.22e6), (V3_SMALL, True, 1.77e6)),
    *((V3_LARGE, False, 4.97e6), (V3_SMALL, False, 2.49e6)),
  ],
)
def test_parameters_of_the_detectors_are_the_published_ones(name, reduced, published, monkeypatch):
  model_config = Pipeline.load(CONFIGS / f'{name}.config').config.model
  kind = model_config.ssd.feature_extractor.type
  row = feature_extractor.EXTRACTORS[kind]
  backbone = functools.partial(row.backbone, reduce_coarsest=reduced)
  monkeypatch.setitem(
    feature_extractor.EXTRACTORS, kind, dataclasses.replace(row, backbone=backbone)
  )
  model = builders.build_model(model_config, is_training=True)
  count = sum(np.prod(v.shape) for v in model.variables if v.path.endswith(('kernel', 'bias')))
  assert count == pytest.approx(published, abs=0.005e6)


def build(name, height, width):
  size = 'model.ssd.image_resizer.fixed_shape_resizer'
  overrides = [
    *(f'{size}.height={height}', f'{size}.width={width}', 'model.ssd.num_classes=3'),
    'model.ssd.feature_extractor.depth_multiplier=0.25',
  ]
  return builders.build_detector(
    Pipeline.load(CONFIGS / f'{name}.config', overrides).config.model, is_training=True
  )


def batch_of_two():
  """An image with a box on the border and a tiny one, and an image without any."""
  boxes = [[[0.0, 0.1, 0.5, 0.6], [0.7, 0.7, 0.73, 0.72]], [[0.0] * 4] * 2]
  real = [[True, True], [False, False]]
  return {
    fields.GROUNDTRUTH_BOXES: tf.constant(boxes),
    fields.GROUNDTRUTH_CLASSES: tf.constant([[1, 3], [0, 0]]),
    fields.GROUNDTRUTH_WEIGHTS: tf.cast(real, tf.float32),
    fields.GROUNDTRUTH_MASK: tf.constant(real),
    fields.GROUNDTRUTH_IS_CROWD: tf.zeros([2, 2], tf.bool),
    fields.GROUNDTRUTH_GROUP_OF: tf.zeros([2, 2], tf.bool),
    fields.EXAMPLE_MASK: tf.constant([True, True]),
    fields.LABELED_CLASSES: tf.ones([2, 3], tf.bool),
  }


@pytest.mark.parametrize(
  ('name', 'size', 'num_anchors'),
  [
    # Maps 6x8, 3x4, 2x2, 1, 1, 1: 48 locations with 3 anchors, 12 + 4 + 1 + 1 + 1 with 6.
    *((V3_LARGE, (96, 128), 258), (V3_SMALL, (96, 128), 258)),
    # All with 6, since the lowest is not reduced: 48 + 12 + 4 + 1 + 1 + 1 locations.
    (PPN, (96, 128), 402),
    # 6x8, 3x4, 2x2, 1, 1.
    (EMBEDDED, (96, 128), 252),
  ],
)
def test_a_config_of_the_api_trains_a_step_detects_and_comes_back(
  name, size, num_anchors, tmp_path
):
  detector = build(name, *size)
  assert len(detector.anchors) == num_anchors
  tiny_project.randomize(detector.model, seed=0)
  pixels = np.random.default_rng(0).integers(0, 256, [2, 90, 160, 3]).astype(np.uint8)
  images, true_size = detector.preprocess_image(tf.constant(pixels))
  batch = batch_of_two()

  def loss():
    outputs = detector.model(images, training=True)
    losses = detector.compute_losses(outputs, detector.assign_targets(batch), batch)
    return sum(losses.values()) + sum(detector.model.losses)

  variables = detector.model.trainable_variables
  with tf.GradientTape() as tape:
    before = loss()
  gradients = tape.gradient(before, [v.value for v in variables])
  assert [v.path for v, g in zip(variables, gradients, strict=True) if g is None] == []
  norm = tf.linalg.global_norm(gradients)
  for variable, gradient in zip(variables, gradients, strict=True):
    variable.assign_sub(0.01 * gradient / norm)
  assert 0 < loss() < before

  outputs = detector.model(images, training=False)
  assert outputs[fields.CLASS_LOGITS].shape == (2, num_anchors, 4)
  detections = detector.postprocess(outputs, true_size)
  boxes = detections[fields.DETECTION_BOXES].numpy()
  assert 0 <= boxes.min() < boxes.max() <= 1
  assert set(np.unique(detections[fields.DETECTION_CLASSES])) <= {0, 1, 2, 3}

  saved = tf.train.Checkpoint(model=detector.model).save(str(tmp_path / 'ckpt'))
  other = build(name, *size)
  checkpoints.restore_all(tf.train.Checkpoint(model=other.model), saved)
  for key, value in other.model(images, training=False).items():
    np.testing.assert_array_equal(value, outputs[key])


@pytest.mark.parametrize(('dtype', 'tolerance'), [('float16', 0.005), ('bfloat16', 0.04)])
@pytest.mark.parametrize('name', [V3_SMALL, PPN])
def test_mixed_precision_gives_float32_outputs(name, dtype, tolerance):
  reference = build(name, 64, 96).model
  tiny_project.randomize(reference, seed=0)
  before = keras.config.dtype_policy()
  try:
    keras.config.set_dtype_policy(f'mixed_{dtype}')
    model = build(name, 64, 96).model
  finally:
    keras.config.set_dtype_policy(before)
  model.set_weights(reference.get_weights())
  assert {variable.dtype for variable in model.variables} == {'float32'}
  images = np.random.default_rng(0).uniform(-1, 1, [2, 64, 96, 3]).astype(np.float32)
  outputs, expected = model(images, training=False), reference(images, training=False)
  for key, value in expected.items():
    assert outputs[key].dtype == tf.float32
    error = np.sqrt(np.mean((outputs[key] - value) ** 2) / np.mean(value**2))
    assert error < tolerance, (key, error)


@pytest.mark.parametrize(
  ('kind', 'reason'),
  [
    ('ssd_mobilenet_edgetpu', 'Edge TPU'),
    ('ssd_mobilenet_v2_mnasfpn_keras', 'ssd_mobilenet_v2_fpn with use_depthwise'),
    ('ssd_resnet50_v1_fpn', None),
  ],
)
def test_what_is_left_out_says_so_in_one_line(kind, reason):
  with pytest.raises(InputError) as error:
    maps_of((64, 64), type=kind)
  message = str(error.value)
  assert message.startswith(f"model.ssd.feature_extractor.type: '{kind}' is not supported")
  assert '\n' not in message
  assert (reason or '') in message
  assert all(name.removesuffix('_keras') in message for name in feature_extractor.EXTRACTORS)
