"""Cosine decay with warm restarts, and schedules one after the other, against loops in NumPy."""

import math

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.errors import InputError
from ssd_tf.ops import schedules
from ssd_tf.protos import optimizer_pb2, train_pb2

STEPS = 130


def rates(schedule, steps=STEPS):
  """The rates of all steps, each as the optimizer asks for it: in a graph, by an i64[]."""
  traced = tf.function(schedule)
  return np.array([float(traced(tf.constant(step, tf.int64))) for step in range(steps)])


def built(fields):
  message = text_format.Parse(
    f'cosine_decay_learning_rate {{ {fields} }}', optimizer_pb2.LearningRate()
  )
  return builders.build_schedule(message, 'rate')


def looped(base, total, warmup_rate, warmup, hold, length, growth, decay):
  """Step by step: at the end of a cycle the next one begins, longer and lower."""
  expected, position, top = [], 0.0, base
  for step in range(STEPS):
    if step < warmup:
      expected.append(warmup_rate + (base - warmup_rate) * step / warmup)
    elif step < warmup + hold:
      expected.append(base)
    elif step >= total:
      expected.append(0.0)
    else:
      while position >= length:
        position, length, top = position - length, length * growth, top * decay
      expected.append(top / 2 * (1 + math.cos(math.pi * position / length)))
      position += 1
  return expected


@pytest.mark.parametrize(
  ('warmup', 'hold', 'length', 'growth', 'decay', 'total'),
  [
    (0, 0, 10, 1.0, 1.0, 1000),
    (5, 3, 10, 1.0, 0.5, 1000),
    (0, 0, 10, 2.0, 1.0, 1000),
    (5, 0, 7, 1.5, 0.75, 1000),  # Cycles of 7, 10.5, 15.75, ... steps.
    (0, 4, 1, 3.0, 0.5, 1000),
    (5, 3, 20, 2.0, 0.5, 90),  # It ends within a cycle.
    (0, 0, 200, 2.0, 0.5, 1000),  # There is time for a part of one cycle.
  ],
)
def test_warm_restarts_equal_a_loop(warmup, hold, length, growth, decay, total):
  schedule = built(
    f'learning_rate_base: 0.5 total_steps: {total} warmup_learning_rate: 0.125 '
    f'warmup_steps: {warmup} hold_base_rate_steps: {hold} '
    f'cycle_steps: {length} cycle_growth: {growth} cycle_decay: {decay}'
  )
  expected = looped(0.5, total, 0.125, warmup, hold, length, growth, decay)
  np.testing.assert_allclose(rates(schedule), expected, rtol=1e-5, atol=1e-7)


def test_rates_of_three_cycles_by_hand():
  schedule = built(
    'learning_rate_base: 0.8 total_steps: 100 warmup_steps: 0 '
    'cycle_steps: 2 cycle_growth: 2 cycle_decay: 0.5'
  )
  # .8 * (1 + cos 0) / 2 = .8, at a half .4; then 4 steps from .4: (1 + cos 45 deg) / 2 = .853553.
  expected = [0.8, 0.4, 0.4, 0.3414214, 0.2, 0.0585786, 0.2, 0.1923880]
  np.testing.assert_allclose(rates(schedule, 8), expected, rtol=1e-6)


def test_without_cycles_the_curve_is_the_old_one():
  fields = 'learning_rate_base: 0.5 total_steps: 100 warmup_steps: 5 hold_base_rate_steps: 3'
  one_cycle = rates(built(f'{fields} cycle_steps: 92'))
  plain = rates(built(fields))
  expected = looped(0.5, 100, 0.0002, 5, 3, 92, 1.0, 1.0)
  np.testing.assert_allclose(plain, expected, rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(one_cycle, plain, rtol=1e-5, atol=1e-7)
  changed = rates(built(f'{fields} cycle_growth: 3 cycle_decay: 0.5'))
  np.testing.assert_array_equal(changed, plain)


@pytest.mark.parametrize(
  ('fields', 'fault'),
  [
    ('cycle_growth: 0.5', 'cycle_growth: is 0.5; expected 1 or more'),
    ('cycle_decay: 0', 'cycle_decay: is 0; expected more than 0, at most 1'),
    ('cycle_decay: 1.5', 'cycle_decay: is 1.5; expected more than 0, at most 1'),
  ],
)
def test_cycles_that_shrink_or_rise_are_refused(fields, fault):
  with pytest.raises(InputError) as error:
    built(f'cycle_steps: 10 {fields}')
  assert str(error.value) == f'rate.cosine_decay_learning_rate.{fault}'


def test_a_stage_counts_its_own_steps():
  def line(slope):
    return lambda step: slope * tf.cast(step, tf.float32)

  schedule = schedules.staged_schedule(line(1.0), [(3, line(10.0)), (5, line(100.0))])
  np.testing.assert_array_equal(rates(schedule, 8), [0, 1, 2, 0, 10, 0, 100, 200])


def test_an_optimizer_takes_the_rates_of_stages_that_have_one():
  optimizer = text_format.Parse(
    'sgd_optimizer { learning_rate { exponential_decay_learning_rate { '
    'initial_learning_rate: 1 decay_steps: 1 decay_factor: 0.5 } } }',
    optimizer_pb2.Optimizer(),
  )
  train = text_format.Parse(
    """stage { first_step: 1 freeze: BACKBONE }
       stage { first_step: 3 learning_rate { cosine_decay_learning_rate {
         learning_rate_base: 4 total_steps: 2 warmup_steps: 0 } } }
       stage { first_step: 4 }
       stage { first_step: 6 learning_rate { constant_learning_rate { learning_rate: 7 } } }""",
    train_pb2.TrainConfig(),
  )
  schedule = builders.build_optimizer(optimizer, train.stage)
  seen = []
  for step in range(8):
    schedule.iterations.assign(step)
    seen.append(float(schedule.learning_rate))
  np.testing.assert_allclose(seen, [1, 0.5, 0.25, 4, 2, 0, 7, 7], atol=1e-7)
