"""run.json: what each time that a training ran leaves there, however it ended."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.errors import InputError, Terminated
from ssd_tf.run import machine, run_json


class _Training:
  """A step that goes up, and the record of it."""

  def __init__(self, model_dir, first_step, seconds=0.0):
    self.step = first_step
    config = PipelineConfig(train_config={'num_steps': 20, 'seed': 3})
    self.record = run_json.RunRecord(
      str(model_dir),
      began=time.time() - seconds,
      step=lambda: self.step,
      pipeline=Pipeline(config, 'a.config'),
    )


def test_runs_add_up_and_say_how_they_ended(tmp_path, monkeypatch):
  monkeypatch.setattr(sys, 'argv', ['tools/model_main_tf2.py', '--model_dir=a b', '--seed=3'])
  assert run_json.read(str(tmp_path)) == []
  assert not run_json.is_finished(str(tmp_path))
  first = _Training(tmp_path, first_step=0, seconds=60)
  first.record.__enter__()
  first.step = 5
  first.record({'loss': 1.0})  # Killed here: nothing is left.
  second = _Training(tmp_path, first_step=4, seconds=30)
  with pytest.raises(KeyboardInterrupt), second.record:
    second.step = 8
    raise KeyboardInterrupt
  third = _Training(tmp_path, first_step=8)
  with pytest.raises(InputError), third.record:
    raise InputError('the loss is not finite\nat step 9')
  assert not run_json.is_finished(str(tmp_path))
  last = _Training(tmp_path, first_step=8)
  with last.record:
    last.step = 20
  entries = run_json.read(str(tmp_path))
  assert [(e['first_step'], e['last_step'], e['outcome']) for e in entries] == [
    (0, 5, 'running'),
    (4, 8, 'interrupted'),
    (8, 8, 'failed: the loss is not finite'),
    (8, 20, 'finished'),
  ]
  assert [round(e['seconds'], -1) for e in entries] == [60, 30, 0, 0]
  assert entries[0]['command'] == "python tools/model_main_tf2.py '--model_dir=a b' --seed=3"
  assert (entries[0]['seed'], entries[0]['num_steps']) == (3, 20)
  assert run_json.is_finished(str(tmp_path))
  assert [path.name for path in tmp_path.iterdir()] == ['run.json']


@pytest.mark.parametrize(
  ('interrupt', 'name'),
  [(KeyboardInterrupt(), 'SIGINT'), (Terminated(signal.SIGTERM), 'SIGTERM')],
)
def test_what_interrupted_it_is_told(interrupt, name, tmp_path):
  training = _Training(tmp_path, first_step=4)
  with pytest.raises(KeyboardInterrupt), training.record:
    training.step = 7
    raise interrupt
  (entry,) = run_json.read(str(tmp_path))
  assert (entry['outcome'], entry['signal'], entry['last_step']) == ('interrupted', name, 7)


def test_a_second_signal_keeps_nothing_from_being_told(tmp_path, monkeypatch):
  training = _Training(tmp_path, first_step=4)
  replace, interrupts = os.replace, []

  def replace_or_be_interrupted(*paths):
    if interrupts:
      raise interrupts.pop()
    replace(*paths)

  monkeypatch.setattr('ssd_tf.files.atomic_file.os.replace', replace_or_be_interrupted)
  with pytest.raises(KeyboardInterrupt), training.record:
    training.step = 7
    interrupts.append(Terminated(signal.SIGTERM))
    raise KeyboardInterrupt
  assert interrupts == []
  (entry,) = run_json.read(str(tmp_path))
  assert (entry['outcome'], entry['signal'], entry['last_step']) == ('interrupted', 'SIGINT', 7)


def test_code_and_machine_are_those_that_commands_tell(tmp_path, monkeypatch):
  module = machine.__file__
  head = subprocess.run(
    ['git', '-C', module.rpartition('/')[0], 'rev-parse', 'HEAD'], capture_output=True, text=True
  )
  version = machine.code_version()
  if head.returncode == 0:
    assert version['commit'] == head.stdout.strip()
    assert isinstance(version['is_clean'], bool)
  copy = tmp_path / 'machine.py'  # Of no repository.
  copy.write_text('')
  monkeypatch.setattr(machine, '__file__', str(copy))
  assert machine.code_version() == {'commit': None, 'is_clean': None}
  hardware = machine.hardware()
  assert hardware['cores'] >= 1 and hardware['memory_gb'] > 0 and hardware['cpu']
  assert machine.versions()['tensorflow'].startswith('2.')
  assert machine.versions()['python'] == '.'.join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize('text', ['{"runs": [', '[]', '{"runs": [{"seconds": 1}]}'])
def test_a_damaged_file_is_named(text, tmp_path):
  (tmp_path / 'run.json').write_text(text)
  with pytest.raises(InputError, match=r'run\.json: is no record of a training .*; delete it'):
    run_json.read(str(tmp_path))


def test_a_damaged_file_is_put_aside_by_a_training(tmp_path, caplog):
  caplog.set_level('WARNING', logger='absl')
  (tmp_path / 'run.json').write_text('{"runs": [')
  with _Training(tmp_path, first_step=4).record:
    pass
  (entry,) = run_json.read(str(tmp_path))
  assert (entry['first_step'], entry['outcome']) == (4, 'finished')
  assert (tmp_path / 'run.json.broken').read_text() == '{"runs": ['
  (message,) = caplog.messages
  assert message.startswith(f'{tmp_path}/run.json: is no record of a training (')
  assert message.endswith(
    f'; delete it. Done: it is {tmp_path}/run.json.broken now, and a new one is begun.'
  )


def test_what_is_there_is_a_list_of_runs(tmp_path):
  with _Training(tmp_path, first_step=0).record:
    pass
  assert list(json.loads((tmp_path / 'run.json').read_text())) == ['runs']


def test_the_command_names_the_tool_and_no_folder_of_the_machine(tmp_path, monkeypatch):
  tool = pathlib.Path(machine.__file__).parents[2] / 'tools/model_main_tf2.py'
  monkeypatch.setattr(sys, 'argv', [str(tool), '--seed=3'])
  with _Training(tmp_path, first_step=0).record:
    pass
  (entry,) = run_json.read(str(tmp_path))
  assert entry['command'] == 'python tools/model_main_tf2.py --seed=3'
