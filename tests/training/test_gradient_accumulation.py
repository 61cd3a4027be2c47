"""Several batches make the step that one batch of all of them makes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from stub_detector import stub_detectors

from ssd_tf import fields
from ssd_tf.models.normalization import FusedBatchNormalization
from ssd_tf.training import optimizers, trainer
from ssd_tf.training.gradient_accumulation import MicroBatches
from ssd_tf.training.moving_average import MovingAverage

K, SIDE = 3, 4


def small_model(frozen):
  """One logit a class and pixel, behind a batch norm."""
  l2 = keras.regularizers.L2(0.01)
  image = keras.Input([SIDE, SIDE, 2])
  x = keras.layers.Conv2D(5, 3, kernel_regularizer=l2, name='conv')(image)
  x = FusedBatchNormalization(momentum=0.5, frozen=frozen, name='norm')(x)
  x = keras.layers.Conv2D(K + 1, 1, kernel_regularizer=l2, name='head')(x)
  return keras.Model(image, {fields.CLASS_LOGITS: keras.layers.Reshape([4, K + 1])(x)})


def batches_of(size, num_examples=12):
  """The same examples in the same order; some have more targets than others."""
  rng = np.random.default_rng(0)
  examples = {
    fields.IMAGE: rng.normal(size=[num_examples, SIDE, SIDE, 2]).astype(np.float32),
    'targets': (rng.uniform(size=[num_examples, 4, K + 1]) < np.linspace(0, 0.8, num_examples)[
      :, np.newaxis, np.newaxis
    ]).astype(np.float32),
    fields.EXAMPLE_MASK: np.full(num_examples, True),
    fields.SOURCE_ID: np.array([f'image {i}' for i in range(num_examples)]),
  }  # fmt: skip
  return tf.data.Dataset.from_tensor_slices(examples).repeat().batch(size, drop_remainder=True)


def losses(outputs, targets, batch, normalizer):
  """Two terms, so that neither is forgotten."""
  error = outputs[fields.CLASS_LOGITS] - targets
  return {
    'classification_loss': tf.reduce_sum(error**2) / normalizer,
    'localization_loss': tf.reduce_sum(tf.abs(error)) / normalizer,
  }


def train(batch_size, batches_per_step, *, frozen=True, steps=3, **settings):
  """(weights, measured, averages) after some steps."""
  keras.utils.set_random_seed(1)
  model = small_model(frozen)
  optimizer = optimizers.Momentum(0.05, momentum=0.9)
  average = MovingAverage(model.trainable_variables, decay=0.5)
  model_trainer = trainer.Trainer(
    detectors=stub_detectors(
      model,
      losses,
      lambda batch: batch['targets'],
      normalizer_part=lambda targets, batch: tf.reduce_sum(targets),
    ),
    optimizer=optimizer,
    dataset=batches_of(batch_size),
    strategy=tf.distribute.get_strategy(),
    moving_average=average,
    batches_per_step=batches_per_step,
    **settings,
  )
  model_trainer.train(tf.constant(steps))
  assert int(model_trainer.global_step.numpy()) == steps  # It counts updates.
  weights = {variable.path: variable.numpy() for variable in model.variables}
  weights |= {f'average/{path}': value.numpy() for path, value in average.averages.items()}
  return weights, model_trainer.measured


@pytest.mark.parametrize(
  'settings', [{}, {'gradient_clipping_by_norm': 0.5, 'bias_grad_multiplier': 2.0}]
)
def test_with_frozen_batch_norms_it_is_the_step_of_the_big_batch(settings):
  big, big_measured = train(6, 1, **settings)
  small, small_measured = train(2, 3, **settings)
  assert np.abs(big['conv/kernel'] - train(6, 1, steps=0)[0]['conv/kernel']).max() > 0.01
  for path, value in big.items():
    np.testing.assert_allclose(small[path], value, rtol=0, atol=1e-6, err_msg=path)
  for name in fields.LOSSES:  # The regularization too: it counts once.
    assert small_measured[name] == pytest.approx(big_measured[name], rel=1e-6)


def test_the_matches_of_all_batches_normalize_each_loss():
  # Normalized each by its own matches, the batches, of which the first has few, would count alike.
  _, big = train(12, 1, steps=1)
  _, small = train(3, 4, steps=1)
  keras.utils.set_random_seed(1)
  model = small_model(True)
  batch = next(iter(batches_of(12)))
  outputs = model(batch[fields.IMAGE], training=True)
  expected = losses(outputs, batch['targets'], batch, tf.reduce_sum(batch['targets']))
  for measured in (big, small):
    assert measured[fields.CLASSIFICATION_LOSS] == pytest.approx(
      float(expected['classification_loss']), rel=1e-6
    )


def test_batch_norms_take_the_statistics_of_each_batch_in_turn():
  weights, _ = train(2, 2, frozen=False, steps=1)
  keras.utils.set_random_seed(1)
  model, means = small_model(False), []
  for batch in batches_of(2).take(2):
    means.append(np.mean(model.get_layer('conv')(batch[fields.IMAGE]), axis=(0, 1, 2)))
  # Momentum .5 from 0: half the first, then half of that and half the second.
  np.testing.assert_allclose(weights['norm/moving_mean'], 0.25 * means[0] + 0.5 * means[1], 1e-5)


def test_micro_batches_are_summed_one_after_the_other():
  batches = [{'x': tf.constant([1.0, 2.0])}, {'x': tf.constant([3.0, 4.0])}]

  @tf.function
  def total(batches):
    return MicroBatches(batches).sum(
      lambda batch: (batch['x'] ** 2, tf.reduce_sum(batch['x'])), (tf.zeros([2]), tf.constant(0.0))
    )

  squares, plain = total(batches)
  np.testing.assert_array_equal(squares, [10.0, 20.0])
  assert float(plain) == 10.0
  squares, plain = total(batches[:1])
  np.testing.assert_array_equal(squares, [1.0, 4.0])
  assert float(plain) == 3.0
