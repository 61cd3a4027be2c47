"""TensorBoard's event files have each evaluation of metrics.jsonl once, kills or no kills."""

import collections
import math
import os
import signal

import pytest
import tensorflow as tf
import tiny_project
import tool_processes

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.run import missing_scalars
from ssd_tf.run.evaluate import evaluate_all_checkpoints, evaluate_checkpoints
from ssd_tf.run.evaluation_log import EvaluationLog
from ssd_tf.run.train import train

STRATEGY = tf.distribute.get_strategy()


def scalars(folder):
  """{(step, tag): [value, ...]} as TensorBoard reads them."""
  found = collections.defaultdict(list)
  for path in sorted(folder.glob('*tfevents*')):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        if value.metadata.plugin_data.plugin_name == 'scalars':
          found[event.step, value.tag].append(float(tf.make_ndarray(value.tensor)))
  return dict(found)


def of_lines(folder):
  """The same of metrics.jsonl."""
  found = collections.defaultdict(list)
  for line in EvaluationLog(str(folder)).read():
    for tag, value in line['metrics'].items():
      found[line['step'], tag].append(pytest.approx(value, rel=1e-6, nan_ok=True))
  return dict(found)


def write_events(folder, step, metrics, picture=False):
  writer = tf.summary.create_file_writer(str(folder))
  with writer.as_default():
    if picture:
      tf.summary.image('a', tf.random.uniform([1, 200, 200, 3]), step=step)
    for tag, value in metrics.items():
      tf.summary.scalar(tag, value, step=step)
  writer.close()


METRICS = {'Precision/mAP': 0.5, 'Loss/total_loss': math.nan, 'Recall/AR@1': -1.0}


def test_what_the_event_files_lack_is_written_once(tmp_path, caplog):
  caplog.set_level('INFO', logger='absl')
  missing_scalars.write_missing_scalars(EvaluationLog(str(tmp_path / 'missing')))
  assert not (tmp_path / 'missing').exists()
  for step in (2, 4, 6, 8):
    EvaluationLog(str(tmp_path)).append(step, METRICS, {'split': 'a'})
  write_events(tmp_path, 2, METRICS, picture=True)
  write_events(tmp_path, 4, {'Precision/mAP': 0.5})  # Killed while it wrote them.
  write_events(tmp_path, 8, METRICS)
  files = sorted(tmp_path.glob('*tfevents*'))
  missing_scalars.write_missing_scalars(EvaluationLog(str(tmp_path)))
  assert scalars(tmp_path) == of_lines(tmp_path)
  assert 'of step 4, 6; they are written now' in caplog.text
  [new] = set(tmp_path.glob('*tfevents*')) - set(files)
  before = new.read_bytes()
  missing_scalars.write_missing_scalars(EvaluationLog(str(tmp_path)))
  assert sorted([*files, new]) == sorted(tmp_path.glob('*tfevents*'))
  # Cut short, as by a kill while it is repaired, of a process that had the same number.
  for length in (len(before) - 1, len(before) - 20, len(before) // 2):
    new.write_bytes(before[:length])
    missing_scalars.write_missing_scalars(EvaluationLog(str(tmp_path)))
    [repair] = set(tmp_path.glob('*tfevents*')) - {*files, new}
    kept, added = scalars_of_whole_records(new), scalars_of_whole_records(repair)
    assert not kept & added and len(kept | added) == 5
    repair.unlink()


def scalars_of_whole_records(path):
  return {
    (event.step, value.tag)
    for event in missing_scalars._events(str(path))
    for value in event.summary.value
  }


def test_an_evaluation_under_other_conditions_counts_too(tmp_path):
  for value in (0.25, 0.5):
    EvaluationLog(str(tmp_path)).append(2, {'Precision/mAP': value}, {'split': 'a'})
  write_events(tmp_path, 2, {'Precision/mAP': 0.25})
  for _ in range(2):
    missing_scalars.write_missing_scalars(EvaluationLog(str(tmp_path)))
    assert scalars(tmp_path) == {(2, 'Precision/mAP'): [0.25, 0.5]}


def test_a_damaged_file_of_evaluations_is_told_and_nothing_written(tmp_path, caplog):
  (tmp_path / 'metrics.jsonl').write_text('[]\n')
  missing_scalars.write_missing_scalars(EvaluationLog(str(tmp_path)))
  assert 'metrics.jsonl:1' in caplog.text and os.listdir(tmp_path) == ['metrics.jsonl']


def kill(folder, what):
  """Runs a process that is killed between metrics.jsonl and the event file."""
  done = tool_processes.run(folder, '../tests/run/kill_before_events.py', what)
  assert done.returncode == -signal.SIGKILL, done.stderr
  assert not scalars(folder / 'out/eval')
  assert len(EvaluationLog(str(folder / 'out/eval')).read()) == 1


@pytest.mark.slow
def test_a_killed_training_has_its_evaluation_in_tensorboard_at_its_next_start(tiny, monkeypatch):
  monkeypatch.chdir(tiny)
  kill(tiny, 'train')
  changes = ['train_config.num_steps=2', 'train_config.batch_size=2']
  for _ in range(2):
    train(Pipeline.load('tiny.config', changes), 'out', strategy=STRATEGY)
    assert scalars(tiny / 'out/eval') == of_lines(tiny / 'out/eval')


@pytest.mark.parametrize('every', [True, False])
def test_so_has_a_killed_evaluator(every, tiny, monkeypatch):
  monkeypatch.chdir(tiny)
  tiny_project.write_checkpoint(tiny)
  pipeline = Pipeline.load('tiny.config')
  if every:
    kill(tiny, 'evaluate')
    evaluate = evaluate_all_checkpoints
  else:  # How it was killed is all the same.
    EvaluationLog('out/eval').append(0, METRICS, {'split': 'a'})
    evaluate = evaluate_checkpoints
    nothing = type('Nothing', (), {'evaluate': lambda self, path: METRICS})
    monkeypatch.setattr('ssd_tf.run.evaluate._Evaluation', lambda *arguments: nothing())
  for _ in range(2):
    evaluate(pipeline, 'out', 'model', strategy=STRATEGY)
    assert scalars(tiny / 'out/eval') == of_lines(tiny / 'out/eval')
    assert len(EvaluationLog('out/eval').read()) == 1
