"""The API's own lists of variables: each checkpoint loads wholly, and is told for what it is."""

import golden_weights
import numpy as np
import odapi_goldens
import pytest
import small_checkpoints

from ssd_tf.pretrained import checkpoint_kind, layer_groups
from ssd_tf.pretrained.checkpoint_description import describe, describe_model, slots_of
from ssd_tf.pretrained.layer_groups import BACKBONE, FEATURE_MAPS
from ssd_tf.pretrained.loading import load_pretrained

SSD = '6 feature maps with [3, 6, 6, 6, 6, 6] anchors per location'
# Model -> (variables, those of the backbone, momentum slots, what it is).
MODELS = {
  'ssd_mobilenet_v1_300_c90': (
    199, 135, 129, f'mobilenet_v1, depth_multiplier 1, {SSD}, 90 classes'
  ),
  'ssd_mobilenet_v1_fpn_640': (
    333, 135, 191, 'mobilenet_v1, depth_multiplier 1, FPN, weight-shared heads, '
    '5 feature maps with 6 anchors per location, 3 classes'
  ),
  'ssd_mobilenet_v2_320': (324, 260, 204, f'mobilenet_v2, depth_multiplier 1, {SSD}, 3 classes'),
  'ssd_mobilenet_v2_fpnlite_320': (
    384, 260, 232, 'mobilenet_v2, depth_multiplier 1, FPN, weight-shared heads, SSDLite, '
    '5 feature maps with 6 anchors per location, 3 classes'
  ),
  'ssdlite_mobilenet_v2_300_c3': (
    404, 260, 252, f'mobilenet_v2, depth_multiplier 1, SSDLite, {SSD}, 3 classes'
  ),
}  # fmt: skip
TF1_MODELS = {
  'ssd_mobilenet_v1_coco': f'mobilenet_v1, depth_multiplier 1, {SSD}, 90 classes',
  'ssd_mobilenet_v2_coco': f'mobilenet_v2, depth_multiplier 1, {SSD}, 90 classes',
  'ssdlite_mobilenet_v2_coco': f'mobilenet_v2, depth_multiplier 1, SSDLite, {SSD}, 90 classes',
}


def checkpoint(name, state):
  """The specification's name; the backbones are the same of all models with a MobileNet."""
  if state == 'classification':
    return f'g_{MODELS[name][-1][:12]}_classification'
  return f'g_{name}_{state}'


def shapes_of(name):
  spec = odapi_goldens.specification(name)
  rows = spec.get('tensors') or spec['variables']
  return {row.get('key') or row['name']: tuple(row['shape']) for row in rows}


@pytest.mark.parametrize('name', MODELS)
def test_tf2_checkpoints_load_wholly(name, tmp_path):
  total, in_backbone, _, _ = MODELS[name]
  model = small_checkpoints.golden_model(name)
  assert describe_model(model).model() == MODELS[name][-1]
  for state, num_loaded, groups in (
    ('zoo', total, layer_groups.GROUPS),
    ('train', total, layer_groups.GROUPS),
    ('classification', in_backbone, (BACKBONE,)),
  ):
    for v in model.weights:
      v.assign(np.full(v.shape, 77.0))
    odapi_goldens.write_checkpoint(checkpoint(name, state), tmp_path / state)
    report = load_pretrained(model, str(tmp_path / state), groups=groups)
    assert (len(report.loaded), report.backbone_share) == (num_loaded, 1.0)
    assert not (report.skipped or report.missing or report.unused), report.table()
    gain = odapi_goldens.specification(checkpoint(name, state))['gain']
    for v in model.weights:
      if v.path in report.loaded:
        expected = golden_weights.odapi_value(report.loaded[v.path], v.shape, gain=gain)
        np.testing.assert_array_equal(v.numpy(), expected, err_msg=v.path)
      else:
        assert (v.numpy() == 77).all() and v.path in report.left


@pytest.mark.parametrize('name', MODELS)
def test_detection_restores_the_apis_keys(name):
  """What fine_tune_checkpoint_type "detection" loads there: no heads."""
  keys = odapi_goldens.specification(f'g_{name}_detection_restore_keys')
  theirs = {key for key in keys if not key.startswith('save_counter')}
  model = small_checkpoints.golden_model(name)
  names = checkpoint_kind.checkpoint_names(checkpoint_kind.TF2, model, ())
  groups = (BACKBONE, FEATURE_MAPS)
  ours = {names[v.path] for v in model.weights if layer_groups.group_of(v.path) in groups}
  assert ours == theirs


@pytest.mark.parametrize('name', TF1_MODELS)
def test_tf1_checkpoints_load_wholly(name, tmp_path):
  listed = f't_tf1_{name}_variables'
  twin = {'ssd_mobilenet_v1_coco': 'ssd_mobilenet_v1_300_c90',
          'ssd_mobilenet_v2_coco': 'ssd_mobilenet_v2_320',
          'ssdlite_mobilenet_v2_coco': 'ssdlite_mobilenet_v2_300_c3'}[name]  # fmt: skip
  model = small_checkpoints.golden_model(twin, num_classes=90)
  odapi_goldens.write_checkpoint(listed, tmp_path / 'model.ckpt')
  report = load_pretrained(model, str(tmp_path / 'model.ckpt'))
  assert len(report.loaded) == len(shapes_of(listed)) == len(model.weights)
  assert not (report.skipped or report.missing or report.unused), report.table()
  gain = odapi_goldens.specification(listed)['gain']
  for v in model.weights:
    expected = golden_weights.odapi_value(report.loaded[v.path], v.shape, gain=gain)
    np.testing.assert_array_equal(v.numpy(), expected, err_msg=v.path)


@pytest.mark.parametrize('name', MODELS)
def test_what_tf2_checkpoints_are(name):
  _, in_backbone, slots, model = MODELS[name]
  for state in ('zoo', 'train'):
    shapes = shapes_of(checkpoint(name, state))
    kind = checkpoint_kind.identify(shapes, 'p')
    assert kind == 'Object Detection API, TF2'
    assert describe(shapes, kind).model() == model
    assert slots_of(shapes) == ({'momentum': slots} if state == 'train' else {})
  shapes = shapes_of(checkpoint(name, 'classification'))
  kind = checkpoint_kind.identify(shapes, 'p')
  assert kind == 'Object Detection API, TF2, backbone of a classification model'
  assert describe(shapes, kind).model() == f'{model[:12]}, depth_multiplier 1, no heads'


@pytest.mark.parametrize('name', TF1_MODELS)
def test_what_tf1_checkpoints_are(name):
  shapes = shapes_of(f't_tf1_{name}_variables')
  shapes |= {f'{n}/Momentum': s for n, s in list(shapes.items())[:7]} | {'global_step': ()}
  kind = checkpoint_kind.identify(shapes, 'p')
  assert kind == 'Object Detection API, TF1'
  assert describe(shapes, kind).model() == TF1_MODELS[name]
  assert slots_of(shapes) == {'Momentum': 7}
