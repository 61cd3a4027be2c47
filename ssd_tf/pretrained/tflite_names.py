"""Identifies the layer of each convolution of a TensorFlow Lite file by names of its tensors."""

import dataclasses
import re
from collections.abc import Iterable

from ssd_tf.pretrained import keras_applications
from ssd_tf.pretrained.checkpoint_file import VALUE

# What the name of a TF1 layer's tensor ends in: its variables, or operations.
_TF1_ENDING = re.compile(
  r'/((?:depthwise_)?weights(?:_quant)?|BatchNorm)(?:/.*)?$'
  r'|/(?:(?:act_quant|hard_swish)/)?'
  r'(?:Conv2D|depthwise|separable_conv2d|BiasAdd|Relu|add|mul|FakeQuant|Sigmoid)[^/]*$'
)
_TF1_SCOPE = re.compile(
  r'(FeatureExtractor/MobilenetV\d/)(?:MobilenetV\d/)?(.+)|BoxPredictor_\d+/[^/]+$'
)
_TF1_BIASED = (
  r'BoxPredictor_\d+/(BoxEncoding|Class)Predictor|.*/squeeze_excite/Conv(_1)?|.*/fpn/projection_\d+'
)
_OUR_LAYER = re.compile(
  r'(?:^|/)ssd_(?:mobilenet_v\d\w*?|\d+_vgg)((?:_\d+)?)/'
  r'((?:mobilenet_v\d|vgg_16|feature_map|block\d+_conv|class_head|box_encoding_head)\w*?)\1/'
)
_OUR_BIASED = (
  r'(class|box_encoding)_head_\d+|feature_map_\d+_projection|mobilenet_v3\w+_(squeeze|excite)'
  r'|vgg_16_\w+|block\d+_conv\dx\d'
)
_TF2_HEAD = re.compile(
  r'Convolutional(?:Box|Class)Head_(\d+)/(BoxEncoding|Class)Predictor(_depthwise)?(?:_batchnorm)?/'
)
_TF2_FEATURE_MAP = re.compile(
  r'FeatureMaps/\w+_([12])_Conv2d_(\d+)_\dx\d(?:_s\d)?_\d+(_depthwise)?_(?:conv|batchnorm)/'
)


@dataclasses.dataclass(frozen=True)
class Layer:
  """The variables of a convolution and of the batch norm after it.

  Attributes:
    kernel: its name.
    bias: its name; None where a batch norm follows.
    norm: name of a variable of the batch norm, with {} for which.
  """

  kernel: str
  bias: str | None
  norm: str

  def norm_variable(self, leaf: str) -> str:
    """The name of a variable of the batch norm, such as that of beta."""
    return self.norm.format(leaf)


def layer_of(names: Iterable[str], is_depthwise: bool) -> Layer | None:
  """Tells the layer of a convolution.

  Args:
    names: of its kernel and its output. The converter of TF2 joins, with semicolons, the names of
      all that it makes one; what came last of it stands first.
    is_depthwise: whether the convolution is.

  Returns:
    Its variables: as a checkpoint of the Object Detection API's TF1 has them where the name is of
    TF1, else as ours has them; None where no name says it.
  """
  for part in (part for name in names for part in name.split(';')):
    if layer := _tf1_layer(part, is_depthwise):
      return layer
    if ours := _our_layer(part):
      return Layer(
        kernel=f'model/{ours}/kernel{VALUE}',
        bias=f'model/{ours}/bias{VALUE}' if re.fullmatch(_OUR_BIASED, ours) else None,
        norm=f'model/{ours}_batch_norm/{{}}{VALUE}',
      )
  return None


def _tf1_layer(name, is_depthwise):
  match = _TF1_SCOPE.fullmatch(_TF1_ENDING.sub('', name, count=1))
  if not match or match[0] == name:
    return None
  scope = f'{match[1]}{match[2]}' if match[1] else match[0]
  return Layer(
    kernel=f'{scope}/{"depthwise_weights" if is_depthwise else "weights"}',
    bias=f'{scope}/biases' if re.fullmatch(_TF1_BIASED, scope) else None,
    norm=f'{scope}/BatchNorm/{{}}',
  )


def _our_layer(name):
  """Our layer, from a name of ours or of the API's TF2; None: of neither."""
  if match := _OUR_LAYER.search(name):
    return re.sub('_(batch_norm|activation)$', '', match[2])
  if match := _TF2_HEAD.search(name):
    kind = {'BoxEncoding': 'box_encoding', 'Class': 'class'}[match[2]]
    return f'{kind}_head_{match[1]}{match[3] or ""}'
  if match := _TF2_FEATURE_MAP.search(name):
    part = 'squeeze' if match[1] == '1' else 'depthwise' if match[3] else 'expand'
    return f'feature_map_{match[2]}_{part}'
  if '_feature_extractor/' not in name:
    return None
  paths = (keras_applications.LAYERS.our_path(f'{part}/kernel') for part in name.split('/'))
  path = next(filter(None, paths), None)
  return path and path.removesuffix('/kernel').removesuffix('_batch_norm')
