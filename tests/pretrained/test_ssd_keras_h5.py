"""The .h5 files of ssd_keras: layout, names, outputs, classes; and files that are none of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import vgg_weights
from golden_weights import vgg_image, vgg_value
from keras_2_file import SUFFIXES, write_h5
from vgg_weights import values_of, vgg_model

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.pretrained import checkpoint_kind, ssd_keras_h5
from ssd_tf.pretrained.checkpoint_description import describe
from ssd_tf.pretrained.checkpoint_formats import open_checkpoint
from ssd_tf.pretrained.layer_groups import BACKBONE
from ssd_tf.pretrained.loading import LoadOptions, load_pretrained
from ssd_tf.pretrained.original_names import original_names
from ssd_tf.protos import pipeline_pb2
from ssd_tf.run import checkpoint_inspection
from ssd_tf.run.fine_tuning import load_fine_tune_checkpoint

NETS = {'ssd300_voc': (300, 20), 'ssd300_coco': (300, 80), 'ssd512_voc': (512, 20)}
NETS['ssd512_coco'] = (512, 80)


def random_weights(model, seed=3):
  """Values by the names of ssd_keras."""
  rng = np.random.default_rng(seed)
  names = checkpoint_kind.checkpoint_names(checkpoint_kind.SSD_KERAS, model, ())
  return {names[v.path]: rng.normal(0, 0.1, v.shape).astype(np.float32) for v in model.weights}


def golden_shapes(net):
  layers = vgg_weights.read_json('ssd_keras/layers.json')[net]['layers_with_weights']
  return {
    f'{layer}/{leaf.removeprefix("conv4_3_norm_")}': tuple(shape)
    for layer, _, weights in layers
    for leaf, shape in weights
  }


def test_a_trained_ssd_300_gives_its_outputs(tmp_path):
  shapes = golden_shapes('ssd300_voc')
  write_h5(tmp_path / 'ssd300.h5', {n: vgg_value(n, shape) for n, shape in shapes.items()})
  detector = builders.build_detector(vgg_weights.vgg_config().model, is_training=False)
  report = load_pretrained(detector.model, str(tmp_path / 'ssd300.h5'))
  assert report.kind == checkpoint_kind.SSD_KERAS
  assert len(report.loaded) == 71 and report.backbone_share == 1.0
  assert not (report.skipped or report.missing or report.unused), report.table()

  images, _ = detector.preprocess_image(tf.constant(vgg_image(300)[np.newaxis]))
  found = detector.model(images, training=False)
  theirs = np.load(vgg_weights.TESTDATA / 'ssd_keras/forward_ssd300_voc.npz')
  logits, encodings = (
    tf.gather(found[key][0], theirs['rows']) for key in (fields.CLASS_LOGITS, fields.BOX_ENCODINGS)
  )
  np.testing.assert_allclose(logits, theirs['mbox_conf_logits'], rtol=0, atol=1e-4)
  np.testing.assert_allclose(encodings, theirs['mbox_loc'][:, [1, 0, 3, 2]], rtol=0, atol=1e-4)
  lines = list(checkpoint_inspection.inspect(str(tmp_path / 'ssd300.h5')))
  assert lines[1:] == [
    'written by  ssd_keras',
    'model       vgg_16, depth_multiplier 1, 6 feature maps with [4, 6, 6, 6, 4, 4] anchors per '
    'location, 20 classes',
    'step        not in it; times saved: not in it',
    'optimizer   not in it',
    'variables   71 with 26,285,486 values, besides 0 others',
  ]


@pytest.mark.parametrize('net', NETS)
def test_names_and_shapes_are_the_originals(net):
  side, num_classes = NETS[net]
  model = vgg_model(side, num_classes)
  names = checkpoint_kind.checkpoint_names(checkpoint_kind.SSD_KERAS, model, ())
  theirs = golden_shapes(net)
  assert {names[v.path]: tuple(v.shape) for v in model.weights} == theirs
  assert {ssd_keras_h5.VGG_LAYERS.our_path(name): name for name in theirs} == names
  kind = checkpoint_kind.identify(theirs, 'weights.h5')
  assert describe(theirs, kind).num_classes == num_classes
  assert describe(theirs, kind).num_feature_maps == {300: 6, 512: 7}[side]


@pytest.mark.parametrize('side', [300, 512])
def test_both_originals_mean_the_same_layers(side):
  pairs = vgg_weights.read_json('ssd_keras/keras_to_balancap_names.json')[f'ssd{side}_voc']
  pairs = {name.replace('conv4_3_norm_gamma', 'gamma'): tf1 for name, tf1 in pairs.items()}
  model = vgg_model(side, 20, small=True)
  theirs = checkpoint_kind.checkpoint_names(checkpoint_kind.SSD_KERAS, model, ())
  assert {theirs[path]: n for path, n in original_names(model).items()} == pairs


@pytest.mark.parametrize(
  ('group', 'suffixes'),
  [
    (None, SUFFIXES),
    ('model_weights', SUFFIXES),
    # Of Keras 1, and of a graph that was built twice.
    (None, SUFFIXES | {'kernel': 'conv_W:0', 'bias': 'conv_b:0'}),
    (None, {'kernel': 'kernel_1:0', 'bias': 'bias_1:0', 'gamma': 'conv4_3_norm_gamma_1:0'}),
    (None, {'kernel': 'kernel', 'bias': 'bias', 'gamma': 'gamma'}),  # Of Keras 3.
  ],
)
def test_values_in_every_layout(group, suffixes, tmp_path):
  model = vgg_model(512, 80, small=True)
  weights = random_weights(model)
  write_h5(tmp_path / 'weights.hdf5', weights, group, suffixes)
  report = load_pretrained(
    model, str(tmp_path / 'weights.hdf5'), options=LoadOptions(ignore_missing=False)
  )
  assert len(report.loaded) == 79 and not report.unused
  kernel = model.get_layer('vgg_16_conv1_1').kernel.numpy()
  np.testing.assert_array_equal(kernel, weights['conv1_1/kernel'][:, :, [2, 1, 0]])
  # Only there the colors are turned around.
  for ours, theirs in (
    ('vgg_16_conv1_2', 'conv1_2'),
    ('vgg_16_conv6', 'fc6'),
    ('block12_conv4x4', 'conv10_2'),
    ('class_head_1', 'fc7_mbox_conf'),
    ('class_head_6', 'conv10_2_mbox_conf'),
  ):
    np.testing.assert_array_equal(model.get_layer(ours).kernel, weights[f'{theirs}/kernel'])
    np.testing.assert_array_equal(model.get_layer(ours).bias, weights[f'{theirs}/bias'])
  np.testing.assert_array_equal(
    model.get_layer('conv4_3_norm').scale, weights['conv4_3_norm/gamma']
  )
  # 4 anchors of x, y, width, height.
  found = model.get_layer('box_encoding_head_0').bias.numpy()
  theirs = weights['conv4_3_norm_mbox_loc/bias']
  np.testing.assert_array_equal(found[:5], theirs[[1, 0, 3, 2, 5]])


def test_vgg_16_fc_reduced(tmp_path):
  """Backbone alone, as VGG_ILSVRC_16_layers_fc_reduced.h5."""
  model = vgg_model(300, 2, small=True, seed=2)
  weights = {
    name: value
    for name, value in random_weights(model).items()
    if name.startswith(('conv1', 'conv2', 'conv3', 'conv4_', 'conv5', 'fc'))
    and 'norm' not in name
    and 'mbox' not in name
  }
  assert len(weights) == 30
  write_h5(tmp_path / 'VGG_ILSVRC_16_layers_fc_reduced.h5', weights)
  config = vgg_weights.vgg_config(300, 2, small=True)
  config.train_config.fine_tune_checkpoint = 'VGG_ILSVRC_16_layers_fc_reduced.h5'
  config.train_config.fine_tune_checkpoint_type = 'classification'
  before = values_of(model)
  report = load_fine_tune_checkpoint(Pipeline(config, str(tmp_path / 'pipeline.config')), model)
  assert len(report.loaded) == 30 and report.backbone_share == 1.0 and not report.unused
  np.testing.assert_array_equal(model.get_layer('vgg_16_conv7').kernel, weights['fc7/kernel'])
  for path, value in values_of(model).items():
    if not path.startswith('vgg_16_'):
      np.testing.assert_array_equal(value, before[path])


def test_classes_are_mapped(tmp_path):
  """Of 3 classes 3 becomes 1: background and it, of each of six anchors."""
  weights = random_weights(vgg_model(300, 3, small=True))
  write_h5(tmp_path / 'ssd.h5', weights)
  model = vgg_model(300, 2, small=True, seed=2)
  before = values_of(model)
  report = load_pretrained(model, str(tmp_path / 'ssd.h5'), class_ids={1: 3})
  assert len(report.mapped) == 12 and not (report.skipped or report.missing or report.unused)
  theirs, own = weights['fc7_mbox_conf/kernel'][1, 2, 5], before['class_head_1/kernel'][1, 2, 5]
  expected = [
    value
    for anchor in range(6)
    for value in (theirs[4 * anchor], theirs[4 * anchor + 3], own[3 * anchor + 2])
  ]
  found = model.get_layer('class_head_1').kernel.numpy()[1, 2, 5]
  np.testing.assert_array_equal(found, np.float32(expected))


def test_other_classes_without_a_map_are_left_out(tmp_path):
  write_h5(tmp_path / 'ssd.h5', random_weights(vgg_model(300, 80, small=True)))
  report = load_pretrained(vgg_model(300, 20, small=True), str(tmp_path / 'ssd.h5'))
  assert {path.rpartition('_')[0] for path in report.skipped} == {'class_head'}
  assert '[324] in the checkpoint, [84] here' in '\n'.join(report.lines())


def ssd_7_model():
  config = pipeline_pb2.DetectionModel()
  ssd = config.ssd
  ssd.num_classes = 5
  ssd.feature_extractor.type = 'ssd_7'
  ssd.image_resizer.fixed_shape_resizer.height = 300
  ssd.image_resizer.fixed_shape_resizer.width = 480
  ssd.box_predictor.convolutional_box_predictor.kernel_size = 3
  ssd.box_predictor.convolutional_box_predictor.use_dropout = False
  for _ in range(4):
    grid = ssd.anchor_generator.flexible_grid_anchor_generator.anchor_grid.add()
    grid.base_sizes.extend([30, 30, 40, 30])
    grid.aspect_ratios.extend([0.5, 1, 1, 2])
  return builders.build_model(config, is_training=True)


def test_ssd_7(tmp_path):
  shapes = golden_shapes('ssd7')
  rng = np.random.default_rng(4)
  weights = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
  write_h5(tmp_path / 'ssd7_weights.h5', weights)
  model = ssd_7_model()
  report = load_pretrained(
    model, str(tmp_path / 'ssd7_weights.h5'), options=LoadOptions(ignore_missing=False)
  )
  assert len(report.loaded) == len(shapes) and not report.unused
  np.testing.assert_array_equal(model.get_layer('ssd_7_conv1').kernel, weights['conv1/kernel'])
  norm = model.get_layer('ssd_7_conv7_batch_norm')
  np.testing.assert_array_equal(norm.moving_variance, weights['bn7/moving_variance'])
  np.testing.assert_array_equal(model.get_layer('class_head_3').bias, weights['classes7/bias'])
  file = open_checkpoint(str(tmp_path / 'ssd7_weights.h5'))
  assert describe(file.shapes, checkpoint_kind.SSD_KERAS).model() == (
    'ssd_7, depth_multiplier 1, 4 feature maps with 4 anchors per location, 5 classes'
  )


def test_another_net_of_ssd_keras(tmp_path):
  write_h5(tmp_path / 'ssd.h5', random_weights(vgg_model(300, 3, small=True)))
  with pytest.raises(InputError, match='the model has vgg_16, depth_multiplier 1, 6 feature maps'):
    load_pretrained(vgg_model(300, 3), str(tmp_path / 'ssd.h5'), groups=(BACKBONE,))


@pytest.mark.parametrize('content', [b'', b'no HDF5', None])
def test_what_cannot_be_read(content, tmp_path):
  path = tmp_path / 'weights.h5'
  write_h5(path, random_weights(vgg_model(300, 3, small=True)))
  whole = path.read_bytes()
  path.write_bytes(whole[: len(whole) // 2] if content is None else content)
  with pytest.raises(InputError, match='weights.h5: cannot be read as HDF5 .*copy it again') as e:
    open_checkpoint(str(path))
  assert '\n' not in str(e.value)


def test_files_of_keras_3_have_no_names(tmp_path):
  model = keras.Sequential([keras.Input([2]), keras.layers.Dense(3)])
  model.save_weights(tmp_path / 'a.weights.h5')
  with pytest.raises(InputError, match=r'no weights by the names of layers .*model.save\("name.h5'):
    open_checkpoint(str(tmp_path / 'a.weights.h5'))


def test_another_network_says_what_it_holds(tmp_path):
  write_h5(tmp_path / 'resnet.h5', {'conv5_block3/kernel': np.zeros([3, 3, 4, 4])})
  with pytest.raises(InputError, match='it holds conv5_block3/kernel, ...; expected .*ssd_keras'):
    load_pretrained(vgg_model(300, 3, small=True), str(tmp_path / 'resnet.h5'))
