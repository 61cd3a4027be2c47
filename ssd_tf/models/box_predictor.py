"""Defines the convolutional box predictor, two heads on each feature map, and its base class."""

import dataclasses

import keras

from ssd_tf.models.conv_block import ConvHyperparams, conv_block, conv_layer, depthwise_block
from ssd_tf.models.dropout import Dropout

# Logit of the background where there is none: its score, loss and gradients are exactly 0.
NO_BACKGROUND = -1e4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heads:
  """How the heads of a box predictor are made, and what is in front of them and behind.

  Attributes:
    hyperparams: of all kernels; also normalization and activation of what is before the heads. The
      depthwise kernels of heads are `unconfigured`, as the original's.
    use_depthwise: whether a head is a depthwise convolution and a 1x1 one, as SSDLite.
    num_layers_before_predictor: convolutions between a feature map and its heads.
    class_prediction_bias_init: first value of the class head's bias; log(p / (1 - p)) starts all
      scores at p.
    dropout_rate: share of features that the class head does not see in training.
    add_background_class: whether the class head predicts background, in column 0. If not, this
      column is NO_BACKGROUND: that is as if it were not there, as long as the target of background
      is 0 in all columns.
    box_encodings_clip_range: (lowest, highest) box encoding; None for no limit.
  """

  hyperparams: ConvHyperparams
  num_classes: int
  kernel_size: int = 1
  use_depthwise: bool = False
  num_layers_before_predictor: int = 0
  class_prediction_bias_init: float = 0.0
  dropout_rate: float = 0.0
  apply_sigmoid_to_scores: bool = False
  add_background_class: bool = True
  box_code_size: int = 4
  box_encodings_clip_range: tuple[float, float] | None = None

  @property
  def num_columns(self) -> int:
    """How many classes the class head predicts, the background if it does."""
    return self.num_classes + self.add_background_class

  def drop_features(self, features: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Drops features before the class head of this name."""
    if not self.dropout_rate:
      return features
    return Dropout(self.dropout_rate, name=f'{name}_dropout')(features)

  def join(
    self, classes: list[keras.KerasTensor], boxes: list[keras.KerasTensor]
  ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Joins what the heads say of each feature map.

    Args:
      classes: f[B,H_i,W_i,anchors * num_columns].
      boxes: f[B,H_i,W_i,anchors * box_code_size].

    Returns:
      class_logits f32[B,A,K+1] (column 0 is background), box_encodings f32[B,A,box_code_size];
      anchors by feature map, row, column, then shape.
    """
    class_logits = _rows_of_maps(classes, self.num_columns, 'class_logits')
    box_encodings = _rows_of_maps(boxes, self.box_code_size, 'box_encodings')
    if self.apply_sigmoid_to_scores:
      class_logits = keras.ops.sigmoid(class_logits)
    if not self.add_background_class:
      before = [[0, 0], [0, 0], [1, 0]]
      class_logits = keras.ops.pad(class_logits, before, constant_values=NO_BACKGROUND)
    if self.box_encodings_clip_range:
      box_encodings = keras.ops.clip(box_encodings, *self.box_encodings_clip_range)
    return class_logits, box_encodings


def convolutional_box_predictor(
  maps: list[keras.KerasTensor],
  heads: Heads,
  *,
  anchors_per_location: list[int],
  min_depth: int = 0,
  max_depth: int = 0,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
  """Predicts class logits and box encodings for every anchor.

  Args:
    maps: feature maps, finest first, f32[B,H_i,W_i,C_i].
    heads: the convolutions before them are 1x1, and both heads of a feature map share them.
    min_depth: the fewest filters of such a convolution.
    max_depth: the most of them, which are otherwise the feature map's; 0 filters: no convolution.

  Returns:
    See `Heads.join`.

  Source: the Object Detection API's convolutional_box_predictor.
  """
  hyperparams, kernel_size = heads.hyperparams, heads.kernel_size

  def head(features, name, channels, bias):
    size = kernel_size
    if heads.use_depthwise:
      features = depthwise_block(
        features, hyperparams.unconfigured(), name=f'{name}_depthwise', kernel_size=kernel_size
      )
      size = 1
    return conv_layer(channels, size, hyperparams, name=name, use_bias=True, bias=bias)(features)

  boxes, classes = [], []
  for i, (features, num_anchors) in enumerate(zip(maps, anchors_per_location, strict=True)):
    depth = max(min(features.shape[-1], max_depth), min_depth)
    for layer in range(heads.num_layers_before_predictor if depth else 0):
      name = f'prediction_tower_map_{i}_{layer}'
      features = conv_block(features, depth, 1, hyperparams, name=name)
    boxes.append(head(features, f'box_encoding_head_{i}', heads.box_code_size * num_anchors, 0.0))
    name, channels = f'class_head_{i}', heads.num_columns * num_anchors
    features = heads.drop_features(features, name)
    classes.append(head(features, name, channels, heads.class_prediction_bias_init))
  return heads.join(classes, boxes)


def _rows_of_maps(predictions, channels, name):
  rows = [
    keras.layers.Reshape((-1, channels), name=f'{name}_of_map_{i}')(prediction)
    for i, prediction in enumerate(predictions)
  ]
  return keras.layers.Concatenate(axis=1, name=name, dtype='float32')(rows)
