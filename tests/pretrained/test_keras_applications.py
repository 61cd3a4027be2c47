"""Keras applications' backbones: the same outputs from the same weights, by file or download."""

import keras
import numpy as np
import pytest
import small_checkpoints
import vgg_weights
from keras_2_file import write_h5

from ssd_tf.errors import InputError
from ssd_tf.pretrained import checkpoint_kind, keras_applications
from ssd_tf.pretrained.checkpoint_description import describe
from ssd_tf.pretrained.layer_groups import BACKBONE
from ssd_tf.pretrained.loading import LoadOptions, load_pretrained

MAKERS = {'v1': keras.applications.MobileNet, 'v2': keras.applications.MobileNetV2}
VGG_16_NAMES = [
  f'block{stage}_conv{i}/{leaf}'
  for stage, num_convs in enumerate((2, 2, 3, 3, 3), 1)
  for i in range(1, num_convs + 1)
  for leaf in ('kernel', 'bias')
]
ENDS = {
  'v1': ('mobilenet_v1_block_13_pointwise_activation', 'conv_pw_13_relu'),
  'v2': ('mobilenet_v2_block_16_project_batch_norm', 'block_16_project_BN'),
}


def theirs_of(version, alpha, size=(64, 96)):
  """Keras's MobileNet, every value a random one of its own."""
  model = MAKERS[version](weights=None, include_top=False, alpha=alpha, input_shape=(*size, 3))
  rng = np.random.default_rng(1)
  for v in model.weights:
    is_positive = v.path.endswith(('variance', 'gamma'))
    scale = np.sqrt(2 / max(np.prod(v.shape[:-1]), 9)) if v.path.endswith('kernel') else 0.1
    v.assign(rng.uniform(0.5, 1.5, v.shape) if is_positive else rng.normal(0, scale, v.shape))
  return model


def ours_of(version, alpha, size=(64, 96)):
  config = small_checkpoints.tiny_config(3, extractor=f'ssd_mobilenet_{version}_keras')
  ssd = config.model.ssd
  ssd.feature_extractor.depth_multiplier = alpha
  resizer = ssd.image_resizer.fixed_shape_resizer
  resizer.height, resizer.width = size
  return small_checkpoints.builders.build_model(config.model, is_training=True)


def values(model):
  return {f'{layer.name}/{v.name}': v.numpy() for layer in model.layers for v in layer.weights}


def greatest_difference(version, ours, theirs, size):
  images = np.random.default_rng(2).uniform(-1, 1, [1, *size, 3]).astype(np.float32)
  ends = [
    keras.Model(model.input, model.get_layer(name).output)(images, training=False).numpy()
    for model, name in zip((ours, theirs), ENDS[version], strict=True)
  ]
  assert ends[0].shape == ends[1].shape and np.abs(ends[1]).max() > 0.1
  return np.abs(ends[0] - ends[1]).max() / np.abs(ends[1]).max()


@pytest.mark.parametrize(
  ('version', 'alpha', 'count'), [('v1', 0.25, 135), ('v1', 1.0, 135), ('v2', 0.35, 255)]
)
def test_a_file_gives_the_same_features(version, alpha, count, tmp_path):
  theirs, ours = theirs_of(version, alpha), ours_of(version, alpha)
  theirs.save(tmp_path / 'model.h5')
  report = load_pretrained(ours, str(tmp_path / 'model.h5'), groups=(BACKBONE,))
  assert report.kind == checkpoint_kind.KERAS_APPLICATIONS
  assert len(report.loaded) == count and not report.missing
  expected = values(theirs)
  for v in ours.weights:
    if v.path in report.loaded:
      np.testing.assert_array_equal(v.numpy(), expected[report.loaded[v.path]], err_msg=v.path)
  # 1280 filters there whatever alpha is, 448 = 1280 * .35 here.
  skipped = ['mobilenet_v2_conv_1', 'mobilenet_v2_conv_1_batch_norm'] if version == 'v2' else []
  assert sorted({path.split('/')[0] for path in report.skipped}) == skipped
  assert greatest_difference(version, ours, theirs, (64, 96)) < 1e-5


@pytest.mark.parametrize('version', ['v1', 'v2'])
def test_odd_sizes_pad_otherwise_in_v1(version, tmp_path):
  """75 rows: ours go on with 38, those of v1 with 37, of v2 with 38 as well."""
  size = (75, 75)
  theirs, ours = theirs_of(version, 0.5, size), ours_of(version, 0.5, size)
  theirs.save(tmp_path / 'model.h5')
  load_pretrained(ours, str(tmp_path / 'model.h5'), groups=(BACKBONE,))
  if version == 'v2':
    assert greatest_difference(version, ours, theirs, size) < 1e-5
  else:
    shapes = [m.get_layer(n).output.shape for m, n in zip((ours, theirs), ENDS['v1'], strict=True)]
    assert [shape[1:3] for shape in shapes] == [(3, 3), (2, 2)]


def test_imagenet_is_what_keras_downloads(monkeypatch):
  theirs, calls = theirs_of('v2', 1.0), []

  def download(**options):
    calls.append(options)
    return theirs

  monkeypatch.setitem(keras_applications._MAKERS, 'mobilenet_v2', download)
  ours = ours_of('v2', 1.0)
  report = load_pretrained(ours, 'imagenet', groups=(BACKBONE,))
  assert calls == [{'weights': 'imagenet', 'include_top': False, 'alpha': 1.0}]
  assert len(report.loaded) == 260 and report.backbone_share == 1.0 and not report.unused
  found = ours.get_layer('mobilenet_v2_block_7_expand').kernel
  np.testing.assert_array_equal(found, theirs.get_layer('block_7_expand').kernel)


def fails(error):
  def download(**options):
    del options
    raise error

  return download


def test_what_imagenet_cannot_give(monkeypatch):
  with pytest.raises(InputError, match='no weights from Keras for mobilenet_v3; expected'):
    keras_applications.ImageNetWeights('mobilenet_v3', 1.0)
  # Keras itself says which multipliers there are.
  with pytest.raises(InputError, match='depth_multiplier: .*alpha'):
    keras_applications.ImageNetWeights('mobilenet_v1', 0.3)
  for error, expected in (
    (Exception('URL fetch failure on https://...: None -- unreachable'), InputError),
    (ZeroDivisionError('a fault of ours'), ZeroDivisionError),
  ):
    monkeypatch.setitem(keras_applications._MAKERS, 'vgg_16', fails(error))
    with pytest.raises(expected, match='download the file elsewhere|a fault'):
      keras_applications.ImageNetWeights('vgg_16', None)


def vgg_16_weights(model, with_top=False):
  """As narrow as the model; with the classifier, of dense layers."""
  rng = np.random.default_rng(3)
  names = keras_applications.LAYERS.names(model)
  shapes = {names[v.path]: tuple(v.shape) for v in model.weights if names[v.path] in VGG_16_NAMES}
  if with_top:
    width, filters = model.get_layer('vgg_16_conv5_3').filters, 4 * 64
    shapes |= {
      'fc1/kernel': (49 * width, filters),
      'fc1/bias': (filters,),
      'fc2/kernel': (filters, filters),
      'fc2/bias': (filters,),
      'predictions/kernel': (filters, 10),
    }
  return {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def test_vgg_16_has_its_colors_turned_around(tmp_path):
  model = vgg_weights.vgg_model(300, 2, small=True, seed=1)
  weights = vgg_16_weights(model)
  assert len(weights) == 26
  # The names of the file that Keras has offered since Keras 1.
  write_h5(tmp_path / 'vgg16.h5', weights, suffixes={'kernel': 'conv_W_1:0', 'bias': 'conv_b_1:0'})
  conv6 = model.get_layer('vgg_16_conv6').kernel.numpy()
  report = load_pretrained(model, str(tmp_path / 'vgg16.h5'), groups=(BACKBONE,))
  assert len(report.loaded) == 26 and len(report.missing) == 4 and not report.unused
  found = model.get_layer('vgg_16_conv1_1').kernel.numpy()
  np.testing.assert_array_equal(found, weights['block1_conv1/kernel'][:, :, [2, 1, 0]])
  found = model.get_layer('vgg_16_conv5_3')
  np.testing.assert_array_equal(found.kernel, weights['block5_conv3/kernel'])
  np.testing.assert_array_equal(found.bias, weights['block5_conv3/bias'])
  np.testing.assert_array_equal(model.get_layer('vgg_16_conv6').kernel, conv6)


def test_dense_layers_of_vgg_16_are_decimated(tmp_path):
  model = vgg_weights.vgg_model(300, 2, small=True)
  assert model.get_layer('vgg_16_conv6').filters == 64
  weights = vgg_16_weights(model, with_top=True)
  write_h5(tmp_path / 'vgg16.h5', weights)
  report = load_pretrained(
    model, str(tmp_path / 'vgg16.h5'), groups=(BACKBONE,), options=LoadOptions(decimate_fc=True)
  )
  assert len(report.loaded) == 30 and report.unused == ['predictions/kernel']
  fc1 = weights['fc1/kernel'].reshape(7, 7, -1, 256)
  np.testing.assert_array_equal(model.get_layer('vgg_16_conv6').kernel[2, 1], fc1[6, 3][:, ::4])
  found = model.get_layer('vgg_16_conv7').kernel[0, 0]
  np.testing.assert_array_equal(found, weights['fc2/kernel'][::4, ::4])


def test_keras_vgg_16_is_the_same_network():
  """Names and shapes of all layers of Keras's own."""
  theirs = keras.applications.VGG16(weights=None, include_top=False)
  shapes = {name: value.shape for name, value in values(theirs).items()}
  model = vgg_weights.vgg_model(300, 2)
  names = keras_applications.LAYERS.names(model)
  ours = {names[v.path]: tuple(v.shape) for v in model.weights if names[v.path] in shapes}
  assert ours == shapes
  kind = checkpoint_kind.identify(shapes, 'vgg16.h5')
  assert describe(shapes, kind).model() == 'vgg_16, depth_multiplier 1, no heads'


def test_another_multiplier_is_refused(tmp_path):
  theirs_of('v1', 0.5).save(tmp_path / 'model.h5')
  with pytest.raises(
    InputError, match='only .* of the backbone loads.*depth_multiplier 0.5, no he'
  ):
    load_pretrained(ours_of('v1', 0.25), str(tmp_path / 'model.h5'))


@pytest.mark.slow
def test_the_flag_of_the_training_tool(tiny, run_tool):
  """A path beside the config; the heads start from chance."""
  theirs_of('v1', 0.25).save(tiny / 'mobilenet.h5')
  code, output = run_tool(
    tiny, 'model_main_tf2.py', '--pipeline_config_path=tiny.config', '--model_dir=run',
    '--num_train_steps=1', '--noevaluate', '--pretrained_backbone=mobilenet.h5',
  )  # fmt: skip
  assert code == 0, output
  lines = (tiny / 'run/loaded_variables.txt').read_text().splitlines()
  kinds = [line.split()[0] for line in lines]
  assert kinds.count('loaded') == 135 and set(kinds) == {'loaded', 'left'}
  assert 'loaded   mobilenet_v1_conv_0/kernel <- conv1/kernel' in lines
  saved = (tiny / 'run/pipeline.config').read_text()
  assert 'fine_tune_checkpoint: "mobilenet.h5"' in saved
  assert 'fine_tune_checkpoint_type: "classification"' in saved


def test_imagenet_with_the_classifier_is_for_vgg_16_alone(monkeypatch):
  calls = []
  theirs = theirs_of('v1', 0.25)
  monkeypatch.setitem(
    keras_applications._MAKERS, 'mobilenet_v1', lambda **options: calls.append(options) or theirs
  )
  with pytest.raises(InputError, match='decimate_fc: is for .*, not for ssd_mobilenet_v1 with'):
    load_pretrained(ours_of('v1', 0.25), 'imagenet', options=LoadOptions(decimate_fc=True))
  assert calls == [{'weights': 'imagenet', 'include_top': False, 'alpha': 0.25}]
