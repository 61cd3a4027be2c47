"""Reads and writes run.json: the command, code, machine and time of every run of a training."""

import json
import os
import pathlib
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any

from absl import logging

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError, signal_of
from ssd_tf.files.atomic_file import write_json
from ssd_tf.files.failed_writes import explain
from ssd_tf.run import machine
from ssd_tf.run.lock import deleted

RUNNING, FINISHED, INTERRUPTED = 'running', 'finished', 'interrupted'


def path(model_dir: str) -> str:
  """Where the file of a training is."""
  return os.path.join(model_dir, 'run.json')


def read(model_dir: str) -> list[dict[str, Any]]:
  """Reads what was recorded each time that a training ran, in the order of time.

  Returns:
    Of each: started (ISO 8601, UTC), seconds (start-up and evaluation included), first_step,
    last_step, num_steps (0: for ever), outcome ('running' also after a kill; 'finished',
    'interrupted', or 'failed: ...'), signal (that interrupted it: 'SIGINT' for Ctrl-C, 'SIGTERM',
    'SIGHUP'; not there otherwise), seed, config_path, command, folder (that it was called from),
    commit (of git; None outside of a repository), is_clean (no tracked file was changed), hardware
    (cpu, cores, memory_gb, gpus), versions. Empty if there is no such file.
  """
  file_path = path(model_dir)
  if not os.path.exists(file_path):
    return []
  with open(file_path, encoding='utf-8') as file:
    try:
      entries = json.load(file)['runs']
      if all(entry['seconds'] >= 0 and entry['outcome'] for entry in entries):
        return entries
      fault = 'seconds and outcome have to be there'
    except (ValueError, KeyError, TypeError) as error:
      fault = error
  raise InputError(f'{file_path}: is no record of a training ({fault}); delete it')


def is_finished(model_dir: str) -> bool:
  """Whether the training in a folder came to its end the last time that it ran."""
  entries = read(model_dir)
  return bool(entries) and entries[-1]['outcome'] == FINISHED


class RunRecord:
  """Keeps an entry of run.json up to date: when entered, when called, and when left.

  Called now and then, so that a killed training has its time and step too.
  """

  def __init__(
    self,
    model_dir: str,
    *,
    began: float,
    step: Callable[[], int],
    pipeline: Pipeline,
    check: Callable[[], None] = lambda: None,
  ):
    """Writes nothing yet.

    Args:
      model_dir: gets run.json; what is in it stays. A damaged one becomes run.json.broken.
      began: the time, as `time.time` gives it.
    """
    self._model_dir, self._began, self._step, self._check = model_dir, began, step, check
    settings = pipeline.config.train_config
    self._entry = {
      'started': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(began)),
      'seconds': 0.0,
      'first_step': 0,
      'last_step': 0,
      'num_steps': settings.num_steps,
      'outcome': RUNNING,
      'seed': settings.seed,
      'config_path': pipeline.path,
      'command': shlex.join(['python', _script(sys.argv[0]), *sys.argv[1:]]),
      'folder': os.getcwd(),
      **machine.code_version(),
      'hardware': machine.hardware(),
      'versions': machine.versions(),
    }

  def __enter__(self):
    """Starts the entry."""
    self._earlier = self._read_earlier()
    self._entry['first_step'] = self._step()
    self._write(is_first=True)
    return self

  def __call__(self, _=None) -> None:
    """Writes how far the training is; called after each part of it."""
    self._write()

  def __exit__(self, kind, error, _):
    """Writes how it ended."""
    if kind is None:
      self._entry['outcome'] = FINISHED
    elif issubclass(kind, KeyboardInterrupt):
      self._entry |= {'outcome': INTERRUPTED, 'signal': signal_of(error).name}
    else:
      fault = explain(error) or (str(error).splitlines() or [kind.__name__])[0]
      self._entry['outcome'] = f'failed: {fault}'
    try:
      self._write()
    except KeyboardInterrupt:  # A second signal; what the first one did is still recorded.
      self._write()
      raise
    except (OSError, InputError) as fault:
      if kind is None:
        raise
      logging.warning('%s could not be written: %s', path(self._model_dir), fault)

  def _write(self, is_first=False):
    # Emptied, a folder still has its lock, which the shell's * passes over.
    self._check()
    if not (is_first or os.path.exists(path(self._model_dir))):
      raise deleted(self._model_dir)
    self._entry['seconds'] = round(time.time() - self._began, 1)
    self._entry['last_step'] = self._step()
    write_json(path(self._model_dir), {'runs': [*self._earlier, self._entry]})

  def _read_earlier(self):
    try:
      return read(self._model_dir)
    except InputError as error:
      file_path = path(self._model_dir)
      os.replace(file_path, f'{file_path}.broken')
      logging.warning('%s. Done: it is %s.broken now, and a new one is begun.', error, file_path)
      return []


def _script(path):
  """The tool as the README has it, tools/x.py, wherever it was called from; others as given."""
  script, root = pathlib.Path(path).resolve(), pathlib.Path(__file__).resolve().parents[2]
  return str(script.relative_to(root)) if script.is_relative_to(root) else path
