"""Builds the heads from the config's `model.ssd.box_predictor`."""

import functools
from collections.abc import Callable, Sequence

from ssd_tf.builders.hyperparams import build_hyperparams
from ssd_tf.builders.message_fields import chosen
from ssd_tf.builders.target_assigner import code_size
from ssd_tf.errors import InputError
from ssd_tf.models.box_predictor import Heads, convolutional_box_predictor
from ssd_tf.models.weight_shared_box_predictor import weight_shared_box_predictor
from ssd_tf.protos import ssd_pb2

_PATH = 'model.ssd.box_predictor'
# Columns of the kernel that predicts the classes: 6 anchors of 30,000 classes.
_MAX_LOGITS = 180_000


def build_box_predictor(
  ssd: ssd_pb2.Ssd, anchors_per_location: Sequence[int], batch_norm_trainable: bool
) -> Callable:
  """Builds the function from feature maps to predictions.

  f32[B,H_i,W_i,C_i], finest first -> (class logits f32[B,A,K+1], box encodings f32[B,A,4]).
  """
  builders = {
    'convolutional_box_predictor': _convolutional,
    'weight_shared_convolutional_box_predictor': _weight_shared,
  }
  kind = chosen(ssd.box_predictor, 'box_predictor_oneof', _PATH, tuple(builders))
  predictor = getattr(ssd.box_predictor, kind)
  path = f'{_PATH}.{kind}'
  if not ssd.add_background_class and not ssd.encode_background_as_zeros:
    raise InputError(
      'model.ssd.add_background_class: is false, so that background has no column; set '
      'model.ssd.encode_background_as_zeros to true, or add_background_class to true'
    )
  if predictor.box_code_size != code_size(ssd):
    raise InputError(
      f'{path}.box_code_size: is {predictor.box_code_size}, expected {code_size(ssd)}: as many '
      'numbers as model.ssd.box_coder makes of a box'
    )
  num_logits = max(anchors_per_location, default=0) * (ssd.num_classes + 1)
  if num_logits > _MAX_LOGITS:
    raise InputError(
      f'model.ssd.num_classes: is {ssd.num_classes}, with {max(anchors_per_location)} anchors at a '
      f'location: {num_logits} logits there; expected {_MAX_LOGITS} at most; take fewer classes or '
      'anchors'
    )
  predict, of_kind = builders[kind](predictor, path, list(anchors_per_location))
  heads = Heads(
    hyperparams=build_hyperparams(
      predictor.conv_hyperparams, f'{path}.conv_hyperparams', batch_norm_trainable
    ),
    num_classes=ssd.num_classes,
    add_background_class=ssd.add_background_class,
    kernel_size=predictor.kernel_size,
    use_depthwise=predictor.use_depthwise,
    num_layers_before_predictor=predictor.num_layers_before_predictor,
    class_prediction_bias_init=predictor.class_prediction_bias_init,
    dropout_rate=_dropout_rate(predictor, path),
    box_code_size=predictor.box_code_size,
    **of_kind,
  )
  return functools.partial(predict, heads=heads)


def _convolutional(predictor, path, anchors_per_location):
  if predictor.use_depthwise and predictor.kernel_size == 1:
    raise InputError(
      f'{path}.kernel_size: is 1 (the default), which makes a depthwise convolution see one pixel '
      'only; set it to 3, or use_depthwise to false'
    )
  if predictor.min_depth > predictor.max_depth:
    raise InputError(
      f'{path}.min_depth: is {predictor.min_depth}, above max_depth, {predictor.max_depth}'
    )
  predict = functools.partial(
    convolutional_box_predictor,
    anchors_per_location=anchors_per_location,
    min_depth=predictor.min_depth,
    max_depth=predictor.max_depth,
  )
  return predict, {'apply_sigmoid_to_scores': predictor.apply_sigmoid_to_scores}


def _weight_shared(predictor, path, anchors_per_location):
  if len(set(anchors_per_location)) > 1:
    raise InputError(
      f'{path}: all feature maps share a head, but have {anchors_per_location} anchors at a '
      'location; with ssd_anchor_generator, set reduce_boxes_in_lowest_layer to false'
    )
  if predictor.num_layers_before_predictor and predictor.depth < 1:
    raise InputError(
      f'{path}.depth: is {predictor.depth}; expected the filters of the '
      f'{predictor.num_layers_before_predictor} layers before the predictor, such as 128'
    )
  predict = functools.partial(
    weight_shared_box_predictor,
    anchors_per_location=anchors_per_location[0],
    depth=predictor.depth,
    share_prediction_tower=predictor.share_prediction_tower,
  )
  return predict, {
    'apply_sigmoid_to_scores': predictor.score_converter == predictor.SIGMOID,
    'box_encodings_clip_range': _clip_range(predictor, path),
  }


def _clip_range(predictor, path):
  if not predictor.HasField('box_encodings_clip_range'):
    return None
  limits = predictor.box_encodings_clip_range
  if not limits.min < limits.max:
    raise InputError(
      f'{path}.box_encodings_clip_range: expected min < max, received {limits.min:g} and '
      f'{limits.max:g}'
    )
  return limits.min, limits.max


def _dropout_rate(predictor, path):
  if not predictor.use_dropout:
    return 0.0
  if not predictor.dropout_keep_probability:
    raise InputError(
      f'{path}.dropout_keep_probability: is 0; expected more than 0, or use_dropout: false'
    )
  return 1.0 - predictor.dropout_keep_probability
