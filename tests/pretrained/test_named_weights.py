import os
import pathlib

import pytest

from ssd_tf.config import input_paths, label_map
from ssd_tf.errors import InputError
from ssd_tf.pretrained import named_weights, weights_table

ROOT = pathlib.Path(__file__).parents[2]
STARTER = 'starter:ssd_mobilenet_v1_0.75_coco'


def test_the_starter_is_in_the_package_with_its_notice():
  path = pathlib.Path(named_weights.checkpoint_path(STARTER))
  assert path.is_relative_to(ROOT / 'ssd_tf')
  assert path.stat().st_size == 4183312
  notice = (path.parent / 'NOTICE').read_text()
  assert 'The TensorFlow Authors' in notice and 'Apache License, Version 2.0' in notice


def test_its_label_map_has_cocos_names():
  classes = label_map.load(named_weights.label_map_path(STARTER))
  assert (len(classes.ids), classes.num_classes) == (80, 90)
  names = {1: 'person', 11: 'fire hydrant', 13: 'stop sign', 44: 'bottle', 90: 'toothbrush'}
  assert {i: classes.name_by_id[i] for i in names} == names
  assert 12 not in classes.ids  # COCO never used it.


def test_paths_have_no_label_map():
  assert named_weights.label_map_path('runs/mine/ckpt-1') == ''
  assert named_weights.label_map_path('imagenet') == ''


def test_an_unknown_name_is_told_with_the_closest():
  with pytest.raises(InputError, match='did you mean "starter:ssd_mobilenet_v1_0.75_coco"'):
    named_weights.checkpoint_path('starter:ssd_mobilenet_v1_coco')
  with pytest.raises(InputError, match='did you mean "zoo:ssdlite_mobilenet_v2_coco"'):
    weights_table.weights_of('zoo:ssdlite_mobilenet_v2_coc')


def test_the_name_of_the_archive_is_a_name_too():
  for name, full in {
    'zoo:ssd_mobilenet_v2_320x320_coco17': 'zoo:ssd_mobilenet_v2_320x320_coco17_tpu-8',
    'zoo:ssd_mobilenet_v1_coco': 'zoo:ssd_mobilenet_v1_coco_2018_01_28',
  }.items():
    assert weights_table.weights_of(full) == weights_table.weights_of(name)
    assert weights_table.weights_of(full).name == name


def test_every_row_has_a_stock_config_and_a_name_of_its_own():
  for weights in weights_table.TABLE:
    assert (ROOT / 'ssd_tf/configs' / weights.config).exists(), weights.name
    assert weights_table.is_name(weights.name)
    assert weights.name.startswith('starter:') == (weights.archive == '')
    assert len(weights.sha256 or 64 * 'f') == 64
  names = [w.name for w in weights_table.TABLE]
  files = [w.archive for w in weights_table.TABLE]
  assert len(set(names)) == len(set(files)) == len(names)


@pytest.mark.parametrize('name', [STARTER, 'zoo:ssd_mobilenet_v1_coco'])
def test_names_are_no_paths(name, tmp_path):
  assert input_paths.find_checkpoint(name, os.fspath(tmp_path / 'a.config')) == name
