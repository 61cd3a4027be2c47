"""Fields of train_config and beside it: gradients, precision, sampling, and what is refused."""

import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_project
from stub_detector import stub_detectors

from ssd_tf import builders, fields
from ssd_tf.config.checks import by_schema
from ssd_tf.config.checks.whole_config import find_faults
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.training import optimizers, precision, trainer


def point_model():
  """One pixel x, through a kernel of ones: class logits (x + b0, x + b1)."""
  image = keras.Input([1, 1, 1])
  conv = keras.layers.Conv2D(2, 1, kernel_initializer='ones', name='conv')(image)
  logits = keras.layers.Reshape([1, 2])(conv)
  return keras.Model(image, {fields.CLASS_LOGITS: logits})


def point_trainer(**settings):
  """Trains the model above, on x = 3, to lower logit 0 + 2 * logit 1; the rate is .1."""
  batch = {
    fields.IMAGE: tf.fill([1, 1, 1, 1], 3.0),
    fields.EXAMPLE_MASK: tf.constant([True]),
    fields.SOURCE_ID: tf.constant(['x']),
  }

  def losses(outputs, targets, batch, normalizer):
    logits = outputs[fields.CLASS_LOGITS][0, 0]
    loss = (logits[0] + 2 * logits[1]) / normalizer
    return {'classification_loss': loss, 'localization_loss': tf.constant(0.0)}

  return trainer.Trainer(
    detectors=stub_detectors(point_model(), losses),
    optimizer=optimizers.Momentum(0.1, momentum=0.0),
    dataset=tf.data.Dataset.from_tensors(batch).repeat(),
    strategy=tf.distribute.get_strategy(),
    **settings,
  )


@pytest.mark.parametrize(
  ('settings', 'kernel', 'bias'),
  [
    # The gradient is (3, 6) of the kernel and (1, 2) of the bias.
    ({}, [0.7, 0.4], [-0.1, -0.2]),
    ({'bias_grad_multiplier': 10.0}, [0.7, 0.4], [-1.0, -2.0]),
    # Its norm is sqrt(9 + 36 + 1 + 4) = sqrt(50): times 1 / 10.
    (
      {'gradient_clipping_by_norm': 0.5**0.5},
      [1 - 0.03, 1 - 0.06],
      [-0.01, -0.02],
    ),
    # Multiplied first: sqrt(45 + 100 + 400) = 23.345235; times 5 / 23.345235 = .2141765.
    (
      {'gradient_clipping_by_norm': 5.0, 'bias_grad_multiplier': 10.0},
      [1 - 0.06425295, 1 - 0.1285059],
      [-0.2141765, -0.428353],
    ),
  ],
)
def test_biases_are_multiplied_then_all_is_clipped(settings, kernel, bias):
  point = point_trainer(**settings)
  point.train(tf.constant(1))
  weights = {v.path: v.numpy().ravel() for v in point.model.trainable_variables}
  np.testing.assert_allclose(weights['conv/kernel'], kernel, rtol=1e-6)
  np.testing.assert_allclose(weights['conv/bias'], bias, rtol=1e-6)


def test_bfloat16_computes_in_half_the_bits_and_trains_in_float32(tiny):
  # The images that the tolerances below were measured on.
  changes = [
    'train_config.data_augmentation_options=[{random_horizontal_flip {}}, {ssd_random_crop {}}]'
  ]
  path = str(tiny / 'tiny.config')
  loaded, results = Pipeline.load(path, changes).config, {}
  for use in (False, True):
    keras.utils.set_random_seed(0)
    with precision.compute_dtype('mixed_bfloat16' if use else 'float32'):
      detector = builders.build_detector(loaded.model, is_training=True)
    model = detector.model
    assert keras.config.dtype_policy().name == 'float32'
    layer = model.get_layer('mobilenet_v1_block_3_depthwise')
    assert layer.compute_dtype == ('bfloat16' if use else 'float32')
    assert {v.dtype for v in model.variables} == {'float32'}
    tiny_project.randomize(model, seed=1)
    strategy = tf.distribute.get_strategy()
    dataset = builders.build_train_dataset(Pipeline(loaded, path), detector)
    model_trainer = trainer.Trainer(
      detectors={detector.image_size: detector},
      optimizer=optimizers.Momentum(1e-3, momentum=0.9),
      dataset=strategy.experimental_distribute_dataset(dataset),
      strategy=strategy,
    )
    before = model.get_layer('class_head_0').kernel.numpy()
    model_trainer.train(tf.constant(1))
    moved = model.get_layer('class_head_0').kernel.numpy() - before
    results[use] = (model_trainer.measured[fields.TOTAL_LOSS], moved)
  (loss, moved), (half_loss, half_moved) = results[False], results[True]
  assert half_loss == pytest.approx(loss, rel=0.05)
  assert np.abs(moved).max() > 1e-5
  # Eight bits of mantissa through fourteen batch norms: the same direction, not the same values.
  cosine = np.vdot(moved, half_moved) / np.linalg.norm(moved) / np.linalg.norm(half_moved)
  assert 0.9 < cosine < 1 - 1e-6


def with_two_paths(folder, *overrides):
  """The tiny config over two records: the images 0 to 9, and 3 more, called 100 to 102."""
  rng = np.random.default_rng(5)
  images = [tiny_project.annotation(100 + i, rng, num_boxes=1) for i in range(3)]
  tiny_project.write_records(folder / 'other.record', images)
  paths = 'train_input_reader.tf_record_input_reader.input_path=["train.record", "other.record"]'
  return Pipeline.load(folder / 'tiny.config', [paths, *overrides]).config


@functools.cache
def tiny_detector():
  loaded = Pipeline.load(tiny_project.ROOT / 'tests/testdata/tiny.config').config
  return builders.build_detector(loaded.model, is_training=True)


def share_of_others(loaded, folder, start_step=0, num_steps=250):
  path = str(folder / 'tiny.config')
  dataset = builders.build_train_dataset(Pipeline(loaded, path), tiny_detector(), start_step)
  ids = [i for batch in dataset.take(num_steps) for i in batch[fields.SOURCE_ID].numpy()]
  return np.mean([int(i.split()[1]) >= 100 for i in ids]), ids


def test_input_paths_are_sampled_by_their_weights(tiny):
  # Weights need not add up to 1. 1,000 examples are one whole round of turns.
  loaded = with_two_paths(tiny, 'train_input_reader.sample_from_datasets_weights=[3, 1]')
  assert find_faults(Pipeline(loaded, str(tiny / 'tiny.config'))) == []
  share, ids = share_of_others(loaded, tiny)
  assert share == pytest.approx(0.25)
  assert share_of_others(loaded, tiny, start_step=240, num_steps=10)[1] == ids[960:]
  # Without them, as many as there are.
  share, _ = share_of_others(with_two_paths(tiny), tiny, num_steps=130)
  assert share == pytest.approx(3 / 13, abs=0.01)


def test_weights_of_paths_divide_the_weight_of_their_reader(tiny):
  text = (tiny / 'tiny.config').read_text()
  reader = text[text.index('train_input_reader') : text.index('eval_config')]
  second = reader.replace('train.record', 'eval.record')
  (tiny / 'tiny.config').write_text(text + second)
  loaded = with_two_paths_of_the_first(tiny)
  (fault,) = find_faults(Pipeline(loaded, str(tiny / 'tiny.config')), checking='train')
  assert re.match('is 0, 0: .*sample_from_datasets_weights', fault.text)
  assert fault.field == 'train_input_reader.sampling_weight'
  for part in loaded.train_input_reader:
    part.sampling_weight = 2
  share, _ = share_of_others(loaded, tiny)
  assert share == pytest.approx(0.5 * 0.25)


def with_two_paths_of_the_first(folder):
  with_two = Pipeline.load(folder / 'tiny.config').config
  rng = np.random.default_rng(5)
  images = [tiny_project.annotation(100 + i, rng, num_boxes=1) for i in range(3)]
  tiny_project.write_records(folder / 'other.record', images)
  first = with_two.train_input_reader[0]
  first.tf_record_input_reader.input_path.append('other.record')
  first.sample_from_datasets_weights.extend([0.75, 0.25])
  return with_two


@pytest.mark.parametrize(
  ('override', 'fault'),
  [
    (
      'train_input_reader.sample_from_datasets_weights=[0.5, 0.5]',
      r'train_input_reader.sample_from_datasets_weights: is \[0.5, 0.5\]: expected a number above 0'
      ' for each of the 1 input_path',
    ),
    ('train_input_reader.sample_from_datasets_weights=[0]', r'\[0\]: is 0; expected more than 0'),
    (
      'train_config.optimizer={use_moving_average: true moving_average_decay: 1}',
      'train_config.optimizer.moving_average_decay: is 1; expected 0 or more and less than 1',
    ),
    ('train_config.bias_grad_multiplier=-1', 'bias_grad_multiplier: is -1; expected 0 '),
    ('train_config.gradient_clipping_by_norm=-1', 'gradient_clipping_by_norm: is -1; expected 0 '),
    (
      'train_config.freeze_variables=["fine", "(unclosed"]',
      r"train_config.freeze_variables\[1\]: '\(unclosed' is no regular expression",
    ),
  ],
)
def test_faults_are_found_before_anything_is_built(override, fault, tiny):
  (found,) = find_faults(Pipeline.load(tiny / 'tiny.config', [override]))
  assert re.search(fault, str(found))


def test_epochs_and_weights_that_do_not_count_are_told(tiny, caplog):
  overrides = ['train_input_reader.num_epochs=3', 'eval_input_reader.num_epochs=1']
  overrides.append('eval_input_reader.sample_from_datasets_weights=[1]')
  with caplog.at_level('WARNING', logger='absl'):
    assert find_faults(Pipeline.load(tiny / 'tiny.config', overrides)) == []
  warnings = [record.getMessage() for record in caplog.records]
  assert len(warnings) == 2
  assert 'train_input_reader.num_epochs: is 3, but the records are repeated' in warnings[0]
  assert 'evaluation reads each example once' in warnings[1]


@pytest.mark.parametrize('field', ['merge_multiple_label_boxes', 'use_multiclass_scores'])
def test_what_would_change_the_result_is_refused(field, tiny):
  loaded = Pipeline.load(tiny / 'tiny.config', [f'train_config.{field}=true']).config
  with pytest.raises(InputError, match=f'train_config.{field}: true is not supported'):
    builders.require_supported(loaded)
  builders.require_supported(
    Pipeline.load(tiny / 'tiny.config', [f'train_config.{field}=false']).config
  )


MACHINERY = {
  'train_config.sync_replicas': 'true',
  'train_config.replicas_to_aggregate': '8',
  'train_config.startup_delay_steps': '0',
  'train_config.max_number_of_boxes': '50',
  'train_config.unpad_groundtruth_tensors': 'false',
  'train_config.retain_original_images': 'true',
  'train_config.batch_queue_capacity': '1',
  'train_input_reader.load_multiclass_scores': 'true',
  'graph_rewriter.quantization': '{delay: 48000 weight_bits: 8 activation_bits: 8}',
}


def test_machinery_is_accepted_and_told(tiny):
  overrides = [f'{field}={value}' for field, value in MACHINERY.items()]
  loaded = Pipeline.load(tiny / 'tiny.config', overrides).config
  builders.require_supported(loaded)
  told = by_schema.ineffective_fields(loaded)
  assert set(told) == set(MACHINERY)


@pytest.mark.slow
def test_a_whole_training_with_everything_at_once(tiny, train_tiny):
  changes = {
    'train_config.use_bfloat16': 'true',
    'train_config.freeze_variables': '["FeatureExtractor/MobilenetV1/Conv2d_[0-4]"]',
    'train_config.bias_grad_multiplier': '2',
    'train_config.gradient_clipping_by_norm': '1',
    'train_config.keep_checkpoint_every_n_hours': '1e-9',
    'train_config.optimizer': '{adamw_optimizer {learning_rate {constant_learning_rate '
    '{learning_rate: 0.001}}}}',
    'train_config.sync_replicas': 'true',
    'graph_rewriter.quantization': '{delay: 48000}',
  }
  flags = [f'--config_override={field}={value}' for field, value in changes.items()]
  output = train_tiny(
    tiny, 'model', *flags, '--num_train_steps=2', '--checkpoint_every_n=1',
    '--checkpoint_max_to_keep=1', '--num_logical_cpus=2',
  )  # fmt: skip
  assert re.search(r'Training \d+ of 99 variables, [\d,]+ of [\d,]+ parameters', output)
  assert output.count('graph_rewriter.quantization: this trains in float') == 1
  assert output.count('without train_config.fine_tune_checkpoint they stay random') == 1
  told = re.search(r'Fields that are set and change nothing here: (.*)', output)[1]
  assert told == 'train_config.sync_replicas, graph_rewriter.quantization'
  # Every one of them is an hour's last, of so short an hour.
  steps = {path.name for path in (tiny / 'model').glob('*.index')}
  assert {'ckpt-1.index', 'ckpt-2.index'} <= steps
  reader = tf.train.load_checkpoint(str(tiny / 'model/ckpt-2'))
  first = tf.train.load_checkpoint(str(tiny / 'model/ckpt-0'))
  suffix = '/.ATTRIBUTES/VARIABLE_VALUE'
  frozen = f'model/mobilenet_v1_block_4_pointwise/kernel{suffix}'
  trained = f'model/class_head_0/bias{suffix}'
  np.testing.assert_array_equal(reader.get_tensor(frozen), first.get_tensor(frozen))
  assert np.any(reader.get_tensor(trained) != first.get_tensor(trained))
