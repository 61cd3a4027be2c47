"""Schedules against the Object Detection API's rates; updates against NumPy."""

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.ops import schedules
from ssd_tf.protos import optimizer_pb2
from ssd_tf.training import optimizers

GOLDENS = pathlib.Path(__file__).parents[1] / 'testdata/odapi'
RATES = json.loads((GOLDENS / 'x_learning_rates.json').read_text())
RMS_PROP = json.loads((GOLDENS / 'x_rmsprop_trace.json').read_text())


@pytest.mark.parametrize('case', sorted(RATES))
def test_schedules_equal_the_originals(case):
  golden = RATES[case]
  optimizer = text_format.Parse(golden['proto'], optimizer_pb2.Optimizer())
  values = getattr(optimizer, optimizer.WhichOneof('optimizer'))
  schedule = builders.build_schedule(values.learning_rate, case)
  rates = [float(schedule(tf.constant(step, tf.int64))) for step in golden['steps']]
  assert len(rates) == len(golden['learning_rate']) > 1
  np.testing.assert_allclose(rates, golden['learning_rate'], rtol=1e-5, atol=1e-9)


def test_manual_steps_have_to_rise():
  with pytest.raises(ValueError, match='rising steps'):
    schedules.manual_step_schedule(
      initial_learning_rate=0.1, steps=[20, 10], learning_rates=[0.1, 0.01]
    )


def run(optimizer, gradients, name='v'):
  variable = keras.Variable(np.array([1.0, -2.0], np.float32), name=name)
  optimizer.build([variable])
  values = []
  for gradient in gradients:
    optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
    values.append(variable.numpy())
  assert int(optimizer.iterations) == len(gradients)
  return np.array(values)


RATE = optimizers.KerasSchedule(lambda step: 0.1 * tf.pow(0.5, tf.cast(step, tf.float32)))


GRADIENTS = [[0.5, -1.0], [0.25, 0.0], [-1.0, 3.0], [2.0, 0.5]]


@pytest.mark.parametrize('momentum', [0.0, 0.9])
def test_momentum(momentum):
  value, velocity, expected = np.array([1.0, -2.0]), np.zeros(2), []
  for step, gradient in enumerate(GRADIENTS):
    velocity = momentum * velocity - 0.1 * 0.5**step * np.array(gradient)
    value = value + velocity
    expected.append(value)
  actual = run(optimizers.Momentum(RATE, momentum=momentum), GRADIENTS)
  np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize('momentum', [0.0, 0.9])
def test_rms_prop_is_that_of_tf1(momentum):
  value, velocity, mean_square = np.array([1.0, -2.0]), np.zeros(2), np.ones(2)
  expected = []
  for step, gradient in enumerate(GRADIENTS):
    gradient = np.array(gradient)
    mean_square = 0.9 * mean_square + 0.1 * gradient**2
    velocity = momentum * velocity + 0.1 * 0.5**step * gradient / np.sqrt(mean_square + 1.0)
    value = value - velocity
    expected.append(value)
  optimizer = optimizers.RMSProp(RATE, rho=0.9, momentum=momentum, epsilon=1.0)
  np.testing.assert_allclose(run(optimizer, GRADIENTS), expected, rtol=1e-6)


def test_rms_prop_differs_from_the_tf2_scripts_in_decay_and_start_alone():
  """Their rate is .004 / (1 + decay * step), and their mean square starts at 0, not 1."""
  assert (RMS_PROP['grad'], RMS_PROP['initial']) == (0.5, 1.0)

  def deltas(mean_square, rate_decay):
    velocity, result = 0.0, []
    for step in range(len(RMS_PROP['trace'])):
      mean_square = 0.9 * mean_square + 0.1 * 0.5**2
      rate = 0.004 / (1 + rate_decay * step)
      velocity = 0.9 * velocity + rate * 0.5 / np.sqrt(mean_square + 1.0)
      result.append(-velocity)
    return result

  measured = [entry['delta'] for entry in RMS_PROP['trace']]
  np.testing.assert_allclose(deltas(mean_square=0.0, rate_decay=0.9), measured, rtol=1e-4)
  message = text_format.Parse(RMS_PROP['proto'], optimizer_pb2.Optimizer())
  values = run(builders.build_optimizer(message), [[0.5, 0.5]] * len(measured))[:, 0]
  ours = np.diff(values, prepend=1.0)
  np.testing.assert_allclose(ours, deltas(mean_square=1.0, rate_decay=0.0), rtol=1e-4)
  # TF1's decay leaves the rate alone, so that steps grow to 1 / (1 - momentum) times the first.
  assert abs(ours[-1]) > 1.5 * abs(measured[-1])


@pytest.mark.parametrize('weight_decay', [0.0, 0.5])
def test_adam_and_its_decoupled_weight_decay(weight_decay):
  value, mean, square, expected = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2), []
  for step, gradient in enumerate(GRADIENTS):
    gradient, rate = np.array(gradient), 0.1 * 0.5**step
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    corrected = rate * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
    value = value - rate * weight_decay * value
    value = value - corrected * mean / (np.sqrt(square) + 1e-8)
    expected.append(value)
  if weight_decay:
    optimizer = optimizers.AdamW(RATE, epsilon=1e-8, weight_decay=weight_decay)
  else:
    optimizer = keras.optimizers.Adam(RATE, epsilon=1e-8)
  np.testing.assert_allclose(run(optimizer, GRADIENTS, name='kernel'), expected, rtol=1e-5)


def test_the_decays_of_adam_are_those_of_the_config():
  optimizer = builders.build_optimizer(
    text_format.Parse(
      """adam_optimizer {
           learning_rate { constant_learning_rate { learning_rate: 0.1 } } beta1: 0.5 beta2: 0.75
         }""",
      optimizer_pb2.Optimizer(),
    )
  )
  # Gradients 1, then 0: the means are .5 / .5 = 1 and .25 / .75 = 1/3; their squares .25 / .25 = 1
  # and .1875 / .4375 = 3/7. So -.1, then -.1 * (1/3) / sqrt(3/7) = -.0509175.
  values = run(optimizer, [[1.0, 1.0], [0.0, 0.0]])
  np.testing.assert_allclose(values[:, 0], [0.9, 0.8490825], rtol=1e-6)


@pytest.mark.parametrize('name', ['kernel', 'bias', 'gamma', 'beta'])
def test_adamw_shrinks_kernels_only(name):
  message = text_format.Parse(
    """adamw_optimizer {
         learning_rate { constant_learning_rate { learning_rate: 0.1 } } weight_decay: 0.5
       }""",
    optimizer_pb2.Optimizer(),
  )
  # No gradient: 1 * (1 - .1 * .5)^2 = .9025.
  expected = [0.9025, -1.805] if name == 'kernel' else [1.0, -2.0]
  values = run(builders.build_optimizer(message), [[0.0, 0.0]] * 2, name=name)
  np.testing.assert_allclose(values[-1], expected, rtol=1e-6)


@pytest.mark.parametrize(
  'kind', ['momentum_optimizer', 'rms_prop_optimizer', 'adam_optimizer', 'adamw_optimizer']
)
@pytest.mark.parametrize(
  ('schedule', 'rates'),
  [
    ('constant_learning_rate { learning_rate: 0.5 }', [0.5, 0.5, 0.5]),
    ('exponential_decay_learning_rate { initial_learning_rate: 0.8 decay_steps: 1 '
     'decay_factor: 0.5 }', [0.8, 0.4, 0.2]),
    # .4 * (1 + cos(pi * t)) at t = 0, 1/2, 1.
    ('cosine_decay_learning_rate { learning_rate_base: 0.8 total_steps: 2 warmup_steps: 0 }',
     [0.8, 0.4, 0.0]),
    ('manual_step_learning_rate { initial_learning_rate: 0.1 warmup: true '
     'schedule { step: 2 learning_rate: 0.3 } }', [0.1, 0.2, 0.3]),
  ],
)  # fmt: skip
def test_each_optimizer_takes_each_schedule(kind, schedule, rates):
  message = text_format.Parse(
    f'{kind} {{ learning_rate {{ {schedule} }} }}', optimizer_pb2.Optimizer()
  )
  optimizer = builders.build_optimizer(message)
  seen = [float(optimizer.learning_rate)]
  variable = keras.Variable(np.zeros(1, np.float32), name='kernel')
  optimizer.build([variable])
  for _ in rates[1:]:
    optimizer.apply([tf.ones(1)], [variable])
    seen.append(float(optimizer.learning_rate))
  np.testing.assert_allclose(seen, rates, rtol=1e-6, atol=1e-9)
