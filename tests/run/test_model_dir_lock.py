"""One training at a time in a folder."""

import os
import signal
import subprocess
import sys

import pytest

from ssd_tf.errors import InputError
from ssd_tf.run import model_dir_lock

HOLD = """
import sys, time
from ssd_tf.training import model_dir_lock
with model_dir_lock.hold(sys.argv[1]):
  print('held', flush=True)
  time.sleep(60)
"""


def test_a_second_training_is_refused_until_the_first_is_gone(tmp_path):
  folder = str(tmp_path / 'new' / 'run')
  first = subprocess.Popen([sys.executable, '-c', HOLD, folder], stdout=subprocess.PIPE)
  try:
    assert first.stdout.readline() == b'held\n'
    with pytest.raises(InputError) as error, model_dir_lock.hold(folder):
      pass
    assert str(error.value) == (
      f'model_dir: another training is at work in {folder} (process {first.pid} on '
      f'{os.uname().nodename}): wait for it or stop it, or give another --model_dir'
    )
  finally:
    first.send_signal(signal.SIGKILL)
    first.wait()
    first.stdout.close()
  with model_dir_lock.hold(folder):  # Whatever ended it.
    pass


def test_the_folder_of_a_call_is_held_and_let_go(tmp_path):
  @model_dir_lock.one_at_a_time
  def train(config, model_dir, *, fails=False):
    with pytest.raises(InputError, match='another training is at work'):
      train(config, model_dir)
    if fails:
      raise ZeroDivisionError
    return config

  assert train('a', str(tmp_path)) == 'a'
  with pytest.raises(ZeroDivisionError):
    train('b', model_dir=str(tmp_path), fails=True)
  assert train('c', model_dir=str(tmp_path)) == 'c'
