"""What each fine_tune_checkpoint_type loads, by value; class maps by name; what the log says."""

import logging
import re

import numpy as np
import pytest
import small_checkpoints
from absl import logging as absl_logging

from ssd_tf import builders
from ssd_tf.config import label_map
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.pretrained.checkpoint_formats import open_checkpoint
from ssd_tf.pretrained.checkpoint_kind import SLIM, SSD_TF, TF1, TF2, TF2_CLASSIFICATION
from ssd_tf.pretrained.layer_groups import BACKBONE, FEATURE_MAPS, GROUPS, group_of
from ssd_tf.run import checkpoints
from ssd_tf.run.fine_tuning import load_fine_tune_checkpoint
from ssd_tf.run.start import restore, start

EXTRACTOR = (BACKBONE, FEATURE_MAPS)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  """A model of 3 classes, written as every kind of checkpoint."""
  folder = tmp_path_factory.mktemp('checkpoints')
  model = small_checkpoints.tiny_model(3, 'ssdlite', seed=1)
  for kind in (SSD_TF, TF1, TF2):
    small_checkpoints.write_model(folder / kind / 'ckpt-0', model, kind)
  for kind in (SLIM, TF2_CLASSIFICATION):
    small_checkpoints.write_model(
      folder / kind / 'ckpt-0', model, kind, groups=(BACKBONE,),
      extra={'MobilenetV1/Logits/Conv2d_1c_1x1/weights': np.ones([1, 1, 256, 11]),
             'MobilenetV1/Logits/Conv2d_1c_1x1/biases': np.ones(11)}
      if kind == SLIM else None,
    )  # fmt: skip
  write_label_map(folder / 'theirs.pbtxt', 'abc')
  write_label_map(folder / 'ours.pbtxt', 'xcybz')
  return folder, {v.path: v.numpy() for v in model.weights}


def write_label_map(path, names):
  ids = tuple(range(1, len(names) + 1))
  label_map.save(label_map.LabelMap(ids, tuple(names), tuple(names)), path)


def load(files, kind, num_classes=3, **settings):
  """(report, groups that changed, model)."""
  folder, source = files
  config = small_checkpoints.tiny_config(num_classes, 'ssdlite')
  config.train_input_reader[0].label_map_path = str(folder / 'ours.pbtxt')
  config.train_config.fine_tune_checkpoint = str(folder / kind)
  for name, value in settings.items():
    if name == 'class_map':
      for old, new in value.items():
        config.train_config.fine_tune_class_map.add(name=old, to=new)
    else:
      setattr(config.train_config, name, value)
  model = builders.build_model(config.model, is_training=True)
  before = {v.path: v.numpy() for v in model.weights}
  report = load_fine_tune_checkpoint(Pipeline(config, str(folder / 'pipeline.config')), model)
  loaded = set()
  for v in model.weights:
    if v.path in report.loaded and v.path not in report.mapped:
      np.testing.assert_array_equal(v.numpy(), source[v.path], err_msg=v.path)
      loaded.add(group_of(v.path))
    elif v.path not in report.loaded:
      np.testing.assert_array_equal(v.numpy(), before[v.path], err_msg=v.path)
  return report, loaded, model


TYPES = [
  ({'fine_tune_checkpoint_type': 'classification'}, (BACKBONE,)),
  ({'fine_tune_checkpoint_type': 'detection'}, EXTRACTOR),
  (
    {'fine_tune_checkpoint_type': 'detection', 'load_all_detection_checkpoint_vars': True},
    GROUPS,
  ),
  ({'fine_tune_checkpoint_type': 'fine_tune'}, GROUPS),
  ({'fine_tune_checkpoint_type': 'full'}, GROUPS),
  ({'from_detection_checkpoint': True}, EXTRACTOR),
  ({'from_detection_checkpoint': True, 'load_all_detection_checkpoint_vars': True}, GROUPS),
  ({'from_detection_checkpoint': False}, (BACKBONE,)),
  ({}, GROUPS),
]


@pytest.mark.parametrize('kind', [SSD_TF, TF1, TF2])
@pytest.mark.parametrize(('settings', 'groups'), TYPES)
def test_what_a_type_loads_of_a_detection_checkpoint(settings, groups, kind, files):
  report, loaded, model = load(files, kind, **settings)
  assert loaded == set(groups)
  assert not (report.skipped or report.missing or report.unused), report.table()
  assert {group_of(path) for path in report.left} == set(GROUPS) - set(groups)
  assert len(report.loaded) + len(report.left) == len(model.weights)


@pytest.mark.parametrize('kind', [SLIM, TF2_CLASSIFICATION])
@pytest.mark.parametrize(('settings', 'groups'), TYPES)
def test_what_a_type_loads_of_a_classification_checkpoint(settings, groups, kind, files):
  if settings.get('fine_tune_checkpoint_type') == 'full':
    with pytest.raises(
      InputError, match='did not load; the first: .* is missing .* "fine_tune" ta'
    ):
      load(files, kind, **settings)
    return
  report, loaded, _ = load(files, kind, **settings)
  assert loaded == {BACKBONE} and report.backbone_share == 1.0
  assert {group_of(path) for path in report.missing} == set(groups) - {BACKBONE}
  logits = [f'MobilenetV1/Logits/Conv2d_1c_1x1/{leaf}' for leaf in ('biases', 'weights')]
  assert sorted(report.unused) == (logits if kind == SLIM else [])


def test_other_classes_skip_the_last_layer_of_the_class_heads_only(files):
  report, loaded, _ = load(files, TF2, num_classes=5)
  assert sorted(report.skipped) == [
    f'class_head_{i}/{v}' for i in range(3) for v in ('bias', 'kernel')
  ]
  assert loaded == set(GROUPS)  # Also the class heads' depthwise convolutions.


def test_full_is_refused_with_other_classes(files):
  message = (
    r'fine_tune_checkpoint: .*: 6 variables of the model did not load; the first: '
    r'class_head_0/kernel: '
    r'\[1, 1, 128, 12\] in the checkpoint, \[1, 1, 128, 18\] here; .*"full" needs everything'
  )
  with pytest.raises(InputError, match=message) as error:
    load(files, TF2, num_classes=5, fine_tune_checkpoint_type='full')
  assert '\n' not in str(error.value)


def test_an_evaluation_needs_everything(files):
  model = small_checkpoints.tiny_model(3, 'ssdlite')
  restore(model, str(files[0] / TF1 / 'ckpt-0'))
  for v in model.weights:
    np.testing.assert_array_equal(v.numpy(), files[1][v.path])
  message = (
    r'6 variables of the model did not load, so it would detect by random numbers; the first: '
    r'class_head_0/kernel: .*; does num_classes fit\?$'
  )
  with pytest.raises(InputError, match=message) as error:
    restore(small_checkpoints.tiny_model(5, 'ssdlite'), str(files[0] / TF1 / 'ckpt-0'))
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('kind', ['detection', 'fine_tune', 'full', ''])
@pytest.mark.parametrize(
  ('class_map', 'label_map_path'),
  [({'c': 'c', 'b': 'z'}, 'theirs.pbtxt'), ({'3': '2', '2': '5'}, '')],
)
def test_a_class_map_by_names_or_ids(kind, class_map, label_map_path, files):
  report, loaded, model = load(
    files, TF1, num_classes=5, class_map=class_map, fine_tune_label_map_path=label_map_path,
    fine_tune_checkpoint_type=kind,
  )  # fmt: skip
  assert not (report.skipped or report.missing or report.left) and loaded == set(GROUPS)
  assert len(report.mapped) == 6
  source = files[1]['class_head_1/bias']  # 4 anchors or more of 3 classes and background.
  bias = next(v for v in model.weights if v.path == 'class_head_1/bias').numpy()
  ours, theirs = bias.reshape(-1, 6), source.reshape(-1, 4)
  np.testing.assert_array_equal(ours[:, [0, 2, 5]], theirs[:, [0, 3, 2]])
  np.testing.assert_array_equal(ours[:, [1, 3, 4]], np.full([len(ours), 3], np.float32(-4.6)))


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'class_map': {'q': 'c'}}, 'fine_tune_label_map_path: the label map has no class named "q"'),
    ({'class_map': {'c': 'q'}}, 'train_input_reader.label_map_path: the label map has no class n'),
    ({'class_map': {'c': '9'}}, "fine_tune_class_map: '9' is id 9, above num_classes"),
    ({'class_map': {'9': 'c'}}, 'id 9 is to be carried over, but the checkpoint has 3 classes'),
    ({'class_map': {'a': 'c', 'b': 'c'}}, "fine_tune_class_map: 'c' occurs twice"),
    ({'class_map': {'a': ''}}, 'needs name: "..." to: "...", and has no drop'),
    (
      {'class_map': {'a': 'c'}, 'fine_tune_label_map_path': ''},
      "'a' is a name, but there is no train_config.fine_tune_label_map_path to look it up in",
    ),
    (
      {'class_map': {'a': 'c'}, 'fine_tune_checkpoint_type': 'classification'},
      '"classification" is the backbone alone; take "fine_tune"',
    ),
  ],
)
def test_class_maps_at_fault(settings, message, files):
  settings = {'fine_tune_label_map_path': 'theirs.pbtxt', **settings}
  with pytest.raises(InputError, match=re.escape(message)):
    load(files, TF2, num_classes=5, **settings)


def test_drop_is_refused(files):
  config = small_checkpoints.tiny_config(3, 'ssdlite')
  config.train_config.fine_tune_checkpoint = str(files[0] / TF2)
  config.train_config.fine_tune_class_map.add(name='1', drop=True)
  config.train_input_reader[0].label_map_path = str(files[0] / 'ours.pbtxt')
  model = builders.build_model(config.model, is_training=True)
  with pytest.raises(InputError, match='has no drop: the rows of a class that is not named stay'):
    load_fine_tune_checkpoint(Pipeline(config, ''), model)


@pytest.fixture
def log():
  """The lines of the log."""
  lines = []
  handler = logging.Handler()
  handler.emit = lambda record: lines.append(record.getMessage())
  logger = absl_logging.get_absl_logger()
  level = logger.level
  logger.addHandler(handler)
  logger.setLevel(logging.INFO)
  yield lines
  logger.removeHandler(handler)
  logger.setLevel(level)


def test_a_class_map_is_suggested(files, log):
  load(files, TF2, num_classes=5, fine_tune_label_map_path='theirs.pbtxt')
  assert len(log) == 1 and log[0].endswith('--class_map=c=c,b=b')
  log.clear()
  # The backbone alone has no classes; and a map that is given needs no suggestion.
  load(files, TF2, num_classes=5, fine_tune_label_map_path='theirs.pbtxt',
       fine_tune_checkpoint_type='classification')  # fmt: skip
  load(files, TF2, num_classes=5, fine_tune_label_map_path='theirs.pbtxt', class_map={'c': 'c'})
  load(files, TF2, num_classes=5)
  assert log == []


@pytest.mark.parametrize(
  ('kind', 'version', 'is_told'),
  [(TF1, 1, False), (TF1, 2, True), (TF2, 1, True), (TF2, 2, False), (SSD_TF, 1, False),
   (SLIM, 2, True), (TF2_CLASSIFICATION, 1, True), (TF2, None, False)],
)  # fmt: skip
def test_a_version_that_contradicts_the_file_is_told(kind, version, is_told, files, log):
  settings = {} if version is None else {'fine_tune_checkpoint_version': version}
  load(files, kind, **settings)
  told = [line for line in log if 'fine_tune_checkpoint_version' in line]
  assert len(told) == is_told
  assert not is_told or f'is V{version}, but ' in told[0] and f'is of the {kind}; read' in told[0]


def test_a_start_lists_all_variables_in_a_file(files, tmp_path):
  import tensorflow as tf

  config = small_checkpoints.tiny_config(3, 'ssdlite')
  config.train_config.fine_tune_checkpoint = str(files[0] / TF1)
  config.train_config.fine_tune_checkpoint_type = 'detection'
  model = builders.build_model(config.model, is_training=True)
  manager = tf.train.CheckpointManager(
    checkpoints.model_checkpoint(model), str(tmp_path / 'run'), max_to_keep=1
  )
  (tmp_path / 'run').mkdir(exist_ok=True)
  assert start(Pipeline(config, ''), model, manager) == 0
  lines = (tmp_path / 'run/loaded_variables.txt').read_text().splitlines()
  assert len(lines) == len(model.weights)
  assert 'left     class_head_0/bias' in lines
  assert (
    'loaded   mobilenet_v1_conv_0/kernel <- FeatureExtractor/MobilenetV1/Conv2d_0/weights' in lines
  )


def test_a_class_map_without_a_checkpoint_is_refused(tmp_path):
  import tensorflow as tf

  config = small_checkpoints.tiny_config()
  config.train_config.fine_tune_class_map.add(name='1', to='2')
  model = small_checkpoints.tiny_model()
  manager = tf.train.CheckpointManager(
    checkpoints.model_checkpoint(model), str(tmp_path), max_to_keep=1
  )
  with pytest.raises(InputError, match='class_map: there is no train_config.fine_tune_checkpoint'):
    start(Pipeline(config, ''), model, manager)


def test_named_weights_bring_their_label_map(tmp_path):
  name = 'starter:ssd_mobilenet_v1_0.75_coco'
  write_label_map(tmp_path / 'ours.pbtxt', ['dog', 'unicorn', 'kitten'])
  config = small_checkpoints.tiny_config(3)
  config.model.ssd.feature_extractor.depth_multiplier = 0.75
  config.model.ssd.feature_extractor.min_depth = 16
  config.train_input_reader[0].label_map_path = 'ours.pbtxt'
  config.train_config.fine_tune_checkpoint = name
  for theirs, ours in {'dog': 'dog', 'cat': 'kitten'}.items():
    config.train_config.fine_tune_class_map.add(name=theirs, to=ours)
  model = builders.build_model(config.model, is_training=True)
  initial = model.get_layer('class_head_0').bias.numpy().reshape(-1, 4)
  report = load_fine_tune_checkpoint(Pipeline(config, str(tmp_path / 'a.config')), model)
  assert report.backbone_share == 1.0 and 'class_head_0/kernel' in report.mapped
  source = open_checkpoint(name).read('BoxPredictor_0/ClassPredictor/biases').reshape(-1, 91)
  loaded = model.get_layer('class_head_0').bias.numpy().reshape(-1, 4)
  # COCO's ids: cat 17, dog 18; the unicorn stays as it was.
  np.testing.assert_array_equal(loaded[:, [0, 1, 3]], source[: len(loaded), [0, 18, 17]])
  np.testing.assert_array_equal(loaded[:, 2], initial[:, 2])
