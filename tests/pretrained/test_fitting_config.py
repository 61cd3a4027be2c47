"""Which stock config a checkpoint fits: of each of them, by its own, TF1's and TF2's names."""

import pathlib

import pytest
import small_checkpoints

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.pretrained import checkpoint_kind, odapi_tf2
from ssd_tf.pretrained.checkpoint_description import describe, describe_model
from ssd_tf.pretrained.fitting_config import fitting_config
from ssd_tf.pretrained.layer_groups import BACKBONE, group_of
from ssd_tf.pretrained.loading import load_pretrained

CONFIGS = pathlib.Path(__file__).parents[2] / 'ssd_tf/configs'
NAMES = sorted(p.name for pattern in ('*coco*', '*voc*') for p in CONFIGS.glob(f'{pattern}.config'))
STARTER = 'starter:ssd_mobilenet_v1_0.75_coco'


def fitting(kind, model, groups=None):
  """By the shapes of a checkpoint of this kind with this model."""
  names = checkpoint_kind.checkpoint_names(kind, model, ())
  shapes = {
    names[v.path]: tuple(v.shape)
    for v in model.weights
    if groups is None or group_of(v.path) in groups
  }
  return fitting_config(describe(shapes, kind))


@pytest.mark.parametrize('name', NAMES)
def test_every_stock_config_fits_its_own_checkpoints(name):
  config = Pipeline.load(CONFIGS / name).config
  model = builders.build_model(config.model, is_training=True)
  expected = f'ssd_tf/configs/{name}'
  assert fitting_config(describe_model(model)) == expected
  if 'vgg' in name:
    return
  assert fitting(checkpoint_kind.TF1, model) == expected
  tf2_names = odapi_tf2.checkpoint_names(model)
  if not set(tf2_names) & set(tf2_names.values()):  # Else the API has no such model under TF2.
    assert fitting(checkpoint_kind.TF2, model) == expected


def test_stock_configs_are_all_there():
  assert len(NAMES) == 11


@pytest.mark.parametrize(
  ('extractor', 'expected'),
  [
    ('ssd_mobilenet_v1_keras', 'ssd_tf/configs/ssd_mobilenet_v1_300x300_coco.config'),
    ('ssd_mobilenet_v2_keras', 'ssd_tf/configs/ssd_mobilenet_v2_300x300_coco.config'),
  ],
)
def test_another_depth_multiplier_and_a_classifier(extractor, expected):
  config = small_checkpoints.tiny_config(3, extractor=extractor)
  config.model.ssd.feature_extractor.depth_multiplier = 0.5
  model = builders.build_model(config.model, is_training=True)
  expected += ' with model.ssd.feature_extractor.depth_multiplier: 0.5'
  for kind in (checkpoint_kind.TF1, checkpoint_kind.TF2):
    assert fitting(kind, model) == expected
  for kind in (checkpoint_kind.SLIM, checkpoint_kind.TF2_CLASSIFICATION):
    assert fitting(kind, model, (BACKBONE,)) == expected


def test_a_network_that_no_config_has():
  model = small_checkpoints.tiny_model(3, 'ssdlite')  # SSDLite on MobileNet v1.
  assert fitting(checkpoint_kind.TF1, model) is None


def test_the_message_names_the_config():
  config = 'ssd_tf/configs/ssd_mobilenet_v1_0.75_300x300_coco.config'
  with pytest.raises(InputError, match=f'of the backbone loads.*{config} fits the checkpoint, or'):
    load_pretrained(small_checkpoints.tiny_model(3, extractor='ssd_mobilenet_v2_keras'), STARTER)
  # The same backbone, other heads.
  pyramid = small_checkpoints.tiny_config(3, 'weight_shared')
  pyramid.model.ssd.feature_extractor.depth_multiplier = 0.75
  pyramid.model.ssd.feature_extractor.min_depth = 16
  model = builders.build_model(pyramid.model, is_training=True)
  report = load_pretrained(model, STARTER)
  assert report.faults().endswith(f'; {config} fits the checkpoint')
  # The same network with other classes needs no other config.
  same = small_checkpoints.tiny_config(3)
  same.model.ssd.feature_extractor.depth_multiplier = 0.75
  same.model.ssd.feature_extractor.min_depth = 16
  report = load_pretrained(builders.build_model(same.model, is_training=True), STARTER)
  assert report.skipped and report.remedy == ''
