"""The API's checkpoints give its own numbers; what does not fit is accounted for."""

import importlib.util
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.errors import InputError
from ssd_tf.pretrained.layer_groups import BACKBONE
from ssd_tf.pretrained.loading import load_pretrained
from ssd_tf.protos import pipeline_pb2

MODELS = {'g_ssd_mobilenet_v2_320': 324, 'g_ssd_mobilenet_v1_300_c90': 199}


def module(path):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  loaded = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(loaded)
  return loaded


@pytest.fixture(scope='module')
def rebuild(shared_data):
  return module(shared_data('goldens/odapi/rebuild_checkpoint.py'))


def model_config(rebuild, spec_path):
  spec, _ = rebuild.load_spec(str(spec_path))
  config = text_format.Parse(spec['model_config'], pipeline_pb2.DetectionModel())
  config.ssd.box_predictor.convolutional_box_predictor.use_dropout = False
  return config


@pytest.mark.parametrize('name', MODELS)
def test_outputs_equal_the_originals(name, shared_data, rebuild, tmp_path):
  spec_path = shared_data(f'goldens/odapi/{name}_zoo.json')
  rebuild.write(str(spec_path), str(tmp_path / 'ckpt-0'))
  golden = np.load(shared_data(f'goldens/odapi/{name}_outputs.npz'))
  detector = builders.build_detector(model_config(rebuild, spec_path), is_training=False)
  report = load_pretrained(detector.model, str(tmp_path / 'ckpt-0'))
  assert len(report.loaded) == MODELS[name] and report.backbone_share == 1.0
  assert not (report.skipped or report.missing or report.unused), report.table()

  np.testing.assert_allclose(detector.anchors, golden['anchors'], atol=1e-6)
  images, _ = detector.preprocess_image(tf.constant(rebuild.golden_images(300, 300), tf.uint8))
  outputs = detector.model(images, training=False)
  for key, theirs in (
    ('class_logits', 'class_predictions_with_background'),
    ('box_encodings', 'box_encodings'),
  ):
    np.testing.assert_allclose(outputs[key], golden[theirs], atol=1e-5)
  np.testing.assert_allclose(sum(detector.model.losses), golden['regularization_loss'], rtol=1e-6)
  detections = detector.postprocess(outputs)
  np.testing.assert_array_equal(
    detections['detection_anchor_indices'], golden['detection_anchor_indices']
  )
  np.testing.assert_array_equal(
    detections['detection_classes'], golden['detection_classes'].astype(int) + 1
  )
  for key in ('detection_boxes', 'detection_scores'):
    np.testing.assert_allclose(detections[key], golden[key], atol=1e-5)


def small_model(num_classes=3, backbone='ssd_mobilenet_v1', depth_multiplier=0.25):
  path = pathlib.Path(__file__).parents[1] / 'testdata/tiny.config'
  config = text_format.Parse(path.read_text(), pipeline_pb2.TrainEvalPipelineConfig()).model
  config.ssd.num_classes = num_classes
  config.ssd.feature_extractor.type = backbone
  config.ssd.feature_extractor.depth_multiplier = depth_multiplier
  return builders.build_model(config, is_training=True)


def write_tf1_checkpoint(model, path, values=None):
  from ssd_tf.pretrained import odapi_tf1

  names = odapi_tf1.checkpoint_names(model)
  tensors = {names[v.path]: v.value for v in model.variables}
  tensors.update(values or {})
  tf.raw_ops.SaveV2(
    prefix=path,
    tensor_names=list(tensors),
    shape_and_slices=[''] * len(tensors),
    tensors=[tf.convert_to_tensor(t) for t in tensors.values()],
  )


@pytest.mark.parametrize('backbone', ['ssd_mobilenet_v1', 'ssd_mobilenet_v2'])
def test_tf1_names_are_those_of_the_original(backbone, shared_data):
  import json

  from ssd_tf.pretrained import odapi_tf1

  golden = json.loads(
    shared_data(f'goldens/odapi/t_tf1_{backbone}_coco_variables.json').read_text()
  )
  theirs = {v['name']: tuple(v['shape']) for v in golden['variables']}
  path = shared_data('goldens/odapi/configs/samples_configs') / f'{backbone}_coco.config'
  config = text_format.Parse(path.read_text(), pipeline_pb2.TrainEvalPipelineConfig()).model
  config.ssd.box_predictor.convolutional_box_predictor.use_dropout = False
  model = builders.build_model(config, is_training=False)
  names = odapi_tf1.checkpoint_names(model)
  ours = {names[v.path]: tuple(v.shape) for v in model.variables}
  assert ours == theirs


def test_other_number_of_classes_skips_the_class_heads_only(tmp_path):
  source, target = small_model(num_classes=3), small_model(num_classes=5)
  write_tf1_checkpoint(source, str(tmp_path / 'model.ckpt'), {'global_step': np.int64(7)})
  report = load_pretrained(target, str(tmp_path / 'model.ckpt'))
  assert sorted(report.skipped) == sorted(
    v.path for v in target.variables if v.path.startswith('class_head_')
  )
  assert report.missing == {} and report.unused == []
  assert '[1, 1, 128, 12] in the checkpoint, [1, 1, 128, 18] here' in report.table()
  ours = {v.path: v.numpy() for v in target.variables}
  for v in source.variables:
    if v.path in report.loaded:
      np.testing.assert_array_equal(ours[v.path], v.numpy())


def test_a_backbone_that_does_not_load_is_an_error(tmp_path):
  write_tf1_checkpoint(small_model(depth_multiplier=0.5), str(tmp_path / 'model.ckpt'))
  with pytest.raises(InputError, match='only 0.0% of the backbone loads'):
    load_pretrained(small_model(), str(tmp_path / 'model.ckpt'))


def test_classification_loads_the_backbone_only(tmp_path):
  write_tf1_checkpoint(small_model(), str(tmp_path / 'model.ckpt'))
  report = load_pretrained(small_model(), str(tmp_path / 'model.ckpt'), groups=(BACKBONE,))
  assert all(path.startswith('mobilenet_v1') for path in report.loaded)
  assert report.backbone_share == 1.0


@pytest.mark.parametrize('content', [b'', b'no checkpoint'])
def test_what_is_no_checkpoint_is_named(content, tmp_path):
  (tmp_path / 'model.ckpt.index').write_bytes(content)
  (tmp_path / 'model.ckpt.data-00000-of-00001').write_bytes(content)
  with pytest.raises(InputError, match='model.ckpt: cannot be read as a checkpoint'):
    load_pretrained(small_model(), str(tmp_path / 'model.ckpt'))


def test_another_architecture_says_what_it_holds(tmp_path):
  tf.train.Checkpoint(v=tf.Variable(1.0)).write(str(tmp_path / 'other'))
  with pytest.raises(InputError, match='it holds v/.ATTRIBUTES'):
    load_pretrained(small_model(), str(tmp_path / 'other'))
