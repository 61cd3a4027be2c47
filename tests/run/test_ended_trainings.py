"""Trainings that a signal, a full disk or a deleted folder ends: by the real command."""

import functools
import os
import resource
import shutil
import signal

import pytest
import small_training
import tensorflow as tf
import tool_processes

from ssd_tf.run import checkpoints, run_json

TRAIN = (
  '--model_dir=model', '--checkpoint_every_n=2', '--checkpoint_max_to_keep=1',
  '--num_train_steps=6',
)  # fmt: skip


@pytest.fixture(scope='module')
def forks():
  return tool_processes.context()


@pytest.fixture
def train(forks, tiny):
  """Returns a function: (what happens after step 4 is saved, *flags) -> (exit code, stderr)."""

  def run(happens=None, *flags):
    prepare = happens and functools.partial(_after_saving, 4, happens)
    process = small_training.start(forks, tiny, *TRAIN, *flags, prepare=prepare)
    process.join(120)
    assert process.exitcode is not None, process.kill()
    return process.exitcode, (tiny / 'stderr.txt').read_text()

  return run


def _after_saving(step, happens):
  save = checkpoints.Manager.save

  def save_then(self, *args, **kwargs):
    path = save(self, *args, **kwargs)
    if path and path.endswith(f'model/ckpt-{step}'):
      happens()
    return path

  checkpoints.Manager.save = save_then


def terminate():
  os.kill(os.getpid(), signal.SIGTERM)


def fill_the_disk():
  resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))


def delete_the_folder():
  shutil.rmtree('model')


def empty_the_folder():
  for name in os.listdir('model'):
    if not name.startswith('.'):
      path = os.path.join('model', name)
      shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def replace_the_folder():
  os.rename('model', 'moved')
  shutil.copytree('moved', 'model')
  with open('model/.training_lock', 'w', encoding='utf-8') as file:
    file.write('1 on another')


def error_of(stderr):
  assert 'Traceback' not in stderr, stderr
  *_, line = stderr.rstrip().splitlines()
  prefix = 'model_main_tf2.py: error: '
  assert line.startswith(prefix), stderr
  return line.removeprefix(prefix)


def last_run(tiny):
  *_, entry = run_json.read(str(tiny / 'model'))
  return entry


def test_sigterm_ends_it_as_ctrl_c_does_and_it_goes_on(tiny, train):
  code, stderr = train(terminate, '--noevaluate')
  assert (code, error_of(stderr)) == (143, 'interrupted by SIGTERM')
  entry = last_run(tiny)
  assert (entry['outcome'], entry['signal'], entry['last_step']) == ('interrupted', 'SIGTERM', 4)
  code, stderr = train(None, '--noevaluate')
  assert code == 0 and 'Going on from model/ckpt-4 (step 4)' in stderr
  assert (last_run(tiny)['outcome'], last_run(tiny)['last_step']) == ('finished', 6)


def test_a_full_disk_is_one_line_and_with_space_it_goes_on(tiny, train):
  code, stderr = train(fill_the_disk)
  message = error_of(stderr)
  assert code == 2
  # Whichever of the files that are written now is the first that is too long.
  assert message.startswith('model/') and ': File too large; ' in message
  assert 'the last good checkpoint is model/ckpt-4: ' in message
  assert last_run(tiny)['outcome'].startswith('failed: model/')
  assert last_run(tiny)['last_step'] <= 6
  assert tf.train.latest_checkpoint(str(tiny / 'model')) == str(tiny / 'model/ckpt-4')
  assert not list((tiny / 'model').rglob('*_temp'))
  code, stderr = train()
  assert code == 0 and 'Going on from model/ckpt-4 (step 4)' in stderr
  assert last_run(tiny)['outcome'] == 'finished'
  assert tf.train.latest_checkpoint(str(tiny / 'model')) == str(tiny / 'model/ckpt-6')


@pytest.mark.parametrize('happens', [delete_the_folder, empty_the_folder, replace_the_folder])
def test_a_folder_that_is_gone_ends_it_and_is_not_made_again(happens, tiny, train):
  code, stderr = train(happens)
  assert code == 2
  assert error_of(stderr).startswith('model_dir: model was deleted, emptied or replaced ')
  if happens is delete_the_folder:
    assert not (tiny / 'model').exists()
  elif happens is empty_the_folder:
    assert list((tiny / 'model').iterdir()) == []
  else:
    assert {path.name for path in (tiny / 'model').iterdir()} == {
      path.name for path in (tiny / 'moved').iterdir()
    }
    assert (tiny / 'model/run.json').read_text() == (tiny / 'moved/run.json').read_text()
