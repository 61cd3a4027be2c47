"""Checkpoints of SSD-Tensorflow and of TF1 slim's VGG-16: names, values, scopes, classes."""

import numpy as np
import pytest
import small_checkpoints
import tensorflow as tf
import vgg_weights
from golden_weights import vgg_image, vgg_value
from vgg_weights import read_json, values_of, vgg_model

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.pretrained import checkpoint_kind, ssd_tensorflow
from ssd_tf.pretrained.checkpoint_description import describe, slots_of
from ssd_tf.pretrained.checkpoint_formats import open_checkpoint
from ssd_tf.pretrained.conversion import converted, decimate
from ssd_tf.pretrained.layer_groups import BACKBONE, FEATURE_MAPS, GROUPS, group_of
from ssd_tf.pretrained.loading import LoadOptions, load_pretrained
from ssd_tf.pretrained.original_names import original_names, paths_in_scopes
from ssd_tf.run.fine_tuning import load_fine_tune_checkpoint

tf1 = tf.compat.v1

# Scopes of the README's first command, with those of seven feature maps.
NEW_SCOPES = tuple(
  f'ssd_512_vgg/{name}'
  for name in (
    *('conv6', 'conv7', 'block8', 'block9', 'block10', 'block11', 'block12'),
    *('block4_box', 'block7_box', 'block8_box', 'block9_box', 'block10_box', 'block11_box'),
    'block12_box',
  )
)
SWAPPED = [1, 0, 3, 2]  # x, y, width, height -> y, x, height, width.


@pytest.fixture(scope='module')
def small_512():
  return vgg_model(512, 1, small=True)


def write_small(path, model, kind=checkpoint_kind.SSD_TENSORFLOW, extra=None, seed=5):
  """Writes a model's names with random values; returns them by name."""
  rng = np.random.default_rng(seed)
  names = checkpoint_kind.checkpoint_names(kind, model, ())
  tensors = {names[v.path]: rng.normal(0, 0.1, v.shape).astype(np.float32) for v in model.weights}
  tensors |= extra or {}
  small_checkpoints.write(path, tensors)
  return tensors


def write_vgg_16(path, model, seed=6):
  """A slim VGG-16 as narrow as the model, fc6 and fc7 of four times the filters of conv6."""
  rng = np.random.default_rng(seed)
  names = ssd_tensorflow.LAYERS.names(model, 'vgg_16/')
  shapes = {
    names[v.path]: tuple(v.shape) for v in model.weights if v.path.startswith('vgg_16_conv')
  }
  for name in [name for name in shapes if '/conv6/' in name or '/conv7/' in name]:
    del shapes[name]
  width, filters = (
    shapes['vgg_16/conv5/conv5_3/biases'][0],
    4 * model.get_layer('vgg_16_conv6').filters,
  )
  shapes |= {
    'vgg_16/fc6/weights': (7, 7, width, filters),
    'vgg_16/fc6/biases': (filters,),
    'vgg_16/fc7/weights': (1, 1, filters, filters),
    'vgg_16/fc7/biases': (filters,),
    'vgg_16/fc8/weights': (1, 1, filters, 10),
    'vgg_16/fc8/biases': (10,),
    'vgg_16/mean_rgb': (3,),
  }
  tensors = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
  tensors['global_step'] = np.int64(0)
  small_checkpoints.write(path, tensors)
  return tensors


def write_golden(path, variables, version='v2'):
  """Writes variables as TF1 does, with the values that the original was measured with.

  Args:
    path: of the checkpoint.
    variables: name and shape of each.
    version: v2; v1 of one file, as the slim models were published.
  """
  values = {v['name']: vgg_value(v['name'], v['shape']) for v in variables}
  with tf.Graph().as_default(), tf1.Session() as session:
    saved = {name: tf1.placeholder(value.dtype, value.shape) for name, value in values.items()}
    feed = {saved[name]: value for name, value in values.items()}
    saved = {
      name: tf1.Variable(initial, name=name, use_resource=False) for name, initial in saved.items()
    }
    saved['global_step'] = tf1.Variable(np.int64(7), name='global_step', use_resource=False)
    session.run(tf1.global_variables_initializer(), feed)
    version = getattr(tf1.train.SaverDef, version.upper())
    saver = tf1.train.Saver(saved, write_version=version)
    saver.save(session, str(path), write_meta_graph=False, write_state=False)


def test_a_trained_ssd_300_gives_its_outputs(tmp_path):
  write_golden(tmp_path / 'model.ckpt', read_json('balancap/variables_ssd_300_vgg.json'))
  detector = builders.build_detector(vgg_weights.vgg_config().model, is_training=False)
  report = load_pretrained(
    detector.model, str(tmp_path / 'model.ckpt'), options=LoadOptions(ignore_missing=False)
  )
  assert report.kind == checkpoint_kind.SSD_TENSORFLOW
  assert len(report.loaded) == 71 and report.backbone_share == 1.0
  assert not (report.skipped or report.missing or report.unused or report.left), report.table()

  images, _ = detector.preprocess_image(tf.constant(vgg_image(300)[np.newaxis]))
  found = detector.model(images, training=False)
  theirs = np.load(vgg_weights.TESTDATA / 'balancap/forward_ssd_300_vgg.npz')
  logits, encodings = (
    tf.gather(found[key][0], theirs['rows']) for key in (fields.CLASS_LOGITS, fields.BOX_ENCODINGS)
  )
  np.testing.assert_allclose(logits, theirs['logits'][0], rtol=0, atol=1e-4)
  np.testing.assert_allclose(encodings, theirs['localisations'][0][:, SWAPPED], rtol=0, atol=1e-4)


@pytest.mark.parametrize('side', [300, 512])
def test_names_and_shapes_are_the_originals(side):
  variables = read_json(f'balancap/variables_ssd_{side}_vgg.json')
  theirs = {v['name']: tuple(v['shape']) for v in variables}
  model = vgg_model(side)
  names = original_names(model)
  assert {names[v.path]: tuple(v.shape) for v in model.weights} == theirs
  assert {ssd_tensorflow.LAYERS.our_path(name): name for name in theirs} == names
  kind = checkpoint_kind.identify(theirs, 'model.ckpt')
  maps = {300: '6 feature maps with [4, 6, 6, 6, 4, 4]', 512: '7 feature maps with [4, 6, 6, 6, 6'}
  model_in_words = describe(theirs, kind).model()
  assert model_in_words.startswith(f'vgg_16, depth_multiplier 1, {maps[side]}')
  assert model_in_words.endswith('anchors per location, 20 classes')


@pytest.mark.parametrize('version', ['v1', 'v2'])
def test_vgg_16_in_both_formats_of_tf1(version, tmp_path):
  """All of its names; the fully connected layers, 490 MB, are narrower."""
  variables = read_json('balancap/variables_vgg_16.json')
  for variable in variables:
    shape = variable['shape']
    if '/fc' in variable['name']:
      variable['shape'] = [*shape[:-2], 8, 8] if len(shape) == 4 else [8]
  write_golden(tmp_path / 'vgg_16.ckpt', variables, version)

  model = vgg_model(300, seed=1)
  before = values_of(model)
  report = load_pretrained(model, str(tmp_path / 'vgg_16.ckpt'), groups=(BACKBONE,))
  mapping = read_json('balancap/init_fn_mapping.json')['ssd_300_vgg'][
    'phase1_vgg16_restore_map(checkpoint_name->model_name)'
  ]
  names = original_names(model)
  assert {theirs: names[ours] for ours, theirs in report.loaded.items()} == mapping
  assert len(mapping) == 26
  # 14,714,688 of conv1_1 to conv5_3; conv6 and conv7 have 4,719,616 and 1,049,600.
  assert report.backbone_share == pytest.approx(14_714_688 / (14_714_688 + 4_719_616 + 1_049_600))
  for ours, value in values_of(model).items():
    if ours in report.loaded:
      expected = vgg_value(report.loaded[ours], value.shape)
    else:
      expected = before[ours]
    np.testing.assert_array_equal(value, expected, err_msg=ours)
  assert {n for n in report.unused if '/fc' not in n} == set()


def test_the_readmes_first_command(small_512, tmp_path):
  """model_scope=vgg_16, all that is new excluded: nothing may be missing."""
  tensors = write_vgg_16(tmp_path / 'vgg_16.ckpt', small_512)
  report = load_pretrained(
    small_512,
    str(tmp_path / 'vgg_16.ckpt'),
    options=LoadOptions(NEW_SCOPES, model_scope='vgg_16', ignore_missing=False),
  )
  assert len(report.loaded) == 26 and not (report.missing or report.skipped)
  assert len(report.left) == 79 - 26
  kernel = small_512.get_layer('vgg_16_conv3_2').kernel
  np.testing.assert_array_equal(kernel, tensors['vgg_16/conv3/conv3_2/weights'])


@pytest.mark.parametrize('options', [{}, {'model_scope': 'vgg_16'}])
def test_what_is_missing_is_a_fault_unless_it_is_ignored(options, small_512, tmp_path):
  write_vgg_16(tmp_path / 'vgg_16.ckpt', small_512)
  before = values_of(small_512)
  with pytest.raises(InputError, match='53 variables of the model did not load.*ignore_missing'):
    load_pretrained(
      small_512, str(tmp_path / 'vgg_16.ckpt'), options=LoadOptions(ignore_missing=False, **options)
    )
  for path, value in values_of(small_512).items():
    np.testing.assert_array_equal(value, before[path])
  report = load_pretrained(small_512, str(tmp_path / 'vgg_16.ckpt'), options=LoadOptions(**options))
  assert (len(report.loaded), len(report.missing)) == (26, 53)


def test_a_scope_that_the_checkpoint_has_not(small_512, tmp_path):
  write_small(tmp_path / 'model.ckpt', small_512)
  with pytest.raises(InputError, match='only 0.0% of the backbone loads'):
    load_pretrained(
      small_512, str(tmp_path / 'model.ckpt'), options=LoadOptions(model_scope='vgg_16')
    )


def test_a_network_under_another_scope(small_512, tmp_path):
  tensors = write_small(tmp_path / 'model.ckpt', vgg_model(300, 1, small=True))
  report = load_pretrained(
    small_512, str(tmp_path / 'model.ckpt'), options=LoadOptions(model_scope='ssd_300_vgg')
  )
  assert {path.split('/')[0] for path in report.missing} == {
    *('block12_conv1x1', 'block12_conv4x4', 'box_encoding_head_6', 'class_head_6')
  }
  # A head of six anchors in place of four.
  assert {path.split('/')[0] for path in report.skipped} == {'box_encoding_head_4', 'class_head_4'}
  found = small_512.get_layer('block9_conv3x3').kernel
  np.testing.assert_array_equal(found, tensors['ssd_300_vgg/block9/conv3x3/weights'])


def test_all_of_a_training_is_told_and_used(small_512, tmp_path):
  names = original_names(small_512)
  slots = {f'{names[v.path]}/{s}': v.value for v in small_512.weights for s in ('Adam', 'Adam_1')}
  extra = {'beta1_power': 0.5, 'beta2_power': 0.5, 'global_step': np.int64(9)} | slots
  tensors = write_small(tmp_path / 'model.ckpt-9', small_512, extra=extra)
  report = load_pretrained(small_512, str(tmp_path / 'model.ckpt-9'))
  assert len(report.loaded) == 79 and not (report.missing or report.skipped or report.unused)
  file = open_checkpoint(str(tmp_path / 'model.ckpt-9'))
  assert slots_of(file.shapes) == {'Adam': 79, 'Adam_1': 79}
  # By hand: 4 anchors, x y w h of each.
  bias = tensors['ssd_512_vgg/block4_box/conv_loc/biases']
  order = [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14]
  np.testing.assert_array_equal(small_512.get_layer('box_encoding_head_0').bias, bias[order])
  kernel = tensors['ssd_512_vgg/block4_box/conv_loc/weights']
  found = small_512.get_layer('box_encoding_head_0').kernel
  np.testing.assert_array_equal(found, kernel[..., order])
  found = small_512.get_layer('conv4_3_norm').scale
  np.testing.assert_array_equal(found, tensors['ssd_512_vgg/block4_box/L2Normalization/gamma'])


def test_classes_are_mapped(tmp_path):
  """From 3 classes to 2: background first in each anchor's columns."""
  source = vgg_model(300, 3, small=True)
  tensors = write_small(tmp_path / 'model.ckpt', source)
  model = vgg_model(300, 2, small=True, seed=8)
  before = values_of(model)
  report = load_pretrained(model, str(tmp_path / 'model.ckpt'), class_ids={2: 3})
  assert not (report.skipped or report.missing or report.unused)
  bias = tensors['ssd_300_vgg/block4_box/conv_cls/biases']  # 4 anchors of 4 columns.
  own = before['class_head_0/bias']  # 4 anchors of 3 columns.
  expected = [
    *(bias[0], own[1], bias[3]),
    *(bias[4], own[4], bias[7]),
    *(bias[8], own[7], bias[11]),
    *(bias[12], own[10], bias[15]),
  ]
  np.testing.assert_array_equal(model.get_layer('class_head_0').bias, np.float32(expected))


def test_class_map_of_a_config(tmp_path):
  tensors = write_small(tmp_path / 'model.ckpt', vgg_model(300, 20, small=True))
  config = vgg_weights.vgg_config(300, 2, small=True)
  config.train_input_reader[0].label_map_path = ''
  config.train_config.fine_tune_checkpoint = str(tmp_path / 'model.ckpt')
  config.train_config.fine_tune_class_map.add(name='15', to='1')
  model = builders.build_model(config.model, is_training=True)
  report = load_fine_tune_checkpoint(
    Pipeline(config, ''), model, LoadOptions(exclude_scopes=('ssd_300_vgg/block11_box',))
  )
  assert {path.split('/')[0] for path in report.left} == {'box_encoding_head_5', 'class_head_5'}
  bias = tensors['ssd_300_vgg/block10_box/conv_cls/biases'].reshape(4, 21)
  found = model.get_layer('class_head_4').bias.numpy().reshape(4, 3)
  np.testing.assert_array_equal(found[:, :2], bias[:, [0, 15]])


def test_fully_connected_layers_are_decimated_by_hand():
  # 7x7 taps, 2 inputs, 8 filters; value = 1000 row + 100 column + 10 input + filter.
  rows, columns, inputs, filters = np.indices([7, 7, 2, 8])
  kernel = 1000 * rows + 100 * columns + 10 * inputs + filters
  found = decimate(kernel, is_first=True)
  assert found.shape == (3, 3, 2, 2)
  assert found[0, 0].tolist() == [[0, 4], [10, 14]]
  assert found[1, 2].tolist() == [[3600, 3604], [3610, 3614]]
  assert found[2, 0].tolist() == [[6000, 6004], [6010, 6014]]
  # A dense layer has rows, columns and inputs in one axis.
  np.testing.assert_array_equal(decimate(kernel.reshape(98, 8), is_first=True), found)
  inputs, filters = np.indices([8, 12])
  assert decimate(10 * inputs + filters, is_first=False).tolist() == [[[[0, 4, 8], [40, 44, 48]]]]
  assert decimate(np.arange(8), is_first=True).tolist() == [0, 4]
  with pytest.raises(InputError, match=r'decimate_fc: fc6 has the shape \[3, 3, 2, 8\]'):
    decimate(np.zeros([3, 3, 2, 8]), is_first=True)


def test_decimated_layers_become_conv6_and_conv7(small_512, tmp_path):
  tensors = write_vgg_16(tmp_path / 'vgg_16.ckpt', small_512)
  report = load_pretrained(
    small_512,
    str(tmp_path / 'vgg_16.ckpt'),
    groups=(BACKBONE,),
    options=LoadOptions(decimate_fc=True),
  )
  assert len(report.loaded) == 30 and report.backbone_share == 1.0
  assert sorted(report.unused) == ['vgg_16/fc8/biases', 'vgg_16/fc8/weights', 'vgg_16/mean_rgb']
  conv6, conv7 = (small_512.get_layer(f'vgg_16_conv{i}') for i in (6, 7))
  fc6 = tensors['vgg_16/fc6/weights']
  np.testing.assert_array_equal(conv6.kernel[1, 2], fc6[3, 6][:, ::4])
  np.testing.assert_array_equal(conv6.bias, tensors['vgg_16/fc6/biases'][::4])
  fc7 = tensors['vgg_16/fc7/weights']
  np.testing.assert_array_equal(conv7.kernel[0, 0], fc7[0, 0, ::4, ::4])


def test_only_classification_models_are_decimated(small_512, tmp_path):
  write_small(tmp_path / 'model.ckpt', small_512)
  with pytest.raises(InputError, match='decimate_fc: is for .*, not for ssd_512_vgg with a check'):
    load_pretrained(small_512, str(tmp_path / 'model.ckpt'), options=LoadOptions(decimate_fc=True))


def test_a_scope_means_nothing_to_other_checkpoints(tmp_path):
  model = small_checkpoints.tiny_model()
  small_checkpoints.write_model(tmp_path / 'c', model, checkpoint_kind.TF1)
  with pytest.raises(InputError, match="model_scope: 'vgg_16' has no effect"):
    load_pretrained(model, str(tmp_path / 'c'), options=LoadOptions(model_scope='vgg_16'))
  # But scopes to exclude are of the model, under the API's names.
  report = load_pretrained(
    model, str(tmp_path / 'c'), options=LoadOptions(exclude_scopes=('BoxPredictor_0',))
  )
  assert {path.split('/')[0] for path in report.left} == {'box_encoding_head_0', 'class_head_0'}


def test_a_scope_of_nothing(small_512):
  with pytest.raises(InputError) as error:
    paths_in_scopes(small_512, ['ssd_512_vgg/conv6', 'ssd_300_vgg/block8'], 'exclude_scopes')
  assert str(error.value).startswith(
    "exclude_scopes: 'ssd_300_vgg/block8' is the scope of nothing; there are "
    'ssd_512_vgg/conv1, ssd_512_vgg/conv2, '
  )
  for scope in ('ssd_512_vgg/block12_box', 'ssd_512_vgg/conv7', 'ssd_512_vgg/block4_box'):
    assert f', {scope}' in str(error.value)
  with pytest.raises(InputError, match="exclude_scopes: '' is the scope of nothing"):
    paths_in_scopes(small_512, [''], 'exclude_scopes')


def test_other_values_stay_what_they_are():
  value = np.arange(8.0)
  for path in ('class_head_0/bias', 'vgg_16_conv1_1/kernel', 'vgg_16_conv6/bias'):
    assert converted(value, path, checkpoint_kind.SSD_TENSORFLOW) is value
  assert converted(value, 'box_encoding_head_0/bias', checkpoint_kind.TF1) is value
  found = converted(value, 'box_encoding_head_0/bias', checkpoint_kind.SSD_TENSORFLOW)
  assert found.tolist() == [1, 0, 3, 2, 5, 4, 7, 6]


def test_parts_of_a_vgg_ssd(small_512):
  layers = {group: set() for group in GROUPS}
  for variable in small_512.weights:
    layers[group_of(variable.path)].add(variable.path.split('/')[0])
  assert len(layers[BACKBONE]) == 15 and 'vgg_16_conv7' in layers[BACKBONE]
  # conv4_3_norm, and two convolutions of each of the blocks 8 to 12.
  assert len(layers[FEATURE_MAPS]) == 1 + 2 * 5 and 'conv4_3_norm' in layers[FEATURE_MAPS]
  assert [len(names) for names in layers.values()] == [15, 11, 7, 7]


def test_our_own_checkpoint_of_a_vgg_ssd(tmp_path):
  source = vgg_model(512, 3, small=True, seed=1)
  small_checkpoints.write_model(tmp_path / 'ckpt-0', source, checkpoint_kind.SSD_TF)
  model = vgg_model(512, 3, small=True)
  report = load_pretrained(
    model, str(tmp_path / 'ckpt-0'), options=LoadOptions(ignore_missing=False)
  )
  assert report.kind == checkpoint_kind.SSD_TF and not report.unused
  expected = values_of(source)
  for path, value in values_of(model).items():
    np.testing.assert_array_equal(value, expected[path])
  shapes = open_checkpoint(str(tmp_path / 'ckpt-0')).shapes
  assert describe(shapes, report.kind).model() == (
    'vgg_16, depth_multiplier 0.0625, 7 feature maps with [4, 6, 6, 6, 6, 4, 4] anchors per '
    'location, 3 classes'
  )
