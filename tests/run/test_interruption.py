"""A training that signals interrupt goes on from the step that was in progress, bit for bit."""

import functools
import json
import os
import random
import signal

import numpy as np
import pytest
import small_training
import tensorflow as tf
import tool_processes

from ssd_tf.errors import Terminated
from ssd_tf.run import checkpoints, run_json
from ssd_tf.run.interruption import HeldSignals
from ssd_tf.training.trainer import Trainer

STEPS = 8
FLAGS = (
  f'--num_train_steps={STEPS}', '--checkpoint_every_n=4', '--checkpoint_max_to_keep=1',
  '--op_determinism', '--seed=3',
)  # fmt: skip


@pytest.fixture(scope='module')
def forks():
  return tool_processes.context()


def run(forks, folder, model_dir, prepare=None):
  """Returns (exit code, stderr)."""
  process = small_training.start(forks, folder, f'--model_dir={model_dir}', *FLAGS, prepare=prepare)
  process.join(300)
  assert process.exitcode is not None, process.kill()
  return process.exitcode, (folder / 'stderr.txt').read_text()


def interrupt_amid_step(number, step):
  """Sends a signal while a step is made."""
  train_step = Trainer.train_step

  def train_then(self, iterator, size=None):
    if int(self.global_step.numpy()) == step - 1:
      os.kill(os.getpid(), number)
    train_step(self, iterator, size)

  Trainer.train_step = train_then


def interrupt_twice_amid_save():
  """Two signals, the second one while the checkpoint is saved that the first one asks for."""
  interrupt_amid_step(signal.SIGINT, 3)
  save = tf.train.CheckpointManager.save

  def save_then(self, checkpoint_number, **kwargs):
    if checkpoint_number == 3:
      os.kill(os.getpid(), signal.SIGINT)
    return save(self, checkpoint_number, **kwargs)

  tf.train.CheckpointManager.save = save_then


def interrupt_amid_evaluation():
  from ssd_tf.training.evaluator import Evaluator

  Evaluator.eval_begin = lambda self: os.kill(os.getpid(), signal.SIGINT)


def interrupt_again_and_again(forks, folder, steps):
  """Interrupts a training at steps, then lets it end; it has to be as one that nothing disturbs."""
  for step, number in steps:
    prepare = functools.partial(interrupt_amid_step, number, step)
    code, stderr = run(forks, folder, 'model', prepare)
    assert code == 128 + number, stderr
    place = f'model/ckpt-{step}'
    assert f'Step {step} is saved in {place}; the same command resumes' in stderr
    assert tf.train.latest_checkpoint(str(folder / 'model')) == str(folder / place)
    *_, entry = run_json.read(str(folder / 'model'))
    assert (entry['outcome'], entry['signal']) == ('interrupted', signal.Signals(number).name)
    assert entry['last_step'] == step
  for model_dir in ('model', 'whole'):
    code, stderr = run(forks, folder, model_dir)
    assert code == 0, stderr
  assert_same(folder / 'model', folder / 'whole')


def assert_same(interrupted, whole):
  readers = [tf.train.load_checkpoint(str(path / f'ckpt-{STEPS}')) for path in (interrupted, whole)]
  names = set(readers[1].get_variable_to_shape_map())
  assert set(readers[0].get_variable_to_shape_map()) == names and len(names) > 40
  for name in names - {'_CHECKPOINTABLE_OBJECT_GRAPH', 'save_counter/.ATTRIBUTES/VARIABLE_VALUE'}:
    values = [reader.get_tensor(name) for reader in readers]
    np.testing.assert_array_equal(*values, err_msg=name)
  logs = [(path / 'eval/metrics.jsonl').read_text().splitlines() for path in (interrupted, whole)]
  assert [json.loads(line)['step'] for line in logs[1]] == [4, 8]
  assert logs[0] == logs[1]


def test_interrupted_twice_it_goes_on_bit_for_bit(forks, tiny):
  rng = random.Random(int.from_bytes(os.urandom(2), 'big'))
  steps = sorted(rng.sample(range(1, STEPS + 1), 2))
  numbers = rng.sample([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], 2)
  print(steps, numbers)
  interrupt_again_and_again(forks, tiny, list(zip(steps, numbers, strict=True)))


def test_a_second_signal_ends_it_at_once_and_leaves_nothing_half_written(forks, tiny):
  code, stderr = run(forks, tiny, 'model', interrupt_twice_amid_save)
  assert code == 130 and 'Step 0 is saved in model/ckpt-0' in stderr, stderr
  assert tf.train.latest_checkpoint(str(tiny / 'model')) == str(tiny / 'model/ckpt-0')
  assert not list((tiny / 'model').glob('*temp*'))
  *_, entry = run_json.read(str(tiny / 'model'))
  assert entry['outcome'] == 'interrupted'


def test_an_evaluation_ends_at_once_since_its_step_is_saved(forks, tiny):
  code, stderr = run(forks, tiny, 'model', interrupt_amid_evaluation)
  assert code == 130 and 'Step 4 is saved in model/ckpt-4' in stderr, stderr
  assert not (tiny / 'model/eval/metrics.jsonl').exists()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_held_back_and_the_second_one_is_not(number):
  came, signals = [], HeldSignals()
  before = signal.signal(number, lambda *_: came.append(number))
  try:
    with signals:
      os.kill(os.getpid(), number)
      assert (came, signals.received) == ([], number)
      os.kill(os.getpid(), number)
      assert came == [number]
    with pytest.raises(KeyboardInterrupt) as interrupt:
      signals.raise_received()
    assert isinstance(interrupt.value, Terminated) == (number != signal.SIGINT)
  finally:
    signal.signal(number, before)


def test_what_is_ignored_stays_ignored():
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    with HeldSignals() as signals:
      os.kill(os.getpid(), signal.SIGHUP)
    assert signals.received is None
  finally:
    signal.signal(signal.SIGHUP, before)


def test_no_checkpoint_no_promise(tmp_path, caplog):
  from ssd_tf.run.interruption import telling_where_to_go_on

  caplog.set_level('INFO', logger='absl')
  with pytest.raises(KeyboardInterrupt), telling_where_to_go_on(str(tmp_path)):
    raise KeyboardInterrupt
  assert not caplog.messages
  manager = checkpoints.Manager(tf.train.Checkpoint(), str(tmp_path), max_to_keep=1)
  manager.save(checkpoint_number=7)
  with pytest.raises(KeyboardInterrupt), telling_where_to_go_on(str(tmp_path)):
    raise KeyboardInterrupt
  assert caplog.messages[-1].startswith(f'Interrupted. Step 7 is saved in {tmp_path}/ckpt-7; ')
