"""Names of variables in the API's files: all of them, for each model whose files were listed."""

import keras
import odapi_goldens
import pytest
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.builders.box_predictor import build_box_predictor
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.pretrained import odapi_tf1, odapi_tf2
from ssd_tf.protos import ssd_pb2

VALUE = '/.ATTRIBUTES/VARIABLE_VALUE'
MODELS = (
  'ssd_mobilenet_v1_300_c90',
  'ssd_mobilenet_v1_fpn_640',
  'ssd_mobilenet_v2_320',
  'ssd_mobilenet_v2_fpnlite_320',
  'ssdlite_mobilenet_v2_300_c3',
)


def names_and_shapes(names, model):
  return {names[v.path]: tuple(v.shape) for v in model.variables}


@pytest.mark.parametrize('name', MODELS)
def test_tf2_names(name):
  model = builders.build_model(odapi_goldens.model_config(name), is_training=False)
  tensors = odapi_goldens.specification(f'g_{name}_zoo')['tensors']
  theirs = {t['key']: tuple(t['shape']) for t in tensors}
  assert theirs.pop(f'save_counter{VALUE}') == ()
  assert names_and_shapes(odapi_tf2.checkpoint_names(model), model) == theirs


@pytest.mark.parametrize('name', ['ssd_mobilenet_v1', 'ssd_mobilenet_v2', 'ssdlite_mobilenet_v2'])
def test_tf1_names(name):
  spec = odapi_goldens.specification(f't_tf1_{name}_coco_variables')
  path = odapi_goldens.TESTDATA / f'odapi_configs/{name}_coco.config'
  model_config = Pipeline.load(path).config.model
  model_config.ssd.box_predictor.convolutional_box_predictor.use_dropout = False
  model = builders.build_model(model_config, is_training=False)
  theirs = {v['name']: tuple(v['shape']) for v in spec['variables']}
  assert names_and_shapes(odapi_tf1.checkpoint_names(model), model) == theirs


@pytest.mark.parametrize(('version', 'layers'), [('v1', (14, 15)), ('v2', (20, 21))])
def test_tf1_names_of_a_feature_pyramid(version, layers):
  model_config = odapi_goldens.model_config('ssd_mobilenet_v1_fpn_640')
  extractor = model_config.ssd.feature_extractor
  extractor.type = f'ssd_mobilenet_{version}_fpn'
  extractor.depth_multiplier = 0.25
  names = set(odapi_tf1.checkpoint_names(builders.build_model(model_config, False)).values())
  fpn = f'FeatureExtractor/Mobilenet{version.upper()}/fpn'
  # As the original's own test of its TF1 extractor lists them.
  for scope in (*(f'projection_{i}' for i in (1, 2, 3)), 'smoothing_1', 'smoothing_2'):
    assert f'{fpn}/{scope}/weights' in names
  assert {f'{fpn}/projection_1/biases', f'{fpn}/smoothing_2/BatchNorm/gamma'} <= names
  assert {f'{fpn}/bottom_up_Conv2d_{i}/weights' for i in layers} <= names
  predictor = 'WeightSharedConvolutionalBoxPredictor'
  assert f'{predictor}/BoxPredictor/weights' in names
  assert f'{predictor}/ClassPredictor/biases' in names
  for tower in ('BoxPredictionTower', 'ClassPredictionTower'):
    assert f'{predictor}/{tower}/conv2d_3/weights' in names
    assert f'{predictor}/{tower}/conv2d_3/BatchNorm/feature_4/moving_mean' in names
  assert all('/' in name and not name.startswith('feature_map') for name in names)


def predictor_model(text, shapes, kind='convolutional_box_predictor'):
  message = ssd_pb2.Ssd(num_classes=2)
  message.box_coder.faster_rcnn_box_coder.SetInParent()
  text_format.Merge(
    f'box_predictor {{ {kind} {{ conv_hyperparams {{ batch_norm {{}} }} {text} }} }}', message
  )
  inputs = [keras.Input(shape) for shape in shapes]
  outputs = build_box_predictor(message, [2] * len(shapes), batch_norm_trainable=True)(inputs)
  return keras.Model(inputs, outputs, name='ssd_mobilenet_v2')


def test_layers_are_counted_as_the_original_lists_them():
  """A dropout stands before the class head; shared convolutions and projections in their lists."""
  text = 'kernel_size: 3 use_depthwise: true num_layers_before_predictor: 2 max_depth: 4'
  model = predictor_model(text, [(3, 5, 8)])
  tf2, tf1 = odapi_tf2.checkpoint_names(model), odapi_tf1.checkpoint_names(model)
  heads = 'model/_box_predictor/_prediction_heads'
  classes = f'{heads}/class_predictions_with_background/0/_class_predictor_layers'
  expected = {
    'class_head_0_depthwise/kernel': (
      f'{classes}/1/depthwise_kernel',
      'BoxPredictor_0/ClassPredictor_depthwise/depthwise_weights',
    ),
    'class_head_0_depthwise_batch_norm/beta': (
      f'{classes}/2/beta',
      'BoxPredictor_0/ClassPredictor_depthwise/BatchNorm/beta',
    ),
    'class_head_0/bias': (f'{classes}/4/bias', 'BoxPredictor_0/ClassPredictor/biases'),
    'box_encoding_head_0/bias': (
      f'{heads}/box_encodings/0/_box_encoder_layers/3/bias',
      'BoxPredictor_0/BoxEncodingPredictor/biases',
    ),
    'prediction_tower_map_0_1/kernel': (
      'model/_box_predictor/_shared_nets/0/3/kernel',
      'BoxPredictor_0/Conv2d_1_1x1_4/weights',
    ),
    'prediction_tower_map_0_1_batch_norm/gamma': (
      'model/_box_predictor/_shared_nets/0/4/gamma',
      'BoxPredictor_0/Conv2d_1_1x1_4/BatchNorm/gamma',
    ),
  }
  for path, (theirs, tf1_name) in expected.items():
    assert (tf2[path], tf1[path]) == (theirs + VALUE, tf1_name)
  # The state of a dropout is in no such file.
  state = 'class_head_0_dropout/seed_generator_state'
  assert tf2[state] == tf1[state] == state


def test_projections():
  shapes = [(3, 5, 4), (2, 3, 8), (1, 1, 6), (1, 1, 8)]
  model = predictor_model('', shapes, 'weight_shared_convolutional_box_predictor')
  tf2, tf1 = odapi_tf2.checkpoint_names(model), odapi_tf1.checkpoint_names(model)
  path = 'prediction_tower_projection_2'
  layers = 'model/_box_predictor/_additional_projection_layers/2'
  assert tf2[f'{path}/kernel'] == f'{layers}/0/kernel{VALUE}'
  assert tf2[f'{path}_batch_norm/beta'] == f'{layers}/1/beta{VALUE}'
  # TF1 counts those that there are.
  scope = 'WeightSharedConvolutionalBoxPredictor/ProjectionLayer/conv2d_1'
  assert tf1[f'{path}/kernel'] == f'{scope}/weights'
  assert tf1[f'{path}_batch_norm/beta'] == f'{scope}/BatchNorm/beta'


def test_an_explicit_padding_is_a_layer_of_its_own_there():
  model_config = odapi_goldens.model_config('ssd_mobilenet_v2_fpnlite_320')
  model_config.ssd.feature_extractor.use_explicit_padding = True
  names = odapi_tf2.checkpoint_names(builders.build_model(model_config, is_training=False))
  extractor = 'model/_feature_extractor'
  for path, theirs in {
    'feature_map_6_coarse/pointwise_kernel': '_coarse_feature_layers/0/1/pointwise_kernel',
    'feature_map_6_coarse_batch_norm/beta': '_coarse_feature_layers/0/2/beta',
    'feature_map_4_smoothing/depthwise_kernel': (
      '_fpn_features_generator/conv_layers/0/1/depthwise_kernel'
    ),
    'feature_map_3_projection/bias': '_fpn_features_generator/residual_blocks/1/0/bias',
  }.items():
    assert names[path] == f'{extractor}/{theirs}{VALUE}'
  model_config = odapi_goldens.model_config('ssdlite_mobilenet_v2_300_c3')
  model_config.ssd.feature_extractor.use_explicit_padding = True
  names = odapi_tf2.checkpoint_names(builders.build_model(model_config, is_training=False))
  maps = f'{extractor}/feature_map_generator/convolutions/2'
  assert names['feature_map_2_depthwise/kernel'] == f'{maps}/4/depthwise_kernel{VALUE}'
  assert names['feature_map_2_expand/kernel'] == f'{maps}/7/kernel{VALUE}'
