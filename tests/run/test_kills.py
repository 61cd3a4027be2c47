"""A training that is killed with kill -9 again and again leaves what an undisturbed one leaves."""

import json
import math
import os
import random
import time

import numpy as np
import pytest
import small_training
import tensorflow as tf
import tool_processes

from ssd_tf import fields
from ssd_tf.run import run_json

KILLS, SOME_KILLS = 50, 3
EVERY = 2  # Steps between checkpoints, each of which is evaluated.
SECONDS = 6000  # That a training may take that is not disturbed.
EVALUATIONS = 'eval/metrics.jsonl'
# What a training writes; a kill comes soon after one of them, while the next ones are at work.
WRITES = (
  'run.json', 'checkpoint', 'train/events*', 'eval/events*', EVALUATIONS, 'best/best.json',
  'best/checkpoint', f'ckpt-*{EVERY}*', 'ckpt-*_temp',
)  # fmt: skip


@pytest.fixture(scope='module')
def forks():
  return tool_processes.context()


def start(forks, folder, model_dir, num_steps):
  return small_training.start(
    forks,
    folder,
    f'--model_dir={model_dir}',
    f'--num_train_steps={num_steps}',
    f'--checkpoint_every_n={EVERY}',
    '--checkpoint_max_to_keep=1',
    '--op_determinism',
    '--seed=3',
  )


def finish(forks, folder, model_dir, num_steps):
  process = start(forks, folder, model_dir, num_steps)
  process.join(SECONDS)
  assert process.exitcode == 0, (folder / 'stderr.txt').read_text()


def state(model_dir, pattern):
  """What changes with every write of such files."""
  found = {}
  for path in model_dir.glob(pattern):
    try:
      status = path.stat()
    except FileNotFoundError:  # Deleted meanwhile.
      continue
    found[path.name] = (status.st_size, status.st_mtime_ns, status.st_ino)
  return found


def kill(process, model_dir, rng):
  """Kills a life at a random moment; returns after what write it was."""
  if rng.random() < 0.1:
    what, count = 'the start', 0
    time.sleep(rng.uniform(0, 10))
  else:
    what, count = rng.choice(WRITES), rng.choice((1, 1, 1, 2, 3))
  evaluated = state(model_dir, EVALUATIONS)
  for _ in range(count):
    before = state(model_dir, what)
    # A new best is rare: an evaluation is waited for at most.
    while process.is_alive() and before == state(model_dir, what):
      time.sleep(0.001)
      if evaluated != state(model_dir, EVALUATIONS):
        break
  time.sleep(rng.choice((0, rng.uniform(0, 0.01), rng.uniform(0, 0.1), rng.uniform(0, 1))))
  assert process.is_alive(), f'{what}: it had ended before it was killed'
  process.kill()
  process.join()
  return what


def variables(prefix):
  reader = tf.train.load_checkpoint(str(prefix))
  return {
    name: reader.get_tensor(name)
    for name in reader.get_variable_to_shape_map()
    if not name.startswith(('_CHECKPOINTABLE', 'save_counter'))
  }


def assert_same_variables(killed, whole):
  killed, whole = variables(killed), variables(whole)
  assert set(killed) == set(whole) and len(whole) > 40
  for name, value in whole.items():
    np.testing.assert_array_equal(killed[name], value, err_msg=name)


def evaluations(model_dir):
  """{step: metrics}, of lines of the same step all of which have to be equal."""
  found = {}
  for line in (model_dir / 'eval/metrics.jsonl').read_text().splitlines():
    entry = json.loads(line)
    assert found.setdefault(entry['step'], entry['metrics']) == entry['metrics']
  return found


def scalars(folder, tags=None):
  """{(tag, step): value} of all event files; a value that was written twice has to be the same."""
  found = {}
  for path in folder.glob('events*'):
    events = tf.compat.v1.train.summary_iterator(str(path))
    while True:
      try:
        event = next(events)
      except StopIteration:
        break
      except tf.errors.DataLossError:  # The kill came amid a write, and this is the file's end.
        break
      for value in event.summary.value:
        tensor = tf.make_ndarray(value.tensor)
        if tensor.dtype != np.float32 or (tags and value.tag not in tags):
          continue
        key, number = (value.tag, event.step), float(tensor)
        assert same(found.setdefault(key, number), number), key
  return found


def same(a, b):
  return a == b or (math.isnan(a) and math.isnan(b))


def assert_nothing_lost(killed, whole, num_steps):
  assert_same_variables(killed / f'ckpt-{num_steps}', whole / f'ckpt-{num_steps}')
  steps = range(EVERY, num_steps + 1, EVERY)
  figures = evaluations(whole)
  assert list(figures) == list(steps)
  assert evaluations(killed) == figures
  tags = {*fields.LOSSES, 'learning_rate'}
  curves = scalars(whole / 'train', tags)
  assert {step for _, step in curves} == {*range(1, num_steps + 1)}
  assert {tag for tag, _ in curves} == tags
  assert scalars(killed / 'train', tags) == curves
  points = scalars(killed / 'eval')
  for step in steps:
    for name, value in figures[step].items():
      point = points[name, step]
      assert math.isnan(point) if value is None else point == np.float32(value), (name, step)
  best, expected = (json.loads((path / 'best/best.json').read_text()) for path in (killed, whole))
  assert (best['step'], best['value']) == (expected['step'], expected['value'])
  name = f'best/ckpt-{best["step"]}'
  assert_same_variables(killed / name, whole / name)
  left = {path.name for path in killed.rglob('*') if 'temp' in path.name or 'part' in path.name}
  assert left == set()
  indices = {path.name for path in killed.glob('*.index')}
  assert indices == {f'ckpt-{num_steps}.index'}


def assert_runs_told(entries, num_kills, num_steps):
  *killed, last = entries
  assert len(killed) <= num_kills  # One may be killed before it has begun.
  assert {entry['outcome'] for entry in killed} <= {'running'}
  assert (last['outcome'], last['last_step']) == ('finished', num_steps)
  reached = 0
  for entry in entries:
    assert entry['first_step'] % EVERY == 0
    # It goes on from the last checkpoint, which is at most one interval and one step behind.
    assert reached - EVERY <= entry['first_step'] <= reached + EVERY
    assert entry['last_step'] >= entry['first_step']
    reached = entry['last_step']


def kill_and_compare(forks, folder, num_kills, num_steps, seed):
  """Returns of each kill after what write it came."""
  rng = random.Random(seed)
  killed = folder / 'killed'
  finish(forks, folder, 'whole', num_steps)
  after = []
  for _ in range(num_kills):
    after.append(kill(start(forks, folder, 'killed', num_steps), killed, rng))
    print(f'{len(after)} {after[-1]}: {sorted(os.listdir(killed))}', flush=True)
  finish(forks, folder, 'killed', num_steps)
  assert_runs_told(run_json.read(str(killed)), num_kills, num_steps)
  assert_nothing_lost(killed, folder / 'whole', num_steps)
  return after


def test_some_kills_lose_nothing(forks, tiny):
  assert len(kill_and_compare(forks, tiny, SOME_KILLS, 12, seed=1)) == SOME_KILLS


@pytest.mark.slow
def test_many_kills_lose_nothing(forks, tiny):
  after = kill_and_compare(forks, tiny, KILLS, 4 * KILLS, seed=0)
  assert len(after) == KILLS and set(after) >= {'eval/metrics.jsonl', 'checkpoint'}
