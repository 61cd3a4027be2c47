"""Small models of every box predictor, and checkpoints with given names and values."""

import pathlib

import numpy as np
import odapi_goldens
import tensorflow as tf
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.pretrained import checkpoint_kind
from ssd_tf.protos import pipeline_pb2

SUFFIX = '/.ATTRIBUTES/VARIABLE_VALUE'
TESTS = pathlib.Path(__file__).parents[1]
_WEIGHT_SHARED = """
  weight_shared_convolutional_box_predictor {
    depth: 16 num_layers_before_predictor: 1 kernel_size: 3 use_depthwise: %s
    share_prediction_tower: %s
    conv_hyperparams {
      regularizer { l2_regularizer { weight: 0.00004 } }
      initializer { random_normal_initializer { stddev: 0.01 } }
      activation: RELU_6
      batch_norm { decay: 0.97 scale: true epsilon: 0.001 }
    }
  }
"""
_PYRAMID_ANCHORS = """
  multiscale_anchor_generator {
    min_level: 3 max_level: 7 anchor_scale: 4.0 aspect_ratios: [1.0, 2.0] scales_per_octave: 2
  }
"""


def tiny_config(num_classes=3, predictor='convolutional', extractor='ssd_mobilenet_v1_keras'):
  """The tiny pipeline.config with one of the box predictors."""
  config = text_format.Parse(
    (TESTS / 'testdata/tiny.config').read_text(), pipeline_pb2.TrainEvalPipelineConfig()
  )
  ssd = config.model.ssd
  ssd.num_classes = num_classes
  ssd.feature_extractor.type = extractor
  if predictor == 'ssdlite':
    ssd.feature_extractor.use_depthwise = True
    ssd.box_predictor.convolutional_box_predictor.use_depthwise = True
    ssd.box_predictor.convolutional_box_predictor.kernel_size = 3
    ssd.box_predictor.convolutional_box_predictor.conv_hyperparams.batch_norm.scale = True
  if predictor.startswith('weight_shared'):
    ssd.feature_extractor.type = extractor.replace('_keras', '_fpn_keras')
    ssd.feature_extractor.ClearField('num_layers')
    ssd.feature_extractor.fpn.min_level = 3
    ssd.feature_extractor.fpn.max_level = 7
    ssd.feature_extractor.fpn.additional_layer_depth = 16
    is_lite = str(predictor.endswith('lite')).lower()
    ssd.feature_extractor.use_depthwise = predictor.endswith('lite')
    ssd.box_predictor.Clear()
    ssd.anchor_generator.Clear()
    text_format.Parse(_WEIGHT_SHARED % (is_lite, is_lite), ssd.box_predictor)
    text_format.Parse(_PYRAMID_ANCHORS, ssd.anchor_generator)
  return config


def tiny_model(*args, seed=0, **kwargs):
  """Its network, every weight of a value of its own."""
  model = builders.build_model(tiny_config(*args, **kwargs).model, is_training=True)
  rng = np.random.default_rng(seed)
  for v in model.weights:
    v.assign(
      rng.uniform(0.5, 1.5, v.shape) if 'variance' in v.path else rng.normal(0, 0.3, v.shape)
    )
  return model


def golden_model(name, num_classes=None):
  """The network of a golden checkpoint, on small images: the weights are the same."""
  config = odapi_goldens.model_config(name)
  resizer = config.ssd.image_resizer.fixed_shape_resizer
  resizer.height, resizer.width = 128, 192
  if num_classes:
    config.ssd.num_classes = num_classes
  return builders.build_model(config, is_training=True)


def write(path, tensors):
  """Writes a checkpoint of these names and values."""
  pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
  tf.raw_ops.SaveV2(
    prefix=str(path),
    tensor_names=list(tensors),
    shape_and_slices=[''] * len(tensors),
    tensors=[tf.convert_to_tensor(value) for value in tensors.values()],
  )


def write_model(path, model, kind, groups=None, extra=None):
  """Writes a model as a kind of checkpoint has it."""
  from ssd_tf.pretrained.layer_groups import GROUPS, group_of

  names = checkpoint_kind.checkpoint_names(kind, model, ())
  groups = groups or GROUPS
  write(
    path,
    {names[v.path]: v.value for v in model.weights if group_of(v.path) in groups} | (extra or {}),
  )
