"""Planted faults of the schedule: which check, how bad, which number."""

import math

import numpy as np
import pytest
from google.protobuf import text_format

from ssd_tf.config.pipeline import PipelineConfig
from ssd_tf.diagnosis import learning_rate_checks, schedule_checks
from ssd_tf.diagnosis.finding import Severity
from ssd_tf.run import known_rates

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
MOMENTUM = {'optimizer': 'momentum_optimizer', 'extractor': 'ssd_mobilenet_v2_keras'}


def told(findings):
  return [(finding.check, finding.severity) for finding in findings]


def curve_of(num_steps, learning_rate, optimizer='momentum_optimizer', stages=''):
  """The rates of a schedule given as text."""
  config = PipelineConfig()
  text_format.Parse(
    f'train_config {{ num_steps: {num_steps} '
    f'optimizer {{ {optimizer} {{ learning_rate {{ {learning_rate} }} }} }} {stages} }}',
    config,
  )
  return learning_rate_checks.rate_curve(config)


def cosine(total, warmup, base=0.1):
  return (
    f'cosine_decay_learning_rate {{ learning_rate_base: {base} total_steps: {total} '
    f'warmup_learning_rate: 0.01 warmup_steps: {warmup} }}'
  )


@pytest.mark.parametrize(
  ('rate', 'batch_size', 'options', 'severity', 'expected'),
  [
    # 0.8 with 512: 0.8 * 8 / 512 = 0.0125 from v2; nearer to 8 is 0.2 with 128, also 0.0125.
    (0.8, 8, MOMENTUM, ERROR, 0.0125),  # 64 times
    (0.2, 8, MOMENTUM, WARNING, 0.0125),  # 16 times
    (0.02, 8, MOMENTUM, None, None),  # 1.6 times
    (0.00001, 8, MOMENTUM, WARNING, 0.0125),  # 0.0008 of it
    (0.8, 512, MOMENTUM, None, None),
    (0.9, 1024, MOMENTUM, None, None),  # 0.9 with 1024 itself
    # 0.004 with 24: 0.00133 with 8.
    (0.1, 8, {**MOMENTUM, 'optimizer': 'rms_prop_optimizer'}, ERROR, 0.004 / 3),
    # 0.04 with 64: 0.005 with 8; without momentum ten times that.
    (0.3, 8, {**MOMENTUM, 'extractor': 'ssd_mobilenet_v1_fpn_keras'}, ERROR, 0.005),
    (0.3, 8, {**MOMENTUM, 'extractor': 'ssd_mobilenet_v1_fpn', 'momentum': 0.0}, None, None),
    # 0.001 with 32.
    (0.1, 32, {**MOMENTUM, 'extractor': 'ssd_300_vgg'}, ERROR, 0.001),
    # Adam's step is the rate, whatever the batch.
    (0.001, 1, {**MOMENTUM, 'optimizer': 'adam_optimizer'}, None, None),
    (0.1, 512, {**MOMENTUM, 'optimizer': 'adam_optimizer'}, WARNING, 0.001),
    (0.0, 8, MOMENTUM, ERROR, None),
    (
      5.0,
      8,
      {**MOMENTUM, 'optimizer': 'adagrad_optimizer'},
      None,
      None,
    ),  # Nothing to compare with.
  ],
)
def test_learning_rate_against_batch_size(rate, batch_size, options, severity, expected):
  findings = list(learning_rate_checks.check_rate(rate, batch_size, **options))
  assert told(findings) == ([('learning rate', severity)] if severity else [])
  if expected:
    assert findings[0].numbers['expected'] == pytest.approx(expected)
    assert findings[0].numbers['ratio'] == pytest.approx(rate / expected)


def test_an_epsilon_that_outweighs_the_gradients():
  # SSD-Tensorflow's default; a rate of 2 is then 2 times the gradient, not a step of 2.
  adam = {**MOMENTUM, 'optimizer': 'adam_optimizer'}
  (finding,) = learning_rate_checks.check_rate(0.001, 10, **adam, epsilon=1.0)
  assert (finding.check, finding.severity) == ('epsilon', WARNING)
  assert finding.what == (
    'The epsilon of adam_optimizer is 1, far above the gradients that it is added to: a step is '
    'about 0.001 times the gradient, so the weights hardly move.'
  )
  (finding,) = learning_rate_checks.check_rate(2.0, 10, **adam, epsilon=1.0)
  assert finding.check == 'epsilon'
  assert not list(learning_rate_checks.check_rate(0.001, 10, **adam, epsilon=1e-3))


def test_references_are_those_of_the_configs(request):
  root = request.config.rootpath
  for reference in known_rates.REFERENCES:
    folder = 'ssd_tf/configs' if reference.family == 'vgg' else 'tests/testdata/odapi_configs'
    text = (root / folder / f'{reference.name}.config').read_text()
    train = text[text.index('train_config') :].replace('0.', '.')
    assert f'batch_size: {reference.batch_size}\n' in train, reference.name
    assert f'{reference.rate:g}'.replace('0.', '.') in train, reference.name
    assert known_rates.family_of(text[text.index('feature_extractor') :]) == reference.family


def test_a_remedy_says_rate_and_reference():
  (finding,) = learning_rate_checks.check_rate(0.8, 8, **MOMENTUM)
  assert finding.what == (
    'The learning rate goes up to 0.8 with 8 images a step: 64 times the 0.0125 that '
    'ssd_mobilenet_v1_quantized_300x300_coco14_sync has in proportion (0.2 with 128).'
  )
  assert finding.remedy == (
    'Set the rate in train_config.optimizer.momentum_optimizer.learning_rate to about 0.01.'
  )


def test_a_large_rate_without_warm_up():
  findings = list(learning_rate_checks.check_rate(0.06, 8, **MOMENTUM, initial_rate=0.06))
  assert told(findings) == [('warm-up', WARNING)]
  assert findings[0].numbers['ratio'] == pytest.approx(4.8)  # 0.06 / 0.0125
  assert not list(learning_rate_checks.check_rate(0.06, 8, **MOMENTUM, initial_rate=0.006))
  assert not list(learning_rate_checks.check_rate(0.0125, 8, **MOMENTUM, initial_rate=0.0125))


def test_warm_up_longer_than_the_training():
  curve = curve_of(1000, cosine(50000, 2000))
  (finding,) = learning_rate_checks.check_course(curve)
  assert (finding.check, finding.severity) == ('warm-up', ERROR)
  assert finding.numbers == {'warmup_steps': 2000, 'num_steps': 1000, 'share': 2.0}
  assert curve.peak == pytest.approx(0.01 + 0.09 * 999 / 2000)
  (finding,) = learning_rate_checks.check_course(curve_of(3000, cosine(3000, 2000)))
  assert (finding.check, finding.severity) == ('warm-up', WARNING)


def test_a_rate_of_0_for_most_of_the_training():
  (finding,) = learning_rate_checks.check_course(curve_of(10_000, cosine(2000, 100)))
  assert (finding.check, finding.severity) == ('idle steps', ERROR)
  # 8,000 steps of 0; of the cosine those where (1 + cos(pi t)) / 2 < 0.001: t > 0.98, 38 steps.
  assert finding.numbers['share'] == pytest.approx(0.8038, abs=0.01)
  (finding,) = learning_rate_checks.check_course(curve_of(10_000, cosine(8000, 100)))
  assert (finding.check, finding.severity) == ('idle steps', WARNING)


def stage(first_step, learning_rate=''):
  rate = f'learning_rate {{ {learning_rate} }}' if learning_rate else ''
  return f'stage {{ first_step: {first_step} {rate} }}'


def test_a_stage_of_a_lower_rate_is_not_idle():
  constant = 'constant_learning_rate {{ learning_rate: {} }}'.format
  course = curve_of(1000, constant(0.02), stages=stage(300, constant(0.00001)))
  assert course.rates[[0, -1]] == pytest.approx([0.02, 0.00001])
  assert not list(learning_rate_checks.check_course(course))
  # A stage of a rate of 0 is, and so is one that goes on with a decay that is over.
  for stages in (stage(300, constant(0.0)), stage(600)):
    course = curve_of(1000, cosine(300, 10), stages=stages)
    (finding,) = learning_rate_checks.check_course(course)
    assert (finding.check, finding.severity) == ('idle steps', ERROR)
    assert finding.numbers['share'] == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize(
  ('num_steps', 'learning_rate', 'decay_step', 'end_share'),
  [
    # At 1500 of 50000: (1 + cos(pi * (1499 - 100) / 49900)) / 2.
    (1500, cosine(50000, 100), 50000, (1 + math.cos(math.pi * 1399 / 49900)) / 2),
    (
      1500,
      'exponential_decay_learning_rate { initial_learning_rate: 0.004 decay_steps: 800720 }',
      800720,
      1.0,
    ),
    (
      1500,
      'manual_step_learning_rate { initial_learning_rate: 0.001 '
      'schedule { step: 80000 learning_rate: 0.0001 } }',
      80000,
      1.0,
    ),
  ],
)
def test_a_decay_that_never_happens(num_steps, learning_rate, decay_step, end_share):
  (finding,) = learning_rate_checks.check_course(curve_of(num_steps, learning_rate))
  assert (finding.check, finding.severity) == ('decay', WARNING)
  assert finding.numbers['decay_step'] == decay_step
  assert finding.numbers['end_share'] == pytest.approx(end_share, abs=1e-4)


def test_the_decay_that_configs_of_the_api_do_not_come_to_is_a_note():
  # As ssd_mobilenet_v1_coco has it.
  rate = 'exponential_decay_learning_rate { initial_learning_rate: 0.004 decay_steps: 800720 }'
  (finding,) = learning_rate_checks.check_course(curve_of(200000, rate))
  assert (finding.check, finding.severity) == ('decay', NOTE)


@pytest.mark.parametrize(
  'learning_rate',
  [
    cosine(1500, 100),
    cosine(1600, 100),
    'constant_learning_rate { learning_rate: 0.01 }',
    'exponential_decay_learning_rate { initial_learning_rate: 0.004 decay_steps: 200 }',
    'manual_step_learning_rate { initial_learning_rate: 0.001 warmup: true '
    'schedule { step: 100 learning_rate: 0.01 } schedule { step: 1000 learning_rate: 0.001 } }',
    'polynomial_decay_learning_rate { decay_steps: 1500 }',
  ],
)
def test_sound_courses(learning_rate):
  assert not list(learning_rate_checks.check_course(curve_of(1500, learning_rate)))


def test_training_length():
  (finding,) = schedule_checks.check_length(50, 8, 1000)  # 400 images
  assert (finding.check, finding.severity) == ('training length', WARNING)
  assert finding.numbers['epochs'] == 0.4 and '1250 or more' in finding.remedy
  (finding,) = schedule_checks.check_length(25_000, 64, 160)  # 10,000 epochs
  assert (finding.severity, finding.numbers['epochs']) == (WARNING, 10_000)
  assert told(schedule_checks.check_length(0, 8, 100)) == [('training length', NOTE)]
  assert not list(schedule_checks.check_length(1500, 8, 300))


def test_moving_average_against_its_recurrence():
  average = 1.0  # The share of the start; the weights themselves have none of it.
  for step in range(1, 6):
    average *= min(0.9999, (1 + step) / (10 + step))
  assert schedule_checks.initial_share(0.9999, 5) == pytest.approx(average)
  # 2/11 * 3/12 = 0.0455 after two steps; after one 2/11.
  (finding,) = schedule_checks.check_moving_average(0.9999, 1)
  assert (finding.check, finding.severity) == ('moving average', WARNING)
  assert finding.numbers['initial_share'] == pytest.approx(2 / 11)
  # 500 steps suffice for the decay that rises.
  assert not list(schedule_checks.check_moving_average(0.9999, 500))
  assert not list(schedule_checks.check_moving_average(0.9999, 0))


def test_batch_norms_on_small_batches():
  (finding,) = schedule_checks.check_batch_norms([0.9, 0.9], 1, 1000, True)
  assert (finding.check, finding.severity) == ('batch norm', ERROR)
  assert finding.numbers == {'batch_size': 1, 'batch_norms': 2}
  assert told(schedule_checks.check_batch_norms([0.9], 2, 1000, True)) == [('batch norm', WARNING)]
  assert not list(schedule_checks.check_batch_norms([], 1, 1000, True))  # Frozen ones.
  assert not list(schedule_checks.check_batch_norms([0.97], 4, 1000, False))


def test_batch_norm_statistics_that_lag():
  # 0.9997^1500 = 0.638; 0.997^500 = 0.223.
  (finding,) = schedule_checks.check_batch_norms([0.9997], 8, 1500, False)
  assert (finding.check, finding.severity) == ('batch norm decay', ERROR)
  assert finding.numbers['initial_share'] == pytest.approx(0.6376, abs=1e-4)
  (finding,) = schedule_checks.check_batch_norms([0.9997], 8, 1500, True)
  assert finding.severity == WARNING
  (finding,) = schedule_checks.check_batch_norms([0.997, 0.9], 8, 500, False)
  assert finding.severity == WARNING and 'to 0.99,' in finding.remedy


def test_accumulated_batches_update_statistics_each():
  # 0.997^(250 * 8) = 0.0025.
  assert not list(schedule_checks.check_batch_norms([0.997], 8, 250, False, batches_per_step=8))
  # 0.9997^(250 * 8) = 0.549; -5 / ln 0.9997 = 16,664.2 batches are 2,083.02 steps.
  (finding,) = schedule_checks.check_batch_norms([0.9997], 8, 250, False, batches_per_step=8)
  assert finding.numbers['initial_share'] == pytest.approx(0.5488, abs=1e-3)
  assert 'start after 250 steps of 8 batches;' in finding.what
  assert finding.remedy.endswith('or train 2084 steps.')


def test_loss_at_step_0():
  expected = {'localization_loss': 1.0, 'classification_loss': 4.0}
  usual = {'localization_loss': 1.2, 'classification_loss': 4.1}
  assert not list(schedule_checks.check_losses(usual, expected, False))
  (finding,) = schedule_checks.check_losses(
    {'localization_loss': 10.0, 'classification_loss': 40.0}, expected, False
  )
  assert (finding.check, finding.severity) == ('loss at step 0', WARNING)
  assert finding.numbers['ratio'] == 10
  exploded = {'localization_loss': 500.0, 'classification_loss': 0.0}
  assert told(schedule_checks.check_losses(exploded, expected, False))[0][1] == ERROR
  # Heads that a checkpoint brought have to know more than nothing.
  (finding,) = schedule_checks.check_losses(
    {'localization_loss': 2.0, 'classification_loss': 8.0}, expected, True
  )
  assert finding.severity == WARNING and 'fine_tune_class_map' in finding.remedy
  (finding,) = schedule_checks.check_losses({**usual, 'localization_loss': np.nan}, expected, False)
  assert finding.severity == ERROR
  assert finding.what == (
    'The loss of the first batch is not finite: localization_loss nan, classification_loss 4.1.'
  )


def test_regularization_that_outweighs():
  (finding,) = schedule_checks.check_regularization(8.0, 2.0)
  assert (finding.check, finding.severity, finding.numbers['ratio']) == (
    'regularization',
    WARNING,
    4.0,
  )
  assert told(schedule_checks.check_regularization(200.0, 2.0)) == [('regularization', ERROR)]
  assert not list(schedule_checks.check_regularization(0.4, 2.0))


def test_gradient_clipping():
  (finding,) = schedule_checks.check_clipping(0.1, 80.0)
  assert (finding.check, finding.severity) == ('gradient clipping', WARNING)
  assert finding.numbers['share'] == pytest.approx(0.00125)
  assert not list(schedule_checks.check_clipping(10.0, 80.0))


def test_an_optimizer_has_to_be_set():
  with pytest.raises(ValueError, match='train_config.optimizer: none is set'):
    learning_rate_checks.rate_curve(PipelineConfig())
