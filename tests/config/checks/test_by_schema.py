"""Every number of a config has a range; one outside of it is told by its path, all at once."""

import math
import pathlib

import pytest

from ssd_tf.config import schema
from ssd_tf.config.checks import by_schema
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.protos import optimizer_pb2, ssd_pb2, train_pb2

ROOT = pathlib.Path(__file__).parents[3]
TINY = ROOT / 'tests/testdata/tiny.config'
CONFIGS = [
  *sorted(ROOT.glob('ssd_tf/configs/*.config')),
  *sorted(ROOT.glob('logs/*/*.config')),
  *sorted(ROOT.glob('tests/testdata/odapi_configs/*.config')),
  TINY,
]
COSINE = 'train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate'


def messages(descriptor, seen=None):
  """The descriptors of a message and of all in it that is acted on."""
  seen = {} if seen is None else seen
  if descriptor.full_name not in seen:
    seen[descriptor.full_name] = descriptor
    for field in descriptor.fields:
      works = schema.status_of(field).kind == schema.WORKS
      if field.message_type is not None and works:
        messages(field.message_type, seen)
  return list(seen.values())


MESSAGES = messages(PipelineConfig.DESCRIPTOR)


def out_of_range(*overrides):
  """Path of the field -> fault."""
  return dict(by_schema.out_of_range(Pipeline.load(TINY, overrides).config))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_configs_in_use_are_within(path):
  loaded = Pipeline.load(path).config
  assert by_schema.out_of_range(loaded) == []
  assert by_schema.within_range(loaded) == loaded


def test_every_number_that_does_anything_has_a_range():
  missing = [
    f'{message.name}.{field.name}'
    for message in MESSAGES
    for field in message.fields
    if field.cpp_type in schema.NUMBER_TYPES
    and schema.status_of(field).kind == schema.WORKS
    and not schema.has_range(field)
  ]
  assert missing == []


def test_a_range_is_of_a_number_and_a_count_of_a_list():
  for message in MESSAGES:
    for field in message.fields:
      name = f'{message.name}.{field.name}'
      if schema.has_range(field):
        assert field.cpp_type in schema.NUMBER_TYPES, name
      if schema.range_of(field).max_count != schema.Range().max_count:
        assert field.label == field.LABEL_REPEATED, name


@pytest.mark.parametrize(
  ('message', 'field', 'text', 'within', 'without'),
  [
    (ssd_pb2.Ssd, 'num_classes', '1 to 30000', (1, 30000), (0, 30001, math.nan)),
    (ssd_pb2.SsdFeatureExtractor, 'depth_multiplier', 'more than 0 and at most 4', (4,), (0, 4.1)),
    (optimizer_pb2.Optimizer, 'moving_average_decay', '0 or more and less than 1', (0,), (-1, 1)),
    (optimizer_pb2.FtrlOptimizer, 'learning_rate_power', 'at most 0', (0, -1e9), (1, -math.inf)),
    (train_pb2.EarlyStopping, 'min_delta', '0 or more', (0, 1e30), (-1, math.inf)),
    (ssd_pb2.Ssd, 'implicit_example_weight', 'a finite number', (-9, 9), (math.inf, math.nan)),
  ],
)
def test_an_interval_of_the_schema(message, field, text, within, without):
  numbers = schema.range_of(message.DESCRIPTOR.fields_by_name[field])
  assert str(numbers) == text
  assert all(number in numbers for number in within)
  assert not any(number in numbers for number in without)


def test_defaults_are_within():
  """So that a message that is not set needs no look."""
  for message in MESSAGES:
    for field in message.fields:
      if schema.has_range(field) and field.has_default_value:
        assert field.default_value in schema.range_of(field), f'{message.name}.{field.name}'


@pytest.mark.parametrize(
  ('override', 'field', 'fault'),
  [
    ('model.ssd.num_classes=2147483647', '', 'is 2147483647; expected 1 to 30000'),
    ('model.ssd.feature_extractor.depth_multiplier=-0.25', '', 'is -0.25; expected more than 0'),
    ('model.ssd.feature_extractor.depth_multiplier=1e9', '', 'is 1e+09; expected more than 0'),
    ('model.ssd.feature_extractor.min_depth=-1000', '', 'is -1000; expected 0 to'),
    ('model.ssd.image_resizer.fixed_shape_resizer.width=1000000', '', 'is 1000000; expected 1 to'),
    ('train_input_reader.max_number_of_boxes=0', 'train_input_reader[0].', 'is 0; expected 1 to'),
    ('train_input_reader.sample_1_of_n_examples=0', 'train_input_reader[0].', 'is 0; expected 1 o'),
    ('train_input_reader.num_readers=0', 'train_input_reader[0].', 'is 0; expected 1 to'),
    ('train_config.optimizer.momentum_optimizer.momentum_optimizer_value=1', '', 'is 1; expected'),
    ('train_config.optimizer.moving_average_decay=nan', '', 'is nan; expected 0 or more and less'),
    (f'{COSINE}.learning_rate_base=inf', '', 'is inf; expected 0 or more'),
    (f'{COSINE}.learning_rate_base=-0.5', '', 'is -0.5; expected 0 or more'),
    ('train_config.multi_scale.size=[{height: 0}]', '[0].height', 'is 0; expected 1 to 8192'),
  ],
)
def test_a_number_out_of_its_range_is_told_with_it(override, field, fault):
  path, _ = override.split('=', 1)
  if field.startswith('['):
    path += field
  elif field:
    path = field + path.split('.')[-1]
  ((found, text),) = out_of_range(override).items()
  assert (found, text[: len(fault)]) == (path, fault)


def test_all_are_told_at_once_in_lists_too_and_where_nothing_acts_on_them():
  faults = out_of_range(
    'model.ssd.anchor_generator.ssd_anchor_generator.aspect_ratios=[1, nan, -2]',
    'train_config.startup_delay_steps=inf',  # Without effect.
    'model.ssd.loss.equalization_loss.weight=nan',  # Refused.
    'eval_config.parameterized_metric={coco_keypoint_metrics {keypoint_label_to_sigmas '
    '{key: "nose" value: nan}}}',
  )
  assert faults == {
    'model.ssd.anchor_generator.ssd_anchor_generator.aspect_ratios[1]': (
      'is nan; expected more than 0 and at most 1000'
    ),
    'model.ssd.anchor_generator.ssd_anchor_generator.aspect_ratios[2]': (
      'is -2; expected more than 0 and at most 1000'
    ),
    'model.ssd.loss.equalization_loss.weight': 'is nan; expected a finite number',
    'train_config.startup_delay_steps': 'is inf; expected a finite number',
    'eval_config.parameterized_metric[0].coco_keypoint_metrics.keypoint_label_to_sigmas[nose]': (
      'is nan; expected a finite number'
    ),
  }


def test_a_long_list_is_told_and_cut():
  loaded = Pipeline.load(TINY).config
  generator = loaded.model.ssd.anchor_generator.ssd_anchor_generator
  generator.aspect_ratios[:] = [1.0] * 5000
  path = 'model.ssd.anchor_generator.ssd_anchor_generator.aspect_ratios'
  assert by_schema.out_of_range(loaded) == [(path, 'has more than 100 numbers; leave some out')]
  cut = by_schema.within_range(loaded).model.ssd.anchor_generator.ssd_anchor_generator
  assert list(cut.aspect_ratios) == [1.0] * 100 and len(generator.aspect_ratios) == 5000


def test_a_copy_within_the_ranges_differs_in_nothing_else():
  loaded = Pipeline.load(
    TINY,
    [
      'model.ssd.num_classes=2147483647',
      'train_config.batch_size=0',
      'model.ssd.feature_extractor.depth_multiplier=nan',
      'train_config.data_augmentation_options=[{random_crop_image {min_area: 0 max_area: 7}}]',
      'train_config.multi_scale.size=[{height: 64}, {height: 0}]',
    ],
  ).config
  within = by_schema.within_range(loaded)
  assert by_schema.out_of_range(within) == []
  assert within.model.ssd.num_classes == schema.MAX_CLASSES
  assert within.train_config.batch_size == 1
  assert within.model.ssd.feature_extractor.depth_multiplier == 1  # The default.
  crop = within.train_config.data_augmentation_options[0].random_crop_image
  assert (round(crop.min_area, 6), crop.max_area) == (0.1, 1)
  assert [size.height for size in within.train_config.multi_scale.size] == [64, 1]
  assert not within.train_config.multi_scale.size[0].HasField('width')
  assert within.model.ssd.box_predictor == loaded.model.ssd.box_predictor


@pytest.mark.parametrize('kind', ['random_crop_image', 'random_crop_pad_image'])
def test_a_number_below_the_one_that_it_may_not_be_below(kind):
  step = f'train_config.data_augmentation_options=[{{{kind} {{min_area: 0.5 max_area: %s}}}}]'
  assert [*by_schema.out_of_order(Pipeline.load(TINY, [step % 0.5]).config)] == []
  (fault,) = by_schema.out_of_order(Pipeline.load(TINY, [step % 0.25]).config)
  assert fault == (
    f'train_config.data_augmentation_options[0].{kind}.max_area',
    'is 0.25; expected min_area, 0.5, or more',
  )


def test_orders_are_of_numbers_of_one_message_and_hold_for_the_defaults():
  for message in MESSAGES:
    for field in message.fields:
      if other := schema.not_below(field):
        least = message.fields_by_name[other]
        assert field.cpp_type == least.cpp_type and field.cpp_type in schema.NUMBER_TYPES
        assert least.default_value <= field.default_value, f'{message.name}.{field.name}'
