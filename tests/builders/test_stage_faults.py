"""What is wrong with freeze, stages and cycles is told with all else, before anything is built."""

import pytest
import tiny_project

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError

RATE = 'train_config.optimizer.momentum_optimizer.learning_rate'


@pytest.fixture(scope='module')
def project(tmp_path_factory):
  folder = tmp_path_factory.mktemp('project')
  tiny_project.make(folder)
  return folder


def faults(folder, *overrides):
  path = str(folder / 'tiny.config')
  try:
    builders.check_config(Pipeline.load(path, overrides))
  except InputError as error:
    return [line.removeprefix(f'{path}: ') for line in str(error).split('\n')]
  return []


def staged(*stages):
  return f'train_config.stage=[{", ".join(f"{{{stage}}}" for stage in stages)}]'


def constant(rate):
  return f'learning_rate {{constant_learning_rate {{learning_rate: {rate}}}}}'


def test_a_list_of_stages_is_an_override(project):
  """Of which the tiny config has 8 steps."""
  loaded = Pipeline.load(
    project / 'tiny.config',
    [
      'train_config.freeze=ALL_BUT_HEADS',
      'train_config.stage=[{first_step: 2 freeze: NONE}, {first_step: 4}]',
      'train_config.stage[1].freeze_variables=["class_head", "bias"]',
      'train_config.stage[2]={first_step: 6 freeze: BACKBONE}',
    ],
  ).config
  assert [s._asdict() for s in builders.build_stages(loaded.train_config)] == [
    {
      'first_step': first_step,
      'field': field,
      'frozen_groups': groups,
      'freeze_variables': patterns,
      'update_trainable_variables': [],
    }
    for first_step, field, groups, patterns in (
      (0, 'train_config', ('backbone', 'feature maps'), []),
      (2, 'train_config.stage[0]', (), []),
      (4, 'train_config.stage[1]', (), ['class_head', 'bias']),
      (6, 'train_config.stage[2]', ('backbone',), []),
    )
  ]
  builders.check_config(Pipeline(loaded, str(project / 'tiny.config')))


def test_the_form_of_the_documentation(project):
  override = 'train_config.stage=[{first_step: 20 freeze: NONE}]'
  (stage,) = Pipeline.load(project / 'tiny.config', [override]).config.train_config.stage
  assert (stage.first_step, stage.freeze) == (20, 0)


def test_all_mistakes_of_stages_are_told_at_once(project):
  found = faults(
    project,
    'train_config.freeze_variables=["(open"]',
    staged(
      'first_step: 0',
      'first_step: 5 update_trainable_variables: "a["',
      'first_step: 5 learning_rate {}',
      'first_step: 8 learning_rate {polynomial_decay_learning_rate {decay_steps: 0}}',
    ),
  )
  assert found == [
    'train_config.stage[3].learning_rate.polynomial_decay_learning_rate.decay_steps: is 0; '
    'expected 1 or more',
    "train_config.freeze_variables[0]: '(open' is no regular expression: missing ), unterminated "
    'subpattern at position 0',
    'train_config.stage[0].first_step: is 0: expected 1 or more; of the steps before the first '
    'stage, train_config itself says what trains',
    "train_config.stage[1].update_trainable_variables[0]: 'a[' is no regular expression: "
    'unterminated character set at position 1',
    'train_config.stage[2].first_step: is 5: expected more than 5, where the stage before it '
    'begins',
    'train_config.stage[3].first_step: is 8: the training ends before, at train_config.num_steps '
    '8; remove the stage, or raise num_steps',
    'train_config.stage[2].learning_rate: is not set; expected one of constant_learning_rate, '
    'exponential_decay_learning_rate, manual_step_learning_rate, cosine_decay_learning_rate, '
    'polynomial_decay_learning_rate',
  ]


def test_a_schedule_is_for_the_steps_until_the_next_one(project):
  """Of 8 steps: the tiny config's cosine of 8, then others."""
  cosine = 'cosine_decay_learning_rate {learning_rate_base: 0.1 warmup_steps: 1 total_steps: %d}'
  short = f'{RATE}={{{cosine % 5}}}'
  assert faults(project, staged(f'first_step: 3 {constant(0.1)}')) == []
  assert faults(project, short, staged(f'first_step: 5 {constant(0.1)}')) == []
  assert faults(project, short, staged('first_step: 5', f'first_step: 6 {constant(0.1)}')) == [
    f'{RATE}.cosine_decay_learning_rate.total_steps: is 5: the learning rate is 0 from there on, '
    'but it is for 6 steps (see train_config.stage); set both alike'
  ]
  burnin = 'exponential_decay_learning_rate {burnin_steps: 2}'
  found = faults(
    project,
    staged(
      f'first_step: 1 learning_rate {{{cosine % 3}}}',
      f'first_step: 5 learning_rate {{{burnin}}}',
      f'first_step: 7 learning_rate {{{burnin}}}',
    ),
  )
  assert found == [
    'train_config.stage[0].learning_rate.cosine_decay_learning_rate.total_steps: is 3: the '
    'learning rate is 0 from there on, but it is for 4 steps (see train_config.stage); set both '
    'alike',
    'train_config.stage[1].learning_rate.exponential_decay_learning_rate.burnin_steps: is 2: its '
    'part of the training, 2 steps (see train_config.stage), ends within it',
    'train_config.stage[2].learning_rate.exponential_decay_learning_rate.burnin_steps: is 2: its '
    'part of the training, 1 steps (see train_config.stage), ends within it',
  ]


def test_cycles_are_told_with_the_rest(project):
  cosine = 'cosine_decay_learning_rate {total_steps: 8 warmup_steps: 0 cycle_steps: 2 %s}'
  found = faults(
    project,
    f'{RATE}={{{cosine % "cycle_growth: 0.5"}}}',
    staged(f'first_step: 2 learning_rate {{{cosine % "cycle_decay: 2"}}}'),
  )
  assert found == [
    f'{RATE}.cosine_decay_learning_rate.cycle_growth: is 0.5; expected 1 or more',
    'train_config.stage[0].learning_rate.cosine_decay_learning_rate.cycle_decay: is 2; expected '
    'more than 0 and at most 1',
  ]
