"""What of a checkpoint does not fit is accounted for."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.errors import InputError
from ssd_tf.pretrained import odapi_tf1
from ssd_tf.pretrained.layer_groups import BACKBONE
from ssd_tf.pretrained.loading import load_pretrained
from ssd_tf.protos import pipeline_pb2


def small_model(num_classes=3, backbone='ssd_mobilenet_v1', depth_multiplier=0.25):
  path = pathlib.Path(__file__).parents[1] / 'testdata/tiny.config'
  config = text_format.Parse(path.read_text(), pipeline_pb2.TrainEvalPipelineConfig()).model
  config.ssd.num_classes = num_classes
  config.ssd.feature_extractor.type = backbone
  config.ssd.feature_extractor.depth_multiplier = depth_multiplier
  return builders.build_model(config, is_training=True)


def write_tf1_checkpoint(model, path, values=None):
  names = odapi_tf1.checkpoint_names(model)
  tensors = {names[v.path]: v.value for v in model.variables}
  tensors.update(values or {})
  tf.raw_ops.SaveV2(
    prefix=path,
    tensor_names=list(tensors),
    shape_and_slices=[''] * len(tensors),
    tensors=[tf.convert_to_tensor(t) for t in tensors.values()],
  )


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
