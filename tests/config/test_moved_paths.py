"""A config in a model_dir or an export names the same files as the one that was given."""

import pytest

from ssd_tf.config.input_paths import resolve_path, seen_from
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.run.evaluation_conditions import differences

CONFIG = """
train_config {
  fine_tune_checkpoint: "start/ckpt-3"
  fine_tune_label_map_path: "gone.pbtxt"
}
train_input_reader {
  label_map_path: "names.pbtxt"
  tf_record_input_reader { input_path: ["data/train.record@2", "data/more*.record"] }
}
eval_input_reader {
  label_map_path: "/absolute/names.pbtxt"
  tf_record_input_reader { input_path: "data/val.record" }
}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
  """The working directory: names.pbtxt beside the config in configs; all else as from here."""
  for name in (
    *('data/train.record-00000-of-00002', 'data/train.record-00001-of-00002', 'data/more 1.record'),
    *('data/val.record', 'start/ckpt-3.index', 'configs/names.pbtxt', 'runs/mine/notes.txt'),
  ):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
  (tmp_path / 'configs/ssd.config').write_text(CONFIG)
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_what_is_there_is_named_from_the_other_folder(project):
  pipeline = Pipeline.load('configs/ssd.config')
  moved = pipeline.moved_to('runs/mine')
  assert moved.path == 'runs/mine/pipeline.config'
  config = moved.config
  assert config.train_config.fine_tune_checkpoint == '../../start/ckpt-3'
  # It is not there: from the working directory, as the first place that is looked in.
  assert config.train_config.fine_tune_label_map_path == '../../gone.pbtxt'
  reader = config.train_input_reader[0]
  assert reader.label_map_path == '../../configs/names.pbtxt'
  paths = ['../../data/train.record@2', '../../data/more*.record']
  assert list(reader.tf_record_input_reader.input_path) == paths
  assert config.eval_input_reader[0].label_map_path == '/absolute/names.pbtxt'
  assert pipeline.config.train_config.fine_tune_checkpoint == 'start/ckpt-3'  # As it was.
  assert moved.moved_to('runs/mine').config == config
  assert moved.moved_to('configs').moved_to('runs/mine').config == config


@pytest.mark.parametrize('path', ['imagenet', 'starter:x', 'zoo:x', '~/ckpt-1', '/a/ckpt-1', ''])
def test_what_is_no_relative_path_stays(path):
  assert seen_from('runs/mine', path, 'configs/ssd.config') == path


def test_the_copy_resolves_from_anywhere_also_through_a_link_and_after_a_move(
  project, monkeypatch, tmp_path_factory
):
  Pipeline.load('configs/ssd.config').moved_to('runs/mine').save('runs/mine')
  elsewhere = tmp_path_factory.mktemp('elsewhere')
  (elsewhere / 'link').symlink_to(project / 'runs/mine')
  monkeypatch.chdir(elsewhere)
  for folder in (project / 'runs/mine', elsewhere / 'link'):
    pipeline = Pipeline.load(folder)
    files = pipeline.input_files(
      pipeline.config.train_input_reader[0].tf_record_input_reader.input_path
    )
    assert [path.rpartition('/')[2] for path in files] == [
      *('train.record-00000-of-00002', 'train.record-00001-of-00002', 'more 1.record')
    ]
    assert pipeline.find_checkpoint(pipeline.config.train_config.fine_tune_checkpoint)
  project.rename(project.with_name('moved'))
  pipeline = Pipeline.load(project.with_name('moved') / 'runs/mine')
  assert pipeline.resolve(pipeline.config.train_input_reader[0].label_map_path)


def test_a_path_with_a_dot_is_looked_for_beside_the_config_first(project):
  (project / 'runs/names.pbtxt').touch()
  (project / 'names.pbtxt').touch()
  assert resolve_path('./names.pbtxt', 'runs/x.config') == 'runs/./names.pbtxt'
  assert resolve_path('names.pbtxt', 'runs/x.config') == 'names.pbtxt'
  assert resolve_path('./data/val.record', 'runs/x.config') == './data/val.record'
  assert seen_from('runs', 'runs/names.pbtxt') == './names.pbtxt'
  with pytest.raises(InputError, match='no such file'):
    resolve_path('../gone', 'runs/x.config')


@pytest.mark.parametrize(
  ('first', 'second', 'found'),
  [
    ('data/val.record', '../../data/val.record', ''),
    ('val.record', '../../data/val.record', ''),
    ('a.record, data/b.record', './a.record, ../data/b.record', ''),
    ('data/val.record', 'other/val.record', 'split'),
    ('val.record', '../../data/eval.record', 'split'),
    ('a.record, b.record', 'a.record', 'split'),
  ],
)
def test_evaluations_by_either_config_are_of_the_same_data(first, second, found):
  assert differences({'split': first}, {'split': second}) == found
  assert differences({'split': second}, {'split': first}) == found
