"""SSD300 and SSD512 with VGG-16 against SSD-Tensorflow's and ssd_keras's numbers."""

import json
import pathlib

import golden_weights
import keras
import numpy as np
import pytest
import tensorflow as tf

from ssd_tf import builders, fields
from ssd_tf.builders import feature_extractor, resizers
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.models.l2_normalization import L2Normalization
from ssd_tf.protos import ssd_pb2

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = ROOT / 'ssd_tf/configs'
TESTDATA = ROOT / 'tests/testdata'
STAGE_ENDS = ('conv1_2', 'conv2_2', 'conv3_3', 'conv4_3', 'conv5_3', 'conv6', 'conv7')
HEADS = (4, 7, 8, 9, 10, 11, 12)  # Blocks of SSD-Tensorflow whose end a head looks at.
LEAVES = {'kernel': 'weights', 'bias': 'biases', 'scale': 'gamma'}


def name_in_ssd_tensorflow(path, net):
  """vgg_16_conv1_2/kernel -> ssd_300_vgg/conv1/conv1_2/weights, and so on."""
  layer, leaf = path.split('/')
  if layer.startswith('vgg_16_'):
    layer = layer.removeprefix('vgg_16_')
    scope = f'{layer.partition("_")[0]}/{layer}' if '_' in layer else layer
  elif layer == 'conv4_3_norm':
    scope = 'block4_box/L2Normalization'
  elif layer.startswith('block'):
    scope = layer.replace('_', '/')
  else:
    kind, index = layer.rsplit('_', 1)
    convolution = {'box_encoding_head': 'conv_loc', 'class_head': 'conv_cls'}[kind]
    scope = f'block{HEADS[int(index)]}_box/{convolution}'
  return f'{net}/{scope}/{LEAVES[leaf]}'


def build(side):
  loaded = Pipeline.load(CONFIGS / f'ssd{side}_vgg_voc0712.config').config
  return builders.build_detector(loaded.model, is_training=True)


def end_layers(side):
  last = {11: 'conv3x3', 12: 'conv4x4'}
  blocks = range(8, 12 if side == 300 else 13)
  names = [f'vgg_16_{name}' for name in STAGE_ENDS]
  names += [f'block{block}_{last.get(block, "conv3x3")}' for block in blocks]
  return {f'block{i}': f'{name}_activation' for i, name in enumerate(names, 1)}


def check_outputs(outputs, rows, logits, encodings):
  """Of weights in the originals' order: x, y, width, height, where ours is y, x, height, width."""
  for key, theirs in ((fields.CLASS_LOGITS, logits), (fields.BOX_ENCODINGS, encodings)):
    np.testing.assert_allclose(tf.gather(outputs[key], rows, axis=1), theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize(('side', 'num_images'), [(300, 2), (512, 1)])
def test_ssd_tensorflow(side, num_images):
  folder, net = TESTDATA / 'balancap', f'ssd_{side}_vgg'
  shapes = {
    v['name']: v['shape'] for v in json.loads((folder / f'variables_{net}.json').read_text())
  }
  described = json.loads((folder / f'forward_{net}.json').read_text())
  outputs = np.load(folder / f'forward_{net}.npz')

  detector = build(side)
  model = detector.model
  assert (
    model.count_params() == described['param_count'] == {300: 26_285_486, 512: 27_188_676}[side]
  )
  assert len(model.variables) == len(model.trainable_variables) == described['n_variables']
  names = {v.path: name_in_ssd_tensorflow(v.path, net) for v in model.variables}
  assert {names[v.path]: list(v.shape) for v in model.variables} == shapes
  for variable in model.variables:
    variable.assign(golden_weights.vgg_value(names[variable.path], variable.shape))

  assert len(model.losses) == described['n_regularized']
  np.testing.assert_allclose(
    sum(model.losses), described['regularization_loss_wd0.0005'], rtol=1e-5
  )
  pixels = np.stack([golden_weights.vgg_image(side, i) for i in range(num_images)])
  images, _ = detector.preprocess_image(tf.constant(pixels))
  np.testing.assert_allclose(images, pixels - np.float32([123, 117, 104]), atol=1e-4)

  layers = end_layers(side)
  inner = {block: model.get_layer(layer).output for block, layer in layers.items()}
  found = keras.Model(model.input, {**model.output, **inner})(images, training=False)
  check_outputs(found, outputs['rows'], outputs['logits'], outputs['localisations'])
  for block in layers:
    features = found[block].numpy()
    assert list(features.shape) == described['endpoints'][block]['shape']
    values = features.reshape(-1)[outputs[f'ep_{block}_idx']]
    np.testing.assert_allclose(values, outputs[f'ep_{block}_val'], rtol=0, atol=1e-4, err_msg=block)
    np.testing.assert_allclose(
      [features.mean(), features.std(), np.abs(features).max()],
      [described['endpoints'][block][key] for key in ('mean', 'std', 'absmax')],
      rtol=1e-4,
      err_msg=block,
    )


def test_ssd_keras():
  folder = TESTDATA / 'ssd_keras'
  names = json.loads((folder / 'keras_to_balancap_names.json').read_text())['ssd300_voc']
  # The weights are made from <layer>/gamma, where the layer itself says conv4_3_norm_gamma.
  names = {tf1: name.replace('conv4_3_norm_gamma', 'gamma') for name, tf1 in names.items()}
  outputs = np.load(folder / 'forward_ssd300_voc.npz')
  detector = build(300)
  for variable in detector.model.variables:
    name = names[name_in_ssd_tensorflow(variable.path, 'ssd_300_vgg')]
    value = golden_weights.vgg_value(name, variable.shape)
    # Its network turns red, green, blue around.
    variable.assign(value[:, :, ::-1] if name == 'conv1_1/kernel' else value)
  images, _ = detector.preprocess_image(tf.constant(golden_weights.vgg_image(300)[np.newaxis]))
  found = detector.model(images, training=False)
  logits, encodings = outputs['mbox_conf_logits'][np.newaxis], outputs['mbox_loc'][np.newaxis]
  check_outputs(found, outputs['rows'], logits, encodings)


def extractor(**fields_of_message):
  return ssd_pb2.SsdFeatureExtractor(**fields_of_message)


def maps_of(image_size, message):
  images = keras.Input([*image_size, 3])
  maps = feature_extractor.build_feature_extractor(message, batch_norm_trainable=True)(images)
  assert len(maps) == feature_extractor.num_feature_maps(message)
  return keras.Model(images, maps)


@pytest.mark.parametrize(
  ('message', 'image_size', 'expected'),
  [
    # 1/32 of the filters, at least 10.
    (
      extractor(type='ssd_300_vgg', depth_multiplier=1 / 32, min_depth=10),
      (300, 524),
      [(38, 66, 16), (19, 33, 32), (10, 17, 16), (5, 9, 10), (3, 7, 10), (1, 5, 10)],
    ),
    (
      extractor(type='ssd_512_vgg', depth_multiplier=1 / 64, min_depth=4),
      (512, 512),
      [(64, 64, 8), (32, 32, 16), (16, 16, 8), (8, 8, 4), (4, 4, 4), (2, 2, 4), (1, 1, 4)],
    ),
    (
      extractor(type='ssd_512_vgg', depth_multiplier=1 / 64, min_depth=4, num_layers=3),
      (100, 60),
      [(13, 8, 8), (7, 4, 16), (4, 2, 8)],
    ),
    (
      extractor(type='ssd_300_vgg', depth_multiplier=1 / 64, min_depth=4, num_layers=1),
      (64, 32),
      [(8, 4, 8)],
    ),
  ],
)
def test_feature_maps(message, image_size, expected):
  model = maps_of(image_size, message)
  assert [tuple(features.shape[1:]) for features in model.outputs] == expected


def test_what_the_config_says_of_convolutions_holds_from_the_first_to_the_last():
  message = extractor(type='ssd_300_vgg', depth_multiplier=1 / 64, min_depth=4)
  message.conv_hyperparams.regularizer.l2_regularizer.weight = 0.5
  message.conv_hyperparams.initializer.random_normal_initializer.stddev = 0.25
  message.override_base_feature_extractor_hyperparams = True
  model = maps_of((300, 300), message)
  kernels = [v.numpy() for v in model.variables if v.path.endswith('kernel')]
  assert len(kernels) == 15 + 8
  np.testing.assert_allclose(
    sum(model.losses), sum(0.25 * np.square(kernel).sum() for kernel in kernels), rtol=1e-5
  )
  assert np.std(np.concatenate([kernel.ravel() for kernel in kernels])) == pytest.approx(
    0.25, rel=0.05
  )
  others = {v.path: v.numpy() for v in model.variables if not v.path.endswith('kernel')}
  np.testing.assert_array_equal(others.pop('conv4_3_norm/scale'), np.full(8, 20.0))
  assert all((value == 0).all() for value in others.values())


def test_stock_backbone_is_xavier_with_the_weight_decay_of_ssd():
  model = maps_of((64, 64), extractor(type='ssd_300_vgg', num_layers=2, depth_multiplier=0.25))
  kernels = [v.numpy() for v in model.variables if v.path.endswith('kernel')]
  expected = 2.5e-4 * sum(np.square(kernel).sum() for kernel in kernels)
  np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-5)
  # conv5_3: 3 * 3 * (128 + 128) inputs and outputs.
  limit = np.sqrt(6 / (9 * 256))
  kernel = model.get_layer('vgg_16_conv5_3').kernel.numpy()
  assert 0.99 * limit < np.abs(kernel).max() <= limit


def test_scale_of_conv4_3_starts_where_the_config_says():
  options = {'type': 'ssd_512_vgg', 'num_layers': 2, 'depth_multiplier': 1 / 64}
  model = maps_of((32, 32), extractor(**options, l2_normalization_scale=1.0))
  layer = model.get_layer('conv4_3_norm')
  np.testing.assert_array_equal(layer.scale, np.ones(16))
  assert layer.scale.trainable


@pytest.mark.parametrize('dtype', ['float32', 'mixed_bfloat16'])
def test_l2_normalization(dtype):
  features = np.random.default_rng(0).normal(0, 30, [2, 3, 5, 64]).astype(np.float32)
  features[1, 2, 4] = 0
  layer = L2Normalization(3.0, dtype=dtype)
  layer.build(features.shape)
  scale = np.linspace(1, 5, 64, dtype=np.float32)
  np.testing.assert_array_equal(layer.scale, np.full(64, 3.0))
  layer.scale.assign(scale)
  length = np.sqrt(np.square(features.astype(np.float64)).sum(-1, keepdims=True))
  expected = scale * features / np.where(length, length, 1)
  tolerance = 1e-6 if dtype == 'float32' else 0.02  # Eight bits.
  found = layer(features)
  assert found.dtype == (tf.float32 if dtype == 'float32' else tf.bfloat16)
  np.testing.assert_allclose(tf.cast(found, tf.float32), expected, atol=tolerance)
  assert L2Normalization.from_config(layer.get_config()).initial_scale == 3.0


# A pixel (200, 117, 0) of red, green and blue.
@pytest.mark.parametrize(
  ('kind', 'expected'),
  [
    ('ssd_300_vgg', (77, 0, -104)),
    ('ssd_512_vgg', (77, 0, -104)),
    ('ssd_7', (72.5 / 127.5, -10.5 / 127.5, -1)),
    ('ssd_mobilenet_v2_keras', (72.5 / 127.5, -10.5 / 127.5, -1)),
  ],
)
@pytest.mark.parametrize('keep_aspect_ratio', [False, True])
def test_images_are_normalized_as_the_backbone_takes_them(kind, expected, keep_aspect_ratio):
  ssd = ssd_pb2.Ssd()
  ssd.feature_extractor.type = kind
  if keep_aspect_ratio:
    resizer = ssd.image_resizer.keep_aspect_ratio_resizer
    resizer.min_dimension, resizer.max_dimension, resizer.pad_to_max_dimension = 4, 6, True
    resizer.per_channel_pad_value.extend([1, 2, 3])
  else:
    ssd.image_resizer.fixed_shape_resizer.height = 4
    ssd.image_resizer.fixed_shape_resizer.width = 6
  pixels = np.broadcast_to(np.uint8([200, 117, 0]), [2, 3, 3])
  images, true_size = resizers.build_preprocess_image(ssd)(tf.constant(pixels))
  assert true_size.numpy().tolist() == [4, 6]
  np.testing.assert_allclose(images[:4], np.broadcast_to(expected, [4, 6, 3]), atol=1e-5)
  if keep_aspect_ratio:  # Padding is of normalized values.
    np.testing.assert_array_equal(images[4:], np.broadcast_to([1, 2, 3], [2, 6, 3]))


@pytest.mark.parametrize(
  ('message', 'image_size', 'name'),
  [
    (extractor(type='ssd_300_vgg', depth_multiplier=1 / 64), (256, 300), 'block11_conv3x3'),
    (extractor(type='ssd_512_vgg', depth_multiplier=1 / 64), (512, 192), 'block12_conv4x4'),
    (extractor(type='ssd_7', depth_multiplier=1 / 64), (300, 48), 'ssd_7'),
  ],
)
def test_an_image_too_small_for_the_last_map_is_refused(message, image_size, name):
  with pytest.raises(InputError, match=f'model.ssd.image_resizer: .* {name}'):
    maps_of(image_size, message)


@pytest.mark.parametrize(
  ('options', 'field'),
  [
    ({'type': 'ssd_300_vgg', 'use_depthwise': True}, 'use_depthwise'),
    ({'type': 'ssd_512_vgg', 'use_explicit_padding': True}, 'use_explicit_padding'),
    ({'type': 'ssd_7', 'l2_normalization_scale': 1.0}, 'l2_normalization_scale'),
    ({'type': 'ssd_mobilenet_v2', 'l2_normalization_scale': 1.0}, 'l2_normalization_scale'),
  ],
)
def test_what_a_type_cannot_follow_is_refused(options, field):
  with pytest.raises(InputError, match=f'feature_extractor.{field}: has no effect with'):
    maps_of((64, 64), extractor(**options))
