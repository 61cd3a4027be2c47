"""The network and its anchors, from the config's `model`."""

import keras
import numpy as np

from ssd_tf.builders.anchors import count_anchors_per_location, generate_anchors
from ssd_tf.builders.box_predictor import build_box_predictor
from ssd_tf.builders.feature_extractor import build_feature_extractor
from ssd_tf.builders.resizers import image_size, num_channels
from ssd_tf.config.checks.by_schema import require_supported
from ssd_tf.models.ssd_model import ssd_model
from ssd_tf.protos import pipeline_pb2


def build_model(model_config: pipeline_pb2.DetectionModel, is_training: bool) -> keras.Model:
  """Builds the network.

  Args:
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
    box_predictor=build_box_predictor(ssd, count_anchors_per_location(ssd), batch_norm_trainable),
  )


def build_anchors(model_config: pipeline_pb2.DetectionModel, model: keras.Model) -> np.ndarray:
  """Lays the anchors of a network.

  Returns:
    f32[A,4], normalized, not clipped; in the order of the network's predictions.
  """
  return generate_anchors(model_config.ssd, model.feature_map_sizes)
