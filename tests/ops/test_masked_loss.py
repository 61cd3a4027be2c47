"""The masked loss: literal values, a NumPy reference, the original's numbers, its gradient."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.ops import masked_loss
from ssd_tf.ops.masked_loss import (
  BootstrappedSigmoidLoss,
  SigmoidLoss,
  SoftmaxLoss,
  masked_classification_loss,
)
from tools.benchmarks import masked_loss as benchmark

LOSSES = {
  'sigmoid': SigmoidLoss(background_as_zeros=True),
  'sigmoid, background 1': SigmoidLoss(background_as_zeros=False),
  'focal': SigmoidLoss(gamma=2.0, alpha=0.25, background_as_zeros=True),
  'focal, background 1': SigmoidLoss(gamma=1.5, alpha=0.75, background_as_zeros=False),
  'focal without alpha': SigmoidLoss(gamma=2.0, background_as_zeros=True),
  'softmax': SoftmaxLoss(),
  'softmax, scaled': SoftmaxLoss(logit_scale=2.0),
  'bootstrapped': BootstrappedSigmoidLoss(alpha=0.75, background_as_zeros=True),
  'bootstrapped, background 1': BootstrappedSigmoidLoss(alpha=0.5, background_as_zeros=False),
  'bootstrapped, hard': BootstrappedSigmoidLoss(alpha=0.75, hard=True, background_as_zeros=True),
  'softmax focal': SoftmaxLoss(gamma=2.0, alpha=0.25),
  'softmax focal, scaled': SoftmaxLoss(gamma=0.5, alpha=0.75, logit_scale=2.0),
  'softmax focal without alpha': SoftmaxLoss(gamma=1.0),
}
every_loss = pytest.mark.parametrize('loss', LOSSES.values(), ids=LOSSES.keys())


def random_inputs(dtype=np.float64, shape=(6, 40, 5)):
  """Logits, targets, labels; image 0 complete, 1 labeled for nothing, 2 without positives."""
  rng = np.random.default_rng(3)
  logits = rng.normal(0, 4, shape).astype(dtype)
  targets = np.where(rng.random(shape[:2]) < 0.3, rng.integers(1, shape[2], shape[:2]), 0)
  targets[2] = 0
  labeled = rng.random([shape[0], shape[2] - 1]) < 0.5
  labeled[0], labeled[1], labeled[3] = True, False, [True, False, True, False]
  return tf.constant(logits), tf.constant(targets, tf.int32), tf.constant(labeled)


def value_and_gradient(function, logits):
  upstream = tf.cast(tf.linspace(0.5, 2.0, logits.shape[1]), logits.dtype)
  with tf.GradientTape() as tape:
    tape.watch(logits)
    losses = function(logits)
    total = tf.reduce_sum(losses * tf.cast(upstream, losses.dtype))
  return losses.numpy(), tape.gradient(total, logits).numpy()


def test_a_table_by_hand():
  # sigmoid(0) = 1/2, so that every supervised column costs log 2; K = 3.
  logits = tf.zeros([3, 3, 4])
  targets = tf.constant([[0, 2, 1]] * 3)
  labeled = tf.constant([[True, True, True], [True, False, False], [False, False, False]])
  counts = {
    # All columns; background and class 1, and 2 where it is matched; the match and background.
    'masked': [[4, 4, 4], [1, 3, 2], [0, 2, 2]],
    'masked_but_background': [[4, 4, 4], [2, 3, 2], [1, 2, 2]],
    'naive': [[4, 4, 4]] * 3,
  }
  for mode, count in counts.items():
    loss = SigmoidLoss(background_as_zeros=True)
    losses = masked_classification_loss(logits, targets, labeled, loss=loss, mode=mode)
    np.testing.assert_allclose(losses, np.log(2) * np.array(count), rtol=1e-6)
  # Softmax: of four equal answers one is right, or background and one, two or three classes.
  losses = masked_classification_loss(logits, targets, labeled, loss=SoftmaxLoss())
  right = [[1, 1, 1], [3, 1, 1], [4, 1, 1]]
  np.testing.assert_allclose(losses, np.log(4 / np.array(right)), atol=1e-6)


def reference(loss, logits, targets, labeled, mode):
  """The definition, anchor by anchor and column by column, in NumPy."""
  values = np.zeros(targets.shape)
  for b, a in np.ndindex(*targets.shape):
    x, k = logits[b, a], targets[b, a]
    known = {c + 1 for c in range(labeled.shape[1]) if labeled[b, c] or mode == 'naive'}
    complete = len(known) == labeled.shape[1]
    if isinstance(loss, SoftmaxLoss):
      p = np.exp(x / loss.logit_scale) / np.exp(x / loss.logit_scale).sum()
      right = {k} if k else {0} | set(range(1, len(x))) - known
      p_right = p[sorted(right)].sum()
      weight = 1 if loss.alpha is None else loss.alpha if k else 1 - loss.alpha
      wrong = max(1 - p_right, 0)
      values[b, a] = -weight * wrong**loss.gamma * np.log(p_right)
      continue
    background = k > 0 or complete or mode == 'masked_but_background'
    for c in sorted((known | {k}) - {0}) + [0] * int(background):
      is_positive = c == k and (k > 0 or not loss.background_as_zeros)
      wrong = 1 / (1 + np.exp(x[c] if is_positive else -x[c]))
      if isinstance(loss, BootstrappedSigmoidLoss):
        p = 1 / (1 + np.exp(-x[c]))
        target = loss.alpha * is_positive + (1 - loss.alpha) * (np.round(p) if loss.hard else p)
        values[b, a] -= target * np.log(p) + (1 - target) * np.log1p(-p)
        continue
      weight = 1 if loss.alpha is None else loss.alpha if is_positive else 1 - loss.alpha
      values[b, a] += -weight * wrong**loss.gamma * np.log(1 - wrong)
  return values


@every_loss
@pytest.mark.parametrize('mode', masked_loss.MODES)
def test_values_are_those_of_the_definition(loss, mode):
  if isinstance(loss, SoftmaxLoss) and mode == 'masked_but_background':
    pytest.skip('softmax has no background column apart')
  logits, targets, labeled = random_inputs()
  losses = masked_classification_loss(logits, targets, labeled, loss=loss, mode=mode)
  expected = reference(loss, *(t.numpy() for t in (logits, targets, labeled)), mode)
  np.testing.assert_allclose(losses, expected, rtol=1e-9, atol=1e-12)


def plain_loss(logits, targets, labeled, loss):
  """As `benchmark.plain_loss`, also of the losses that it does not know."""
  if isinstance(loss, SoftmaxLoss):
    scaled = SoftmaxLoss(logit_scale=loss.logit_scale)
    entropy = benchmark.plain_loss(logits, targets, labeled, scaled)
    # Where nothing is labeled there is no loss, and the gradient 0 * infinity.
    unknown = (targets == 0) & ~tf.reduce_any(labeled, axis=1)[:, None]
    entropy = tf.where(unknown, tf.ones_like(entropy), entropy)
    faded = entropy * (1 - tf.exp(-entropy)) ** loss.gamma if loss.gamma else entropy
    faded = tf.where(unknown, tf.zeros_like(faded), faded)
    if loss.alpha is None:
      return faded
    return tf.where(targets > 0, loss.alpha * faded, (1 - loss.alpha) * faded)
  if isinstance(loss, SigmoidLoss):
    return benchmark.plain_loss(logits, targets, labeled, loss)
  num_columns = logits.shape[-1]
  positive = (targets > 0)[..., None]
  is_target = targets[..., None] == tf.range(num_columns)
  labels = tf.cast(is_target & positive if loss.background_as_zeros else is_target, logits.dtype)
  predicted = tf.round(tf.sigmoid(logits)) if loss.hard else tf.sigmoid(logits)
  labels = loss.alpha * labels + (1 - loss.alpha) * predicted
  losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
  complete = tf.reduce_all(labeled, axis=1, keepdims=True)
  mask = tf.concat([complete, labeled], 1)[:, None]
  mask |= (is_target | (tf.range(num_columns) == 0)) & positive
  return tf.reduce_sum(losses * tf.cast(mask, losses.dtype), axis=-1)


@every_loss
def test_gradient_equals_autodiff_of_the_plain_composition(loss):
  logits, targets, labeled = random_inputs()
  losses, gradient = value_and_gradient(
    lambda x: masked_classification_loss(x, targets, labeled, loss=loss), logits
  )
  plain, plain_gradient = value_and_gradient(
    lambda x: plain_loss(x, targets, labeled, loss), logits
  )
  np.testing.assert_allclose(losses, plain, rtol=1e-9, atol=1e-12)
  np.testing.assert_allclose(gradient, plain_gradient, rtol=1e-8, atol=1e-12)


@every_loss
def test_masked_logits_get_no_gradient_at_all(loss):
  logits, targets, labeled = random_inputs(np.float32)
  _, gradient = value_and_gradient(
    lambda x: masked_classification_loss(x, targets, labeled, loss=loss), logits
  )
  negative = targets.numpy() == 0
  if isinstance(loss, SoftmaxLoss):
    # All answers may be right in an image that is labeled for nothing.
    assert not gradient[1][negative[1]].any()
    return
  unlabeled = np.broadcast_to(~labeled.numpy()[:, None, :], gradient[..., 1:].shape)
  is_class = targets.numpy()[..., None] == np.arange(1, 5)
  assert not gradient[..., 1:][unlabeled & ~is_class].any()
  # A focal gradient may round to 0 where the answer is right already.
  is_focal = getattr(loss, 'gamma', 0) > 0
  supervised = np.ones(gradient.shape, bool) if is_focal else np.abs(gradient) > 0
  assert supervised[..., 1:][~unlabeled | is_class].all()
  partial = negative & ~labeled.numpy().all(axis=1, keepdims=True)
  assert not gradient[..., 0][partial].any()
  assert supervised[..., 0][~partial].all()


@every_loss
def test_complete_labels_are_no_labels_bit_for_bit(loss):
  logits, targets, labeled = random_inputs(np.float32)
  expected = value_and_gradient(
    lambda x: masked_classification_loss(x, targets, None, loss=loss), logits
  )
  for labels, mode in ((tf.ones_like(labeled), 'masked'), (labeled, 'naive')):
    result = value_and_gradient(
      lambda x, ls=labels, m=mode: masked_classification_loss(x, targets, ls, loss=loss, mode=m),
      logits,
    )
    for ours, theirs in zip(result, expected, strict=True):
      np.testing.assert_array_equal(ours, theirs)


@every_loss
def test_a_batch_in_pieces_is_the_batch_at_once(loss, monkeypatch):
  logits, targets, labeled = random_inputs(np.float32)

  def run(x):
    return masked_classification_loss(x, targets, labeled, loss=loss)

  whole = value_and_gradient(run, logits)
  # An image has 200 logits, the batch six of them: pieces of three, two and one.
  for size in (700, 400, 1):
    monkeypatch.setattr(masked_loss, '_PIECE_SIZE', size)
    for ours, expected in zip(value_and_gradient(run, logits), whole, strict=True):
      np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)


@every_loss
@pytest.mark.parametrize('jit_compile', [False, True], ids=['graph', 'XLA'])
def test_compiled_is_eager(loss, jit_compile):
  logits, targets, labeled = random_inputs(np.float32)

  def run(x):
    return masked_classification_loss(x, targets, labeled, loss=loss)

  compiled = tf.function(run, jit_compile=jit_compile)
  for ours, eager in zip(
    value_and_gradient(compiled, logits), value_and_gradient(run, logits), strict=True
  ):
    np.testing.assert_allclose(ours, eager, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize('dtype', [tf.float16, tf.bfloat16])
@every_loss
def test_half_precision_logits_cost_as_much_as_the_same_numbers_in_single(loss, dtype):
  logits, targets, labeled = random_inputs(np.float32)
  half = tf.cast(logits, dtype)

  def run(x):
    return masked_classification_loss(x, targets, labeled, loss=loss)

  losses, gradient = value_and_gradient(run, half)
  expected, expected_gradient = value_and_gradient(run, tf.cast(half, tf.float32))
  assert losses.dtype == np.float32 and gradient.dtype == dtype.as_numpy_dtype
  np.testing.assert_array_equal(losses, expected)
  rounded = tf.cast(expected_gradient, dtype).numpy().astype(np.float32)
  np.testing.assert_allclose(gradient.astype(np.float32), rounded, rtol=1e-2, atol=1e-3)


# From sure to absurd.
EXTREME = np.float32([-1e4, -200, -90, -20, -1, 0, 1, 20, 90, 200, 1e4])


@pytest.mark.parametrize('gamma', [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize('is_positive', [False, True])
def test_focal_at_extreme_logits(gamma, is_positive):
  loss = SigmoidLoss(gamma=gamma, alpha=0.25, background_as_zeros=True)
  # Class 1 is the target of every anchor; class 2 has the same logits, and the answer no.
  logits = tf.constant(np.stack([np.zeros_like(EXTREME), EXTREME, EXTREME], axis=-1)[np.newaxis])
  targets = tf.ones([1, len(EXTREME)], tf.int32)
  # Unlabeled, so that a positive has one column beside background's.
  labeled = tf.constant([[True, not is_positive]])
  with tf.GradientTape() as tape:
    tape.watch(logits)
    value = masked_classification_loss(logits, targets, labeled, loss=loss)
  gradient = tape.gradient(value, logits).numpy()[0, :, 1 if is_positive else 2]

  # In float64, with z the logit of the wrong answer: q = 1 - p = sigmoid(z), loss = w q^g s,
  # s = softplus(z); its derivative is w q^g (g (1 - q) s + q).
  sign = -1 if is_positive else 1
  z = sign * EXTREME.astype(np.float64)
  softplus = np.logaddexp(0, z)
  wrong = np.exp(z - softplus)
  weight = 0.25 if is_positive else 0.75
  slope = sign * weight * wrong**gamma * (gamma * np.exp(-softplus) * softplus + wrong)
  np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-5)
  if is_positive:
    background = 0.75 * 0.5**gamma * np.log(2)
    expected = weight * wrong**gamma * softplus + background
    np.testing.assert_allclose(value[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
  ('labeled', 'negative', 'column'),
  # Background is 600 below class 1; with class 2 unlabeled, that one is 300 below.
  [([True, True], 600.0, 0), ([True, False], 300.0, 2)],
)
def test_softmax_at_extreme_logits(labeled, negative, column):
  logits = tf.constant([[[-300.0, 300.0, 0.0]] * 2])
  targets = tf.constant([[0, 2]])
  losses, gradient = value_and_gradient(
    lambda x: masked_classification_loss(x, targets, tf.constant([labeled]), loss=SoftmaxLoss()),
    logits,
  )
  np.testing.assert_array_equal(losses, [[negative, 300.0]])
  # Upstream is .5 and 2: towards the answer that may be right, away from class 1.
  expected = np.zeros([2, 3])
  expected[:, 1], expected[0, column], expected[1, 2] = [0.5, 2], -0.5, -2
  np.testing.assert_allclose(gradient[0], expected, atol=1e-6)


def test_the_marginal_is_smooth_where_it_becomes_too_improbable_for_a_sum():
  targets, labeled = tf.constant([[0]]), tf.constant([[True, False]])
  for gap in (60.0, 68.0, 70.0, 90.0):
    logits = tf.constant([[[-300.0, gap, 0.0]]])
    loss = masked_classification_loss(logits, targets, labeled, loss=SoftmaxLoss())
    np.testing.assert_allclose(loss, [[gap]], rtol=1e-6)


@pytest.mark.parametrize(
  ('name', 'loss'),
  [
    ('weighted_sigmoid', LOSSES['sigmoid']),
    ('weighted_sigmoid_focal_g2_a025', LOSSES['focal']),
    (
      'weighted_sigmoid_focal_g2_a075',
      SigmoidLoss(gamma=2.0, alpha=0.75, background_as_zeros=True),
    ),
    ('weighted_sigmoid_focal_g2_noalpha', LOSSES['focal without alpha']),
    ('weighted_softmax_bg_onehot', SoftmaxLoss()),
    ('weighted_softmax_logit_scale_2_bg_onehot', SoftmaxLoss(logit_scale=2.0)),
    (
      'bootstrapped_sigmoid_soft_a095',
      BootstrappedSigmoidLoss(alpha=0.95, background_as_zeros=True),
    ),
    (
      'bootstrapped_sigmoid_hard_a095',
      BootstrappedSigmoidLoss(alpha=0.95, hard=True, background_as_zeros=True),
    ),
  ],
)
def test_losses_equal_the_original(name, loss, loss_goldens, golden_targets):
  losses = golden_targets.class_weights * masked_classification_loss(
    loss_goldens['logits'], golden_targets.class_targets, None, loss=loss
  )
  np.testing.assert_allclose(losses[1], loss_goldens[name], rtol=1e-5, atol=1e-6)
  total = loss_goldens['json']['sums'][name]
  np.testing.assert_allclose(np.sum(losses, dtype=np.float64), total, rtol=1e-5)


def test_the_originals_loss_of_some_images(loss_goldens, golden_targets):
  losses = golden_targets.class_weights * masked_classification_loss(
    loss_goldens['logits'], golden_targets.class_targets, None, loss=LOSSES['sigmoid']
  )
  total = loss_goldens['json']['sums']['weighted_sigmoid_losses_mask_even_images']
  np.testing.assert_allclose(np.sum(losses[::2], dtype=np.float64), total, rtol=1e-6)


def test_background_as_zeros_costs_nothing_in_the_originals_softmax(loss_goldens, golden_targets):
  # Which is why a config may not have both; the positives cost the same.
  losses = golden_targets.class_weights * masked_classification_loss(
    loss_goldens['logits'], golden_targets.class_targets, None, loss=SoftmaxLoss()
  )
  losses = tf.where(golden_targets.class_targets > 0, losses, 0.0)
  golden = loss_goldens['weighted_softmax_bg_zeros']
  np.testing.assert_allclose(losses[1], golden, rtol=1e-5, atol=1e-6)
  total = loss_goldens['json']['sums']['weighted_softmax_bg_zeros']
  np.testing.assert_allclose(np.sum(losses, dtype=np.float64), total, rtol=1e-5)


def test_focal_softmax_by_hand():
  # Two answers; background 3 to 1, then 1 to 3: p = .75, .25; class 1: .25.
  logits = tf.math.log([[[3.0, 1.0], [1.0, 3.0], [3.0, 1.0]]])
  targets = tf.constant([[0, 0, 1]])
  losses = masked_classification_loss(
    logits, targets, None, loss=SoftmaxLoss(gamma=2.0, alpha=0.25)
  )
  expected = [
    -0.75 * 0.25**2 * np.log(0.75),
    -0.75 * 0.75**2 * np.log(0.25),
    -0.25 * 0.75**2 * np.log(0.25),
  ]
  np.testing.assert_allclose(losses[0], expected, rtol=1e-6)


@pytest.mark.parametrize('gamma', [0.5, 1.0, 2.0])
def test_focal_softmax_at_extreme_logits(gamma):
  logits = tf.constant(np.stack([0 * EXTREME, EXTREME], axis=-1)[np.newaxis])
  targets = tf.ones([1, len(EXTREME)], tf.int32)
  with tf.GradientTape() as tape:
    tape.watch(logits)
    loss = masked_classification_loss(logits, targets, None, loss=SoftmaxLoss(gamma=gamma))
  gradient = tape.gradient(loss, logits).numpy()[0, :, 1]
  # In float64, with c the cross entropy and w = 1 - p: dloss/dx = -w^g (w + g c (1 - w)).
  x = EXTREME.astype(np.float64)
  entropy = np.logaddexp(0, -x)
  wrong = np.exp(-x - entropy)
  np.testing.assert_allclose(loss[0], wrong**gamma * entropy, rtol=1e-4, atol=1e-6)
  slope = -(wrong**gamma) * (wrong + gamma * entropy * (1 - wrong))
  np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('hard', [False, True])
def test_bootstrapping_at_extreme_logits(hard):
  logits = tf.constant(np.stack([0 * EXTREME, EXTREME], axis=-1)[np.newaxis])
  targets = tf.zeros([1, len(EXTREME)], tf.int32)
  loss = BootstrappedSigmoidLoss(alpha=0.75, hard=hard, background_as_zeros=True)
  losses, gradient = value_and_gradient(
    lambda x: masked_classification_loss(x, targets, None, loss=loss), logits
  )
  assert np.isfinite(losses).all() and np.isfinite(gradient).all()
  # A sure "yes" where there is none costs three quarters of what it would.
  np.testing.assert_allclose(losses[0, -1], 0.75e4, rtol=1e-4)


def test_inputs_that_do_not_agree_are_named():
  logits, targets = tf.zeros([2, 5, 4]), tf.zeros([2, 5], tf.int32)
  with pytest.raises(ValueError, match=r'class_targets: .*\(2, 5, 4\) and \(2, 6\)'):
    masked_classification_loss(logits, tf.zeros([2, 6], tf.int32), None, loss=SoftmaxLoss())
  with pytest.raises(ValueError, match=r'labeled_classes: .*\(2, 4\)'):
    masked_classification_loss(logits, targets, tf.ones([2, 4], tf.bool), loss=SoftmaxLoss())
  for mode in ('marginal', 'masked_but_background'):
    with pytest.raises(ValueError, match=f'mode: .*{mode}'):
      masked_classification_loss(logits, targets, None, loss=SoftmaxLoss(), mode=mode)
