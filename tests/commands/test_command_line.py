"""A tool ends bad input in one line; run in a subprocess, as users meet it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ssd_tf.commands import command_line

TOOL = """
from absl import flags
from ssd_tf.commands import command_line
from ssd_tf.errors import InputError
from ssd_tf.files.failed_writes import open_for_writing
PATH = flags.DEFINE_string('pipeline_config_path', None, 'a path')
def main():
  if PATH.value == 'bad': raise InputError('pipeline.config: expected x, got y')
  if PATH.value == 'bug': raise ValueError('a bug')
  if PATH.value == '/dev/full':
    with open_for_writing(PATH.value) as file: file.write('x' * 100000)
  open(PATH.value).read()
command_line.run(main)
"""


def run(*args):
  return subprocess.run(
    [sys.executable, '-c', TOOL, *args], capture_output=True, text=True, check=False
  )


@pytest.mark.parametrize(
  ('args', 'says'),
  [
    (['--pipeline_config_path=bad'], 'error: pipeline.config: expected x, got y'),
    (['--pipeline_config_path=missing.config'], 'error: missing.config: No such file'),
    (['--pipeline_config_path=/dev/full'], 'error: /dev/full: No space left on device'),
    (['pipeline.config'], "unexpected argument 'pipeline.config'"),
  ],
)
def test_bad_input_is_one_line(args, says):
  done = run(*args)
  assert done.returncode == 2
  assert says in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1


def test_misspelled_flag_gets_a_suggestion():
  done = run('--pipline_config_path=x')
  assert done.returncode != 0
  assert 'pipeline_config_path' in done.stderr
  assert 'Traceback' not in done.stderr


def test_a_fault_of_the_program_keeps_its_traceback():
  done = run('--pipeline_config_path=bug')
  assert done.returncode == 1
  assert 'Traceback' in done.stderr


# Tells when it is at work; answers a first signal as a training does, which writes how it ended.
LONG_TOOL = """
import signal, sys, time
from ssd_tf.commands import command_line
for number, handler in zip((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), sys.argv.pop()):
  signal.signal(number, {'d': signal.SIG_DFL, 'p': signal.default_int_handler,
                         'i': signal.SIG_IGN}[handler])
def main():
  try:
    print('at work', flush=True)
    time.sleep(30)
  finally:
    print('writing', flush=True)
    time.sleep(0.2)
    print('written', flush=True)
command_line.run(main)
"""


def start_long(handlers):
  """With handlers of SIGINT, SIGTERM, SIGHUP: d as a process has them, p Python's, i ignored."""
  process = subprocess.Popen(
    [sys.executable, '-c', LONG_TOOL, handlers],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == 'at work\n'
  return process


@pytest.mark.parametrize(
  ('number', 'code', 'says'),
  [
    (signal.SIGINT, 130, 'interrupted'),
    (signal.SIGTERM, 143, 'interrupted by SIGTERM'),
    (signal.SIGHUP, 129, 'interrupted by SIGHUP'),
  ],
)
def test_a_signal_ends_in_one_line_and_its_exit_code(number, code, says):
  process = start_long('pdd')
  process.send_signal(number)
  output, errors = process.communicate(timeout=20)
  assert (process.returncode, output) == (code, 'writing\nwritten\n')
  assert errors == f'-c: error: {says}\n'


def test_what_nohup_ignores_stays_ignored():
  process = start_long('pdi')
  process.send_signal(signal.SIGHUP)
  time.sleep(0.3)
  assert process.poll() is None
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=20)
  assert process.returncode == 143


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_end_comes_as_an_interrupt(number):
  # By default, also where the tests themselves run under nohup.
  before = {each: signal.signal(each, signal.SIG_DFL) for each in (signal.SIGTERM, signal.SIGHUP)}
  try:
    command_line.interrupt_when_told_to_end()
    with pytest.raises(KeyboardInterrupt):
      os.kill(os.getpid(), number)
    signal.signal(number, signal.SIG_IGN)
    command_line.interrupt_when_told_to_end()
    os.kill(os.getpid(), number)  # As nohup has it: nothing.
  finally:
    for each, handler in before.items():
      signal.signal(each, handler)
