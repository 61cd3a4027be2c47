"""A lock that one holds at a time, and that ends with its process."""

import os
import signal
import subprocess
import sys

import pytest

from ssd_tf.errors import InputError
from ssd_tf.files import file_lock

HOLD = """
import sys, time
from ssd_tf.files import file_lock
with file_lock.hold(sys.argv[1], 'busy', 'go away'):
  print('held', flush=True)
  time.sleep(60)
"""


def test_a_second_holder_is_refused_until_the_first_is_killed(tmp_path):
  path = str(tmp_path / 'lock')
  first = subprocess.Popen([sys.executable, '-c', HOLD, path], stdout=subprocess.PIPE)
  try:
    assert first.stdout.readline() == b'held\n'
    with pytest.raises(InputError) as error, file_lock.hold(path, 'busy', 'go away'):
      pass
    assert str(error.value).startswith(f'busy (process {first.pid} on {os.uname().nodename})')
  finally:
    first.send_signal(signal.SIGKILL)
    first.wait()
    first.stdout.close()
  assert os.path.exists(path)  # What a killed process leaves does not block.
  with file_lock.hold(path, 'busy', 'go away'):
    pass
  assert not os.path.exists(path)


def test_it_is_let_go_after_an_error_and_holds_within_one_process(tmp_path):
  path = str(tmp_path / 'lock')
  with pytest.raises(ZeroDivisionError), file_lock.hold(path, 'busy', 'go away'):
    with pytest.raises(InputError), file_lock.hold(path, 'busy', 'go away'):
      pass
    raise ZeroDivisionError


def test_what_lies_there_after_the_folder_was_deleted_is_left(tmp_path):
  path = tmp_path / 'lock'
  with file_lock.hold(str(path), 'busy', 'go away'):
    assert file_lock.is_held(str(path))
    path.unlink()
    assert not file_lock.is_held(str(path))
    path.write_text('of another process')
    assert not file_lock.is_held(str(path))
  assert path.read_text() == 'of another process'
