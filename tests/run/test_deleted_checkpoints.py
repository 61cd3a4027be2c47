"""Checkpoints that a training deletes while something else is about to read them."""

import types

import pytest
import tensorflow as tf

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.exporting import exporter
from ssd_tf.pretrained import checkpoint_file
from ssd_tf.pretrained.checkpoint_formats import open_checkpoint
from ssd_tf.run import checkpoint_inspection, evaluated_images, start
from ssd_tf.run.evaluate import evaluate_all_checkpoints, evaluate_checkpoints

STRATEGY = tf.distribute.get_strategy()


class Trainings:
  """Checkpoints of variables that no model has, since no test reads them."""

  def __init__(self, folder):
    self.step = tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(step=self.step, model=tf.Variable(tf.zeros([1000])))
    self._manager = tf.train.CheckpointManager(checkpoint, folder, max_to_keep=1)

  def save(self, step):
    """Saves a checkpoint, and deletes the one before."""
    self.step.assign(step)
    return self._manager.save(checkpoint_number=step)


@pytest.fixture
def training(tiny, monkeypatch):
  monkeypatch.chdir(tiny)
  monkeypatch.setattr('ssd_tf.run.evaluate._Evaluation', Evaluation)
  monkeypatch.setattr(Evaluation, 'meanwhile', [])
  monkeypatch.setattr(Evaluation, 'afterwards', [])
  training = Trainings('model')
  training.save(2)
  return training


class Evaluation:
  """In place of the real one: reads the checkpoint, and only its step counts."""

  meanwhile = []  # What happens before a checkpoint is read, of each to come.
  afterwards = []  # What happens after each.

  def __init__(self, *args):
    self.step = None

  def evaluate(self, path):
    for happens in self.meanwhile[:1]:
      self.meanwhile.remove(happens)
      happens()
    file = open_checkpoint(path)
    self.step = int(file.read('step/.ATTRIBUTES/VARIABLE_VALUE'))
    for happens in self.afterwards:
      happens()
    return metrics(self.step)


def metrics(step):
  return {'DetectionBoxes_Precision/mAP': step / 10}


def evaluate(evaluate_checkpoints, checkpoint_dir='model', **options):
  loaded = Pipeline.load('tiny.config', ['train_config.num_steps=6']).config
  return evaluate_checkpoints(
    Pipeline(loaded, 'tiny.config'), 'out', checkpoint_dir, strategy=STRATEGY, **options
  )


@pytest.mark.parametrize('timeout', [0, 60])
def test_the_next_one_is_evaluated(timeout, training, caplog):
  caplog.set_level('INFO', logger='tensorflow')
  Evaluation.meanwhile += [lambda: training.save(4), lambda: training.save(6)]
  assert evaluate(evaluate_checkpoints, timeout=timeout) == metrics(6)
  told = [message for message in caplog.messages if 'was deleted' in message]
  assert [message.split(':')[0] for message in told] == ['model/ckpt-2', 'model/ckpt-4']


def test_a_training_is_over_though_its_last_checkpoint_is_gone(training):
  training.save(6)
  Evaluation.afterwards.append(lambda: training.save(8))
  assert evaluate(evaluate_checkpoints, timeout=60) == metrics(6)


def test_all_of_a_folder_are_those_that_are_left_and_newer_ones(training, caplog):
  caplog.set_level('INFO', logger='tensorflow')
  Evaluation.meanwhile += [lambda: training.save(4), lambda: training.save(6)]
  assert evaluate(evaluate_all_checkpoints) == {6: metrics(6)}
  assert '1 checkpoints of model on eval.record' in caplog.text


def test_of_those_given_by_name_the_rest_is_evaluated(training, tiny):
  other = Trainings('other')
  paths = [training.save(3), other.save(5)]
  Evaluation.meanwhile += [lambda: training.save(4)]
  assert evaluate(evaluate_all_checkpoints, paths) == {5: metrics(5)}
  Evaluation.meanwhile += [lambda: other.save(7)]
  with pytest.raises(InputError, match='every checkpoint was deleted'):
    evaluate(evaluate_all_checkpoints, [paths[1]])


def test_one_given_by_name_is_named(training):
  Evaluation.meanwhile += [lambda: training.save(4)]
  with pytest.raises(checkpoint_file.CheckpointDeleted, match='^model/ckpt-2: was deleted'):
    evaluate(evaluate_checkpoints, 'model/ckpt-2')


def test_what_opens_or_reads_a_checkpoint_names_the_deleted_one(training, monkeypatch):
  def read(name):
    raise tf.errors.NotFoundError(None, None, 'model/ckpt-2.data-00001-of-00002; No such file')

  file = open_checkpoint('model/ckpt-2')
  training.save(4)
  monkeypatch.setattr(file, '_reader', types.SimpleNamespace(get_tensor=read))
  for read_it in (
    lambda: file.read(next(iter(file.shapes))),
    lambda: open_checkpoint('model/ckpt-2'),
  ):
    with pytest.raises(checkpoint_file.CheckpointDeleted, match='^model/ckpt-2: was del') as error:
      read_it()
    assert len(str(error.value).splitlines()) == 1


def test_tools_that_look_for_a_checkpoint_and_read_it_later_tell_it(training, monkeypatch):
  """Export, inspection, and what evaluates images for a run's page."""
  real = checkpoint_file.CheckpointFile.__init__

  def deleted_meanwhile(self, path):
    training.save(int(training.step) + 2)
    real(self, path)

  monkeypatch.setattr(checkpoint_file.CheckpointFile, '__init__', deleted_meanwhile)
  loaded = Pipeline.load('tiny.config').config
  for read in (
    lambda: list(checkpoint_inspection.inspect('model')),
    lambda: exporter.export(Pipeline(loaded, 'tiny.config'), 'model', 'exported'),
    lambda: evaluated_images.evaluate_images(Pipeline(loaded, 'tiny.config'), 'model'),
  ):
    with pytest.raises(checkpoint_file.CheckpointDeleted, match=r'^model/ckpt-\d+: was deleted'):
      read()


def test_an_evaluation_asks_nothing_of_a_checkpoint_that_it_has_read(tiny, monkeypatch):
  import tiny_project

  monkeypatch.chdir(tiny)
  detector = tiny_project.write_checkpoint(tiny)
  step = start.restore(detector.model, 'model/ckpt-0')
  assert (step, type(step)) == (0, int)
