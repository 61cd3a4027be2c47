"""Weights of .tflite files: the published one as TensorFlow's interpreter has it, and our own."""

import pathlib
import re
import warnings

import numpy as np
import pytest
import small_checkpoints
import tensorflow as tf

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.pretrained import checkpoint_kind, named_weights
from ssd_tf.pretrained.checkpoint_description import describe
from ssd_tf.pretrained.checkpoint_formats import open_checkpoint
from ssd_tf.pretrained.loading import load_pretrained
from ssd_tf.pretrained.tflite_file import TfliteFile

NAME = 'starter:ssd_mobilenet_v1_0.75_coco'
ROOT = pathlib.Path(__file__).parents[2]


def interpreted(path):
  """{name in TF1's checkpoints: value} by the interpreter and the names of its tensors alone."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    interpreter = tf.lite.Interpreter(path)
  found = {}
  for detail in interpreter.get_tensor_details():
    name = detail['name'].replace('MobilenetV1/MobilenetV1', 'MobilenetV1')
    if not re.search('/weights_quant/|_bias$', name):
      continue
    scale, zero = detail['quantization']
    raw = interpreter.get_tensor(detail['index']).astype(np.float64)
    value = ((raw - zero) * scale).astype(np.float32)
    if '/weights_quant/' in name:
      scope = name.split('/weights_quant/')[0]
      leaf = 'depthwise_weights' if scope.endswith('_depthwise') else 'weights'
      found[f'{scope}/{leaf}'] = np.moveaxis(value, 0, -1)
    elif name.startswith('BoxPredictor'):
      found[f'{name.rsplit("/", 1)[0]}/biases'] = value
    else:
      found[f'{name.rsplit("/", 1)[0]}/BatchNorm/beta'] = value
  return found


def test_the_published_file_has_the_values_of_the_interpreter():
  file = open_checkpoint(NAME)
  expected = interpreted(named_weights.checkpoint_path(NAME))
  # 47 convolutions, 12 of them heads: a kernel and a bias each, and 3 more of each batch norm.
  assert (len(expected), len(file.shapes)) == (94, 94 + 35 * 3)
  for name, value in expected.items():
    np.testing.assert_array_equal(file.read(name), value, err_msg=name)
    assert (file.shapes[name], file.read(name).dtype) == (value.shape, np.float32)
  others = {'gamma': 1.0, 'moving_mean': 0.0, 'moving_variance': np.float32(0.999)}
  for name in set(file.shapes) - set(expected):
    np.testing.assert_array_equal(file.read(name), others[name.rsplit('/', 1)[1]])
  assert file.shapes['BoxPredictor_0/ClassPredictor/weights'] == (1, 1, 384, 3 * 91)
  assert file.shapes['FeatureExtractor/MobilenetV1/Conv2d_1_depthwise/depthwise_weights'] == (
    *(3, 3, 24, 1),
  )
  kind = checkpoint_kind.identify(file.shapes, NAME)
  assert kind == checkpoint_kind.TF1
  assert describe(file.shapes, kind).model() == (
    'mobilenet_v1, depth_multiplier 0.75, 6 feature maps with [3, 6, 6, 6, 6, 6] anchors per '
    'location, 90 classes'
  )


def test_its_config_loads_every_variable():
  config = Pipeline.load(ROOT / 'ssd_tf/configs/ssd_mobilenet_v1_0.75_300x300_coco.config').config
  model = builders.build_model(config.model, is_training=False)
  report = load_pretrained(model, NAME)
  assert len(report.loaded) == len(model.weights) == 199
  assert (report.skipped, report.missing, report.unused) == ({}, {}, [])
  assert report.backbone_share == 1.0
  file = open_checkpoint(NAME)
  for variable in model.weights:
    np.testing.assert_array_equal(variable.numpy(), file.read(report.loaded[variable.path]))


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
  """Returns a function: (predictor, extractor, converter's settings) -> (model, .tflite path)."""

  def export(predictor, extractor, **settings):
    folder = tmp_path_factory.mktemp('tflite')
    model = small_checkpoints.tiny_model(3, predictor, extractor)
    for variable in model.weights:  # As after a training: outputs of a readable size.
      if variable.path.endswith('gamma'):
        variable.assign(tf.abs(variable) + 0.5)
    model.export(str(folder / 'saved'), verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / 'saved'))
    for name, value in settings.items():
      setattr(converter, name, value)
    path = folder / 'model.tflite'
    path.write_bytes(converter.convert())
    return model, str(path)

  return export


def outputs(model, image):
  return {name: value.numpy() for name, value in model(image, training=False).items()}


@pytest.mark.parametrize(
  ('predictor', 'extractor', 'settings', 'tolerance'),
  [
    ('convolutional', 'ssd_mobilenet_v1_keras', {}, 1e-4),
    pytest.param('ssdlite', 'ssd_mobilenet_v2_keras', {}, 1e-4, marks=pytest.mark.slow),
    pytest.param(
      *('convolutional', 'ssd_mobilenet_v1_keras'),
      {'optimizations': [tf.lite.Optimize.DEFAULT], 'target_spec': 'float16'},
      0.02,
      marks=pytest.mark.slow,
    ),
  ],
)
def test_what_is_exported_loads_and_computes_the_same(
  predictor, extractor, settings, tolerance, exported
):
  if settings:
    settings = {**settings, 'target_spec': tf.lite.TargetSpec(supported_types=[tf.float16])}
  model, path = exported(predictor, extractor, **settings)
  image = np.random.default_rng(0).uniform(-1, 1, (1, 64, 96, 3)).astype(np.float32)
  expected = outputs(model, image)
  fresh = small_checkpoints.tiny_model(3, predictor, extractor, seed=1)
  report = load_pretrained(fresh, path)
  assert (report.skipped, report.missing, report.unused) == ({}, {}, [])
  for name, value in outputs(fresh, image).items():
    scale = np.abs(expected[name]).max()
    assert np.abs(value - expected[name]).max() < tolerance * scale, name


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (lambda whole: whole[:3_000_000], 'is damaged or cut short'),
    (lambda whole: whole[:100], 'is damaged or cut short'),
    (lambda whole: b'\x1f\x8b' + whole[2:4] + b'abcd', 'is no TensorFlow Lite file'),
    (lambda whole: b'', 'is no TensorFlow Lite file'),
    (
      lambda whole: whole.replace(b'FeatureExtractor/', b'XeatureExtractor/').replace(
        b'BoxPredictor_', b'XoxPredictor_'
      ),
      'has no convolution by a name',
    ),
  ],
)
def test_what_is_no_such_file_is_told(content, message, tmp_path):
  whole = pathlib.Path(named_weights.checkpoint_path(NAME)).read_bytes()
  (tmp_path / 'a.tflite').write_bytes(content(whole))
  with pytest.raises(InputError, match=message) as error:
    TfliteFile(str(tmp_path / 'a.tflite'))
  assert str(tmp_path / 'a.tflite') in str(error.value)
