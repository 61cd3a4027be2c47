"""A process that dies in an evaluation: the next one makes up for it, and comes to its end."""

import json
import types

import keras
import pytest
import tensorflow as tf

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.run import loop, run_json
from ssd_tf.run.evaluation_log import EvaluationLog
from ssd_tf.run.train import train as train_for_real

MAP = 'DetectionBoxes_Precision/mAP'


class SmallLoop(loop.Loop):
  """Steps take no time, and an evaluation gives what it is told."""

  evaluations = []  # What happens in each to come: a figure, or an error.

  def _train_to(self, goal):
    self._trainer.global_step.assign(goal)

  def evaluate(self):
    outcome = self.evaluations.pop(0)
    if isinstance(outcome, BaseException):
      raise outcome
    for action in self._eval_actions:
      action({MAP: outcome})


@pytest.fixture
def train(tiny, monkeypatch):
  """Returns a function: (what happens in the evaluations, override, ...) trains for 4 steps."""
  image = keras.Input([1, 1, 1])
  model = keras.Model(image, keras.layers.Conv2D(1, 1, name='class_head_0')(image))
  detector = types.SimpleNamespace(model=model)
  monkeypatch.setattr(builders, 'build_detector', lambda *args, **kwargs: detector)
  monkeypatch.setattr('ssd_tf.run.train._build_trainer', build_trainer)
  evaluator = types.SimpleNamespace(metrics=types.SimpleNamespace(details={'images': 1}))
  monkeypatch.setattr('ssd_tf.run.validation.build_evaluator', lambda *args: evaluator)
  monkeypatch.setattr('ssd_tf.run.train.Loop', SmallLoop)
  monkeypatch.setattr('ssd_tf.run.validation.log_evaluation', log_evaluation)
  model_dir = str(tiny / 'model')

  def run_it(evaluations, *overrides, **options):
    path = str(tiny / 'tiny.config')
    loaded = Pipeline.load(path, ['train_config.num_steps=4', *overrides]).config
    monkeypatch.setattr(SmallLoop, 'evaluations', list(evaluations))
    strategy = tf.distribute.get_strategy()
    options = {'checkpoint_every_n': 2, **options}
    train_for_real(Pipeline(loaded, path), model_dir, strategy=strategy, **options)
    assert not SmallLoop.evaluations

  return run_it


def build_trainer(pipeline, state, *args):
  watch = types.SimpleNamespace(flush=lambda step: None)
  return types.SimpleNamespace(global_step=state.step, non_finite_batch=None, loss_watch=watch)


def log_evaluation(step, evaluator, output, log, details):
  del evaluator
  log.append(int(step), output, details)


def evaluated(tiny):
  return [
    (line['step'], line['metrics'][MAP]) for line in EvaluationLog(tiny / 'model/eval').read()
  ]


def test_an_evaluation_that_died_is_made_up_for_and_the_training_ends(tiny, train, caplog):
  with pytest.raises(KeyboardInterrupt):
    train([KeyboardInterrupt()])
  assert run_json.read(str(tiny / 'model'))[-1]['outcome'] == 'interrupted'
  with pytest.raises(InputError):
    train([0.3, InputError('no such image')])  # At step 2, made up for; at step 4.
  assert evaluated(tiny) == [(2, 0.3)]
  assert run_json.read(str(tiny / 'model'))[-1]['outcome'] == 'failed: no such image'
  caplog.set_level('INFO', logger='absl')
  train([0.4])
  assert 'Step 4 is not evaluated yet.' in caplog.messages
  assert caplog.messages[-1] == 'Nothing to do: step 4 of 4 is reached.'
  assert evaluated(tiny) == [(2, 0.3), (4, 0.4)]
  assert run_json.is_finished(str(tiny / 'model'))
  assert json.loads((tiny / 'model/best/best.json').read_text())['step'] == 4
  train([])  # All is done.
  train([0.2], sample_1_of_n_eval_examples=2)  # Under other conditions it is not.
  assert evaluated(tiny)[-1] == (4, 0.2)


def test_figures_that_came_to_no_choice_come_there_later(tiny, train):
  train([0.3, 0.4], 'train_config.keep_best_checkpoint=false')
  stopping = 'train_config.early_stopping={patience: 9}'
  train([], stopping)
  assert json.loads((tiny / 'model/best/best.json').read_text())['value'] == 0.4
  log = (tiny / 'model/eval/metrics.jsonl').read_text()
  train([], stopping)
  assert (tiny / 'model/eval/metrics.jsonl').read_text() == log
  assert not (tiny / 'model/early_stopping.json').exists()


def test_early_stopping_counts_what_was_evaluated_before_it_was_asked_for(tiny, train, caplog):
  train([0.4, 0.3])
  caplog.set_level('INFO', logger='absl')
  more = ('train_config.num_steps=8', 'train_config.early_stopping={patience: 2}')
  train([0.2], *more)
  assert caplog.messages[-3].startswith(
    f'Stopped early at step 6: 2 evaluations without a {MAP} better than 0.4 at step 2; to continue'
  )


def test_a_model_dir_of_an_earlier_version_goes_on(tiny, train):
  """It had best.json with the entry before, and early_stopping.json; the log holds it all."""
  train([0.4, 0.3])
  best = tiny / 'model/best/best.json'
  entry = json.loads(best.read_text())
  best.write_text(json.dumps({**entry, 'previous': {**entry, 'step': 0}}))
  old = {'metric': MAP, 'details': entry['details'], 'evaluations': [[2, 0.4], [4, 0.3]]}
  (tiny / 'model/early_stopping.json').write_text(json.dumps(old))
  train([0.35], 'train_config.num_steps=8', 'train_config.early_stopping={patience: 2}')
  assert evaluated(tiny) == [(2, 0.4), (4, 0.3), (6, 0.35)]  # It stopped early.
  assert json.loads(best.read_text())['step'] == 2
  train([0.5], 'train_config.num_steps=8')
  assert json.loads(best.read_text())['step'] == 8


def test_a_damaged_file_of_evaluations_keeps_no_training_from_going_on(tiny, train, caplog):
  with pytest.raises(KeyboardInterrupt):
    train([0.3, KeyboardInterrupt()])
  with (tiny / 'model/eval/metrics.jsonl').open('a') as file:
    file.write('{"step": 4, "metrics": 1}\n')
  train([0.4])
  assert 'metrics.jsonl:2: expected a line of JSON' in caplog.text
  assert run_json.is_finished(str(tiny / 'model'))


def test_half_a_line_of_an_evaluation_is_no_evaluation(tiny, train, caplog):
  with pytest.raises(KeyboardInterrupt):
    train([0.3, KeyboardInterrupt()])
  with (tiny / 'model/eval/metrics.jsonl').open('a') as file:
    file.write('{"step": 4, "me')
  train([0.4])
  assert 'metrics.jsonl:2: half a line' in caplog.text
  assert evaluated(tiny) == [(2, 0.3), (4, 0.4)]


def test_a_config_that_trains_nothing_does_not_replace_that_of_the_training(tiny, train):
  train([0.3, 0.4])
  train([], 'train_config.seed=5')
  assert Pipeline.load(tiny / 'model/pipeline.config').config.train_config.seed != 5


def test_the_best_checkpoint_of_another_training_is_refused_before_anything_is_written(tiny, train):
  train([0.3, 0.4])
  for path in (tiny / 'model').glob('*ckpt*'):
    path.unlink()
  (tiny / 'model/checkpoint').unlink()
  before = sorted(tiny.rglob('*'))
  with pytest.raises(InputError, match='holds the best checkpoint of another training'):
    train([])
  assert sorted(tiny.rglob('*')) == before


def test_going_on_with_a_finished_training_says_at_what_rate_and_what_differs(tiny, train, caplog):
  train([0.3, 0.4])
  caplog.set_level('INFO', logger='absl')
  train([0.2, 0.1], 'train_config.num_steps=8', 'train_config.batch_size=2')
  # Cosine from .05 at step 2 to 0 at step 8: .025 * (1 + cos(pi * 5 / 6)) at step 7.
  assert (
    'The training was finished at step 4; it continues to step 8, at a learning rate of 0.0375 at '
    'first and of 0.00335 in the end.'
  ) in caplog.messages
  (differs,) = [line for line in caplog.messages if 'differs from the config' in line]
  assert 'train_config.batch_size: 4 -> 2' in differs
  assert 'train_config.num_steps: 4 -> 8' in differs
