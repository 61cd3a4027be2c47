"""freeze_variables and update_trainable_variables: by the API's names and ours, bit for bit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.pretrained import odapi_tf1
from ssd_tf.run import preflight
from ssd_tf.training import trainer
from ssd_tf.training.variable_selection import Stage, VariableSelector


@pytest.fixture
def detector(tiny):
  return builders.build_detector(Pipeline.load(tiny / 'tiny.config').config.model, is_training=True)


def select(detector, update=(), freeze=()):
  selector = VariableSelector(detector.model, api_names=odapi_tf1.checkpoint_names(detector.model))
  selector.apply(selector.select(Stage(update_trainable_variables=update, freeze_variables=freeze)))
  return {v.path for v in detector.model.trainable_variables}


def paths(detector, prefix):
  found = {v.path for v in detector.model.trainable_variables if v.path.startswith(prefix)}
  assert found
  return found


@pytest.mark.parametrize(
  ('pattern', 'prefixes'),
  [
    ('FeatureExtractor/MobilenetV1/Conv2d_0', ('mobilenet_v1_conv_0',)),
    ('FeatureExtractor/MobilenetV1/Conv2d_1_.*', ('mobilenet_v1_block_1_',)),
    # As TF2 users write it; the API searches, so that it need not be a name's beginning.
    ('MobilenetV1/Conv2d_[0-9]*(_depthwise|_pointwise|)/', ('mobilenet_v1',)),
    ('.*FeatureExtractor.*', ('mobilenet_v1', 'feature_map')),
    ('BoxPredictor_[01]/ClassPredictor', ('class_head_0', 'class_head_1')),
    ('^box_encoding_head_2/', ('box_encoding_head_2',)),
    ('mobilenet_v1_block_1_depthwise/', ('mobilenet_v1_block_1_depthwise/',)),
    # Over the API's names alone: over ours it would be everything.
    ('^(?!BoxPredictor)', ('mobilenet_v1', 'feature_map')),
  ],
)
def test_patterns(pattern, prefixes, detector):
  expected = {v.path for v in detector.model.trainable_variables}
  frozen = set().union(*(paths(detector, prefix) for prefix in prefixes))
  assert select(detector, freeze=[pattern]) == expected - frozen


def test_included_first_then_excluded(detector):
  heads = paths(detector, 'class_head') | paths(detector, 'box_encoding_head')
  biases = {path for path in heads if path.endswith('/bias')}
  assert len(biases) == 6
  assert select(detector, update=['BoxPredictor'], freeze=['weights']) == biases


def test_what_trains_is_logged(detector, caplog):
  with caplog.at_level('INFO', logger='absl'):
    select(detector, update=['BoxPredictor_2/ClassPredictor/', 'box_encoding_head_2/bias'])
  # The last map has 4 anchors and 64 channels: 64 * 4 * 4 + 4 * 4 of the classes, 4 * 4 beside.
  channels = detector.model.get_layer('class_head_2').kernel.shape[2]
  number = channels * 16 + 16 + 16
  assert f'Training 3 of 99 variables, {number:,} of ' in caplog.text
  assert "variables that 'box_encoding_head_2/bias' matches: 1." in caplog.text


@pytest.mark.parametrize('field', ['freeze', 'update'])
def test_a_pattern_that_matches_nothing_is_an_error_that_lists_names(field, detector):
  with pytest.raises(InputError) as error:
    select(detector, **{field: ['BoxPredictor', 'MobilenetV3/']})
  message = str(error.value)
  assert f'{field}_' in message and "[1]: 'MobilenetV3/' matches no trainable variable" in message
  assert 'FeatureExtractor/MobilenetV1/Conv2d_0/weights (here mobilenet_v1_conv_0/k' in message


def test_nothing_left_to_train_is_an_error(detector):
  with pytest.raises(InputError, match='leave no variable to train'):
    select(detector, freeze=['.*'])


def test_a_model_without_names_of_the_api_has_its_own(detector):
  kept = {v.path for v in detector.model.trainable_variables} - paths(detector, 'class_head')
  selector = VariableSelector(detector.model)
  selector.apply(selector.select(Stage(freeze_variables=['class_head'])))
  assert {v.path for v in detector.model.trainable_variables} == kept


def test_frozen_weights_stay_bit_for_bit(tiny, detector):
  loaded = Pipeline.load(tiny / 'tiny.config').config
  half_frozen = 'mobilenet_v1_block_2_pointwise_batch_norm'
  whole = ('mobilenet_v1_conv_0', 'mobilenet_v1_block_1_', 'feature_map_2_expand')
  trainable = select(detector, freeze=[*whole, f'{half_frozen}/gamma', 'class_head_.*/kernel'])
  optimizer = builders.build_optimizer(loaded.train_config.optimizer)
  strategy = tf.distribute.get_strategy()
  dataset = builders.build_train_dataset(Pipeline(loaded, str(tiny / 'tiny.config')), detector)
  keras.utils.set_random_seed(0)
  before = {v.path: v.numpy() for v in detector.model.variables}
  trainer.Trainer(
    detectors={detector.image_size: detector},
    optimizer=optimizer,
    dataset=strategy.experimental_distribute_dataset(dataset),
    strategy=strategy,
  ).train(tf.constant(3))
  changed = {v.path for v in detector.model.variables if np.any(v.numpy() != before[v.path])}
  # A batch norm of which everything is frozen keeps its moving statistics too.
  moving = {v.path for v in detector.model.variables if '/moving_' in v.path}
  frozen_moving = {path for path in moving if path.startswith(whole)}
  assert len(frozen_moving) == 2 * (1 + 2 + 1)
  assert {f'{half_frozen}/{name}' for name in ('moving_mean', 'moving_variance')} <= changed
  # At the tiny config's first weights some gradients are 0; but nothing else may move.
  assert changed <= trainable | (moving - frozen_moving)
  assert {'class_head_0/bias', 'box_encoding_head_0/kernel'} <= changed
  assert len(changed) > 100


@pytest.mark.parametrize(
  'override', ['freeze=BACKBONE', 'freeze_variables=["x"]', 'update_trainable_variables=["x"]']
)
def test_freezing_what_is_random_is_told(override, tiny, caplog):
  caplog.set_level('WARNING', logger='absl')
  preflight.warn_of_differences(
    Pipeline.load(tiny / 'tiny.config', [f'train_config.{override}']).config
  )
  assert caplog.messages == [
    f'train_config.{override.partition("=")[0]}: keeps weights as they start, and nothing is '
    'loaded: without train_config.fine_tune_checkpoint they stay random.'
  ]
