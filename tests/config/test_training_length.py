"""A schedule that had the length of its training keeps it."""

import pytest
from google.protobuf import text_format

from ssd_tf.config.training_length import set_num_steps
from ssd_tf.protos import pipeline_pb2


def config(num_steps, schedule):
  return text_format.Parse(
    f'train_config {{num_steps: {num_steps} optimizer {{momentum_optimizer {{learning_rate '
    f'{{{schedule}}}}}}}}}',
    pipeline_pb2.TrainEvalPipelineConfig(),
  )


COSINE = (
  'cosine_decay_learning_rate {learning_rate_base: 0.02 total_steps: 400 warmup_steps: 50 '
  'hold_base_rate_steps: 20}'
)


@pytest.mark.parametrize(('num_steps', 'warmup', 'hold'), [(1000, 125, 50), (100, 12, 5)])
def test_a_cosine_of_the_same_length_is_stretched_and_its_warmup_keeps_its_share(
  num_steps, warmup, hold
):
  stretched = config(400, COSINE)
  said = set_num_steps(stretched, num_steps)
  cosine = stretched.train_config.optimizer.momentum_optimizer.learning_rate
  cosine = cosine.cosine_decay_learning_rate
  assert stretched.train_config.num_steps == cosine.total_steps == num_steps
  assert (cosine.warmup_steps, cosine.hold_base_rate_steps) == (warmup, hold)
  assert f'{num_steps} steps' in said and 'instead of 400' in said and f'{warmup} of them' in said


@pytest.mark.parametrize(
  ('num_steps', 'schedule'),
  [
    (300, COSINE),  # Of another length.
    (400, 'cosine_decay_learning_rate {total_steps: 400 warmup_steps: 50 cycle_steps: 100}'),
    (400, 'exponential_decay_learning_rate {decay_steps: 400}'),
    (400, 'constant_learning_rate {learning_rate: 0.1}'),
  ],
)
def test_other_schedules_stay(num_steps, schedule):
  changed, expected = config(num_steps, schedule), config(1000, schedule)
  assert set_num_steps(changed, 1000) == ''
  assert changed == expected


def test_the_same_length_changes_nothing():
  changed = config(400, COSINE)
  assert set_num_steps(changed, 400) == '' and changed == config(400, COSINE)


def test_without_an_optimizer_the_length_is_set():
  empty = pipeline_pb2.TrainEvalPipelineConfig()
  assert set_num_steps(empty, 7) == '' and empty.train_config.num_steps == 7
