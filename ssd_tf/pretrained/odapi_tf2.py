"""Maps an SSD MobileNet's variables to names in the Object Detection API's TF2 checkpoints."""

import re

import keras

from ssd_tf.pretrained.checkpoint_file import VALUE

_EXTRACTOR = 'model/_feature_extractor'
_PREDICTOR = 'model/_box_predictor'
# The generator of the coarser feature maps hangs on an attribute that each extractor names itself.
# Models that are not here have no TF2 files.
_GENERATORS = {
  'ssd_mobilenet_v1': '_feature_map_generator',
  'ssd_mobilenet_v2': 'feature_map_generator',
  'ssd_mobilenet_v1_fpn': '_fpn_features_generator',
  'ssd_mobilenet_v2_fpn': '_fpn_features_generator',
}
_KINDS = {'box': 'box_encodings', 'box_encoding': 'box_encodings', 'prediction': 'box_encodings'}
_KINDS['class'] = 'class_predictions_with_background'
_LAYERS = {'box_encoding': '_box_encoder_layers', 'class': '_class_predictor_layers'}
_TOWERS = {'prediction': 'PredictionTower', 'box': 'BoxPredictionTower'}
_TOWERS['class'] = 'ClassPredictionTower'


def checkpoint_names(model: keras.Model) -> dict[str, str]:
  """Maps each variable path of an SSD MobileNet to its key in a TF2 checkpoint of a whole model.

  Returns:
    {'class_head_0/bias': 'model/_box_predictor/.../bias/.ATTRIBUTES/VARIABLE_VALUE', ...}; the path
    itself where there is no such variable (of a dropout, or of a model that has no TF2 files).

  Source: key lists of checkpoints that the Object Detection API wrote; its backbone's layers are
  numbered in the order in which they are applied, counting those with variables.
  """
  names = {v.path: v.path for v in model.variables}
  if model.name not in _GENERATORS:
    return names
  num_backbone_layers = 0
  layers = {layer.name for layer in model.layers}
  for layer in model.layers:
    if not layer.weights:
      continue
    owner = _owner(model.name, layers, layer.name)
    if owner is None:
      owner = f'{_EXTRACTOR}/classification_backbone/layer_with_weights-{num_backbone_layers}'
      num_backbone_layers += 1
    for variable in layer.weights:
      leaf = variable.path.rsplit('/', 1)[1]
      if isinstance(layer, keras.layers.DepthwiseConv2D) and leaf == 'kernel':
        leaf = 'depthwise_kernel'
      names[variable.path] = f'{owner}/{leaf}{VALUE}'
  return names


def _owner(model_name, layers, name):
  """The object that holds the layer's variables, or None for a layer of the backbone.

  Objects are numbered by their place in a list there: a convolution is followed by its batch norm,
  then by its activation, and preceded by its explicit padding or a dropout, if any.
  """
  convolution = re.sub('_(batch|group)_norm$', '', name)
  is_norm = convolution != name
  if convolution.startswith('feature_map_'):
    place = (f'{convolution}_pad' in layers) + is_norm
    generator = f'{_EXTRACTOR}/{_GENERATORS[model_name]}'
    if model_name.endswith('_fpn'):
      return _pyramid_owner(generator, layers, convolution, place)
    index, part = re.fullmatch(r'feature_map_(\d+)_(\w+)', convolution).groups()
    is_depthwise = f'feature_map_{index}_depthwise' in layers
    if part == 'expand' and is_depthwise:
      place += 6 + (f'feature_map_{index}_depthwise_pad' in layers)
    elif part != 'squeeze':
      place += 3
    return f'{generator}/convolutions/{index}/{place}'
  return _predictor_owner(layers, convolution, is_norm)


def _pyramid_owner(generator, layers, convolution, place):
  """The owner of a feature pyramid's layer."""
  level, part = re.fullmatch(r'feature_map_(\d+)_(\w+)', convolution).groups()
  top = max(int(n) for n in re.findall(r'feature_map_(\d+)_projection\b', ' '.join(layers)))
  below_top = top - int(level)
  if part == 'coarse':
    return f'{_EXTRACTOR}/_coarse_feature_layers/{-below_top - 1}/{place}'
  if part == 'smoothing':
    return f'{generator}/conv_layers/{below_top - 1}/{place}'
  if below_top == 0:
    return f'{generator}/top_layers/0'
  return f'{generator}/residual_blocks/{below_top - 1}/0'


def _predictor_owner(layers, convolution, is_norm):
  """The owner of a box predictor's layer, or None."""
  match = re.fullmatch(r'(box_encoding|class)_head(?:_(\d+))?(_depthwise)?', convolution)
  if match:
    kind, index, depthwise = match.groups()
    has_dropout = any(re.fullmatch(r'class_head_\w+_dropout', layer) for layer in layers)
    place = is_norm + (kind == 'class' and has_dropout)
    place += 3 * (not depthwise and f'{convolution}_depthwise' in layers)
    if index is None and kind == 'box_encoding':
      return f'{_PREDICTOR}/_box_prediction_head/{_LAYERS[kind]}/{place}'
    head = _KINDS[kind] if index is None else f'{_KINDS[kind]}/{index}'
    return f'{_PREDICTOR}/_prediction_heads/{head}/{_LAYERS[kind]}/{place}'
  match = re.fullmatch(r'(prediction|box|class)_tower_(\d+)(?:_level_(\d+))?', convolution)
  if match:
    kind, index, level = match.groups()
    if is_norm:
      base = f'{_PREDICTOR}/_base_tower_layers_for_heads/{_KINDS[kind]}'
      return f'{base}/{level}/{3 * int(index) + 1}'
    return f'{_PREDICTOR}/_head_scope_conv_layers/{_TOWERS[kind]}/{index}'
  match = re.fullmatch(r'prediction_tower_map_(\d+)_(\d+)', convolution)
  if match:
    return f'{_PREDICTOR}/_shared_nets/{match[1]}/{3 * int(match[2]) + is_norm}'
  match = re.fullmatch(r'prediction_tower_projection_(\d+)', convolution)
  if match:
    return f'{_PREDICTOR}/_additional_projection_layers/{match[1]}/{int(is_norm)}'
  return None
