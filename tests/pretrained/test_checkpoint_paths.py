"""What users call a checkpoint, and what is none."""

import os
import pathlib

import pytest

from ssd_tf.config import input_paths
from ssd_tf.errors import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """project/ is the working directory, configs/ has the config; touch(paths) makes files."""
  (tmp_path / 'project').mkdir()
  monkeypatch.chdir(tmp_path / 'project')
  return tmp_path


def touch(*paths):
  for path in map(pathlib.Path, paths):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def find(path, config_path=''):
  return input_paths.find_checkpoint(str(path), config_path)


@pytest.mark.parametrize('ending', ['', '.index', '.meta', '.data-00000-of-00001'])
def test_a_prefix_or_one_of_its_files(folder, ending):
  touch('zoo/model.ckpt.index', 'zoo/model.ckpt.meta', 'zoo/model.ckpt.data-00000-of-00001')
  assert find(f'zoo/model.ckpt{ending}') == 'zoo/model.ckpt'


def test_from_the_working_directory_then_from_the_configs_folder(folder):
  touch('../configs/a/ckpt-0.index', 'b/ckpt-0.index', '../configs/b/ckpt-0.index')
  config = '../configs/pipeline.config'
  assert find('a/ckpt-0', config) == '../configs/a/ckpt-0'
  assert find('a', config) == '../configs/a/ckpt-0'
  assert find('b/ckpt-0', config) == 'b/ckpt-0'


def test_home(folder, monkeypatch):
  monkeypatch.setenv('HOME', str(folder / 'home'))
  touch(folder / 'home/models/ckpt-0.index')
  assert find('~/models/ckpt-0') == str(folder / 'home/models/ckpt-0')
  assert find('~/models') == str(folder / 'home/models/ckpt-0')


def test_a_folder_of_a_model_zoo(folder):
  touch('tf2/checkpoint/ckpt-0.index', 'tf2/checkpoint/checkpoint', 'tf2/pipeline.config')
  touch('tf2/saved_model/saved_model.pb', 'tf2/saved_model/variables/variables.index')
  assert find('tf2') == 'tf2/checkpoint/ckpt-0'
  touch('tf1/model.ckpt.index', 'tf1/checkpoint', 'tf1/frozen_inference_graph.pb')
  assert find('tf1') == 'tf1/model.ckpt'


def test_the_newest_by_the_file_checkpoint_even_if_the_folder_has_moved(folder):
  touch('run/ckpt-9.index', 'run/ckpt-100.index')
  pathlib.Path('run/checkpoint').write_text('model_checkpoint_path: "/elsewhere/run/ckpt-9"\n')
  assert find('run') == 'run/ckpt-9'
  pathlib.Path('run/checkpoint').write_text('model_checkpoint_path: "ckpt-200"\n')  # Deleted.
  assert find('run') == 'run/ckpt-100'


def test_without_that_file_the_greatest_step_not_the_latest_copy(folder):
  touch('run/ckpt-100.index', 'run/ckpt-9.index', 'run/model.ckpt.index')
  os.utime('run/ckpt-9.index', (2e9, 2e9))
  assert find('run') == 'run/ckpt-100'


@pytest.mark.parametrize('name', ['weights.h5', 'weights.hdf5'])
def test_a_file_of_keras(folder, name):
  touch(f'../configs/{name}')
  assert find(name, '../configs/pipeline.config') == f'../configs/{name}'


def test_imagenet_is_no_path(folder):
  assert find('imagenet') == 'imagenet'


def test_a_single_file_may_be_an_old_checkpoint(folder):
  touch('inception.ckpt')
  assert find('inception.ckpt') == 'inception.ckpt'


@pytest.mark.parametrize(
  ('files', 'path', 'message'),
  [
    ([], 'gone/ckpt-0', 'no such file or folder: gone/ckpt-0'),
    (['empty/notes.txt'], 'empty', 'the folder empty holds no checkpoint: expected a file ending'),
    (['m/saved_model.pb', 'm/variables/variables.index'], 'm', 'm is a SavedModel, a finished'),
    (['m/saved_model.pb', 'm/variables/variables.index'], 'm/variables', 'm is a SavedModel'),
    (
      ['m/saved_model.pb', 'm/variables/variables.index'],
      'm/variables/variables',
      'm is a SavedModel, a finished detector, not a checkpoint .*; take the checkpoint that',
    ),
    (['a.keras'], 'a.keras', 'a.keras is a Keras model'),
    (['frozen.pb'], 'frozen.pb', 'frozen.pb is a frozen graph'),
    (['zoo.tar.gz'], 'zoo.tar.gz', r'zoo.tar.gz is an archive to be unpacked \(tar xzf\)'),
    (['m/b.h5', 'm/a.hdf5'], 'm', r'm holds files of weights \(a.hdf5, b.h5\): give one'),
    (['m/ckpt-0.data-00000-of-00001'], 'm/ckpt-0', 'but its .index file is not: copy both'),
    (['m/ckpt-0.data-00000-of-00001'], 'm', 'but its .index file is not: copy both'),
    (
      ['m/ckpt-0.data-00000-of-00001'],
      'm/ckpt-0.data-00000-of-00001',
      'm/ckpt-0.data-00000-of-00001 is there, but its .index file is not: copy both',
    ),
  ],
)
def test_what_is_no_checkpoint_gets_one_line(folder, files, path, message):
  touch(*files)
  with pytest.raises(InputError, match=message) as error:
    find(path)
  assert '\n' not in str(error.value)
