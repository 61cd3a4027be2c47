"""Builds a network, and the detector around it, from the config's `model`."""

import dataclasses

import keras
import tensorflow as tf

from ssd_tf.builders.anchors import (
  count_anchors_per_layer,
  count_anchors_per_location,
  generate_anchors,
)
from ssd_tf.builders.box_predictor import build_box_predictor
from ssd_tf.builders.feature_extractor import build_feature_extractor
from ssd_tf.builders.objective import build_objective
from ssd_tf.builders.resizers import build_preprocess_image, image_size, num_channels
from ssd_tf.builders.target_assigner import build_box_coder, build_target_assigner
from ssd_tf.config.checks.by_schema import require_supported
from ssd_tf.config.checks.fault import explained
from ssd_tf.detector import SsdDetector
from ssd_tf.models.ssd_model import ssd_model
from ssd_tf.ops.box_coder import BoxCoder
from ssd_tf.ops.post_processor import PostProcessor
from ssd_tf.protos import pipeline_pb2, post_processing_pb2, ssd_pb2


def build_model(model_config: pipeline_pb2.DetectionModel, is_training: bool) -> keras.Model:
  """Builds the network: f32[B,H,W,C] -> class_logits f32[B,A,K+1] and box_encodings f32[B,A,4].

  With is_training batch norms may be trained, unless the config freezes them.
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


def build_detector(model_config: pipeline_pb2.DetectionModel, is_training: bool) -> SsdDetector:
  """Builds a network with all that belongs to it."""
  require_supported(model_config, 'model')
  ssd = model_config.ssd
  box_coder = build_box_coder(ssd)
  around_model = {
    'preprocess_image': build_preprocess_image(ssd),
    'target_assigner': build_target_assigner(ssd, box_coder),
    'post_processor': build_post_processor(ssd, box_coder),
  }
  objective = build_objective(ssd, box_coder)
  # Last, so that faults in all the rest are reported together.
  with explained('model.ssd'):
    model = build_model(model_config, is_training)
    anchors = tf.constant(generate_anchors(ssd, model.feature_map_sizes))
  layer_sizes = tuple(count_anchors_per_layer(ssd, model.feature_map_sizes))
  return SsdDetector(
    model=model,
    anchors=anchors,
    objective=dataclasses.replace(objective, layer_sizes=layer_sizes),
    **around_model,
  )


def build_post_processor(ssd: ssd_pb2.Ssd, box_coder: BoxCoder) -> PostProcessor:
  """Builds what turns a network's outputs into detections."""
  post_processing = ssd.post_processing
  suppression = post_processing.batch_non_max_suppression
  converters = post_processing_pb2.PostProcessing.ScoreConverter
  return PostProcessor(
    box_coder=box_coder,
    score_converter=converters.Name(post_processing.score_converter),
    logit_scale=post_processing.logit_scale,
    score_threshold=suppression.score_threshold,
    iou_threshold=suppression.iou_threshold,
    max_detections_per_class=suppression.max_detections_per_class,
    max_total_detections=suppression.max_total_detections,
    use_class_agnostic_nms=suppression.use_class_agnostic_nms,
    max_classes_per_detection=suppression.max_classes_per_detection,
    soft_nms_sigma=0.0 if suppression.use_hard_nms else suppression.soft_nms_sigma,
    change_coordinate_frame=suppression.change_coordinate_frame,
  )
