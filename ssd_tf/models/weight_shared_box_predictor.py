"""Defines the weight-shared box predictor: the same two heads on every feature map."""

import collections

import keras

from ssd_tf.models.box_predictor import Heads
from ssd_tf.models.conv_block import conv_layer, normalize_and_activate


def weight_shared_box_predictor(
  maps: list[keras.KerasTensor],
  heads: Heads,
  *,
  anchors_per_location: int,
  depth: int,
  share_prediction_tower: bool = False,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
  """Predicts class logits and box encodings for every anchor.

  A tower of convolutions, then a head. All feature maps share the convolutions; each has batch
  norms of its own, since its features have statistics of their own. A feature map whose channels
  are not those of most others gets to them by a 1x1 convolution first, with batch norm.

  Args:
    maps: feature maps, finest first, f32[B,H_i,W_i,C_i].

  Returns:
    See `Heads.join`.

  Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", section 4; layers as the Object
  Detection API's weight_shared_convolutional_box_predictor.
  """

  def head(name, channels, bias):
    hyperparams = heads.hyperparams.unconfigured() if heads.use_depthwise else heads.hyperparams
    options = {'use_bias': True, 'bias': bias, 'separable': heads.use_depthwise}
    return conv_layer(channels, heads.kernel_size, hyperparams, name=name, **options)

  box_head = head('box_encoding_head', heads.box_code_size * anchors_per_location, 0.0)
  channels = heads.num_columns * anchors_per_location
  class_head = head('class_head', channels, heads.class_prediction_bias_init)
  box_tower = _tower('prediction_tower' if share_prediction_tower else 'box_tower', heads, depth)
  class_tower = box_tower if share_prediction_tower else _tower('class_tower', heads, depth)
  boxes, classes = [], []
  for level, features in enumerate(_with_equal_channels(maps, heads.hyperparams)):
    box_features = box_tower(features, level)
    boxes.append(box_head(box_features))
    class_features = box_features if share_prediction_tower else class_tower(features, level)
    classes.append(class_head(heads.drop_features(class_features, f'class_head_level_{level}')))
  return heads.join(classes, boxes)


def _tower(name, heads, depth):
  """A function from (features, level) to features, whose convolutions all levels share."""
  hyperparams = heads.hyperparams
  convolutions = [
    conv_layer(
      depth,
      heads.kernel_size,
      hyperparams,
      name=f'{name}_{i}',
      use_bias=_use_bias(hyperparams),
      separable=heads.use_depthwise,
    )
    for i in range(heads.num_layers_before_predictor)
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
