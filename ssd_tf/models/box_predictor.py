"""The convolutional box predictor: two heads on each feature map."""

import keras

from ssd_tf.models.conv_block import ConvHyperparams, conv_block, conv_layer, depthwise_block
from ssd_tf.models.dropout import Dropout

# Logit of the background where there is none: its score, loss and gradients are exactly 0.
NO_BACKGROUND = -1e4


def convolutional_box_predictor(
  maps: list[keras.KerasTensor],
  hyperparams: ConvHyperparams,
  *,
  num_classes: int,
  anchors_per_location: list[int],
  kernel_size: int = 1,
  class_prediction_bias_init: float = 0.0,
  use_depthwise: bool = False,
  num_layers_before_predictor: int = 0,
  min_depth: int = 0,
  max_depth: int = 0,
  dropout_rate: float = 0.0,
  apply_sigmoid_to_scores: bool = False,
  add_background_class: bool = True,
  box_code_size: int = 4,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
  """Predicts class logits and box encodings for every anchor.

  Args:
    maps: feature maps, finest first, f32[B,H_i,W_i,C_i].
    hyperparams: of the heads' kernels; also normalization and activation of what is before them.
    anchors_per_location: of each feature map.
    class_prediction_bias_init: first value of the class head's bias; log(p / (1 - p)) starts all
      scores at p.
    use_depthwise: a head is a depthwise convolution of kernel_size, whose kernel is
      `unconfigured`, and a 1x1 one, as SSDLite.
    num_layers_before_predictor: 1x1 convolutions that both heads of a feature map share.
    max_depth: the most of them, which are otherwise the feature map's; 0 filters: no convolution.
    dropout_rate: share of features that the class head does not see in training.
    add_background_class: False for heads that do not predict background; see `join_predictions`.

  Returns:
    class_logits f32[B,A,K+1] (column 0 is background), box_encodings f32[B,A,box_code_size];
    anchors by feature map, row, column, then shape.

  Source: the Object Detection API's convolutional_box_predictor.
  """

  def head(features, name, channels, bias):
    if use_depthwise:
      features = depthwise_block(
        features, hyperparams.unconfigured(), name=f'{name}_depthwise', kernel_size=kernel_size
      )
    size = 1 if use_depthwise else kernel_size
    return conv_layer(channels, size, hyperparams, name=name, use_bias=True, bias=bias)(features)

  num_columns = num_classes + add_background_class
  boxes, classes = [], []
  for i, (features, num_anchors) in enumerate(zip(maps, anchors_per_location, strict=True)):
    depth = max(min(features.shape[-1], max_depth), min_depth)
    for layer in range(num_layers_before_predictor if depth else 0):
      name = f'prediction_tower_map_{i}_{layer}'
      features = conv_block(features, depth, 1, hyperparams, name=name)
    boxes.append(head(features, f'box_encoding_head_{i}', box_code_size * num_anchors, 0.0))
    features = drop_features(features, dropout_rate, f'class_head_{i}')
    classes.append(
      head(features, f'class_head_{i}', num_columns * num_anchors, class_prediction_bias_init)
    )
  return join_predictions(
    classes,
    boxes,
    num_columns=num_columns,
    box_code_size=box_code_size,
    apply_sigmoid_to_scores=apply_sigmoid_to_scores,
    add_background_class=add_background_class,
  )


def drop_features(features: keras.KerasTensor, rate: float, name: str) -> keras.KerasTensor:
  """Sets a share `rate` of the features to 0 in training, and scales the others up to make up."""
  if not rate:
    return features
  return Dropout(rate, name=f'{name}_dropout')(features)


def join_predictions(
  classes: list[keras.KerasTensor],
  boxes: list[keras.KerasTensor],
  *,
  num_columns: int,
  box_code_size: int,
  apply_sigmoid_to_scores: bool,
  add_background_class: bool,
  box_encodings_clip_range: tuple[float, float] | None = None,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
  """Joins what the heads say of each feature map.

  Without a background class, the background's column is NO_BACKGROUND: that is as if it were not
  there, as long as the target of background is 0 in all columns.

  Args:
    classes: f[B,H_i,W_i,anchors * num_columns].
    boxes: f[B,H_i,W_i,anchors * box_code_size].
    add_background_class: whether the heads predict background, in column 0.
    box_encodings_clip_range: (lowest, highest) box encoding; None for no limit.

  Returns:
    class_logits f32[B,A,K+1], box_encodings f32[B,A,box_code_size].
  """

  def join(predictions, channels, name):
    rows = [
      keras.layers.Reshape((-1, channels), name=f'{name}_of_map_{i}')(p)
      for i, p in enumerate(predictions)
    ]
    return keras.layers.Concatenate(axis=1, name=name, dtype='float32')(rows)

  class_logits = join(classes, num_columns, 'class_logits')
  box_encodings = join(boxes, box_code_size, 'box_encodings')
  if apply_sigmoid_to_scores:
    class_logits = keras.ops.sigmoid(class_logits)
  if not add_background_class:
    before = [[0, 0], [0, 0], [1, 0]]
    class_logits = keras.ops.pad(class_logits, before, constant_values=NO_BACKGROUND)
  if box_encodings_clip_range:
    box_encodings = keras.ops.clip(box_encodings, *box_encodings_clip_range)
  return class_logits, box_encodings
