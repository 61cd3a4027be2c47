"""Networks of the Object Detection API with the weights that its numbers were measured with."""

import dataclasses
import importlib.util
import json
import pathlib

import keras
import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.detector import Detector
from ssd_tf.pretrained.loading import load_pretrained
from ssd_tf.protos import pipeline_pb2

TESTDATA = pathlib.Path(__file__).parent / 'testdata'


def specification(name):
  """Variables and model config of a checkpoint, such as g_ssd_mobilenet_v1_fpn_640_zoo."""
  return json.loads((TESTDATA / f'odapi/{name}.json').read_text())


def model_config(name):
  """The `model` that a checkpoint `g_<name>_zoo` was made with."""
  text = specification(f'g_{name}_zoo')['model_config']
  return text_format.Parse(text, pipeline_pb2.DetectionModel())


def tiny_model_config():
  """The `model` of tiny.config."""
  text = (TESTDATA / 'tiny.config').read_text()
  return text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig()).model


@dataclasses.dataclass(frozen=True)
class Golden:
  """A network of ours with the original's weights, and what the original says of fixed images.

  Attributes:
    detector: with the weights of the rebuilt checkpoint, for inference.
    report: of loading them.
    outputs: the original's numbers.
    images: preprocessed, f32[2,H,W,3].
  """

  detector: Detector
  report: object
  outputs: dict
  images: tf.Tensor


def load(name, shared_data, folder):
  """Rebuilds the checkpoint `g_<name>_zoo` below folder, and loads it."""
  spec_path = shared_data(f'goldens/odapi/g_{name}_zoo.json')
  rebuild = _module(shared_data('goldens/odapi/rebuild_checkpoint.py'))
  rebuild.write(str(spec_path), str(folder / 'ckpt-0'))
  spec = json.loads(spec_path.read_text())
  config = text_format.Parse(spec['model_config'], pipeline_pb2.DetectionModel())
  detector = builders.build_detector(config, is_training=False)
  report = load_pretrained(detector.model, str(folder / 'ckpt-0'))
  outputs = dict(np.load(shared_data(f'goldens/odapi/g_{name}_outputs.npz')))
  pixels = tf.constant(rebuild.golden_images(*spec['input_hw']), tf.uint8)
  return Golden(detector, report, outputs, detector.preprocess_image(pixels)[0])


def check_outputs(golden):
  """Everything that an image goes through, against the original's numbers."""
  report, theirs, detector = golden.report, golden.outputs, golden.detector
  assert len(report.loaded) == len(detector.model.variables), report.table()
  assert not (report.skipped or report.missing or report.unused), report.table()
  np.testing.assert_allclose(detector.anchors, theirs['anchors'], atol=1e-6)
  outputs = detector.model(golden.images, training=False)
  for key, name in (
    ('class_logits', 'class_predictions_with_background'),
    ('box_encodings', 'box_encodings'),
  ):
    np.testing.assert_allclose(outputs[key], theirs[name], rtol=0, atol=1e-5)
  np.testing.assert_allclose(sum(detector.model.losses), theirs['regularization_loss'], rtol=1e-6)
  detections = detector.postprocess(outputs)
  for key in ('detection_boxes', 'detection_scores'):
    np.testing.assert_allclose(detections[key], theirs[key], rtol=0, atol=2e-6)
  np.testing.assert_array_equal(
    detections['detection_anchor_indices'], theirs['detection_anchor_indices']
  )


def check_feature_maps(golden, layers):
  """Mean, deviation, greatest value and first pixel of each feature map; layers: their names."""
  maps = [golden.detector.model.get_layer(name).output for name in layers]
  for i, features in enumerate(keras.Model(golden.detector.model.input, maps)(golden.images)):
    features, name = features.numpy(), f'feature_map_{i}'
    assert features.shape == tuple(golden.outputs[f'{name}_shape'])
    statistics = features.mean(), features.std(), np.abs(features).max()
    np.testing.assert_allclose(
      statistics, golden.outputs[f'{name}_mean_std_absmax'], rtol=2e-6, atol=1e-6
    )
    np.testing.assert_allclose(
      features[:, 0, 0], golden.outputs[f'{name}_pixel00'], rtol=0, atol=1e-5
    )


def _module(path):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  loaded = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(loaded)
  return loaded
