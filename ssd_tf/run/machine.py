"""Describes what a training runs on: code, machine, packages, and the memory that it takes."""

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from typing import Any

_PACKAGES = ('tensorflow', 'keras', 'tf-models-official', 'numpy')


def code_version() -> dict[str, Any]:
  """The commit that this code is of, and whether no tracked file is changed; None, None unknown."""

  def git(*arguments):
    folder = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run(
      ['git', '-C', folder, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()

  try:
    # Installed inside of some other repository, it is not of that one's commit.
    git('ls-files', '--error-unmatch', os.path.basename(__file__))
    commit = git('rev-parse', 'HEAD')
    return {'commit': commit, 'is_clean': not git('status', '--porcelain', '-uno')}
  except (OSError, subprocess.CalledProcessError):
    return {'commit': None, 'is_clean': None}


def hardware() -> dict[str, Any]:
  """The machine: {'cpu': model, 'cores': usable ones, 'memory_gb': in all, 'gpus': models}."""
  import tensorflow as tf

  cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
  memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  gpus = tf.config.list_physical_devices('GPU')
  return {
    'cpu': _cpu_model(),
    'cores': cores,
    'memory_gb': round(memory / 2**30, 1),
    'gpus': [
      tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name) for gpu in gpus
    ],
  }


def versions() -> dict[str, str]:
  """Of Python and of the packages that a training's figures hang on."""
  found = {'python': platform.python_version()}
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      # TensorFlow may be installed under another name, such as tensorflow-cpu.
      if package == 'tensorflow':
        import tensorflow as tf

        found[package] = tf.__version__
  return found


def _cpu_model():
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as file:
      for line in file:
        if line.startswith('model name'):
          return line.partition(':')[2].strip()
  except FileNotFoundError:
    pass  # Not on Linux.
  return platform.processor() or platform.machine()


def peak_memory_mb() -> float:
  """The most memory that this process has held so far, in units of 10^6 bytes."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak / 1e6 if sys.platform == 'darwin' else peak * 1024 / 1e6
