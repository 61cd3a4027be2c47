"""Both box predictors, with each of their fields, against NumPy and the arithmetic in comments."""

import keras
import numpy as np
import odapi_goldens
import pytest
import tensorflow as tf
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.builders.box_predictor import build_box_predictor
from ssd_tf.errors import InputError
from ssd_tf.models.box_predictor import Heads
from ssd_tf.models.conv_block import ConvHyperparams
from ssd_tf.models.weight_shared_box_predictor import weight_shared_box_predictor
from ssd_tf.protos import ssd_pb2

SHAPES = [(3, 5, 8), (2, 3, 8), (1, 1, 8)]
SHARED = 'weight_shared_convolutional_box_predictor'
HYPERPARAMS = """
  conv_hyperparams {
    activation: RELU_6
    initializer { random_normal_initializer { stddev: 0.5 } }
    batch_norm { scale: true epsilon: 0.0 }
  }
"""


def predictor(text, kind='convolutional_box_predictor', shapes=SHAPES, anchors=2, **ssd):
  """A model from three small maps to class logits and box encodings; 2 classes."""
  message = ssd_pb2.Ssd(num_classes=2, encode_background_as_zeros=True, **ssd)
  message.box_coder.faster_rcnn_box_coder.SetInParent()
  text_format.Merge(f'box_predictor {{ {kind} {{ {HYPERPARAMS} {text} }} }}', message)
  keras.utils.set_random_seed(0)
  inputs = [keras.Input(shape) for shape in shapes]
  build = build_box_predictor(message, [anchors] * len(shapes), batch_norm_trainable=True)
  classes, boxes = build(inputs)
  return keras.Model(inputs, {'class_logits': classes, 'box_encodings': boxes})


def maps(shapes=SHAPES, batch_size=2):
  rng = np.random.default_rng(1)
  return [rng.normal(size=(batch_size, *shape)).astype(np.float32) for shape in shapes]


def weights_of(model, name):
  return [v.numpy() for v in model.get_layer(name).weights]


NO_DROPOUT = 'use_dropout: false '


def test_heads_and_their_order():
  model = predictor(f'{NO_DROPOUT} class_prediction_bias_init: -4.6')
  features = maps()
  outputs = model(features)
  classes, boxes = [], []
  for i, x in enumerate(features):
    for head, columns, rows in (
      (f'class_head_{i}', 3, classes),
      (f'box_encoding_head_{i}', 4, boxes),
    ):
      kernel, bias = weights_of(model, head)
      np.testing.assert_array_equal(bias, np.float32(-4.6 if columns == 3 else 0))
      rows.append((x @ kernel[0, 0] + bias).reshape(2, -1, columns))
  # 2 anchors at 15 + 6 + 1 locations.
  assert outputs['class_logits'].shape == (2, 44, 3)
  np.testing.assert_allclose(outputs['class_logits'], np.concatenate(classes, 1), atol=1e-5)
  np.testing.assert_allclose(outputs['box_encodings'], np.concatenate(boxes, 1), atol=1e-5)


def relu6(x):
  return np.clip(x, 0, 6)


def test_layers_before_the_predictor():
  # Channels 8 between 4 and 6: 6 filters.
  text = f'{NO_DROPOUT} num_layers_before_predictor: 2 min_depth: 4 max_depth: 6'
  model = predictor(text)
  features = maps()
  x = features[0]
  for layer in range(2):
    (kernel,) = weights_of(model, f'prediction_tower_map_0_{layer}')
    assert kernel.shape == (1, 1, 8 if layer == 0 else 6, 6)
    x = relu6(x @ kernel[0, 0])  # The moving statistics are 0 and 1.
  kernel, bias = weights_of(model, 'box_encoding_head_0')
  expected = (x @ kernel[0, 0] + bias).reshape(2, 30, 4)
  np.testing.assert_allclose(model(features)['box_encodings'][:, :30], expected, atol=1e-5)
  # max_depth 0 (the default) leaves no filters, and so no layers.
  plain = predictor(f'{NO_DROPOUT} num_layers_before_predictor: 2')
  assert not any('tower' in layer.name for layer in plain.layers)


def test_depth_of_the_layers_before_is_at_least_min_depth():
  model = predictor(f'{NO_DROPOUT} num_layers_before_predictor: 1 min_depth: 9 max_depth: 12')
  assert model.get_layer('prediction_tower_map_2_0').filters == 9


def test_kernel_size_sees_the_neighbors():
  model = predictor(f'{NO_DROPOUT} kernel_size: 3')
  kernel, bias = weights_of(model, 'class_head_1')
  features = maps()
  padded = np.pad(features[1], [(0, 0), (1, 1), (1, 1), (0, 0)])
  expected = sum(
    padded[:, dy : dy + 2, dx : dx + 3] @ kernel[dy, dx] for dy in range(3) for dx in range(3)
  )
  found = model(features)['class_logits'][:, 30:42]
  np.testing.assert_allclose(found, (expected + bias).reshape(2, 12, 3), atol=1e-5)


@pytest.mark.parametrize('kind', ['convolutional_box_predictor', SHARED])
def test_dropout_is_on_unless_switched_off_and_only_in_training(kind):
  text = 'use_dropout: true dropout_keep_probability: 0.25'
  model = predictor('' if kind != SHARED else 'use_dropout: true', kind)
  rates = {layer.rate for layer in model.layers if layer.name.endswith('dropout')}
  assert {round(rate, 6) for rate in rates} == {0.2}  # Keep probability 0.8 by default.
  model = predictor(text, kind)
  off = predictor('use_dropout: false', kind)
  for ours, theirs in zip(off.weights, model.weights, strict=True):
    ours.assign(theirs)
  features = maps()
  np.testing.assert_allclose(model(features)['class_logits'], off(features)['class_logits'])
  trained, again = (model(features, training=True) for _ in range(2))
  np.testing.assert_array_equal(trained['box_encodings'], off(features)['box_encodings'])
  assert np.abs(trained['class_logits'] - again['class_logits']).max() > 0.1
  # The same seed drops the same.
  np.testing.assert_array_equal(
    predictor(text, kind)(features, training=True)['class_logits'], trained['class_logits']
  )


def test_what_dropout_keeps_is_scaled_up():
  # Features 1, a kernel of ones, no bias: a logit is 4 times the number of features kept.
  model = predictor('use_dropout: true dropout_keep_probability: 0.25', shapes=[(20, 30, 8)])
  kernel, _ = model.get_layer('class_head_0').weights
  kernel.assign(np.ones(kernel.shape))
  logits = model([np.ones([2, 20, 30, 8], np.float32)], training=True)['class_logits'].numpy()
  assert set(np.unique(logits)) <= {4.0 * kept for kept in range(9)}
  # Mean 8, deviation of the mean of 1,200 locations sqrt(16 * 8 * 3 / 16 / 1200) = 0.14.
  assert logits.mean() == pytest.approx(8, abs=0.5)


def test_the_state_of_dropout_has_a_name_of_its_own():
  for _ in range(2):
    states = [v.path for v in predictor('').variables if 'seed' in v.path]
    assert states == [f'class_head_{i}_dropout/seed_generator_state' for i in range(3)]


@pytest.mark.parametrize(
  ('kind', 'text'),
  [
    ('convolutional_box_predictor', f'{NO_DROPOUT} apply_sigmoid_to_scores: true'),
    (SHARED, 'score_converter: SIGMOID'),
  ],
)
def test_scores_in_place_of_logits(kind, text):
  logits = predictor(NO_DROPOUT, kind)(maps())['class_logits'].numpy()
  scores = predictor(text, kind)(maps())['class_logits']
  np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-6)


@pytest.mark.parametrize('kind', ['convolutional_box_predictor', SHARED])
def test_no_background_class_is_as_if_its_column_were_not_there(kind):
  model = predictor(NO_DROPOUT, kind, add_background_class=False)
  head = 'class_head' if kind == SHARED else 'class_head_0'
  assert model.get_layer(head).filters == 2 * 2
  logits = model(maps())['class_logits']
  assert logits.shape == (2, 44, 3)
  targets = np.zeros([2, 44, 3], np.float32)
  targets[0, ::3, 1] = 1
  variables = [v.value for v in model.trainable_variables]
  for gamma in (0.0, 2.0):
    results = []
    for columns in (slice(None), slice(1, None)):  # With that column, and without.
      with tf.GradientTape() as tape:
        x, y = model(maps())['class_logits'][..., columns], targets[..., columns]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(y, x) * tf.abs(y - tf.sigmoid(x)) ** gamma
        loss = tf.reduce_sum(losses)
      results.append([loss, *tape.gradient(loss, variables, unconnected_gradients='zero')])
    for ours, theirs in zip(*results, strict=True):
      np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
  np.testing.assert_array_equal(tf.sigmoid(logits)[..., 0], 0)
  # A softmax over all three columns is one over the two of the classes.
  np.testing.assert_allclose(tf.nn.softmax(logits)[..., 1:], tf.nn.softmax(logits[..., 1:]))


def test_no_background_class_needs_a_background_of_zeros():
  config = odapi_goldens.tiny_model_config()
  config.ssd.add_background_class = False
  detector = builders.build_detector(config, is_training=False)
  assert detector.model.output['class_logits'].shape[-1] == 4
  config.ssd.encode_background_as_zeros = False
  with pytest.raises(InputError, match='model.ssd.add_background_class: is false'):
    builders.build_model(config, is_training=False)


TOWER = 'depth: 6 num_layers_before_predictor: 2 '


@pytest.mark.parametrize('share', [False, True])
def test_weights_are_shared_and_batch_norms_are_not(share):
  model = predictor(f'{TOWER} share_prediction_tower: {str(share).lower()}', SHARED)
  rng = np.random.default_rng(2)
  for variable in model.variables:
    if '_batch_norm' in variable.path:
      variable.assign(rng.uniform(0.5, 1.5, variable.shape))
  features = maps()
  outputs = model(features)
  start = 0
  for level, x in enumerate(features):
    locations = x.shape[1] * x.shape[2]
    rows = slice(start, start + 2 * locations)
    start = rows.stop
    for kind, key, columns in (('box', 'box_encodings', 4), ('class', 'class_logits', 3)):
      y = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
      tower = 'prediction_tower' if share else f'{kind}_tower'
      for layer in range(2):
        (kernel,) = weights_of(model, f'{tower}_{layer}')
        norm = weights_of(model, f'{tower}_{layer}_level_{level}_batch_norm')
        y = convolve(y, kernel)
        y = relu6((y - norm[2]) / np.sqrt(norm[3]) * norm[0] + norm[1])
        y = np.pad(y, [(0, 0), (1, 1), (1, 1), (0, 0)])
      kernel, bias = weights_of(model, 'class_head' if kind == 'class' else 'box_encoding_head')
      expected = (convolve(y, kernel) + bias).reshape(2, -1, columns)
      np.testing.assert_allclose(outputs[key][:, rows], expected, atol=2e-4)
  kernels = [v.path for v in model.variables if v.path.endswith('kernel')]
  assert len(kernels) == 2 + (2 if share else 4)
  norms = [v.path for v in model.variables if v.path.endswith('gamma')]
  assert len(norms) == 3 * (2 if share else 4)


def convolve(padded, kernel):
  """A 3x3 convolution without padding of its own."""
  height, width = padded.shape[1] - 2, padded.shape[2] - 2
  return sum(
    padded[:, dy : dy + height, dx : dx + width] @ kernel[dy, dx]
    for dy in range(3)
    for dx in range(3)
  )


def test_no_tower_and_a_bias_where_there_is_no_batch_norm():
  assert not any('tower' in la.name for la in predictor('depth: 6', SHARED).layers)
  hyperparams = ConvHyperparams(keras.initializers.Ones, batch_norm=None)
  inputs = [keras.Input(shape) for shape in SHAPES]
  outputs = weight_shared_box_predictor(
    inputs,
    Heads(hyperparams=hyperparams, num_classes=2, kernel_size=3, num_layers_before_predictor=1),
    anchors_per_location=2,
    depth=6,
  )
  assert keras.Model(inputs, outputs).get_layer('box_tower_0').use_bias


def test_separable_towers_and_heads():
  text = f'{TOWER} use_depthwise: true share_prediction_tower: true class_prediction_bias_init: -2'
  model = predictor(text, SHARED)
  shapes = {v.path: tuple(v.shape) for v in model.variables if 'norm' not in v.path}
  assert shapes == {
    'prediction_tower_0/depthwise_kernel': (3, 3, 8, 1),
    'prediction_tower_0/pointwise_kernel': (1, 1, 8, 6),
    'prediction_tower_1/depthwise_kernel': (3, 3, 6, 1),
    'prediction_tower_1/pointwise_kernel': (1, 1, 6, 6),
    'box_encoding_head/depthwise_kernel': (3, 3, 6, 1),
    'box_encoding_head/pointwise_kernel': (1, 1, 6, 8),
    'box_encoding_head/bias': (8,),
    'class_head/depthwise_kernel': (3, 3, 6, 1),
    'class_head/pointwise_kernel': (1, 1, 6, 6),
    'class_head/bias': (6,),
  }
  np.testing.assert_array_equal(model.get_layer('class_head').bias, [-2] * 6)


def test_maps_of_other_channels_are_projected():
  shapes = [(3, 5, 4), (2, 3, 8), (1, 1, 8)]
  model = predictor(NO_DROPOUT, SHARED, shapes)
  (kernel,) = weights_of(model, 'prediction_tower_projection_0')
  assert kernel.shape == (1, 1, 4, 8)
  assert not any(layer.name == 'prediction_tower_projection_1' for layer in model.layers)
  features = maps(shapes)
  # With batch norm of moving statistics 0 and 1; without activation.
  x = np.pad(features[0] @ kernel[0, 0], [(0, 0), (1, 1), (1, 1), (0, 0)])
  head, bias = weights_of(model, 'box_encoding_head')
  expected = (convolve(x, head) + bias).reshape(2, 30, 4)
  np.testing.assert_allclose(model(features)['box_encodings'][:, :30], expected, atol=1e-4)


def test_box_encodings_are_clipped():
  free = predictor('', SHARED)(maps())['box_encodings'].numpy()
  clipped = predictor('box_encodings_clip_range { min: -1 max: 0.5 }', SHARED)(maps())
  assert free.min() < -1 and free.max() > 0.5
  np.testing.assert_allclose(clipped['box_encodings'], np.clip(free, -1, 0.5), atol=1e-6)


@pytest.mark.parametrize(
  ('kind', 'text', 'fault'),
  [
    ('convolutional_box_predictor', 'box_code_size: 7', 'box_code_size: is 7, expected 4'),
    (SHARED, 'box_code_size: 5', 'box_code_size: is 5, expected 4'),
    ('convolutional_box_predictor', 'min_depth: 2', 'min_depth: is 2, above max_depth, 0'),
    (
      'convolutional_box_predictor',
      'dropout_keep_probability: 0',
      'dropout_keep_probability: is 0; expected more than 0',
    ),
    (SHARED, 'num_layers_before_predictor: 4', 'depth: is 0; expected the filters of the 4 layers'),
    (
      SHARED,
      'box_encodings_clip_range { min: 1 max: 1 }',
      'box_encodings_clip_range: expected min < max, received 1 and 1',
    ),
  ],
)
def test_what_does_not_fit_is_named(kind, text, fault):
  with pytest.raises(InputError, match=fault):
    predictor(text, kind)


@pytest.mark.parametrize('kind', ['convolutional_box_predictor', SHARED])
def test_masks_are_refused(kind):
  config = odapi_goldens.tiny_model_config()
  getattr(config.ssd.box_predictor, kind).mask_head.SetInParent()
  with pytest.raises(InputError, match=f'{kind}.mask_head: predicts masks'):
    builders.build_model(config, is_training=False)


def test_shared_heads_need_as_many_anchors_everywhere():
  config = odapi_goldens.tiny_model_config()
  config.ssd.box_predictor.weight_shared_convolutional_box_predictor.depth = 8
  config.ssd.anchor_generator.ssd_anchor_generator.num_layers = 3
  with pytest.raises(InputError, match=r'have \[3, 4, 4\] anchors at a location'):
    builders.build_model(config, is_training=False)
  config.ssd.anchor_generator.ssd_anchor_generator.reduce_boxes_in_lowest_layer = False
  assert builders.build_model(config, is_training=False).output['box_encodings'].shape[1] == 4 * 32
