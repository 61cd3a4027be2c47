"""Training, evaluation and export by the Python API: what the commands would have left and said."""

import json

import numpy as np
import pytest
import tensorflow as tf

import ssd_tf
from ssd_tf.config.pipeline import Pipeline


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """(The project's folder, what `train` returned)."""
  import tiny_project

  folder = tmp_path_factory.mktemp('project')
  tiny_project.make(folder)
  checkpoint = ssd_tf.train(
    folder / 'tiny.config',
    folder / 'model',
    checkpoint_every_n=1,
    verbose=False,
    num_steps=2,
    data_augmentation_options=[],
    **{'eval_config.batch_size': 5, 'train_config.optimizer.momentum_optimizer.learning_rate':
       '{constant_learning_rate {learning_rate: 0.001}}'},
  )  # fmt: skip
  return folder, checkpoint


def test_a_training_takes_overrides_and_keeps_the_best(trained):
  folder, checkpoint = trained
  config = Pipeline.load(folder / 'model').config
  assert (config.train_config.num_steps, config.eval_config.batch_size) == (2, 5)
  assert not config.train_config.data_augmentation_options
  rate = config.train_config.optimizer.momentum_optimizer.learning_rate
  assert rate.constant_learning_rate.learning_rate == pytest.approx(0.001)
  assert sorted(p.name for p in (folder / 'model').glob('*.index')) == [
    f'ckpt-{step}.index' for step in range(3)
  ]
  best = tf.train.latest_checkpoint(folder / 'model/best')
  assert checkpoint == (best or str(folder / 'model/ckpt-2'))


@pytest.mark.slow
def test_an_evaluation_gives_the_figures_of_the_training(trained, tmp_path, monkeypatch):
  folder, _ = trained
  monkeypatch.chdir(tmp_path)  # The paths of the config hold from anywhere.
  lines = [json.loads(line) for line in (folder / 'model/eval/metrics.jsonl').open()]
  metrics = ssd_tf.evaluate(folder / 'model', model_dir=tmp_path / 'again', verbose=False)
  assert lines[-1]['step'] == 2 and metrics.keys() == lines[-1]['metrics'].keys()
  for name, value in lines[-1]['metrics'].items():
    assert metrics[name] == pytest.approx(value, abs=1e-5, nan_ok=True), name
  [line] = (tmp_path / 'again/eval/metrics.jsonl').read_text().splitlines()
  assert json.loads(line)['step'] == 2
  earlier = ssd_tf.evaluate(
    folder / 'model', folder / 'model/ckpt-1', model_dir=tmp_path / 'earlier', verbose=False
  )
  expected = lines[0]['metrics']['Loss/total_loss']
  assert earlier['Loss/total_loss'] == pytest.approx(expected, abs=1e-5)


def test_an_export_detects_as_what_was_trained(trained, tmp_path, monkeypatch):
  folder, checkpoint = trained
  monkeypatch.chdir(tmp_path)
  path = ssd_tf.export(folder / 'model', batch_size=1)
  assert path == str(folder / 'model/exported/saved_model')
  image = np.random.default_rng(0).integers(0, 256, [48, 80, 3]).astype(np.uint8)
  expected, found = (ssd_tf.load(p)(image) for p in (checkpoint, folder / 'model/exported'))
  assert len(found) > 3 and set(found.names) <= {'a', 'b', 'c'}
  np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
  other = ssd_tf.export(folder / 'tiny.config', folder / 'model/ckpt-1', tmp_path / 'other')
  assert other == str(tmp_path / 'other/saved_model')
  config = Pipeline.load(tmp_path / 'other')
  assert config.resolve(config.config.eval_input_reader[0].label_map_path)


def test_faults_are_told(tmp_path):
  with pytest.raises(FileNotFoundError, match='gone'):
    ssd_tf.train(tmp_path / 'gone.config', tmp_path / 'model')
  (tmp_path / 'pipeline.config').write_text('')
  with pytest.raises(ssd_tf.InputError, match='num_stepz'):
    ssd_tf.train(tmp_path, tmp_path / 'model', num_stepz=3)
