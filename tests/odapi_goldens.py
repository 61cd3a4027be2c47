"""Networks of the Object Detection API with the weights that its numbers were measured with."""

import dataclasses
import gzip
import json
import pathlib

import golden_weights
import keras
import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.detector import SsdDetector
from ssd_tf.pretrained.loading import load_pretrained
from ssd_tf.protos import pipeline_pb2

TESTDATA = pathlib.Path(__file__).parent / 'testdata'


def specification(name):
  """Variables and model config of a checkpoint, such as g_ssd_mobilenet_v1_fpn_640_zoo."""
  return json.loads(gzip.decompress((TESTDATA / f'odapi/{name}.json.gz').read_bytes()))


def arrays(name):
  """The arrays of a file, such as a_anchors, by their names."""
  return dict(np.load(TESTDATA / f'odapi/{name}.npz'))


def losses():
  """Random logits and box encodings of the nine images of c_targets, and what they cost there.

  Returns:
    logits, box_encodings: tensors f32[9,1917,4].
    json: sums over all images, complete losses by config, and the anchors that mining selects.
    the names of losses: of the anchors of image 1, summed over the classes.
  """
  random = np.random.RandomState(99)
  logits = random.normal(0, 2, (9, 1917, 4)) - 2
  return {
    'logits': tf.constant(logits, tf.float32),
    'box_encodings': tf.constant(random.normal(0, 1, (9, 1917, 4)), tf.float32),
    'json': json.loads((TESTDATA / 'odapi/d_losses.json').read_text()),
    **arrays('d_losses'),
  }


def write_checkpoint(name, prefix):
  """Writes the checkpoint of a specification; one of TF2 has its object graph too."""
  spec = specification(name)
  rows = spec.get('tensors') or [{**row, 'key': row['name']} for row in spec['variables']]
  tensors = {
    row['key']: tf.constant(
      golden_weights.odapi_value(
        row['key'], row['shape'], row.get('dtype', 'float32'), gain=spec['gain']
      )
    )
    for row in rows
  }
  if 'tensors' in spec:
    graph = gzip.decompress((TESTDATA / f'odapi/{name}.graph.gz').read_bytes())
    tensors['_CHECKPOINTABLE_OBJECT_GRAPH'] = tf.constant(graph)
  tf.raw_ops.SaveV2(
    prefix=str(prefix),
    tensor_names=sorted(tensors),
    shape_and_slices=[''] * len(tensors),
    tensors=[tensors[key] for key in sorted(tensors)],
  )


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
    detector: with the weights of the checkpoint.
    report: of loading them.
    images: preprocessed, f32[2,H,W,3].
  """

  detector: SsdDetector
  report: object
  images: tf.Tensor


def load(name, folder, is_training=False):
  """Writes the checkpoint `g_<name>_zoo` below folder, and loads it."""
  write_checkpoint(f'g_{name}_zoo', folder / 'ckpt-0')
  detector = builders.build_detector(model_config(name), is_training=is_training)
  report = load_pretrained(detector.model, str(folder / 'ckpt-0'))
  pixels = golden_weights.odapi_images(*specification(f'g_{name}_zoo')['input_hw'])
  images = detector.preprocess_image(tf.constant(pixels, tf.uint8))[0]
  return Golden(detector, report, images)


def check_outputs(golden, theirs):
  """Everything that an image goes through, against the original's numbers of some anchors."""
  report, detector, rows = golden.report, golden.detector, theirs['rows']
  assert len(report.loaded) == len(detector.model.variables), report.table()
  assert not (report.skipped or report.missing or report.unused), report.table()
  np.testing.assert_allclose(tf.gather(detector.anchors, rows), theirs['anchors'], atol=1e-6)
  outputs = detector.model(golden.images, training=False)
  for key, name in (
    ('class_logits', 'class_predictions_with_background'),
    ('box_encodings', 'box_encodings'),
  ):
    found = tf.gather(outputs[key], rows, axis=1)
    np.testing.assert_allclose(found, theirs[name], rtol=0, atol=1e-5)
  np.testing.assert_allclose(sum(detector.model.losses), theirs['regularization_loss'], rtol=1e-6)
  detections = detector.postprocess(outputs)
  for key in ('detection_boxes', 'detection_scores'):
    np.testing.assert_allclose(detections[key], theirs[key], rtol=0, atol=2e-6)
  np.testing.assert_array_equal(
    detections['detection_anchor_indices'], theirs['detection_anchor_indices']
  )
  np.testing.assert_array_equal(
    detections['detection_classes'], theirs['detection_classes'].astype(int) + 1
  )


def check_feature_maps(golden, theirs, layers):
  """Mean, deviation, greatest value and first pixel of each feature map; layers: their names."""
  maps = [golden.detector.model.get_layer(name).output for name in layers]
  for i, features in enumerate(keras.Model(golden.detector.model.input, maps)(golden.images)):
    features, name = features.numpy(), f'feature_map_{i}'
    assert features.shape == tuple(theirs[f'{name}_shape'])
    statistics = features.mean(), features.std(), np.abs(features).max()
    np.testing.assert_allclose(statistics, theirs[f'{name}_mean_std_absmax'], rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(features[:, 0, 0], theirs[f'{name}_pixel00'], rtol=0, atol=1e-5)
