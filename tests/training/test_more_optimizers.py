"""Updates of sgd, adadelta, adagrad and ftrl against TF1's formulas in NumPy; polynomial decay."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.errors import InputError
from ssd_tf.protos import optimizer_pb2

START = np.array([1.0, -2.0, 0.5])
GRADIENTS = np.array([[0.5, -1.0, 0.0], [0.25, 0.0, 1e-3], [-1.0, 3.0, 0.0], [2.0, 0.5, -1e-3]])
# (.8 - .1) * (1 - step / 4)^2 + .1 at steps 0 to 3: a rate that changes with every step.
SCHEDULE = """learning_rate { polynomial_decay_learning_rate {
  initial_learning_rate: 0.8 end_learning_rate: 0.1 decay_steps: 4 power: 2 } }"""
RATES = (0.8, 0.49375, 0.275, 0.14375)


def build(text):
  return builders.build_optimizer(text_format.Parse(text, optimizer_pb2.Optimizer()))


def values_of(kind, options=''):
  """The variable after each update, f32[4,3]."""
  optimizer = build(f'{kind} {{ {SCHEDULE} {options} }}')
  variable = keras.Variable(START.astype(np.float32), name='kernel')
  optimizer.build([variable])
  update = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
  values = []
  for gradient in GRADIENTS:
    update(tf.constant(gradient, tf.float32))
    values.append(variable.numpy())
  return np.array(values)


def test_sgd():
  expected = START - np.cumsum(np.array(RATES)[:, None] * GRADIENTS, axis=0)
  np.testing.assert_allclose(values_of('sgd_optimizer'), expected, rtol=1e-6)


@pytest.mark.parametrize(
  ('options', 'rho', 'epsilon'), [('', 0.95, 1e-8), ('rho: 0.5 epsilon: 0.01', 0.5, 0.01)]
)
def test_adadelta(options, rho, epsilon):
  value, mean_square, mean_update, expected = START, np.zeros(3), np.zeros(3), []
  for rate, gradient in zip(RATES, GRADIENTS, strict=True):
    mean_square = rho * mean_square + (1 - rho) * gradient**2
    update = np.sqrt(mean_update + epsilon) / np.sqrt(mean_square + epsilon) * gradient
    mean_update = rho * mean_update + (1 - rho) * update**2
    value = value - rate * update
    expected.append(value)
  actual = values_of('adadelta_optimizer', options)
  np.testing.assert_allclose(actual - START, expected - START, rtol=2e-3, atol=2e-7)
  assert abs(actual[-1] - START).max() > 1e-4


@pytest.mark.parametrize(
  ('options', 'start'), [('', 0.1), ('initial_accumulator_value: 1e-6', 1e-6)]
)
def test_adagrad_adds_nothing_to_the_root(options, start):
  value, total, expected = START, np.full(3, start), []
  for rate, gradient in zip(RATES, GRADIENTS, strict=True):
    total = total + gradient**2
    value = value - rate * gradient / np.sqrt(total)
    expected.append(value)
  # A small sum tells: 1e-7, which Keras adds by default, would change the third value by 1 %.
  np.testing.assert_allclose(values_of('adagrad_optimizer', options), expected, rtol=2e-6)


@pytest.mark.parametrize(
  ('options', 'power', 'start', 'l1', 'l2'),
  [
    ('', -0.5, 0.1, 0.0, 0.0),
    (
      'learning_rate_power: -0.75 initial_accumulator_value: 0.5 '
      'l1_regularization_strength: 0.25 l2_regularization_strength: 0.125',
      -0.75,
      0.5,
      0.25,
      0.125,
    ),
  ],
)
def test_ftrl(options, power, start, l1, l2):
  value, total, linear, expected = START, np.full(3, start), np.zeros(3), []
  for rate, gradient in zip(RATES, GRADIENTS, strict=True):
    new_total = total + gradient**2
    linear = linear + gradient - (new_total**-power - total**-power) / rate * value
    quadratic = new_total**-power / rate + 2 * l2
    value = np.where(abs(linear) > l1, (np.sign(linear) * l1 - linear) / quadratic, 0.0)
    total = new_total
    expected.append(value)
  # float32 leaves 1e-7 of a sum's root, divided by the rate.
  np.testing.assert_allclose(values_of('ftrl_optimizer', options), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
  ('options', 'steps', 'rates'),
  [
    # .01 to .0001 in 100 steps, in a line: .00505 halfway; the end's from there on.
    ('decay_steps: 100', (0, 50, 100, 1000), (0.01, 0.00505, 0.0001, 0.0001)),
    # .2 + .6 * (1 - t)^2 at t = 0, 1/4, 1/2, 1.
    (
      'initial_learning_rate: 0.8 end_learning_rate: 0.2 decay_steps: 8 power: 2',
      (0, 2, 4, 8, 9),
      (0.8, 0.5375, 0.35, 0.2, 0.2),
    ),
    # A root: .1 * sqrt(1 - 3/4).
    (
      'initial_learning_rate: 0.1 end_learning_rate: 0 decay_steps: 4 power: 0.5',
      (0, 3, 4),
      (0.1, 0.05, 0.0),
    ),
  ],
)
def test_polynomial_decay(options, steps, rates):
  message = text_format.Parse(
    f'polynomial_decay_learning_rate {{ {options} }}', optimizer_pb2.LearningRate()
  )
  schedule = builders.build_schedule(message, 'learning_rate')
  actual = [float(schedule(tf.constant(step, tf.int64))) for step in steps]
  np.testing.assert_allclose(actual, rates, rtol=1e-6, atol=1e-9)


def test_what_makes_no_sense_is_refused_by_its_field():
  with pytest.raises(InputError, match=r'polynomial_decay_learning_rate.decay_steps: is 0; exp'):
    build('sgd_optimizer { learning_rate { polynomial_decay_learning_rate { decay_steps: 0 } } }')
  with pytest.raises(InputError, match=r'ftrl_optimizer.learning_rate_power: is 0.5'):
    build(f'ftrl_optimizer {{ {SCHEDULE} learning_rate_power: 0.5 }}')
  with pytest.raises(InputError, match=r'train_config.optimizer.ftrl_optimizer.learning_rate: is'):
    build('ftrl_optimizer { }')
