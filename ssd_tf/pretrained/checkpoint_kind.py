"""Determines from a checkpoint's names which program wrote it, and its naming of variables."""

import re
from collections.abc import Collection, Mapping

import keras

from ssd_tf.errors import InputError
from ssd_tf.pretrained import keras_applications, odapi_tf1, odapi_tf2, ssd_keras_h5, ssd_tensorflow
from ssd_tf.pretrained.checkpoint_file import OBJECT_GRAPH, VALUE
from ssd_tf.pretrained.layer_groups import BACKBONE, group_of

SSD_TF = 'ssd_tf'
TF2 = 'Object Detection API, TF2'
TF2_CLASSIFICATION = 'Object Detection API, TF2, backbone of a classification model'
TF1 = 'Object Detection API, TF1'
SLIM = 'TF1 slim, classification model'
SSD_TENSORFLOW = 'SSD-Tensorflow'
SLIM_VGG = 'TF1 slim, VGG-16'
SSD_KERAS = 'ssd_keras'
KERAS_APPLICATIONS = 'Keras applications'
# The first pattern that a name begins with says the kind.
_PATTERNS = {
  SSD_TF: r'model/(mobilenet_|class_head)',
  TF2: r'model/_(feature_extractor|box_predictor)/',
  TF2_CLASSIFICATION: r'feature_extractor/layer_with_weights-',
  TF1: r'(FeatureExtractor|BoxPredictor_\d+|WeightSharedConvolutionalBoxPredictor)/',
  SLIM: r'Mobilenet(V\d|Edge)',
  SSD_TENSORFLOW: r'.+/block4_box/',
  SLIM_VGG: r'.+/conv1/conv1_1/',
  SSD_KERAS: r'(conv1_1|classes4)/',
  KERAS_APPLICATIONS: r'(block1_conv1|conv_pw_1|block_1_expand)/',
}
TF1_SLOTS = (
  *('Momentum', 'RMSProp', 'RMSProp_1', 'Adam', 'Adam_1', 'AdamWeightDecay'),
  *('Adadelta', 'Adadelta_1', 'Adagrad', 'Ftrl', 'Ftrl_1', 'ExponentialMovingAverage'),
)
_BOOKKEEPING = ('save_counter', 'step', 'optimizer', 'global_step', 'moving_average')


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
  """Tells which program wrote a checkpoint: one of the kinds above, else an InputError."""
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
    'of ssd_tf, of the Object Detection API (TF1 or TF2), of SSD-Tensorflow, of ssd_keras, or of a '
    'classifier: MobileNet or VGG-16, of TF1 slim or of Keras applications'
  )


def checkpoint_names(
  kind: str,
  model: keras.Model,
  names: Collection[str],
  *,
  model_scope: str | None = None,
  fully_connected: bool = False,
) -> dict[str, str]:
  """Maps each variable path of a model to its name in a kind of checkpoint.

  Args:
    names: all names in the checkpoint; where it has the moving average of a weight, that is taken.
    model_scope: of SSD_TENSORFLOW and SLIM_VGG, the scope of the network; None: as the names say.
    fully_connected: of SLIM_VGG and KERAS_APPLICATIONS, whether the fully connected layers of
      VGG-16 are what conv6 and conv7 come from.

  Returns:
    {'class_head_0/bias': its name, ...}; a part of the model that a kind does not have at all gets
    the name that it would have in a checkpoint of the detection model.
  """
  if kind == SSD_TF:
    averages = {v.path: f'moving_average/{v.path}{VALUE}' for v in model.variables}
    return {
      path: average if average in names else f'model/{path}{VALUE}'
      for path, average in averages.items()
    }
  if kind in (SSD_TENSORFLOW, SLIM_VGG, KERAS_APPLICATIONS):
    stack = keras_applications if kind == KERAS_APPLICATIONS else ssd_tensorflow
    scope = model_scope or ssd_tensorflow.scope_of(names) or model.name
    layers = stack.LAYERS_OF_CLASSIFIER if fully_connected else stack.LAYERS
    return layers.names(model, '' if kind == KERAS_APPLICATIONS else f'{scope}/')
  if kind == SSD_KERAS:
    layers = ssd_keras_h5.SSD7_LAYERS if model.name == 'ssd_7' else ssd_keras_h5.VGG_LAYERS
    return layers.names(model)
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


def in_our_words(kind: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
  """The shapes of a checkpoint by our paths, for kinds that name layers in a way of their own."""
  tables = {
    SSD_TENSORFLOW: (ssd_tensorflow.LAYERS,),
    SLIM_VGG: (ssd_tensorflow.LAYERS,),
    SSD_KERAS: (ssd_keras_h5.VGG_LAYERS, ssd_keras_h5.SSD7_LAYERS),
    KERAS_APPLICATIONS: (keras_applications.LAYERS,),
  }.get(kind, ())

  def our_words(name):
    return next(filter(None, (table.our_path(name) for table in tables)), name)

  return {our_words(name): shape for name, shape in shapes.items()}


def may_lack(kind: str, path: str) -> bool:
  """Whether a kind of checkpoint does well without a variable of a backbone, or has another shape.

  Classification models have no conv6 and conv7, but fully connected layers; the last convolution
  of Keras's MobileNet v2 has 1280 filters where ours are scaled by depth_multiplier.
  """
  layers = {
    SLIM_VGG: ('vgg_16_conv6', 'vgg_16_conv7'),
    KERAS_APPLICATIONS: ('vgg_16_conv6', 'vgg_16_conv7', 'mobilenet_v2_conv_1'),
  }.get(kind, ())
  return path.startswith(layers)
