"""Whole trainings by the real command: replicas, restarts, logs, curves, evaluation."""

import json
import re
import time

import numpy as np
import pytest
import tensorflow as tf
import tool_processes
from replicas import FROZEN, SLOW, largest_difference, variables

from ssd_tf.experiments import event_scalars
from ssd_tf.run import run_json

# Most tests go without the crop, which takes longer to trace than the rest of a small input.
AUGMENTED = (
  '--config_override=train_config.data_augmentation_options='
  '[{random_horizontal_flip {}}, {ssd_random_crop {}}]'
)


def test_two_replicas_make_the_same_weights_as_one_with_frozen_batch_norm(tiny, train_tiny):
  flags = ('--num_train_steps=4', '--noevaluate', SLOW, *FROZEN)
  train_tiny(tiny, 'one', *flags)
  train_tiny(tiny, 'two', *flags, '--num_logical_cpus=2')
  before, one, two = (variables(tiny, f) for f in ('one/ckpt-0', 'one/ckpt-4', 'two/ckpt-4'))
  name = 'model/mobilenet_v1_conv_0/kernel/.ATTRIBUTES/VARIABLE_VALUE'
  assert np.abs(before[name] - one[name]).max() > 1e-5  # It trained, down to the first layer.
  assert largest_difference(one, two) < 1e-6


@pytest.mark.parametrize('clip', [0.5, pytest.param(0.0, marks=pytest.mark.slow)])
def test_two_replicas_train_as_one_with_synchronized_batch_norm(clip, tiny, run_tool):
  results = []
  for num_replicas in (1, 2):
    flags = (str(num_replicas), f'{num_replicas}.npz', str(clip))
    code, output = run_tool(tiny, '../tests/run/train_shallow.py', *flags)
    assert code == 0, output
    results.append(dict(np.load(tiny / f'{num_replicas}.npz')))
  one, two = results
  assert np.abs(one['conv_0/kernel'] - one['before/conv_0/kernel']).max() > 1e-3  # It trained.
  assert np.abs(one['conv_0_batch_norm/moving_mean']).max() > 1e-3
  assert largest_difference(one, two) < 1e-6


@pytest.mark.slow
def test_a_killed_training_goes_on_as_if_nothing_had_been(tiny, train_tiny):
  flags = ('--noevaluate', '--op_determinism', '--seed=3', AUGMENTED)
  train_tiny(tiny, 'whole', *flags)
  command = ('--pipeline_config_path=tiny.config', '--log_every_n=2', '--checkpoint_every_n=2')
  process = tool_processes.start(
    tool_processes.context(), tiny, 'model_main_tf2.py', (*command, '--model_dir=killed', *flags)
  )
  while not (tiny / 'killed/ckpt-2.index').exists() and process.is_alive():
    time.sleep(0.01)
  process.kill()
  process.join()
  assert not (tiny / 'killed/ckpt-8.index').exists(), 'it was killed too late to tell'
  output = train_tiny(tiny, 'killed', *flags)
  assert re.search(r'Going on from killed/ckpt-\d \(step \d\), since killed holds', output)
  whole, killed = variables(tiny, 'whole/ckpt-8'), variables(tiny, 'killed/ckpt-8')
  for name, value in whole.items():
    np.testing.assert_array_equal(value, killed[name], err_msg=name)


def test_training_logs_evaluates_and_writes_curves(tiny, train_tiny):
  output = train_tiny(tiny, 'model', '--num_train_steps=3', AUGMENTED)
  for line in (
    r'^INFO:tensorflow:Step 2 per-step time \d+\.\d{3}s$',
    r"^INFO:tensorflow:\{'Loss/classification_loss': \d",
    r'^ Average Precision  \(AP\) @\[ IoU=0.50:0.95 \| area=   all \| maxDets=100 \] = 0\.\d{3}$',
    r'^INFO:tensorflow:Eval metrics at step 3$',
    r'^INFO:tensorflow:\t\+ DetectionBoxes_Precision/mAP: 0\.\d{6}$',
    r'^INFO:tensorflow:\t\+ Loss/total_loss: \d+\.\d{6}$',
  ):
    assert re.search(line, output, re.MULTILINE), line
  checkpoints = sorted(path.name for path in (tiny / 'model').glob('*.index'))
  assert checkpoints == ['ckpt-0.index', 'ckpt-2.index', 'ckpt-3.index']
  train = event_scalars.read_scalars(str(tiny / 'model/train'))
  assert list(train['Loss/total_loss'][0]) == [2]
  assert {'learning_rate', 'steps_per_sec', 'Loss/regularization_loss'} <= set(train)
  evaluation = event_scalars.read_scalars(str(tiny / 'model/eval'))
  assert list(evaluation['DetectionBoxes_Recall/AR@100 (small)'][0]) == [2, 3]
  lines = [json.loads(line) for line in (tiny / 'model/eval/metrics.jsonl').open()]
  assert [line['step'] for line in lines] == [2, 3]
  assert lines[-1]['images'] == 5 and lines[-1]['split'] == 'eval.record'
  (entry,) = run_json.read(str(tiny / 'model'))
  assert (entry['first_step'], entry['last_step'], entry['outcome']) == (0, 3, 'finished')
  assert entry['seconds'] > 0 and '--num_train_steps=3' in entry['command']
  tags = {
    value.tag
    for path in (tiny / 'model/eval').glob('events*')
    for event in tf.compat.v1.train.summary_iterator(str(path))
    for value in event.summary.value
  }
  assert {f'eval_side_by_side_{i}_0' for i in range(5)} <= tags


def test_evaluation_of_a_checkpoint_measures_what_training_measured(tiny, train_tiny, run_tool):
  train_tiny(tiny, 'model', '--num_train_steps=2')
  code, output = run_tool(
    tiny,
    'model_main_tf2.py',
    '--pipeline_config_path=model/pipeline.config',
    '--model_dir=again',
    '--checkpoint_dir=model',
    '--eval_timeout=0',
  )
  assert code == 0, output
  during, after = (
    json.loads((tiny / f / 'eval/metrics.jsonl').read_text()) for f in ('model', 'again')
  )
  assert during['step'] == after['step'] == 2
  for name, value in during['metrics'].items():
    assert after['metrics'][name] == pytest.approx(value, abs=1e-6), name


def test_a_loss_that_is_not_finite_stops_before_the_update(tiny, run_tool):
  code, output = run_tool(
    tiny,
    'model_main_tf2.py',
    '--pipeline_config_path=tiny.config',
    '--model_dir=model',
    '--noevaluate',
    '--checkpoint_every_n=1',
    '--config_override=train_config.optimizer.momentum_optimizer.learning_rate='
    '{constant_learning_rate {learning_rate: 1e18}}',
  )
  assert code == 2
  line = output.strip().splitlines()[-1]
  assert 'Traceback' not in output
  assert re.search(r'error: The loss is not finite.* step \d.*Loss/total_loss', line)
  assert 'source ids' in line and 'image ' in line and 'Lower the learning rate' in line
  assert 'the batch is in model/non_finite_batch.npz' in line
  with np.load(tiny / 'model/non_finite_batch.npz') as saved:
    assert saved['image'].shape == (4, 64, 96, 3)
    assert all(name in line for name in saved['source_id'])


def test_fine_tuning_starts_from_the_checkpoint_and_says_so(tiny, train_tiny):
  train_tiny(tiny, 'first', '--num_train_steps=2', '--noevaluate')
  flags = (
    '--num_train_steps=2',
    '--noevaluate',
    '--config_override=train_config.fine_tune_checkpoint=first/ckpt-2',
  )
  output = train_tiny(tiny, 'second', *flags)
  assert re.search(r'Starting from first/ckpt-2: \d+ variables loaded, 0 skipped', output)
  start, end = variables(tiny, 'second/ckpt-0'), variables(tiny, 'first/ckpt-2')
  for name in end:
    if name.startswith('model/'):
      np.testing.assert_array_equal(start[name], end[name], err_msg=name)
  again = train_tiny(tiny, 'second', *flags)
  assert 'so fine_tune_checkpoint is not loaded again' in again
  assert 'Nothing to do: step 2 of 2 is reached' in again
