"""Tools in processes that begin with TensorFlow imported, which spares seconds for each."""

import multiprocessing
import os
import pathlib
import runpy
import sys

ROOT = pathlib.Path(__file__).parents[1]


def context():
  """What the processes are forked from."""
  forks = multiprocessing.get_context('forkserver')
  forks.set_forkserver_preload(
    ['ssd_tf.run.run', 'ssd_tf.export.exporter', 'ssd_tf.inference.picture_folder']
  )
  return forks


def start(forks, folder, tool, flags, prepare=None):
  """Starts a tool in a folder, which gets stdout.txt and stderr.txt.

  `prepare`, a function of a module, is called first, in the new process.
  """
  process = forks.Process(target=_main, args=(folder, tool, flags, prepare))
  process.start()
  return process


def _main(folder, tool, flags, prepare):
  os.chdir(folder)
  for descriptor, name in ((1, 'stdout.txt'), (2, 'stderr.txt')):
    os.dup2(os.open(name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), descriptor)
  sys.argv = [tool, *flags]
  if prepare:
    prepare()
  runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
