"""Sweep files: what they may hold, and the order, failures and resumption of their trainings."""

import json
import os
import pathlib
import signal
import sys
import threading
import time

import experiment_folder as folder
import pytest

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.experiments import logged_command, sweep, sweep_job, sweep_run

ROOT = pathlib.Path(__file__).parents[2]
# In place of a training: fails at batch size 3; else leaves a folder whose mAP is batch size / 100,
# and a checkpoint. Without TensorFlow, so that it takes no time.
STUB = """
import json, os, sys, time
from ssd_tf.config.pipeline import Pipeline
flags = [argument.split('=', 1) for argument in sys.argv[1:]]
one = dict(flags)
overrides = [value for name, value in flags if name == '--config_override']
overrides.append(f"train_config.seed={one['--seed']}")
loaded = Pipeline.load(one['--pipeline_config_path'], overrides)
settings, folder = loaded.config.train_config, one['--model_dir']
if '--checkpoint_dir' in one:
  os.makedirs(f'{folder}/eval', exist_ok=True)
  with open(f'{folder}/eval/metrics.jsonl', 'a') as file:
    step = int(one['--checkpoint_dir'].partition('-')[2])
    (split,) = loaded.config.eval_input_reader[0].tf_record_input_reader.input_path
    file.write(json.dumps({'step': step, 'metrics': {'mAP': 0.5}, 'split': split}) + '\\n')
  with open('calls.txt', 'a') as file:
    file.write(f"tested {one['--checkpoint_dir']}\\n")
  sys.exit()
loaded.save(folder)
with open('calls.txt', 'a') as file:
  file.write(f"{folder} {settings.batch_size} {settings.fine_tune_checkpoint}\\n")
if settings.batch_size == 5:
  time.sleep(60)
if settings.batch_size == 3:
  print('ValueError: planted')
  print('bye')
  sys.exit(3)
os.makedirs(f'{folder}/eval')
with open(f'{folder}/eval/metrics.jsonl', 'w') as file:
  metrics = {'DetectionBoxes_Precision/mAP': settings.batch_size / 100}
  file.write(json.dumps({'step': 8, 'metrics': metrics, 'split': 'v'}))
with open(f'{folder}/run.json', 'w') as file:
  entry = dict(started='2026-03-01', seconds=120, last_step=8, outcome='finished')
  entry['config_path'] = 'tiny.config'
  file.write(json.dumps({'runs': [entry]}))
open(f'{folder}/ckpt-8.index', 'w').close()
"""


@pytest.fixture
def write(tiny, monkeypatch):
  """Returns a function that writes sweep.json of experiments, in the folder of the tiny project."""
  monkeypatch.chdir(tiny)
  (tiny / 'stub.py').write_text(STUB)

  def write_sweep(*experiments, **rest):
    content = {'config': 'tiny.config', 'experiments': experiments, **rest}
    (tiny / 'sweep.json').write_text(json.dumps(content))
    return 'sweep.json'

  return write_sweep


def batch(size):
  return f'train_config.batch_size={size}'


def run(path):
  """Runs a sweep with the stub; returns (failures, what was said)."""
  said = []
  faults = sweep_run.run_sweep(sweep.load(path), 'out', [sys.executable, 'stub.py'], said.append)
  return faults, said


def calls():
  return pathlib.Path('calls.txt').read_text().splitlines()


def test_like_adds_to_what_is_above_and_seeds_and_flags_come_from_the_top(write):
  path = write(
    {'id': '01', 'overrides': [batch(1)], 'flags': {'log_every_n': 2}},
    {'id': '02', 'like': '01', 'overrides': [batch(2)], 'seeds': [7]},
    {'id': '03', 'name': 'three', 'from': '01'},
    overrides=['train_config.num_steps=5'],
    flags={'checkpoint_every_n': 4},
    seeds=[0, 1],
  )
  first, second, third = sweep.load(path).experiments
  assert first.overrides == ['train_config.num_steps=5', batch(1)]
  assert second.overrides == ['train_config.num_steps=5', batch(1), batch(2)]
  assert third.overrides == ['train_config.num_steps=5']
  assert first.flags == second.flags == {'checkpoint_every_n': 4, 'log_every_n': 2}
  assert (first.seeds, second.seeds, third.source) == ([0, 1], [7], '01')
  assert third.about == {'id': '03', 'name': 'three', 'purpose': '', 'analysis': '', 'notes': ''}


@pytest.mark.parametrize(
  ('experiments', 'rest', 'fault'),
  [
    ([], {}, 'sweep.json: experiments: is missing'),
    (
      [{'id': '1', 'override': []}],
      {},
      'sweep.json: experiments[0]: unknown name "override": did you mean "overrides"?',
    ),
    (
      [{'id': '1', 'overrides': 'a=1'}],
      {},
      'sweep.json: experiments[0]: overrides: expected a list [...], received "a=1"',
    ),
    (
      [{'id': '1'}, {'id': '1'}],
      {},
      "sweep.json: experiments[1], 1: id: '1' occurs twice",
    ),
    (
      [{'id': '1', 'like': '2'}, {'id': '2'}],
      {},
      "sweep.json: experiments[0], 1: like: is '2': expected one of those above it: there is none",
    ),
    (
      [{'id': '1'}, {'id': '2', 'from': '3'}],
      {},
      "sweep.json: experiments[1], 2: from: is '3': expected one of those above it: 1, best",
    ),
    (
      [{'id': '1', 'seeds': [0]}, {'id': '2', 'from': '1', 'seeds': [0, 4]}],
      {},
      'sweep.json: experiments[1], 2: from: 1 has no seed 4: give both the same seeds',
    ),
    (
      [{'id': 'a/b'}],
      {},
      "sweep.json: experiments[0]: id: is 'a/b': expected letters, digits, _ . + -, and not "
      "'best'; it becomes the name of a folder",
    ),
    (
      [{'id': '1'}],
      {'flags': {'model_dir': 1}},
      "sweep.json: flags: 'model_dir': expected one of checkpoint_every_n, checkpoint_max_to_keep, "
      'log_every_n, num_logical_cpus, sample_1_of_n_eval_examples',
    ),
    (
      [{'id': '1'}],
      {'seeds': [1, 1]},
      'sweep.json: seeds: expected different whole numbers, received [1, 1]',
    ),
    (
      [{'id': '1'}],
      {'config': 'gone.config'},
      'sweep.json: config: no such file or folder: gone.config; is it misspelled?',
    ),
  ],
)
def test_what_is_wrong_in_a_file_is_told(experiments, rest, fault, write):
  with pytest.raises(InputError) as error:
    sweep.load(write(*experiments, **rest))
  assert str(error.value) == fault


def test_a_file_that_is_no_json_is_told_by_line_and_column(tiny, monkeypatch):
  monkeypatch.chdir(tiny)
  (tiny / 'sweep.json').write_text('{\n  "config": }')
  with pytest.raises(InputError, match=r'^sweep\.json: broken JSON: .*line 2 column 13'):
    sweep.load('sweep.json')


@pytest.mark.parametrize(
  ('content', 'fault'),
  [
    (b'{"config": "caf\xe9"}', r'^sweep\.json:1: expected UTF-8 text, found byte 0xe9'),
    (b'[' * 100_000, r'^sweep\.json: .* nested too deeply'),
    (b'{"seeds": [1' + b'0' * 5000 + b']}', r'^sweep\.json: broken JSON'),
    (b'{"seeds": [1], "seeds": [2]}', r"^sweep\.json: .*'seeds' occurs twice"),
    (b'{"config": "tiny.config", "experiments": [{"id": ".."}]}', r"id: is '\.\.'"),
  ],
)
def test_what_json_alone_lets_through_is_told(content, fault, tiny, monkeypatch):
  monkeypatch.chdir(tiny)
  (tiny / 'sweep.json').write_bytes(content)
  with pytest.raises(InputError, match=fault):
    sweep.load('sweep.json')


def test_every_bad_override_is_told_before_anything_runs(write):
  path = write(
    {'id': '01', 'overrides': [batch(2)]},
    {'id': '02', 'overrides': ['train_config.batch_sise=3']},
    {'id': '03', 'overrides': ['train_config.num_steps=0'], 'from': '01'},
  )
  with pytest.raises(InputError) as error:
    run(path)
  assert str(error.value).splitlines() == [
    'sweep.json: experiment 02: override \'train_config.batch_sise=3\': unknown field "batch_sise" '
    'in TrainConfig: did you mean "batch_size"?',
    'sweep.json: experiment 03: train_config.num_steps: is 0, without end; set it',
  ]
  assert not os.path.exists('out')


def test_others_run_when_one_fails_and_what_is_done_is_not_run_again(write):
  """mAP is batch size / 100: the best above 04 is 02, of 2 seeds; 03 fails, and 05, from it."""
  experiments = [
    {'id': '01', 'overrides': [batch(6)], 'name': 'one'},
    {'id': '02', 'overrides': [batch(8)]},
    {'id': '03', 'overrides': [batch(3)], 'seeds': [1]},
    {'id': '04', 'overrides': [batch(1)], 'from': 'best', 'seeds': [0]},
    {'id': '05', 'from': '03', 'seeds': [1]},
  ]
  failures, said = run(write(*experiments, seeds=[0, 1]))
  planted = 'ValueError: planted (exit code 3; out/03_seed1/train.log)'
  blocked = 'not run: 03 seed 1, which it starts from, failed'
  assert failures == [f'03 seed 1: {planted}', f'05 seed 1: {blocked}']
  assert calls() == [
    *('out/01_seed0 6 ', 'out/01_seed1 6 ', 'out/02_seed0 8 ', 'out/02_seed1 8 '),
    *('out/03_seed1 3 ', 'out/04_seed0 1 out/02_seed0/ckpt-8'),
  ]
  assert said[:3] == [
    '[1/7] 01 seed 0: one',
    '[1/7] 01 seed 0: best DetectionBoxes_Precision/mAP 0.060 at step 8, 2.0 min',
    '[2/7] 01 seed 1: one; about 12 min left for 6, by the mean of 1 finished',
  ]
  assert said[-3:] == [
    f'[7/7] 05 seed 1: failed: {blocked}',
    'wrote out/experiments.md',
    'wrote out/experiments.csv',
  ]
  table = pathlib.Path('out/experiments.md').read_text()
  # 8 steps of 6 of 10 images: 4.8 epochs.
  assert '| 01 | 2026-03-01, 2.0 + 2.0 min | one | 4.8 | - | 0.060 ± 0.000/4.8 |  |  |  |' in table
  assert f'- Failed: 03 seed 1: {planted}\n- Failed: 05 seed 1: {blocked}\n' in table

  os.remove('calls.txt')
  experiments[0]['analysis'] = 'little'  # Only for the table.
  experiments[2]['overrides'] = [batch(2)]
  with pytest.raises(InputError, match='^sweep.json: experiment 03: out/03_seed1: holds a train'):
    run(write(*experiments, seeds=[0, 1]))
  os.remove('out/03_seed1/pipeline.config')
  failures, said = run(write(*experiments, seeds=[0, 1]))
  assert failures == []
  assert calls() == ['out/03_seed1 2 ', 'out/05_seed1 4 out/03_seed1/ckpt-8']
  assert said[0] == (
    '[1/7] 01 seed 0: done before: best DetectionBoxes_Precision/mAP 0.060 at step 8, 2.0 min'
  )
  assert '| little |' in pathlib.Path('out/experiments.md').read_text()


def test_a_training_is_prepared_once_and_tested(write, tiny):
  (tiny / 'fill.py').write_text(
    'import shutil, sys\nassert open(f"{sys.argv[1]}/pipeline.config")\n'
    'shutil.copy("train.record", sys.argv[2])\nopen("calls.txt", "a").write("filled\\n")\n'
  )
  path = 'tf_record_input_reader.input_path'
  filled = '{output_dir}/filled_seed{seed}.record'
  file = write(
    {'id': '01', 'overrides': [batch(6)]},
    {
      'id': '02',
      'overrides': [batch(2), f'train_input_reader.{path}={filled}'],
      'prepare': ['fill.py', '{output_dir}/01_seed{seed}', filled],
    },
    seeds=[4],
    test=[f'eval_input_reader.{path}=train.record'],
  )
  assert run(file)[0] == []
  assert calls() == [
    *('out/01_seed4 6 ', 'tested out/01_seed4/ckpt-8', 'filled', 'out/02_seed4 2 '),
    'tested out/02_seed4/ckpt-8',
  ]
  assert (
    '"split": "train.record"' in pathlib.Path('out/02_seed4/test/eval/metrics.jsonl').read_text()
  )
  os.remove('out/01_seed4/test/eval/metrics.jsonl')  # As if it had been stopped before.
  os.remove('calls.txt')
  _, said = run(file)
  assert calls() == ['tested out/01_seed4/ckpt-8']
  assert said[2].startswith('[2/2] 02 seed 4: done before')


def test_what_starts_from_another_has_its_classes(write):
  mapped = ['train_config.fine_tune_class_map=[{name: "a" to: "b"}]']
  path = write(
    {'id': '01', 'overrides': [batch(6)]}, {'id': '02', 'from': '01', 'overrides': mapped}
  )
  failures, _ = run(path)
  assert failures == []
  trained = Pipeline.load('out/02_seed0/pipeline.config').config.train_config
  assert trained.fine_tune_checkpoint == 'out/01_seed0/ckpt-8'
  assert not trained.fine_tune_class_map and not trained.fine_tune_label_map_path
  failures, said = run(path)  # The folder's config is known as the sweep's.
  assert failures == [] and said[1].startswith('[2/2] 02 seed 0: done before')


def test_the_best_checkpoint_is_taken_where_there_is_one(tmp_path):
  (tmp_path / 'ckpt-20.index').touch()
  assert sweep_job.source_checkpoint(str(tmp_path)) == str(tmp_path / 'ckpt-20')
  # A process that died in its first save leaves these.
  best = tmp_path / 'best'
  best.mkdir()
  (best / 'ckpt-10.index').touch()
  assert sweep_job.source_checkpoint(str(tmp_path)) == str(tmp_path / 'ckpt-20')
  (best / 'checkpoint').write_text('model_checkpoint_path: "ckpt-10"')
  assert sweep_job.source_checkpoint(str(tmp_path)) == str(best / 'ckpt-10')


def test_a_log_goes_on_below_half_a_line_of_a_killed_training(write):
  path = write({'id': 'a', 'overrides': [batch(3)], 'seeds': [1]})
  os.makedirs('out/a_seed1')
  with open('out/a_seed1/train.log', 'w') as file:
    file.write('I1203 half a li')
  run(path)
  with open('out/a_seed1/train.log') as file:
    assert file.read().splitlines() == ['I1203 half a li', 'ValueError: planted', 'bye']


def test_the_last_error_of_a_log(tmp_path):
  log = tmp_path / 'train.log'
  for text, expected in (
    ('x\nOSError: full\n  at end\n', 'OSError: full'),
    ('tool: error: a\nb: error: c\n\n', 'b: error: c'),
    ('one\ntwo \n', 'two'),
    ('', 'no output'),
  ):
    log.write_text(text)
    assert logged_command.last_error(str(log)) == expected


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def stop_signal(request):
  """Ctrl-C in a terminal; SIGTERM to what a shell has in the background, which ignores Ctrl-C."""
  interrupt = signal.default_int_handler
  in_terminal = request.param == signal.SIGINT
  before = [
    (signal.SIGINT, signal.signal(signal.SIGINT, interrupt if in_terminal else signal.SIG_IGN)),
    (signal.SIGTERM, signal.signal(signal.SIGTERM, interrupt)),
  ]
  yield request.param
  for number, handler in before:
    signal.signal(number, handler)


def test_a_stopped_sweep_stops_its_training_and_goes_on(write, stop_signal):
  path = write({'id': '01', 'overrides': [batch(5)]})
  said = []

  def interrupt():
    for _ in range(1200):
      if os.path.exists('calls.txt'):
        break
      time.sleep(0.05)
    os.kill(os.getpid(), stop_signal)

  thread = threading.Thread(target=interrupt)
  thread.start()
  with pytest.raises(KeyboardInterrupt):
    sweep_run.run_sweep(sweep.load(path), 'out', [sys.executable, 'stub.py'], said.append)
  thread.join()
  assert said == [
    '[1/1] 01 seed 0: ',
    '[1/1] 01 seed 0: interrupted; the same command resumes from its last checkpoint',
  ]
  assert 'KeyboardInterrupt' in pathlib.Path('out/01_seed0/train.log').read_text()
  folder.write_record(pathlib.Path('out/01_seed0'), (60, 8, 'interrupted'), (60, 8, 'finished'))
  failures, said = run(path)
  assert failures == []
  assert said[0] == '[1/1] 01 seed 0: done before: ended, without an evaluation'


@pytest.mark.slow
def test_real_trainings_by_the_real_command(write):
  path = write(
    {'id': '01', 'name': 'real', 'overrides': ['train_config.num_steps=2']},
    {'id': '02', 'name': 'on', 'like': '01', 'from': '01'},
    flags={'checkpoint_every_n': 2, 'log_every_n': 1},
  )
  train = [sys.executable, str(ROOT / 'tools/model_main_tf2.py')]
  assert sweep_run.run_sweep(sweep.load(path), 'out', train, print) == []
  lines = pathlib.Path('out/experiments.md').read_text().splitlines()
  (row,) = [line for line in lines if 'real' in line]
  cells = [cell.strip() for cell in row.split('|')[1:-1]]
  assert (cells[0], cells[2], cells[3]) == ('01', 'real', '0.8')  # 2 steps of 4 of 10 images.
  assert float(cells[4]) > 0 and cells[5].endswith('/0.8')
  (entry,) = json.loads(pathlib.Path('out/01_seed0/run.json').read_text())['runs']
  assert (entry['first_step'], entry['last_step'], entry['outcome']) == (0, 2, 'finished')
  assert '--config_override=train_config.num_steps=2' in entry['command']
  assert (
    'Starting from out/01_seed0/best/ckpt-2' in pathlib.Path('out/02_seed0/train.log').read_text()
  )
