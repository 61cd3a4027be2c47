"""The moving average of the weights: values, evaluation, checkpoints, replicas."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import FROZEN, SLOW

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.pretrained.loading import load_pretrained
from ssd_tf.run import checkpoints
from ssd_tf.training.moving_average import AveragedEvaluator, MovingAverage

SUFFIX = '/.ATTRIBUTES/VARIABLE_VALUE'
ON = (
  '--config_override=train_config.optimizer.use_moving_average=true',
  '--config_override=train_config.optimizer.moving_average_decay=0.3',
  '--config_override=train_config.op_determinism=true',
  *(SLOW, *FROZEN),
)


def weight(value):
  return keras.Variable(np.array([value], np.float32), name='kernel')


def updated(average, variable, values):
  """The average after each of the values, by a compiled update as in a training."""
  update, results = tf.function(average.update), []
  for step, value in enumerate(values, start=1):
    variable.assign([value])
    update(tf.constant(step, tf.int64))
    results.append(float(average.averages[variable.path].numpy()[0]))
  return results


def test_values():
  variable = weight(1.0)
  average = MovingAverage([variable], decay=0.3)
  # d = 2/11, 3/12 and then .3, as 4/13 is more:
  # 2/11 * 1 + 9/11 * 2 = 1.818182; .25 * 1.818182 + .75 * 4 = 3.454545; .3 * 3.454545 + .7 * 8.
  actual = updated(average, variable, [2.0, 4.0, 8.0])
  np.testing.assert_allclose(actual, [1.818182, 3.454545, 6.636364], rtol=1e-6)


def test_a_young_average_with_the_default_decay_follows_the_weights():
  variable = weight(0.0)
  average = MovingAverage([variable], decay=0.9999)
  # With d = .9999 from the start it would be 1 - .9999^100 = .00995.
  product = np.prod([(1 + s) / (10 + s) for s in range(1, 101)])
  actual = updated(average, variable, [1.0] * 100)[-1]
  assert actual == pytest.approx(1 - product, rel=1e-5) and actual > 0.99


def test_it_begins_again_at_the_weights_that_were_loaded():
  variable = weight(1.0)
  average = MovingAverage([variable], decay=0.3)
  variable.assign([5.0])
  average.reset()
  np.testing.assert_array_equal(average.averages[variable.path], [5.0])


class Failing:
  """Reads the weight, then fails if asked to."""

  def __init__(self, variable, fail):
    self.variable, self.fail = variable, fail

  def evaluate(self, num_steps):
    if self.fail:
      raise RuntimeError
    return {'weight': float(self.variable.numpy()[0]), 'steps': num_steps}


def test_evaluation_has_the_average_for_the_weight_and_gives_it_back():
  variable = weight(1 / 3)
  average = MovingAverage([variable], decay=0.3)
  before = variable.numpy()
  average.averages[variable.path].assign([0.7])
  output = AveragedEvaluator(Failing(variable, fail=False), average).evaluate(-1)
  assert output == {'weight': pytest.approx(0.7), 'steps': -1}
  np.testing.assert_array_equal(variable, before)
  with pytest.raises(RuntimeError):
    AveragedEvaluator(Failing(variable, fail=True), average).evaluate(-1)
  np.testing.assert_array_equal(variable, before)


def tensors(folder, checkpoint):
  reader = tf.train.load_checkpoint(str(folder / checkpoint))
  names = (f'{name}' for name in reader.get_variable_to_shape_map())
  parts = ('model/', 'optimizer/', 'moving_average/')
  return {name: reader.get_tensor(name) for name in names if name.startswith(parts)}


@pytest.mark.slow
def test_a_training_averages_saves_resumes_and_evaluates(tiny, train_tiny, run_tool):
  flags = (*ON, '--num_train_steps=4', '--checkpoint_every_n=1')
  output = train_tiny(tiny, 'whole', *flags)
  assert output.count('Evaluation and export take the moving average of the weights') == 1

  # Of every trainable weight, and of nothing else.
  saved = [tensors(tiny, f'whole/ckpt-{step}') for step in range(5)]
  averaged = {n.removeprefix('moving_average/') for n in saved[4] if n.startswith('moving')}
  detector = builders.build_detector(
    Pipeline.load(tiny / 'whole/pipeline.config').config.model, is_training=True
  )
  assert averaged == {f'{v.path}{SUFFIX}' for v in detector.model.trainable_variables}
  for name in averaged:
    expected = saved[0][f'model/{name}']
    np.testing.assert_array_equal(saved[0][f'moving_average/{name}'], expected)
    for step in range(1, 5):
      d = min(0.3, (1 + step) / (10 + step))
      expected = d * expected + (1 - d) * saved[step][f'model/{name}']
      actual = saved[step][f'moving_average/{name}']
      np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6, err_msg=name)
  assert (
    max(
      np.abs(saved[4][f'model/{name}'] - saved[4][f'moving_average/{name}']).max()
      for name in averaged
    )
    > 1e-3
  )

  # Whatever loads it gets the averages, and nothing of it is left over.
  report = load_pretrained(detector.model, str(tiny / 'whole/ckpt-4'))
  assert report.unused == [] and report.missing == {} and report.skipped == {}
  for variable in detector.model.trainable_variables:
    expected = saved[4][f'moving_average/{variable.path}{SUFFIX}']
    np.testing.assert_array_equal(variable, expected, err_msg=variable.path)

  # Gone on with from step 2, it is the same training.
  (tiny / 'resumed').mkdir()
  for path in (tiny / 'whole').glob('ckpt-2.*'):
    shutil.copy(path, tiny / 'resumed')
  (tiny / 'resumed/checkpoint').write_text('model_checkpoint_path: "ckpt-2"')
  output = train_tiny(tiny, 'resumed', *flags, '--noevaluate')
  assert 'Going on from resumed/ckpt-2 (step 2)' in output
  resumed = tensors(tiny, 'resumed/ckpt-4')
  assert resumed.keys() == saved[4].keys()
  for name, value in resumed.items():
    np.testing.assert_array_equal(value, saved[4][name], err_msg=name)

  # An evaluation of the checkpoint measures what the training measured.
  command = ('--pipeline_config_path=whole/pipeline.config', '--eval_timeout=0')
  code, output = run_tool(
    tiny, 'model_main_tf2.py', *command, '--model_dir=again', '--checkpoint_dir=whole'
  )
  assert code == 0, output
  during = [json.loads(line) for line in (tiny / 'whole/eval/metrics.jsonl').open()][-1]
  after = json.loads((tiny / 'again/eval/metrics.jsonl').read_text())
  assert during['step'] == after['step'] == 4
  for name, value in during['metrics'].items():
    assert after['metrics'][name] == pytest.approx(value, abs=1e-6), name

  # Two replicas keep the same average.
  train_tiny(tiny, 'two', *flags, '--noevaluate', '--num_logical_cpus=2')
  two = tensors(tiny, 'two/ckpt-4')
  for name in averaged:
    for part in ('model', 'moving_average'):
      np.testing.assert_allclose(two[f'{part}/{name}'], saved[4][f'{part}/{name}'], atol=1e-6)


def test_a_training_without_an_average_cannot_go_on_with_one(tmp_path):
  model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1, name='dense')])
  optimizer = keras.optimizers.SGD()
  optimizer.build(model.trainable_variables)
  path = checkpoints.training_checkpoint(model, optimizer).save(str(tmp_path / 'ckpt'))
  averages = MovingAverage(model.trainable_variables, decay=0.3).averages
  with_average = checkpoints.training_checkpoint(model, optimizer, averages)
  with pytest.raises(InputError, match=r'ckpt-1: .* no moving average .*use_moving_average'):
    checkpoints.restore_all(with_average, path)
  # The other way round is fine: the weights themselves go on.
  path = with_average.save(str(tmp_path / 'averaged'))
  checkpoints.restore_all(checkpoints.training_checkpoint(model, optimizer), path)
