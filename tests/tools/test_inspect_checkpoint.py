"""What the tool prints, and its one line for what is no checkpoint."""

import pathlib
import re
import subprocess
import sys

import pytest
import tiny_project
import tool_processes

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.run.checkpoint_inspection import inspect
from ssd_tf.run.fine_tuning import load_fine_tune_checkpoint

ROOT = pathlib.Path(__file__).parents[2]
MODEL = (
  'mobilenet_v1, depth_multiplier 0.25, 3 feature maps with [3, 4, 4] anchors per location, '
  '3 classes'
)


def run(folder, *flags):
  return tool_processes.run(folder, 'inspect_checkpoint.py', *flags)


@pytest.fixture
def project(tiny):
  tiny_project.write_checkpoint(tiny)
  return tiny


def test_our_own_checkpoint(project):
  lines = list(inspect(str(project / 'model')))
  assert lines == [
    f'checkpoint  {project}/model/ckpt-0',
    'written by  ssd_tf, a training',
    f'model       {MODEL}',
    'step        0; times saved: 1',
    # 27 + 2 convolutions, each a kernel, gamma and beta; 6 heads, each a kernel and a bias.
    'optimizer   momentum of 99 variables',
    lines[5],
  ]
  assert lines[5].startswith('variables   157 with ') and lines[5].endswith(' others')


def test_with_a_config_it_says_what_would_load(project):
  path = str(project / 'tiny.config')
  lines = list(inspect(str(project / 'model'), path))
  assert f'with {path}: 157 variables loaded, 0 skipped, 0 missing' in lines[-1]
  lines = list(
    inspect(
      str(project / 'model/ckpt-0.index'),
      path,
      overrides=('train_config.fine_tune_checkpoint_type=classification',),
      show_variables=True,
    )
  )
  assert f'with {path}: 135 variables loaded' in lines[-1]
  assert '  model/class_head_0/bias/.ATTRIBUTES/VARIABLE_VALUE [12]' in lines


def test_another_model_is_one_line(project):
  done = run(
    project, '--checkpoint=model', '--pipeline_config_path=tiny.config',
    '--config_override=model.ssd.feature_extractor.depth_multiplier=0.5',
  )  # fmt: skip
  line = done.stderr.splitlines()[-1]
  assert done.returncode != 0 and 'Traceback' not in done.stderr
  assert line.startswith('inspect_checkpoint.py: error: ')
  assert 'of the backbone loads, expected at least 95%' in line
  assert f'The checkpoint (ssd_tf) has {MODEL}; the model has mobilenet_v1, depth_mult' in line
  assert 'depth_multiplier 0.5' in line


def spoil_cut(folder):
  data = folder / 'model/ckpt-0.data-00000-of-00001'
  data.write_bytes(data.read_bytes()[:-1000])


def spoil_damaged(folder):
  data = folder / 'model/ckpt-0.data-00000-of-00001'
  content = bytearray(data.read_bytes())
  content[len(content) // 2] ^= 1
  data.write_bytes(bytes(content))


def spoil_values(folder):
  (folder / 'model/ckpt-0.data-00000-of-00001').unlink()


def spoil_index(folder):
  (folder / 'model/ckpt-0.index').unlink()


def spoil_all(folder):
  for path in (folder / 'model').iterdir():
    path.unlink()


def spoil_saved_model(folder):
  spoil_all(folder)
  (folder / 'model/saved_model.pb').touch()


def spoil_text(folder):
  for name in ('ckpt-0.index', 'ckpt-0.data-00000-of-00001'):
    (folder / 'model' / name).write_text('not a checkpoint')


@pytest.mark.parametrize(
  ('spoil', 'message'),
  [
    (spoil_cut, 'cut short'),
    (spoil_damaged, 'is damaged or cut short at '),
    (spoil_values, '0 of 1 files of values are there'),
    (spoil_index, 'but its .index file is not: copy both'),
    (spoil_all, 'holds no checkpoint: expected a file ending in .index'),
    (spoil_saved_model, 'is a SavedModel, a finished detector'),
    (spoil_text, 'cannot be read as a checkpoint'),
  ],
)
def test_what_is_no_checkpoint_is_one_line(spoil, message, project):
  spoil(project)
  with pytest.raises(InputError, match=message) as error:
    list(inspect(str(project / 'model')))
  assert '\n' not in str(error.value)


def test_training_says_the_same(project):
  spoil_cut(project)
  loaded = Pipeline.load(
    project / 'tiny.config', ['train_config.fine_tune_checkpoint=model', 'train_config.seed=1']
  ).config
  model = builders.build_model(loaded.model, is_training=True)
  with pytest.raises(InputError, match='cut short'):
    load_fine_tune_checkpoint(Pipeline(loaded, str(project / 'tiny.config')), model)


CLASS_MAP = """
from ssd_tf.commands.flag_values import class_mappings
from ssd_tf.config.pipeline import Pipeline
text = class_mappings(['a=b, c = it\\'s "d"', '7=1'])
override = f'train_config.fine_tune_class_map={text}'
loaded = Pipeline.load('tests/testdata/tiny.config', [override]).config
print([(m.name, m.to) for m in loaded.train_config.fine_tune_class_map])
"""


def test_the_class_map_flag_of_training():
  done = subprocess.run(
    [sys.executable, '-c', CLASS_MAP], cwd=ROOT, capture_output=True, text=True, check=False
  )
  expected = [('a', 'b'), ('c', 'it\'s "d"'), ('7', '1')]
  assert done.stdout == f'{expected}\n', done.stderr


@pytest.mark.parametrize('value', ['a', 'a=', '=b', 'a=b,'])
def test_a_class_map_flag_at_fault(value, tiny, run_tool):
  code, output = run_tool(
    tiny, 'model_main_tf2.py', '--pipeline_config_path=tiny.config', '--model_dir=run',
    f'--class_map={value}',
  )  # fmt: skip
  assert code != 0
  assert re.search(r'error: --class_map: .*: expected old=new', output.splitlines()[-1])
