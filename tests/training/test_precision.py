"""Half precision: what is learned in it, and the loss scale of float16."""

import keras
import numpy as np
import orbit
import pytest
import tensorflow as tf
import tiny_project
from stub_detector import stub_detectors

from ssd_tf import fields
from ssd_tf.errors import InputError
from ssd_tf.models.folding import fold_batch_norm
from ssd_tf.models.normalization import FusedBatchNormalization
from ssd_tf.run import checkpoints
from ssd_tf.training import loss_scale, optimizers, precision, trainer
from ssd_tf.training.loss_scale import LossScale


def network():
  """Two blocks of convolution and batch norm, and a head of three classes, as an SSD's."""
  x = image = keras.Input([8, 12, 3])
  for i in range(2):
    x = keras.layers.Conv2D(8, 3, strides=2, padding='same', name=f'conv_{i}')(x)
    x = FusedBatchNormalization(momentum=0.9, name=f'norm_{i}')(x)
    x = keras.layers.ReLU(6.0, name=f'relu_{i}')(x)
  x = keras.layers.Conv2D(4, 1, name='head')(x)
  return keras.Model(image, {fields.CLASS_LOGITS: keras.layers.Reshape([6, 4], dtype='float32')(x)})


def batch():
  rng = np.random.default_rng(2)
  classes = rng.integers(0, 4, [4, 6])
  return {
    fields.IMAGE: rng.uniform(-1, 1, [4, 8, 12, 3]).astype(np.float32),
    'classes': classes.astype(np.int32),
    fields.EXAMPLE_MASK: np.full(4, True),
    fields.SOURCE_ID: np.array(['a', 'b', 'c', 'd']),
  }


def cross_entropy(outputs, targets, batch, normalizer):
  logits = outputs[fields.CLASS_LOGITS]
  assert logits.dtype == tf.float32
  loss = tf.nn.sparse_softmax_cross_entropy_with_logits(batch['classes'], logits)
  return {
    'classification_loss': tf.reduce_sum(loss) / normalizer,
    'localization_loss': tf.constant(0.0),
  }


def make_trainer(kind, compute_losses=cross_entropy, scale=None, **settings):
  keras.utils.set_random_seed(3)
  with precision.compute_dtype(kind):
    model = network()
  if kind == precision.MIXED_FLOAT16:
    settings['loss_scale'] = scale or LossScale()
  return trainer.Trainer(
    detectors=stub_detectors(
      model,
      compute_losses,
      lambda batch: batch['classes'],
      normalizer_part=lambda targets, batch: tf.constant(24.0),
    ),
    optimizer=optimizers.Momentum(0.1, momentum=0.9),
    dataset=tf.data.Dataset.from_tensors(batch()).repeat(),
    strategy=tf.distribute.get_strategy(),
    **settings,
  )


@pytest.fixture(scope='module')
def losses():
  """{precision: total losses of the steps}, of the first one and of the 21st."""
  found = {}
  for kind in (precision.FLOAT32, precision.MIXED_BFLOAT16, precision.MIXED_FLOAT16):
    model_trainer = make_trainer(kind, gradient_clipping_by_norm=5.0)
    assert {v.dtype for v in model_trainer.model.variables} == {'float32'}
    found[kind] = []
    for steps in (1, 20):
      model_trainer.train(tf.constant(steps))
      found[kind].append(model_trainer.measured[fields.TOTAL_LOSS])
  return found


@pytest.mark.parametrize(
  ('kind', 'rounding'), [(precision.MIXED_BFLOAT16, 2**-8), (precision.MIXED_FLOAT16, 2**-11)]
)
def test_the_first_loss_is_that_of_float32_but_for_rounding(kind, rounding, losses):
  # Input and kernel of three convolutions, and what comes out of them and of two norms, are each
  # rounded once: at most 3 * 3 + 2 roundings on the way to a logit. Logits are of about 1 (a batch
  # norm, then a head that keeps the scale), and the cross entropy moves by at most 2 * max|dlogit|.
  assert abs(losses[kind][0] - losses[precision.FLOAT32][0]) < 2 * 11 * rounding
  assert losses[kind][0] != losses[precision.FLOAT32][0]  # It does compute in fewer bits.


@pytest.mark.parametrize(
  'kind', [precision.FLOAT32, precision.MIXED_BFLOAT16, precision.MIXED_FLOAT16]
)
def test_it_learns_in_each_precision(kind, losses):
  first, last = losses[kind]
  assert first > 1.2 and last < 0.6 * first  # At random, ln 4 = 1.386 or more.


def test_the_scale_halves_without_an_update_and_doubles_after_long_enough(monkeypatch):
  monkeypatch.setattr(loss_scale, 'GROWTH_STEPS', 3)
  scale, made, left_out = LossScale(), tf.Variable(0), tf.Variable(0)
  scale.scale.assign(8.0)

  @tf.function
  def step(is_finite):
    scale.apply(is_finite, lambda: made.assign_add(1), lambda: left_out.assign_add(1))

  found = []
  for is_finite in (True, False, True, True, True, True, False):
    step(tf.constant(is_finite))
    found.append([float(scale.scale), int(scale.good_steps), int(made), int(left_out)])
  assert found == [
    [8, 1, 1, 0],
    [4, 0, 1, 1],
    [4, 1, 2, 1],
    [4, 2, 3, 1],
    [8, 0, 4, 1],  # The third good step in a row.
    [8, 1, 5, 1],
    [4, 0, 5, 2],
  ]
  assert int(scale.num_skipped) == 2


def test_an_evaluation_is_of_float32_with_the_weights_of_that_time():
  with precision.compute_dtype(precision.MIXED_FLOAT16):
    half = network()
  whole, alone = network(), network()
  folded = fold_batch_norm(whole)

  class OneBatch(orbit.AbstractEvaluator):
    def evaluate(self, num_steps):
      return folded(batch()[fields.IMAGE], training=False)

  evaluator = precision.Float32Evaluator(OneBatch(), half, whole)
  for seed in (1, 2):
    tiny_project.randomize(half, seed)
    found = evaluator.evaluate(tf.constant(-1))[fields.CLASS_LOGITS]
    alone.set_weights(half.get_weights())
    expected = fold_batch_norm(alone)(batch()[fields.IMAGE], training=False)[fields.CLASS_LOGITS]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    rounded = half(batch()[fields.IMAGE], training=False)[fields.CLASS_LOGITS]
    assert np.abs(rounded - expected).max() > 1e-4  # What it would be in float16.


def huge_gradient(outputs, targets, batch, normalizer):
  """Of the logits of 1/24 each, which times 2^21 is 87,381: above what float16 holds."""
  return {
    'classification_loss': tf.reduce_sum(outputs[fields.CLASS_LOGITS]) / normalizer,
    'localization_loss': tf.constant(0.0),
  }


def test_a_gradient_that_overflows_leaves_the_weights_but_counts_the_step():
  scale = LossScale()
  scale.scale.assign(2.0**21)
  model_trainer = make_trainer(
    precision.MIXED_FLOAT16, huge_gradient, scale, gradient_clipping_by_norm=1.0
  )
  kernel = model_trainer.model.get_layer('head').kernel
  before = kernel.numpy()
  model_trainer.train(tf.constant(1))
  np.testing.assert_array_equal(kernel.numpy(), before)
  assert (float(scale.scale), int(model_trainer.global_step.numpy())) == (2.0**20, 1)
  scale.scale.assign(2.0**10)
  model_trainer.train(tf.constant(1))
  # Clipped after the scale is taken out: the update's norm is the rate of .1 times 1.
  moved = np.abs(kernel.numpy() - before).max()
  assert 0 < moved <= 0.1 and np.isfinite(kernel.numpy()).all()
  assert float(scale.scale) == 2.0**10 and int(scale.num_skipped) == 1
  assert model_trainer.measured['loss_scale'] == 2.0**10
  assert model_trainer.measured['skipped_steps'] == 1.0


def test_the_scale_is_kept_and_may_be_missing(tmp_path, caplog):
  caplog.set_level('INFO', logger='absl')
  with_scale = make_trainer(precision.MIXED_FLOAT16)
  model, optimizer, scale = with_scale.model, with_scale.optimizer, with_scale._loss_scale

  def checkpoint(state):
    return checkpoints.training_checkpoint(model, optimizer, None, state)

  scale.scale.assign(64.0)
  half = checkpoint(scale.state).save(str(tmp_path / 'half'))
  whole = checkpoint(None).save(str(tmp_path / 'whole'))
  scale.scale.assign(1.0)
  checkpoints.restore_all(checkpoint(scale.state), half)
  assert float(scale.scale) == 64.0
  # From another precision, and to it.
  kernel = model.get_layer('head').kernel
  saved = kernel.numpy()
  kernel.assign(saved + 1)
  checkpoints.restore_all(checkpoint(scale.state), whole)
  np.testing.assert_array_equal(kernel.numpy(), saved)
  assert float(scale.scale) == 64.0
  assert f'{whole} holds no loss scale: it begins anew.' in caplog.text
  checkpoints.restore_all(checkpoint(None), half)
  # What else is missing still is an error.
  other = tf.train.Checkpoint(step=optimizer.iterations.value, more=tf.Variable(1.0))
  with pytest.raises(InputError, match='does not fit the pipeline.config'):
    checkpoints.restore_all(other, whole)
