"""Describes a checkpoint by its names and shapes: the model, its classes, the step."""

import collections
import dataclasses
import re
from collections.abc import Collection, Mapping

import keras

from ssd_tf.pretrained import checkpoint_kind
from ssd_tf.pretrained.checkpoint_file import VALUE, CheckpointFile

Shapes = Mapping[str, tuple[int, ...]]
# Backbone -> a kernel that depth_multiplier scales alone: our name and TF1's; filters at 1.0.
_SCALED_KERNELS = {
  'mobilenet_v1': (r'block_13_pointwise/kernel|Conv2d_13_pointwise/weights$', 1024),
  'mobilenet_v2': (r'block_16_project/kernel|expanded_conv_16/project/weights$', 320),
  'mobilenet_v3_large': (r'mobilenet_v3_large_conv_0/kernel', 16),
  'mobilenet_v3_small': (r'mobilenet_v3_small_conv_0/kernel', 16),
  'vgg_16': (r'vgg_16_conv5_3/kernel', 512),
  'ssd_7': (r'ssd_7_conv4/kernel', 64),
}
# Object-based files number their layers: depthwise kernels in the backbone -> which one it is.
_BACKBONES_BY_DEPTHWISE = {13: 'mobilenet_v1', 17: 'mobilenet_v2'}
_BACKBONE_LAYER = r'(?:model/_feature_extractor/classification_backbone|feature_extractor)/'
_HEAD_BIASES = {
  'class': r'class_head(?:_(\d+))?/bias'
  r'|class_predictions_with_background/(?:(\d+)/)?_class_predictor_layers/\d+/bias'
  r'|(?:BoxPredictor_(\d+)|WeightSharedConvolutionalBoxPredictor)/ClassPredictor/biases$',
  'box': r'box_encoding_head(?:_(\d+))?/bias'
  r'|(?:box_encodings/(\d+)|_box_prediction_head)/_box_encoder_layers/\d+/bias'
  r'|BoxPredictor_(\d+)/BoxEncodingPredictor/biases$'
  r'|WeightSharedConvolutionalBoxPredictor/BoxPredictor/biases$',
}
_HEADS = r'model/_box_predictor|(?:WeightSharedConvolutional)?BoxPredictor|model/\w*_(head|tower)'
# The index of a feature map in the batch norms of towers that feature maps share.
_TOWER_MAPS = (
  r'_tower_\d+_level_(\d+)|_base_tower_layers_for_heads/\w+/(\d+)/|Tower/.*/feature_(\d+)/'
)
_PYRAMID = r'fpn|feature_map_\d+_smoothing'


@dataclasses.dataclass(frozen=True)
class Description:
  """What a checkpoint holds.

  Attributes:
    kind: one of `checkpoint_kind`.
    backbone: such as mobilenet_v2; None if it is not known.
    depth_multiplier: None if it cannot be told.
    is_depthwise: whether the heads are depthwise separable (SSDLite).
    num_feature_maps: 0 without heads.
    anchors_per_location: of each head, finest map first.
    num_classes: without background; None without heads.
  """

  kind: str
  backbone: str | None
  depth_multiplier: float | None
  has_fpn: bool
  is_weight_shared: bool
  is_depthwise: bool
  num_feature_maps: int
  anchors_per_location: list[int]
  num_classes: int | None

  def model(self) -> str:
    """The model in words, such as 'mobilenet_v2, depth_multiplier 1, FPN, 3 classes, ...'."""
    parts = [self.backbone or 'an unknown backbone']
    if self.depth_multiplier is not None:
      parts.append(f'depth_multiplier {self.depth_multiplier:g}')
    if self.has_fpn:
      parts.append('FPN')
    if self.is_weight_shared:
      parts.append('weight-shared heads')
    if self.is_depthwise:
      parts.append('SSDLite')
    if self.num_classes is None:
      return ', '.join([*parts, 'no heads'])
    anchors = list(dict.fromkeys(self.anchors_per_location))
    counts = f'{anchors[0]}' if len(anchors) == 1 else str(self.anchors_per_location)
    parts.append(f'{self.num_feature_maps} feature maps with {counts} anchors per location')
    return ', '.join([*parts, f'{self.num_classes} classes'])


def describe(shapes: Shapes, kind: str) -> Description:
  """Tells the model in a checkpoint by the names and shapes of its variables."""
  shapes = {n: shape for n, shape in shapes.items() if not checkpoint_kind.is_bookkeeping(n)}
  shapes = checkpoint_kind.in_our_words(kind, shapes)
  backbone, depth_multiplier = _backbone(shapes)
  classes, boxes = (_head_biases(shapes, _HEAD_BIASES[kind]) for kind in ('class', 'box'))
  anchors = [size // 4 for size in boxes.values()]
  heads = [name for name in shapes if re.match(_HEADS, name)]
  is_weight_shared = '' in boxes
  return Description(
    kind=kind,
    backbone=backbone,
    depth_multiplier=depth_multiplier,
    has_fpn=any(re.search(_PYRAMID, name) for name in shapes),
    is_weight_shared=is_weight_shared,
    is_depthwise=any('depthwise' in name for name in heads),
    num_feature_maps=_num_tower_maps(heads) if is_weight_shared else len(boxes),
    anchors_per_location=anchors,
    num_classes=next(iter(classes.values())) // anchors[0] - 1 if anchors and classes else None,
  )


def describe_model(model: keras.Model) -> Description:
  """The description that a checkpoint of a model would have."""
  shapes = {f'model/{v.path}{VALUE}': tuple(v.shape) for v in model.variables}
  return describe(shapes, checkpoint_kind.SSD_TF)


def step_of(file: CheckpointFile) -> int | None:
  """The training step that a checkpoint was written at; None where it does not say."""
  for name in (f'step{VALUE}', 'global_step', f'global_step{VALUE}', f'optimizer/iter{VALUE}'):
    if name in file.shapes:
      return int(file.read(name))
  return None


def times_saved(file: CheckpointFile) -> int | None:
  """How many checkpoints were written so far; None where it does not say."""
  name = f'save_counter{VALUE}'
  return int(file.read(name)) if name in file.shapes else None


def slots_of(names: Collection[str]) -> dict[str, int]:
  """What an optimizer keeps of the variables, such as momentum -> of how many variables."""
  counts = collections.Counter()
  for name in names:
    found = re.search(r'/\.OPTIMIZER_SLOT/optimizer/(\w+)/', name) or re.match(
      r'optimizer/.*(?:kernel|bias|gamma|beta|scale)_(\w+)/', name
    )
    last = name.rsplit('/', 1)[-1]
    if found:
      counts[found[1]] += 1
    elif last in checkpoint_kind.TF1_SLOTS:
      counts[last] += 1
  return dict(counts)


def _backbone(shapes):
  """(name, depth multiplier), each None if it cannot be told."""
  for backbone, (pattern, filters) in _SCALED_KERNELS.items():
    for name, shape in shapes.items():
      if re.search(pattern, name):
        return backbone, shape[-1] / filters
  v3_shapes = [shape for n, shape in shapes.items() if n.endswith('MobilenetV3/Conv/weights')]
  if v3_shapes:  # Of TF1, where blocks of both variants have the same names: Large has more.
    is_large = any('/expanded_conv_14/' in name for name in shapes)
    return f'mobilenet_v3_{"large" if is_large else "small"}', v3_shapes[0][-1] / 16
  named = next((m for n in shapes if (m := re.search(r'[Mm]obilenet_?([Vv]\d)', n))), None)
  if named:
    return f'mobilenet_{named[1].lower()}', None
  depthwise = sum(bool(re.match(f'{_BACKBONE_LAYER}.*/depthwise_kernel/', n)) for n in shapes)
  backbone = _BACKBONES_BY_DEPTHWISE.get(depthwise)
  kernels = {
    int(match[1]): shape
    for name, shape in shapes.items()
    if (match := re.match(f'{_BACKBONE_LAYER}layer_with_weights-(\\d+)/kernel/', name))
  }
  if backbone is None or not kernels:
    return backbone, None
  last = kernels[max(kernels)]
  # The last convolution of v2 has 1280 filters also where depth_multiplier is less than 1.
  return backbone, last[-1] / 1024 if backbone == 'mobilenet_v1' else last[-2] / 320


def _head_biases(shapes, pattern):
  """Index of the feature map, '' for one shared head -> length of the bias; by index."""
  found = {}
  for name, shape in shapes.items():
    if match := re.search(pattern, name):
      found[next((index for index in match.groups() if index), '')] = shape[0]
  return dict(sorted(found.items(), key=lambda item: int(item[0] or 0)))


def _num_tower_maps(heads):
  matches = (re.search(_TOWER_MAPS, name) for name in heads)
  return len({next(index for index in match.groups() if index) for match in matches if match})
