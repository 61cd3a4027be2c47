"""Maps an SSD MobileNet's variables to names in the Object Detection API's TF1 checkpoints."""

import re

import keras

_SHARED = 'WeightSharedConvolutionalBoxPredictor'
# (our layer of a box predictor, the scope there). Digits carry over.
_PREDICTOR_SCOPES = (
  (r'box_encoding_head_(\d+)', r'BoxPredictor_\1/BoxEncodingPredictor'),
  (r'class_head_(\d+)', r'BoxPredictor_\1/ClassPredictor'),
  (r'box_encoding_head_(\d+)_depthwise', r'BoxPredictor_\1/BoxEncodingPredictor_depthwise'),
  (r'class_head_(\d+)_depthwise', r'BoxPredictor_\1/ClassPredictor_depthwise'),
  (r'box_encoding_head', rf'{_SHARED}/BoxPredictor'),
  (r'class_head', rf'{_SHARED}/ClassPredictor'),
  (r'prediction_tower_(\d+)', rf'{_SHARED}/PredictionTower/conv2d_\1'),
  (r'box_tower_(\d+)', rf'{_SHARED}/BoxPredictionTower/conv2d_\1'),
  (r'class_tower_(\d+)', rf'{_SHARED}/ClassPredictionTower/conv2d_\1'),
)
_BACKBONE = 'FeatureExtractor/MobilenetV'
# Of each backbone: the last layer that others are named after, its number of layers.
_LAST_LAYERS = {
  'mobilenet_v1': ('Conv2d_13_pointwise', 13),
  'mobilenet_v2': ('layer_19', 19),
  'mobilenet_v3_large': ('layer_17', 17),
  'mobilenet_v3_small': ('layer_13', 13),
}
_BLOCK_PARTS = {'squeeze': 'squeeze_excite/Conv', 'excite': 'squeeze_excite/Conv_1'}
_PARTS = 'squeeze|depthwise|expand|projection|smoothing|coarse'
_LEAVES = {
  'kernel': 'weights',
  'bias': 'biases',
  'depthwise_kernel': 'depthwise_weights',
  'pointwise_kernel': 'pointwise_weights',
}
_NORMS = {'_batch_norm': 'BatchNorm', '_group_norm': 'GroupNorm'}


def checkpoint_names(model: keras.Model) -> dict[str, str]:
  """Maps the variable paths of an SSD MobileNet to their names in a TF1 checkpoint.

  Returns:
    {'class_head_0/kernel': 'BoxPredictor_0/ClassPredictor/weights', ...}; the path itself where the
    name there is not known.

  Source: variable lists of the Object Detection API's TF1 models.
  """
  names = {v.path: v.path for v in model.variables}
  for layer in model.layers:
    convolution = re.sub('_(batch|group)_norm$', '', layer.name)
    scope = _scope(model, convolution) if layer.weights else None
    if scope is None:
      continue
    for variable in layer.weights:
      leaf = variable.path.rsplit('/', 1)[1]
      if convolution != layer.name:
        norm = _NORMS[layer.name.removeprefix(convolution)]
        level = re.search(r'_tower_\d+_level_(\d+)$', convolution)
        where = f'{norm}/feature_{level[1]}' if level else norm
        names[variable.path] = f'{scope}/{where}/{leaf}'
      elif isinstance(layer, keras.layers.DepthwiseConv2D) and leaf == 'kernel':
        names[variable.path] = f'{scope}/depthwise_weights'
      else:
        names[variable.path] = f'{scope}/{_LEAVES[leaf]}'
  return names


def _scope(model, name):
  if name.startswith('feature_map_'):
    return _feature_map_scope(model, name)
  match = re.fullmatch(r'prediction_tower_map_(\d+)_(\d+)', name)
  if match:
    return f'BoxPredictor_{match[1]}/Conv2d_{match[2]}_1x1_{model.get_layer(name).filters}'
  if name.startswith('prediction_tower_projection_'):
    projections = [n for n in _layer_names(model) if re.fullmatch(r'\D+_projection_\d+', n)]
    return f'{_SHARED}/ProjectionLayer/conv2d_{sorted(projections).index(name)}'
  name = re.sub(r'(_tower_\d+)_level_\d+$', r'\1', name)
  for ours, theirs in _PREDICTOR_SCOPES:
    match = re.fullmatch(ours, name)
    if match:
      return match.expand(theirs)
  return _backbone_scope(name)


def _backbone_scope(name):
  match = re.fullmatch(r'mobilenet_v(\d)(?:_large|_small)?_(conv|block)_(\d+)(?:_(\w+))?', name)
  if not match:
    return None
  version, kind, index, part = match.groups()
  if version == '1':
    return f'{_BACKBONE}1/Conv2d_{index}{f"_{part}" if part else ""}'
  layer = {'conv': 'Conv', 'block': 'expanded_conv'}[kind]
  layer = layer if index == '0' else f'{layer}_{index}'
  return f'{_BACKBONE}{version}/{layer}{f"/{_BLOCK_PARTS.get(part, part)}" if part else ""}'


def _feature_map_scope(model, name):
  backbone = re.search(r'ssd_(mobilenet_v(\d)(_large|_small)?)', model.name)
  match = re.fullmatch(rf'feature_map_(\d+)_({_PARTS})', name)
  if not match or not backbone or backbone[1] not in _LAST_LAYERS:
    return None
  scope = f'{_BACKBONE}{backbone[2]}'
  last, num_layers = _LAST_LAYERS[backbone[1]]
  index, part = match.groups()
  if part in ('projection', 'smoothing', 'coarse'):
    found = re.findall(r'feature_map_(\d+)_projection\b', ' '.join(_layer_names(model)))
    levels = [int(level) for level in found]
    if part == 'coarse':
      return f'{scope}/fpn/bottom_up_Conv2d_{int(index) - max(levels) + num_layers}'
    return f'{scope}/fpn/{part}_{int(index) - min(levels) + 1}'
  if part == 'squeeze':
    return f'{scope}/{last}_1_Conv2d_{index}_1x1_{model.get_layer(name).filters}'
  expand = model.get_layer(f'feature_map_{index}_expand')
  is_depthwise = f'feature_map_{index}_depthwise' in _layer_names(model)
  strided = model.get_layer(f'feature_map_{index}_depthwise') if is_depthwise else expand
  size = strided.kernel_size[0]
  suffix = '_depthwise' if part == 'depthwise' else ''
  return f'{scope}/{last}_2_Conv2d_{index}_{size}x{size}_s2_{expand.filters}{suffix}'


def _layer_names(model):
  return [layer.name for layer in model.layers]
