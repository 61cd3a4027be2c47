"""The network and its anchors, from the config's `model`."""

import functools

import keras
import numpy as np

from ssd_tf.builders.feature_extractor import build_feature_extractor, num_feature_maps
from ssd_tf.builders.hyperparams import build_hyperparams
from ssd_tf.builders.resizers import image_size, num_channels
from ssd_tf.builders.support import chosen, require_supported
from ssd_tf.errors import InputError
from ssd_tf.models.box_predictor import convolutional_box_predictor
from ssd_tf.models.ssd_model import ssd_model
from ssd_tf.ops import anchors as anchor_ops
from ssd_tf.protos import pipeline_pb2


def build_model(model_config: pipeline_pb2.DetectionModel, is_training: bool) -> keras.Model:
  """Builds the network.

  Args:
    model_config: the config's `model`.
    is_training: whether batch norms may be trained (unless they are frozen by the config).

  Returns:
    f32[B,H,W,C] -> {'class_logits': f32[B,A,K+1], 'box_encodings': f32[B,A,4]}.

  Raises:
    InputError: a field is missing or not supported.
  """
  require_supported(model_config, 'model')
  ssd = model_config.ssd
  batch_norm_trainable = is_training and not ssd.freeze_batchnorm
  return ssd_model(
    name=ssd.feature_extractor.type.removesuffix('_keras'),
    image_size=image_size(ssd),
    num_channels=num_channels(ssd),
    feature_extractor=build_feature_extractor(ssd.feature_extractor, batch_norm_trainable),
    box_predictor=_box_predictor(ssd, batch_norm_trainable),
  )


def build_anchors(model_config: pipeline_pb2.DetectionModel, model: keras.Model) -> np.ndarray:
  """Lays the anchors of a network.

  Args:
    model_config: the config's `model`.
    model: as `build_model` made it.

  Returns:
    f32[A,4], normalized, not clipped; in the order of the network's predictions.
  """
  generator = _anchor_generator(model_config.ssd)
  return anchor_ops.generate_ssd_anchors(
    model.feature_map_sizes,
    image_size(model_config.ssd),
    num_layers=generator.num_layers,
    min_scale=generator.min_scale,
    max_scale=generator.max_scale,
    scales=list(generator.scales),
    aspect_ratios=list(generator.aspect_ratios),
    interpolated_scale_aspect_ratio=generator.interpolated_scale_aspect_ratio,
    base_anchor_height=generator.base_anchor_height,
    base_anchor_width=generator.base_anchor_width,
    reduce_boxes_in_lowest_layer=generator.reduce_boxes_in_lowest_layer,
    height_stride=list(generator.height_stride),
    width_stride=list(generator.width_stride),
    height_offset=list(generator.height_offset),
    width_offset=list(generator.width_offset),
  )


def _box_predictor(ssd, batch_norm_trainable):
  path = 'model.ssd.box_predictor'
  kind = chosen(ssd.box_predictor, 'box_predictor_oneof', path, ('convolutional_box_predictor',))
  predictor = ssd.box_predictor.convolutional_box_predictor
  if predictor.use_dropout:
    raise InputError(
      f'{path}.{kind}.use_dropout: is true (the default), not supported yet; set false'
    )
  if predictor.box_code_size != 4:
    raise InputError(f'{path}.{kind}.box_code_size: is {predictor.box_code_size}, expected 4')
  return functools.partial(
    convolutional_box_predictor,
    hyperparams=build_hyperparams(
      predictor.conv_hyperparams, f'{path}.{kind}.conv_hyperparams', batch_norm_trainable
    ),
    num_classes=ssd.num_classes,
    anchors_per_location=_anchors_per_location(ssd),
    kernel_size=predictor.kernel_size,
    class_prediction_bias_init=predictor.class_prediction_bias_init,
  )


def _anchor_generator(ssd):
  path = 'model.ssd.anchor_generator'
  kind = chosen(ssd.anchor_generator, 'anchor_generator_oneof', path, ('ssd_anchor_generator',))
  generator = ssd.anchor_generator.ssd_anchor_generator
  for name in ('scales', 'height_stride', 'width_stride', 'height_offset', 'width_offset'):
    count = len(getattr(generator, name))
    if count and count != generator.num_layers:
      raise InputError(
        f'{path}.{kind}.{name}: has {count} values; expected none, or {generator.num_layers} '
        '(num_layers)'
      )
  num_maps = num_feature_maps(ssd.feature_extractor)
  if num_maps != generator.num_layers:
    raise InputError(
      f'{path}.{kind}.num_layers: is {generator.num_layers}, but '
      f'model.ssd.feature_extractor.num_layers is {num_maps}; they have to '
      'be equal'
    )
  return generator


def _anchors_per_location(ssd):
  generator = _anchor_generator(ssd)
  return anchor_ops.anchors_per_location(
    num_layers=generator.num_layers,
    aspect_ratios=list(generator.aspect_ratios),
    interpolated_scale_aspect_ratio=generator.interpolated_scale_aspect_ratio,
    reduce_boxes_in_lowest_layer=generator.reduce_boxes_in_lowest_layer,
  )
