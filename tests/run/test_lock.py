"""One training at a time in a folder."""

import os
import signal
import subprocess
import sys

import pytest

from ssd_tf.errors import InputError
from ssd_tf.run import lock

HOLD = """
import sys, time
from ssd_tf.run import lock
with lock.hold(sys.argv[1]):
  print('held', flush=True)
  time.sleep(60)
"""


def test_a_second_training_is_refused_until_the_first_is_gone(tmp_path):
  folder = str(tmp_path / 'new' / 'run')
  first = subprocess.Popen([sys.executable, '-c', HOLD, folder], stdout=subprocess.PIPE)
  try:
    assert first.stdout.readline() == b'held\n'
    with pytest.raises(InputError) as error, lock.hold(folder):
      pass
    assert str(error.value) == (
      f'model_dir: another training is at work in {folder} (process {first.pid} on '
      f'{os.uname().nodename}): wait for it or stop it, or give another --model_dir'
    )
  finally:
    first.send_signal(signal.SIGKILL)
    first.wait()
    first.stdout.close()
  with lock.hold(folder):  # Whatever ended it.
    pass


def test_it_is_let_go_after_an_error(tmp_path):
  with pytest.raises(ZeroDivisionError), lock.hold(str(tmp_path)) as check:
    check()
    raise ZeroDivisionError
  with lock.hold(str(tmp_path)):
    pass


def test_a_folder_that_was_replaced_is_seen(tmp_path):
  folder = tmp_path / 'run'
  with lock.hold(str(folder)) as check:
    check()
    (folder / '.training_lock').write_text('1 on another')
    with pytest.raises(InputError, match='was deleted, emptied or replaced while the training ran'):
      check()
