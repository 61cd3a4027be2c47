"""The best checkpoint: which one is kept, and that a process may die at any moment."""

import json
import re

import pytest
import tensorflow as tf

from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.errors import InputError
from ssd_tf.run import best_checkpoint, checkpoints
from ssd_tf.run.best_checkpoint import BestCheckpoint
from ssd_tf.run.best_metric import Criterion, resolve_metric
from ssd_tf.run.evaluation_log import EvaluationLog

MAP, LOSS = 'DetectionBoxes_Precision/mAP', 'Loss/total_loss'


DETAILS = {'split': 'a.record', 'conditions': {'sample_1_of_n_examples': 1}}
TENTH = {'split': 'a.record', 'conditions': {'sample_1_of_n_examples': 10}}


class Training:
  """A weight, which is ten times the step, and its checkpoints."""

  def __init__(self, folder, metric=MAP, step=0, details=DETAILS):
    self.folder = folder
    self.step, self.weight = tf.Variable(step, dtype=tf.int64), tf.Variable(10.0 * step)
    checkpoint = tf.train.Checkpoint(step=self.step, weight=self.weight)
    manager = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=1)
    if step:
      manager.save(checkpoint_number=step)
    self.log, self.details = EvaluationLog(str(folder / 'eval')), details
    self.best = BestCheckpoint(manager, self.step, self.log, Criterion(metric, details))

  def evaluate(self, step, value, **others):
    self.step.assign(step)
    self.weight.assign(10.0 * step)
    metrics = {MAP: value, LOSS: 1.0, **others}
    self.log.append(step, metrics, {**self.details, 'images': 5})
    self.best()

  def kept(self):
    """(step of the checkpoint, its weight)."""
    path = find_checkpoint(str(self.folder / 'best'))
    assert best_checkpoint.find(str(self.folder)) == path
    weight = tf.train.load_checkpoint(path).get_tensor('weight/.ATTRIBUTES/VARIABLE_VALUE')
    assert self.best.step == checkpoints.step_in_name(path)
    return self.best.step, float(weight)

  def told(self):
    """(step, metric, value) of best.json."""
    entry = json.loads((self.folder / 'best/best.json').read_text())
    assert entry['details'] == {**self.details, 'images': 5}
    assert entry['metrics'][entry['metric']] == entry['value']
    return entry['step'], entry['metric'], entry['value']


def test_the_best_is_kept_and_only_what_is_better_replaces_it(tmp_path):
  training = Training(tmp_path)
  for step, value, best_step, best_value in (
    (2, -1.0, None, None),  # No groundtruth.
    (4, 0.1, 4, 0.1),
    (6, 0.1, 4, 0.1),  # Equal is no better.
    (8, float('nan'), 4, 0.1),
    (10, 0.3, 10, 0.3),
    (12, 0.2, 10, 0.3),
  ):
    training.evaluate(step, value)
    if best_step is None:
      assert training.best.step is None and not (tmp_path / 'best').exists()
    else:
      assert training.kept() == (best_step, 10.0 * best_step)
      assert training.told() == (best_step, MAP, best_value)
  names = sorted(path.name for path in (tmp_path / 'best').iterdir())
  assert names == ['best.json', 'checkpoint', 'ckpt-10.data-00000-of-00001', 'ckpt-10.index']
  assert training.best.description() == f'step 10, {MAP} 0.3, in {tmp_path}/best'


def test_of_a_loss_less_is_better(tmp_path):
  training = Training(tmp_path, LOSS)
  for step, loss in ((1, 3.0), (2, 2.0), (3, 2.5)):
    training.evaluate(step, 0.9, **{LOSS: loss})
  assert training.kept() == (2, 20.0) and training.told() == (2, LOSS, 2.0)


def test_a_training_that_goes_on_knows_the_best_so_far(tmp_path, caplog):
  Training(tmp_path).evaluate(4, 0.5)
  caplog.set_level('INFO', logger='absl')
  again = Training(tmp_path, step=6)
  assert f'Best so far: step 4, {MAP} 0.5, in {tmp_path}/best.' in caplog.text
  again.evaluate(8, 0.4)
  assert again.kept() == (4, 40.0)
  again.evaluate(10, 0.6)
  assert again.kept() == (10, 100.0)
  assert f'New best: step 10, {MAP} 0.6, in {tmp_path}/best, before 0.5 at step 4.' in caplog.text


def test_another_metric_compares_with_that_of_the_same_checkpoint(tmp_path):
  Training(tmp_path).evaluate(4, 0.5, **{LOSS: 2.0})
  again = Training(tmp_path, LOSS, step=4)
  again.evaluate(6, 0.9, **{LOSS: 2.1})
  assert again.kept() == (4, 40.0)
  again.evaluate(8, 0.1, **{LOSS: 1.9})
  assert again.kept() == (8, 80.0) and again.told() == (8, LOSS, 1.9)


def test_what_was_evaluated_under_other_conditions_does_not_count(tmp_path, caplog):
  Training(tmp_path, details=TENTH).evaluate(4, 0.62)
  caplog.set_level('INFO', logger='absl')
  again = Training(tmp_path, step=6)
  assert [m for m in caplog.messages if m.startswith('Best')] == [
    f'Best so far: step 4, in {tmp_path}/best; under the conditions now, no {MAP} of it is known.'
  ]
  again.evaluate(8, float('nan'))
  assert again.kept() == (4, 40.0)
  for step, value, best in ((10, 0.5, 10), (12, 0.55, 12), (14, 0.54, 12)):
    again.evaluate(step, value)
    assert again.kept()[0] == best


def test_the_checkpoint_evaluated_again_under_other_conditions_keeps_its_files(tmp_path):
  Training(tmp_path, details=TENTH).evaluate(4, 0.62)
  again = Training(tmp_path, step=4, details=DETAILS)
  again.evaluate(4, 0.5)
  assert again.kept() == (4, 40.0) and again.told() == (4, MAP, 0.5)
  again.evaluate(6, 0.55)
  again = Training(tmp_path, step=6, details=DETAILS)
  assert again.kept() == (6, 60.0) and again.told() == (6, MAP, 0.55)


def test_an_evaluation_without_conditions_does_not_count(tmp_path):
  Training(tmp_path, details={'split': 'a.record'}).evaluate(4, 0.62)
  again = Training(tmp_path, step=6)
  again.evaluate(6, 0.5)
  assert again.kept() == (6, 60.0)


@pytest.mark.parametrize('content', [None, '{"step": 4, "previous": null}'])
def test_best_json_is_never_read(tmp_path, content):
  Training(tmp_path).evaluate(4, 0.5)
  path = tmp_path / 'best/best.json'
  path.write_text(content) if content else path.unlink()
  again = Training(tmp_path, step=4)
  again.best()  # The evaluation is made up for.
  assert again.kept() == (4, 40.0) and again.told() == (4, MAP, 0.5)


def test_a_damaged_line_of_the_log_keeps_the_others(tmp_path):
  Training(tmp_path).evaluate(4, 0.5)
  with (tmp_path / 'eval/metrics.jsonl').open('a') as file:
    file.write('{"step": 5}\n')
  again = Training(tmp_path, step=6)
  again.evaluate(6, 0.4)
  assert again.kept() == (4, 40.0)


def test_it_restores_as_a_whole_checkpoint_and_goes_on_elsewhere(tmp_path):
  training = Training(tmp_path)
  training.evaluate(4, 0.5)
  other = tf.train.Checkpoint(step=tf.Variable(0, dtype=tf.int64), weight=tf.Variable(0.0))
  manager = tf.train.CheckpointManager(other, str(tmp_path / 'best'), max_to_keep=7)
  other.restore(manager.latest_checkpoint).assert_existing_objects_matched()
  assert (int(other.step), float(other.weight)) == (4, 40.0)


class Killed(BaseException):
  """In place of kill -9: nothing cleans up after it."""


def die(*args, **kwargs):
  raise Killed


MANAGER = 'tensorflow.train.CheckpointManager'


@pytest.mark.parametrize(
  ('dies_in', 'valid'),
  [
    (f'{MANAGER}.save', 4),
    # Its files are whole, but it is not said to be valid.
    (f'{MANAGER}._record_state', 4),
    # It is valid, the one before not deleted yet.
    (f'{MANAGER}._sweep', 6),
    # best.json is of step 4 then.
    ('ssd_tf.files.atomic_file.os.replace', 6),
  ],
)
def test_whenever_it_dies_the_old_or_the_new_one_is_whole(dies_in, valid, tmp_path, monkeypatch):
  training = Training(tmp_path)
  training.evaluate(2, 0.1)
  training.evaluate(4, 0.2)
  with monkeypatch.context() as patched:
    patched.setattr(dies_in, die)
    with pytest.raises(Killed):
      training.evaluate(6, 0.3)
  assert find_checkpoint(str(tmp_path / 'best')).endswith(f'-{valid}')
  if 'save' in dies_in:  # A kill in the middle of it leaves parts.
    (tmp_path / 'best/ckpt-6_temp').mkdir()
    (tmp_path / 'best/ckpt-6.data-00000-of-00001').write_bytes(b'half')
  again = Training(tmp_path, step=6)
  assert again.kept() == (valid, 10.0 * valid)
  again.best()  # The log has the evaluation that it died after.
  assert again.kept() == (6, 60.0) and again.told() == (6, MAP, 0.3)
  again.evaluate(8, 0.4)
  assert again.kept() == (8, 80.0) and again.told() == (8, MAP, 0.4)
  found = {re.match(r'ckpt-\d+|\w+', path.name)[0] for path in (tmp_path / 'best').iterdir()}
  assert found - {'best'} <= {'checkpoint', 'ckpt-8'}


def test_a_death_in_the_first_save_leaves_nothing_for_ever(tmp_path, monkeypatch):
  training = Training(tmp_path)
  with monkeypatch.context() as patched:
    patched.setattr(f'{MANAGER}._record_state', die)
    with pytest.raises(Killed):
      training.evaluate(2, 0.1)
  assert (tmp_path / 'best/ckpt-2.index').exists()
  again = Training(tmp_path, step=2)
  assert again.best.step is None
  assert list((tmp_path / 'best').iterdir()) == []
  again.evaluate(4, 0.05)
  assert again.kept() == (4, 40.0)


def test_the_best_of_another_training_is_not_overwritten(tmp_path):
  Training(tmp_path).evaluate(4, 0.5)
  with pytest.raises(InputError) as error:
    Training(tmp_path, step=0)
  assert str(error.value) == (
    f'{tmp_path}/best: holds the best checkpoint of another training (step 4), but {tmp_path} '
    'holds none to resume from: move or delete that folder, or take another model_dir'
  )


@pytest.mark.parametrize(
  ('name', 'hint'),
  [
    ('DetectionBoxes_Precision/map', f'did you mean {MAP}? '),
    ('total', f'did you mean {LOSS}? '),
    ('xyz', ''),
  ],
)
def test_an_unknown_metric_is_told_with_what_there_is(name, hint):
  with pytest.raises(InputError) as error:
    resolve_metric(name, [MAP, LOSS])
  assert str(error.value) == (
    f'train_config.best_metric: {name!r} is none of the metrics that eval_config gives; {hint}'
    f'There are {MAP}, {LOSS}'
  )


def test_without_a_name_the_first_counts():
  assert resolve_metric('', [MAP, LOSS]) == MAP
  assert resolve_metric(LOSS, [MAP, LOSS]) == LOSS
