"""The wheel: built, installed into an environment of its own, and used from another folder."""

import os
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def call(command, folder):
  """Runs a command outside of the repository; returns what it prints."""
  environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
  done = subprocess.run(
    [str(part) for part in command],
    cwd=folder,
    env={**environment, 'CUDA_VISIBLE_DEVICES': ''},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout
  return done.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  folder = tmp_path_factory.mktemp('wheel')
  source = folder / 'source'
  shutil.copytree(ROOT / 'ssd_tf', source / 'ssd_tf', ignore=shutil.ignore_patterns('__pycache__'))
  for name in ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source)
  pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check')
  options = ('--no-deps', '--no-index', '--no-build-isolation')
  call([*pip, 'wheel', *options, '--wheel-dir', folder, source], folder)
  [path] = folder.glob('*.whl')
  return path


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory):
  """The interpreter of an environment with the wheel, which borrows what the wheel requires."""
  folder = tmp_path_factory.mktemp('environment')
  venv.create(folder, symlinks=True)
  [packages] = folder.glob('lib/python*/site-packages')
  # As a path alone: an editable ssd_tf there is none here.
  borrowed = [path for path in sys.path if path.endswith('-packages')]
  (packages / 'borrowed.pth').write_text('\n'.join(borrowed))
  pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check')
  interpreter = folder / 'bin/python'
  call([*pip, '--python', interpreter, 'install', '--no-deps', '--no-index', wheel], folder)
  return interpreter


def test_it_holds_the_package_alone(wheel):
  names = zipfile.ZipFile(wheel).namelist()
  assert {name.split('/')[0].split('-')[0] for name in names} == {'ssd_tf'}
  modules = {str(path.relative_to(ROOT)) for path in (ROOT / 'ssd_tf').rglob('*.py')}
  assert {name for name in names if name.endswith('.py')} == modules
  assert 'ssd_tf/py.typed' in names  # Without it, type checkers do not look into the package.


def test_it_holds_the_starter_weights_and_their_license(wheel):
  names = zipfile.ZipFile(wheel).namelist()
  folder = 'ssd_tf/pretrained/starters/ssd_mobilenet_v1_0.75_coco/'
  assert {name for name in names if name.startswith(folder)} == {
    f'{folder}{name}' for name in ('detect.tflite', 'label_map.pbtxt', 'NOTICE')
  }
  assert any(name.endswith('/LICENSE') for name in names)


def test_it_trains_from_another_folder(python, tiny):
  where = call([python, '-c', 'import ssd_tf; print(ssd_tf.__file__, ssd_tf.__version__)'], tiny)
  path, version = where.split()
  assert pathlib.Path(path).is_relative_to(python.parents[1])
  assert f"'{version}'" in (ROOT / 'ssd_tf/__init__.py').read_text()
  shutil.copy(ROOT / 'tools/model_main_tf2.py', tiny / 'train.py')
  flags = ('--pipeline_config_path=tiny.config', '--model_dir=model', '--noevaluate')
  output = call([python, 'train.py', *flags, '--num_train_steps=1', '--log_every_n=1'], tiny)
  assert 'Step 1 per-step time' in output
  assert (tiny / 'model/ckpt-1.index').exists()
