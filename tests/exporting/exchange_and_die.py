"""Replaces a folder's content, and kills itself on the way: for test_folder_exchange.py.

  python exchange_and_die.py FOLDER TEXT STEP [cannot_exchange]

Every file gets TEXT. STEP counts the changes of the file system from 0; the process is killed (with
kill -9) just before that one; -1: never.
"""

import os
import pathlib
import signal
import sys

from ssd_tf.exporting import folder_exchange

FILES = (
  'checkpoint/ckpt-0.index',
  'pipeline.config',
  'saved_model/saved_model.pb',
  'saved_model/variables/variables.index',
)
# What changes the file system; the last one stands for renameat2, looked up just before its call.
EVENTS = ('os.mkdir', 'os.rename', 'os.link', 'os.remove', 'os.rmdir', 'ctypes.dlsym')


def die_at(step):
  count = 0

  def watch(event, arguments):
    nonlocal count
    if event in EVENTS or (event == 'open' and arguments[1] == 'w'):
      if count == step:
        os.kill(os.getpid(), signal.SIGKILL)
      count += 1

  sys.addaudithook(watch)


def fill(folder, text):
  for file in FILES:
    path = pathlib.Path(folder, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main(folder, text, step, *cannot_exchange):
  if cannot_exchange:
    folder_exchange._exchange = lambda path, new: False
  die_at(int(step))
  with folder_exchange.replacing(folder) as new:
    fill(new, text)


if __name__ == '__main__':
  main(*sys.argv[1:])
