import os
import pathlib

import pytest
from absl import logging

from ssd_tf.config.checks.whole_config import find_faults
from ssd_tf.config.input_paths import expand_input_paths, resolve_path
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.errors import InputError

CONFIGS = pathlib.Path(__file__).parents[1] / 'testdata' / 'odapi_configs'
STOCK = CONFIGS / 'ssd_mobilenet_v2_320x320_coco17_tpu-8.config'

# A config whose files all exist beside it, once `project` has made them.
SOUND = """
model { ssd { num_classes: 3 } }
train_config {
  batch_size: 8
  num_steps: 1500
  optimizer { momentum_optimizer { learning_rate { cosine_decay_learning_rate {
    learning_rate_base: .02 total_steps: 1500 warmup_learning_rate: .005 warmup_steps: 100
  } } } }
  fine_tune_checkpoint: "model.ckpt"
}
train_input_reader {
  label_map_path: "map.pbtxt"
  tf_record_input_reader { input_path: "train.record-?????-of-00002" }
}
eval_input_reader {
  label_map_path: "map.pbtxt"
  tf_record_input_reader { input_path: "val.record" }
}
"""


@pytest.fixture
def project(tmp_path):
  for name in ('train.record-00000-of-00002', 'train.record-00001-of-00002', 'val.record'):
    (tmp_path / name).touch()
  (tmp_path / 'model.ckpt.index').touch()
  (tmp_path / 'map.pbtxt').write_text(
    "item {id: 1 name: 'RBC'} item {id: 2 name: 'WBC'} item {id: 3 name: 'Platelets'}"
  )
  (tmp_path / 'pipeline.config').write_text(SOUND)
  return tmp_path


@pytest.fixture
def warnings(monkeypatch):
  said = []
  monkeypatch.setattr(logging, 'warning', lambda text, *values: said.append(text % values))
  return said


def faults(project, *overrides, **arguments):
  """The faults of the project's config, as lines."""
  return [
    str(fault)
    for fault in find_faults(Pipeline.load(project / 'pipeline.config', overrides), **arguments)
  ]


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.config')), ids=lambda path: path.stem)
def test_what_is_saved_is_loaded(path, tmp_path):
  loaded = Pipeline.load(path).config
  assert Pipeline(loaded, '').save(tmp_path) == str(tmp_path / 'pipeline.config')
  assert Pipeline.load(tmp_path / 'pipeline.config').config == loaded
  assert os.listdir(tmp_path) == ['pipeline.config']


def test_save_to_a_file_replaces_it(tmp_path):
  path = tmp_path / 'other.config'
  path.write_text('old')
  assert Pipeline.load(STOCK).save(path) == str(path)
  assert Pipeline.load(path).config.model.ssd.num_classes == 90


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
  path = tmp_path / 'pipeline.config'
  path.write_text('model {}')

  def full(*_):
    raise OSError(28, 'No space left on device', str(path))

  monkeypatch.setattr(os, 'replace', full)
  with pytest.raises(OSError, match='No space'):
    Pipeline.load(STOCK).save(path)
  assert path.read_text() == 'model {}' and os.listdir(tmp_path) == ['pipeline.config']


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    (
      'model {\n  ssd {\n    num_clases: 3 }}',
      '3:5: unknown field "num_clases" in Ssd: did you mean "num_classes"?',
    ),
    (
      'model {\n  faster_rcnn { num_classes: 3 }}',
      '2:3: unknown field "faster_rcnn" in DetectionModel: known: ssd',
    ),
    (
      'model { ssd { box_predictor { convolutional_box_predictor { conv_hyperparams {\n activation:'
      ' RELU6 }}}}}',
      '2:14: unknown value "RELU6" of Activation: did you mean "RELU_6"?',
    ),
    (
      'train_config {\n batch_size: eight }',
      "2:14: ' batch_size: eight }': Couldn't parse integer: eight",
    ),
    ('train_config {\n  batch_size: 8\n', '2:15: Expected "}".'),
  ],
)
def test_parse_errors_name_line_column_and_closest_field(tmp_path, text, message):
  path = tmp_path / 'a.config'
  path.write_text(text)
  with pytest.raises(InputError) as caught:
    Pipeline.load(path)
  assert str(caught.value) == f'{path}:{message}'


def test_the_last_of_a_repeated_value_counts_as_in_the_api_but_is_told(tmp_path, warnings):
  path = tmp_path / 'a.config'
  path.write_text('train_config { batch_size: 8 }\ntrain_config {\n  batch_size: 16 num_steps: 5 }')
  loaded = Pipeline.load(path).config
  assert (loaded.train_config.batch_size, loaded.train_config.num_steps) == (16, 5)
  assert warnings == [
    f'{path}:2:14: Message type "TrainEvalPipelineConfig" should not have multiple "train_config"'
    ' fields. The last one counts.'
  ]


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(FileNotFoundError) as caught:
    Pipeline.load(tmp_path / 'none.config')
  assert caught.value.filename == str(tmp_path / 'none.config')


INPUT = 'train_input_reader.tf_record_input_reader.input_path'
RATIOS = 'model.ssd.anchor_generator.ssd_anchor_generator.aspect_ratios'


@pytest.mark.parametrize(
  ('override', 'get', 'expected'),
  [
    ('train_config.batch_size=8', lambda c: c.train_config.batch_size, 8),
    ('train_config.batch_size = 8', lambda c: c.train_config.batch_size, 8),
    ('train_config.gradient_clipping_by_norm=1e1', lambda c: (
      c.train_config.gradient_clipping_by_norm), 10.0),
    ('train_config.sync_replicas=false', lambda c: c.train_config.sync_replicas, False),
    ('train_config.fine_tune_checkpoint=', lambda c: c.train_config.fine_tune_checkpoint, ''),
    ('train_config.fine_tune_checkpoint=a=b/"c" é\\d', lambda c: (
      c.train_config.fine_tune_checkpoint), 'a=b/"c" é\\d'),
    ('train_config.fine_tune_checkpoint="a"', lambda c: c.train_config.fine_tune_checkpoint, 'a'),
    ('train_config.fine_tune_checkpoint_version=V1', lambda c: (
      c.train_config.fine_tune_checkpoint_version), 1),
    ('model.ssd.post_processing.score_converter=SOFTMAX', lambda c: (
      c.model.ssd.post_processing.score_converter), 2),
    ('train_input_reader[0].label_map_path=m', lambda c: (
      c.train_input_reader[0].label_map_path), 'm'),
    ('eval_input_reader[0].label_map_path=m', lambda c: c.eval_input_reader[0].label_map_path, 'm'),
    ('eval_input_reader.label_map_path=m', lambda c: c.eval_input_reader[0].label_map_path, 'm'),
    ('eval_input_reader[1].label_map_path=m', lambda c: [
      r.label_map_path for r in c.eval_input_reader], ['PATH_TO_BE_CONFIGURED/label_map.txt', 'm']),
    (f'{INPUT}=a.record', lambda c: c.train_input_reader[0].tf_record_input_reader.input_path,
     ['a.record']),
    (f'{INPUT}=["a", "b"]', lambda c: c.train_input_reader[0].tf_record_input_reader.input_path,
     ['a', 'b']),
    (f'{INPUT}[1]=b', lambda c: c.train_input_reader[0].tf_record_input_reader.input_path[1], 'b'),
    (f'{RATIOS}=[1, 2]', lambda c: (
      c.model.ssd.anchor_generator.ssd_anchor_generator.aspect_ratios), [1.0, 2.0]),
    (f'{RATIOS}[1]=4', lambda c: (
      c.model.ssd.anchor_generator.ssd_anchor_generator.aspect_ratios[:3]), [1.0, 4.0, 0.5]),
    ('train_config.optimizer={adam_optimizer {}}', lambda c: (
      c.train_config.optimizer.WhichOneof('optimizer')), 'adam_optimizer'),
    ('train_config.data_augmentation_options=[]', lambda c: (
      len(c.train_config.data_augmentation_options)), 0),
  ],
)  # fmt: skip
def test_override(override, get, expected):
  assert get(Pipeline.load(STOCK, [override]).config) == expected


def test_overrides_apply_in_order_and_change_nothing_else():
  changed = Pipeline.load(STOCK, ['train_config.batch_size=8', 'train_config.batch_size=4']).config
  stock = Pipeline.load(STOCK).config
  assert changed.train_config.batch_size == 4 and stock.train_config.batch_size == 512
  changed.train_config.batch_size = 512
  assert changed == stock


@pytest.mark.parametrize(
  ('override', 'message'),
  [
    ('train_config.batchsize=8', 'unknown field "batchsize" in TrainConfig: did you mean'
     ' "batch_size"?'),
    ('trainconfig.batch_size=8', 'unknown field "trainconfig" in TrainEvalPipelineConfig: did you'
     ' mean "train_config"?'),
    ('train_config.batch_size=8.5', "'batch_size: 8.5': Couldn't parse integer: 8.5"),
    ('train_config.batch_size=-1', "'batch_size: -1': Value out of range: -1"),
    ('train_config.batch_size=8 num_steps: 3', 'expected one value of batch_size'),
    ('train_config.batch_size', 'expected field.path=value'),
    ('train_config.batch_size.x=3', 'batch_size has no fields of its own: give it a whole new'
     ' value'),
    ('train_config.optimizer=3', '\'optimizer: 3\': Expected "{".'),
    ('train_config.sync_replicas=yes', '\'sync_replicas: yes\': Expected "true" or "false".'),
    ('model.ssd.post_processing.score_converter=SOFTMX', 'unknown value "SOFTMX" of ScoreConverter:'
     ' did you mean "SOFTMAX"?'),
    ('eval_input_reader[2].shuffle=true', 'there are 1 of eval_input_reader, so no'
     ' eval_input_reader[2]'),
    ('train_input_reader[2].shuffle=true', 'there are 1 of train_input_reader, so no'
     ' train_input_reader[2]'),
    ('train_config[1].batch_size=3', 'there is only one train_config'),
    ('train_config.data_augmentation_options.random_crop_image.min_area=1', 'there are 2 of'
     ' data_augmentation_options: say which, as data_augmentation_options[0]'),
    (f'{RATIOS}[9]=1', 'there are 5 of aspect_ratios, so no aspect_ratios[9]'),
    ('train config.batch_size=8', "'train config' is no field: expected name or name[index]"),
  ],
)  # fmt: skip
def test_bad_override(override, message):
  with pytest.raises(InputError) as caught:
    Pipeline.load(STOCK, [override])
  assert str(caught.value) == f'override {override!r}: {message}'


def test_a_sound_config_has_no_fault(project, warnings):
  assert faults(project) == []
  assert faults(project, num_replicas=4, checking='train') == []
  assert faults(project, 'train_config.num_steps=0') == []  # for ever
  assert warnings == []


def test_relative_paths_are_those_of_the_working_directory_first(project, tmp_path, monkeypatch):
  elsewhere = tmp_path / 'elsewhere'
  elsewhere.mkdir()
  monkeypatch.chdir(elsewhere)
  path = project / 'pipeline.config'
  assert resolve_path('val.record', path) == str(project / 'val.record')
  assert expand_input_paths(['val.record'], path) == [str(project / 'val.record')]
  (elsewhere / 'val.record').touch()
  assert resolve_path('val.record', path) == 'val.record'
  assert expand_input_paths(['val*'], path) == ['val.record']


def test_all_faults_are_told_at_once(project, warnings):
  found = faults(
    project,
    'model.ssd.num_classes=2',
    'train_config.fine_tune_checkpoint=gone/ckpt-0',
    'train_config.num_steps=2000',
    'train_input_reader.tf_record_input_reader.input_path=["*.tfrecord", "train.record@3"]',
    'eval_input_reader.label_map_path=',
    'eval_input_reader.tf_record_input_reader={}',
    num_replicas=3,
  )
  rate = 'train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate'
  assert found == [
    'train_config.batch_size: is 8: it is that of all replicas together, so it has to be a multiple'
    ' of their number, 3',
    f'{rate}.total_steps: is 1500: the learning rate is 0 from there on, but train_config.num_steps'
    ' is 2000; set both alike',
    'train_config.fine_tune_checkpoint: no such file or folder: gone/ckpt-0 or'
    f' {project}/gone/ckpt-0; is it misspelled?',
    "model.ssd.num_classes: is 2, but map.pbtxt has id 3 ('Platelets'): objects of ids above 2"
    ' would be lost; set it to 3, or give the classes the ids 1 to 2',
    'train_input_reader.tf_record_input_reader.input_path: no file matches *.tfrecord or'
    f' {project}/*.tfrecord',
    'train_input_reader.tf_record_input_reader.input_path: no file matches'
    f' train.record-?????-of-00003 or {project}/train.record-?????-of-00003',
    'eval_input_reader[0].label_map_path: is empty: evaluation needs the names of the classes',
    'eval_input_reader[0].tf_record_input_reader.input_path: is empty: name the TFRecord files',
  ]


def test_only_the_part_in_use_is_checked(project):
  broken_eval = ['eval_input_reader.label_map_path=gone']
  assert faults(project, *broken_eval, checking='train') == []
  assert len(faults(project, *broken_eval, checking='eval')) == 1
  assert faults(project, 'train_config.batch_size=7', num_replicas=2, checking='eval') == []
  with pytest.raises(ValueError, match='checking'):
    find_faults(Pipeline(PipelineConfig(), 'a'), checking='test')


def test_an_empty_config(tmp_path):
  (tmp_path / 'pipeline.config').touch()
  assert faults(tmp_path) == [
    'model: there is no ssd { ... } in it',
    'train_input_reader: there is none: add one with a label map and an input path',
    'eval_input_reader: there is none: add one with a label map and an input path',
  ]


def test_num_classes(project, warnings):
  assert faults(project, 'model.ssd.num_classes=0') == [
    'model.ssd.num_classes: is 0; expected 1 to 30000'
  ]
  assert faults(project, 'model.ssd.num_classes=4', checking='train') == []
  path = project / 'pipeline.config'
  assert warnings == [f'{path}: model.ssd.num_classes: is 4, but map.pbtxt names 3 classes.']


def test_a_faulty_label_map_is_told_with_its_line(project):
  (project / 'map.pbtxt').write_text("item {id: 1 name: 'a'}\nitem {id: 1 name: 'b'}")
  assert faults(project, checking='train') == [
    f"train_input_reader.label_map_path: {project}/map.pbtxt:2: id 1 is already that of 'a' on line"
    ' 1'
  ]


RATE = 'train_config.optimizer.momentum_optimizer.learning_rate'
COSINE = f'{RATE}.cosine_decay_learning_rate'


@pytest.mark.parametrize(
  ('overrides', 'found'),
  [
    ([f'{COSINE}.warmup_steps=1500'], [
      f'{COSINE}.warmup_steps: is 1500: the schedule ends within it, at total_steps 1500']),
    ([f'{COSINE}.warmup_steps=1499'], []),
    ([f'{COSINE}.total_steps=1499'], [
      f'{COSINE}.total_steps: is 1499: the learning rate is 0 from there on, but'
      ' train_config.num_steps is 1500; set both alike']),
    ([f'{COSINE}.total_steps=1501'], []),
    ([f'{COSINE}.learning_rate_base=.001'], [
      f'{COSINE}.warmup_learning_rate: is 0.005: it has to be at most learning_rate_base, 0.001']),
    ([f'{RATE}={{exponential_decay_learning_rate {{burnin_steps: 1500}}}}'], [
      f'{RATE}.exponential_decay_learning_rate.burnin_steps: is 1500: the training ends within it,'
      ' at train_config.num_steps 1500']),
    ([f'{RATE}={{exponential_decay_learning_rate {{burnin_steps: 1499}}}}'], []),
    ([f'{RATE}={{manual_step_learning_rate {{}}}}'], []),
    ([f'{RATE}={{constant_learning_rate {{}}}}'], []),
  ],
)  # fmt: skip
def test_schedules(project, overrides, found):
  assert faults(project, *overrides, checking='train') == found


def test_a_try_of_a_few_steps_is_allowed_but_told(project, warnings):
  assert faults(project, 'train_config.num_steps=10', checking='train') == []
  assert warnings == [
    f'{COSINE}.warmup_steps: is 100: the training ends within it, at train_config.num_steps 10.'
  ]


def test_forms_of_a_checkpoint_path(project):
  (project / 'folder').mkdir()
  (project / 'folder' / 'ckpt-3.index').touch()
  (project / 'model.ckpt.data-00000-of-00001').touch()
  (project / 'empty').mkdir()
  override = 'train_config.fine_tune_checkpoint='
  for form in ('model.ckpt', 'model.ckpt.index', 'model.ckpt.data-00000-of-00001', 'folder',
               'folder/ckpt-3', project / 'model.ckpt', ''):  # fmt: skip
    assert faults(project, f'{override}{form}', checking='train') == []
  assert faults(project, f'{override}empty', checking='train') == [
    f'train_config.fine_tune_checkpoint: the folder {project}/empty holds no checkpoint: expected a'
    ' file ending in .index'
  ]


def test_expansion_of_input_paths(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in ('b.record', 'a.record', 'd@2', 'e[1].record'):
    pathlib.Path(name).touch()
  shards = [f'train-{i:05d}-of-00010' for i in range(10)]
  for name in shards:
    pathlib.Path(name).touch()
  pathlib.Path('folder').mkdir()
  assert expand_input_paths(['b.record', '?.record']) == ['b.record', 'a.record', 'b.record']
  assert expand_input_paths(['train@10']) == shards
  assert expand_input_paths(['train-?????-of-00010']) == shards
  assert expand_input_paths(['train-*-of-00010']) == shards
  assert expand_input_paths(['train-0000[0-4]-of-00010']) == shards[:5]
  assert expand_input_paths(['d@2', 'e[1].record']) == ['d@2', 'e[1].record']
  assert expand_input_paths([str(tmp_path / 'a*')]) == [str(tmp_path / 'a.record')]
  with pytest.raises(InputError, match='no file matches folder: it is a folder, name its files'):
    expand_input_paths(['folder'])
  with pytest.raises(InputError, match='no file matches gone-[?]{5}-of-00002'):
    expand_input_paths(['a.record', 'gone@2'])
  pathlib.Path(shards[3]).unlink()
  for pattern in ('train@10', 'train-?????-of-00010'):
    with pytest.raises(InputError) as caught:
      expand_input_paths([pattern])
    assert str(caught.value) == (
      '1 of 10 shards of train-?????-of-00010 are missing, the first of them 00003-of-00010'
    )


@pytest.mark.parametrize('earlier', ['train-00001-of-00004', 'train'])
def test_shards_of_two_data_sets_of_one_name_are_refused(earlier, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  shards = ['train-00000-of-00002', 'train-00001-of-00002']
  for name in (*shards, earlier, 'train2-00000-of-00001', 'trains'):
    pathlib.Path(name).touch()
  with pytest.raises(InputError, match=rf'train\*.* two data sets .*{earlier}'):
    expand_input_paths(['train*'])
  assert expand_input_paths(['train@2']) == shards
  # Those named one by one are meant.
  assert len(expand_input_paths([*shards, earlier])) == 3
  pathlib.Path(earlier).unlink()
  assert expand_input_paths(['train*']) == [*shards, 'train2-00000-of-00001', 'trains']
