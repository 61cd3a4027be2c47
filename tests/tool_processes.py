"""Tools in processes that begin with TensorFlow imported, which spares seconds for each."""

import functools
import multiprocessing
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
SSD_TF = 'ssd-tf'  # Instead of a tool: the command.


@functools.cache
def context():
  """What the processes are forked from."""
  forks = multiprocessing.get_context('forkserver')
  forks.set_forkserver_preload(
    ['ssd_tf.run.train', 'ssd_tf.exporting.exporter', 'ssd_tf.inference.picture_folder']
  )
  return forks


def start(forks, folder, tool, flags, prepare=None, logs=None):
  """Starts a tool in a folder, which gets stdout.txt and stderr.txt; logs: another folder for them.

  `prepare`, a function of a module, is called first, in the new process.
  """
  process = forks.Process(target=_main, args=(folder, tool, flags, prepare, logs or folder))
  process.start()
  return process


def run(folder, tool, *flags):
  """Runs a tool in a folder to its end; as subprocess.run, with its stdout and stderr."""
  with tempfile.TemporaryDirectory() as logs:
    process = start(context(), folder, tool, flags, logs=logs)
    process.join(300)
    if process.is_alive():
      process.kill()
      process.join()
    stdout, stderr = (pathlib.Path(logs, name).read_text() for name in ('stdout.txt', 'stderr.txt'))
    return subprocess.CompletedProcess([tool, *flags], process.exitcode, stdout, stderr)


def call(function, *args):
  """Calls a function of a module, with TensorFlow imported but not at work yet; has to succeed."""
  process = context().Process(target=function, args=args)
  process.start()
  process.join(300)
  exitcode = process.exitcode
  process.kill()
  assert exitcode == 0, f'{function.__name__}: {exitcode}'


def _main(folder, tool, flags, prepare, logs):
  os.chdir(folder)
  # What runs the tests may ignore them, as a shell's background does.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  signal.signal(signal.SIGHUP, signal.SIG_DFL)
  os.environ['CUDA_VISIBLE_DEVICES'] = ''
  for descriptor, name in ((1, 'stdout.txt'), (2, 'stderr.txt')):
    path = os.path.join(logs, name)
    os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), descriptor)
  sys.argv = [tool if tool == SSD_TF else str(ROOT / 'tools' / tool), *flags]
  if prepare:
    prepare()
  if tool == SSD_TF:
    runpy.run_module('ssd_tf', run_name='__main__')
  else:
    runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
