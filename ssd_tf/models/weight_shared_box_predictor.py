"""The weight-shared box predictor: the same two heads on every feature map."""

import collections

import keras

from ssd_tf.models.box_predictor import drop_features, join_predictions
from ssd_tf.models.conv_block import ConvHyperparams, conv_layer, normalize_and_activate


def weight_shared_box_predictor(
  maps: list[keras.KerasTensor],
  hyperparams: ConvHyperparams,
  *,
  num_classes: int,
  anchors_per_location: int,
  depth: int,
  num_layers_before_predictor: int = 0,
  kernel_size: int = 3,
  class_prediction_bias_init: float = 0.0,
  dropout_rate: float = 0.0,
  share_prediction_tower: bool = False,
  use_depthwise: bool = False,
  apply_sigmoid_to_scores: bool = False,
  box_encodings_clip_range: tuple[float, float] | None = None,
  add_background_class: bool = True,
  box_code_size: int = 4,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
  """Predicts class logits and box encodings for every anchor.

  A tower of convolutions, then a head. All feature maps share the convolutions; each has batch
  norms of its own, since its features have statistics of their own. A feature map whose channels
  are not those of most others gets to them by a 1x1 convolution first, with batch norm.

  Args:
    maps: feature maps, finest first, f32[B,H_i,W_i,C_i].
    hyperparams: of all convolutions but separable heads, which are `unconfigured`, as the
      original's.
    anchors_per_location: of every feature map.
    class_prediction_bias_init: first value of the class head's bias; log(p / (1 - p)) starts all
      scores at p.
    dropout_rate: share of features that the class head does not see in training.
    box_encodings_clip_range: (lowest, highest) box encoding; None for no limit.
    add_background_class: False for a head that does not predict background; see
      `join_predictions`.

  Returns:
    class_logits f32[B,A,K+1] (column 0 is background), box_encodings f32[B,A,box_code_size];
    anchors by feature map, row, column, then shape.

  Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", section 4; layers as the Object
  Detection API's weight_shared_convolutional_box_predictor.
  """

  def tower(name):
    shape = (num_layers_before_predictor, depth, kernel_size)
    return _tower(name, *shape, hyperparams, use_depthwise)

  def head(name, channels, bias):
    made_with = hyperparams.unconfigured() if use_depthwise else hyperparams
    options = {'use_bias': True, 'bias': bias, 'separable': use_depthwise}
    return conv_layer(channels, kernel_size, made_with, name=name, **options)

  num_columns = num_classes + add_background_class
  box_head = head('box_encoding_head', box_code_size * anchors_per_location, 0.0)
  class_head = head('class_head', num_columns * anchors_per_location, class_prediction_bias_init)
  box_tower = tower('prediction_tower' if share_prediction_tower else 'box_tower')
  class_tower = box_tower if share_prediction_tower else tower('class_tower')
  boxes, classes = [], []
  for level, features in enumerate(_with_equal_channels(maps, hyperparams)):
    box_features = box_tower(features, level)
    boxes.append(box_head(box_features))
    class_features = box_features if share_prediction_tower else class_tower(features, level)
    class_features = drop_features(class_features, dropout_rate, f'class_head_level_{level}')
    classes.append(class_head(class_features))
  return join_predictions(
    classes,
    boxes,
    num_columns=num_columns,
    box_code_size=box_code_size,
    apply_sigmoid_to_scores=apply_sigmoid_to_scores,
    add_background_class=add_background_class,
    box_encodings_clip_range=box_encodings_clip_range,
  )


def _tower(name, num_layers, depth, kernel_size, hyperparams, use_depthwise):
  """A function from (features, level) to features, whose convolutions all levels share."""
  convolutions = [
    conv_layer(
      depth,
      kernel_size,
      hyperparams,
      name=f'{name}_{i}',
      use_bias=_use_bias(hyperparams),
      separable=use_depthwise,
    )
    for i in range(num_layers)
  ]

  def apply(features, level):
    for convolution in convolutions:
      name = f'{convolution.name}_level_{level}'
      features = normalize_and_activate(convolution(features), hyperparams, name=name)
    return features

  return apply


def _with_equal_channels(maps, hyperparams):
  """The maps, all with the number of channels that most of them have (of several, the first)."""
  channels = [features.shape[-1] for features in maps]
  ((most, _),) = collections.Counter(channels).most_common(1)
  equal = []
  for level, features in enumerate(maps):
    if features.shape[-1] != most:
      name = f'prediction_tower_projection_{level}'
      options = {'name': name, 'use_bias': _use_bias(hyperparams)}
      features = conv_layer(most, 1, hyperparams, **options)(features)
      features = normalize_and_activate(features, hyperparams, name=name, activate=False)
    equal.append(features)
  return equal


def _use_bias(hyperparams):
  # Batch norm rules a bias out here even if it has no center, as in the original.
  return hyperparams.force_bias or hyperparams.batch_norm is None
