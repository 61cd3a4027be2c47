"""What a checkpoint is, told by the names in it: which program wrote it, and how it calls a model's
variables."""

import re
from collections.abc import Collection

import keras

from ssd_tf.errors import InputError
from ssd_tf.pretrained import odapi_tf1, odapi_tf2
from ssd_tf.pretrained.checkpoint_file import OBJECT_GRAPH
from ssd_tf.pretrained.layer_groups import BACKBONE, group_of

SSD_TF = 'ssd_tf'
TF2 = 'Object Detection API, TF2'
TF2_CLASSIFICATION = 'Object Detection API, TF2, backbone of a classification model'
TF1 = 'Object Detection API, TF1'
SLIM = 'TF1 slim, classification model'
# The first pattern that a name begins with says the kind.
_PATTERNS = {
  SSD_TF: r'model/(mobilenet_|class_head)',
  TF2: r'model/_(feature_extractor|box_predictor)/',
  TF2_CLASSIFICATION: r'feature_extractor/layer_with_weights-',
  TF1: r'(FeatureExtractor|BoxPredictor_\d+|WeightSharedConvolutionalBoxPredictor)/',
  SLIM: r'Mobilenet(V\d|Edge)',
}
TF1_SLOTS = (
  *('Momentum', 'RMSProp', 'RMSProp_1', 'Adam', 'Adam_1', 'AdamWeightDecay'),
  'ExponentialMovingAverage',
)
_BOOKKEEPING = ('save_counter', 'step', 'optimizer', 'global_step', 'moving_average')
_VALUE = '/.ATTRIBUTES/VARIABLE_VALUE'


def is_bookkeeping(name: str) -> bool:
  """Whether a name in a checkpoint is the training's (step, optimizer), not the model's."""
  return (
    name in ('beta1_power', 'beta2_power', OBJECT_GRAPH)
    or name.split('/', 1)[0] in _BOOKKEEPING
    or '/.OPTIMIZER_SLOT/' in name
    or '/seed_generator/' in name  # Of a dropout.
    or name.rsplit('/', 1)[-1] in TF1_SLOTS
  )


def identify(names: Collection[str], path: str) -> str:
  """Tells which program wrote a checkpoint.

  Args:
    names: all names in it.
    path: where it is from, for the error.

  Returns:
    SSD_TF, TF2, TF2_CLASSIFICATION, TF1 or SLIM.

  Raises:
    InputError: none of these.
  """
  for kind, pattern in _PATTERNS.items():
    if any(re.match(pattern, name) for name in names):
      return kind
  some = sorted(name for name in names if not is_bookkeeping(name))[:3]
  if not some:
    raise InputError(
      f'{path}: holds no model, only {", ".join(sorted(names)[:3])}; the Object Detection API '
      'writes such a checkpoint before its first step: take a later one'
    )
  raise InputError(
    f'{path}: is no checkpoint of an SSD MobileNet: it holds {", ".join(some)}, ...; expected one '
    'of ssd_tf, of the Object Detection API (TF1 or TF2), or of a TF1 slim MobileNet classifier'
  )


def checkpoint_names(kind: str, model: keras.Model, names: Collection[str]) -> dict[str, str]:
  """Maps each variable path of a model to its name in a kind of checkpoint.

  Args:
    kind: as `identify` returns it.
    model: an SSD model.
    names: all names in the checkpoint; where it has the moving average of a weight, that is taken.

  Returns:
    {'class_head_0/bias': its name, ...}; a part of the model that a kind does not have at all gets
    the name that it would have in a checkpoint of the detection model.
  """
  if kind == SSD_TF:
    return {v.path: _own_name(v.path, names) for v in model.variables}
  if kind in (TF2, TF2_CLASSIFICATION):
    whole = odapi_tf2.checkpoint_names(model)
    before, after = 'model/_feature_extractor/classification_backbone/', 'feature_extractor/'
  else:
    whole = odapi_tf1.checkpoint_names(model)
    before, after = 'FeatureExtractor/', ''
  if kind in (TF1, TF2):
    return whole
  return {
    path: after + name.removeprefix(before) if group_of(path) == BACKBONE else name
    for path, name in whole.items()
  }


def _own_name(path, names):
  average = f'moving_average/{path}{_VALUE}'
  return average if average in names else f'model/{path}{_VALUE}'
