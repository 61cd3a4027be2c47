"""Matching, mining and normalizers of SSD-Tensorflow and Caffe's SSD, chosen by a config."""

import pathlib

import batches
import numpy as np
import pytest
import tensorflow as tf

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError

TINY = pathlib.Path(__file__).parents[1] / 'testdata/tiny.config'
LOSS = 'model.ssd.loss'
MINER = f'{LOSS}.hard_example_miner'
MATCHER = 'model.ssd.matcher.argmax_matcher'
SOFTMAX = (
  f'{LOSS}.classification_loss={{weighted_softmax {{}}}}',
  'model.ssd.encode_background_as_zeros=false',
)


def mined(scope, more=''):
  return f'{MINER}={{scope: {scope} max_negatives_per_positive: 3 {more}}}'


def detector_of(*overrides):
  return builders.build_detector(Pipeline.load(TINY, overrides).config.model, is_training=True)


@pytest.fixture(scope='module')
def random():
  """Outputs for three images of the tiny model, and their batch; the third pads it."""
  detector = detector_of(*SOFTMAX)
  generator = np.random.default_rng(1)
  shape = [3, detector.anchors.shape[0]]
  outputs = {
    fields.CLASS_LOGITS: tf.constant(generator.normal(0, 2, [*shape, 4]), tf.float32),
    fields.BOX_ENCODINGS: tf.constant(generator.normal(0, 1, [*shape, 4]), tf.float32),
  }
  boxes = [[[0.1, 0.2, 0.6, 0.7], [0.3, 0.1, 0.9, 0.9]], [[0.0, 0.0, 0.5, 0.4], [0.0] * 4]]
  batch = {
    fields.GROUNDTRUTH_BOXES: tf.constant([*boxes, [[0.0] * 4] * 2]),
    fields.GROUNDTRUTH_CLASSES: tf.constant([[1, 2], [3, 0], [0, 0]]),
    fields.GROUNDTRUTH_WEIGHTS: tf.constant([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
    fields.GROUNDTRUTH_MASK: tf.constant([[True, True], [True, False], [False, False]]),
    fields.EXAMPLE_MASK: tf.constant([True, True, False]),
    fields.LABELED_CLASSES: tf.ones([3, 3], tf.bool),
  }
  return outputs, batch


def expected_losses(detector, outputs, batch):
  """Cross entropies f64[A'] of the two real images' anchors, smooth L1, positives."""
  targets = detector.assign_targets(batch)
  logits = outputs[fields.CLASS_LOGITS].numpy()[:2].astype(np.float64)
  classes = targets.class_targets.numpy()[:2]
  log_sum = np.log(np.exp(logits).sum(axis=-1))
  entropies = log_sum - np.take_along_axis(logits, classes[..., None], axis=-1)[..., 0]
  offsets = np.abs(outputs[fields.BOX_ENCODINGS] - targets.box_targets)[:2]
  positive = classes > 0
  box_losses = np.where(offsets < 1, offsets**2 / 2, offsets - 0.5).sum(axis=-1) * positive
  return entropies, box_losses, positive


def losses_of(detector, random):
  outputs, batch = random
  return detector.compute_losses(outputs, detector.assign_targets(batch), batch)


def assert_losses(losses, classification, localization):
  np.testing.assert_allclose(losses['classification_loss'], classification, rtol=1e-5)
  np.testing.assert_allclose(losses['localization_loss'], localization, rtol=1e-5)


def hardest(entropies, count):
  return np.sort(entropies)[::-1][:count].sum()


WEIGHTS = (f'{LOSS}.classification_weight=1', f'{LOSS}.localization_weight=2')
UNNORMALIZED = 'model.ssd.normalize_loss_by_num_matches=false'
BY_CODESIZE = 'model.ssd.normalize_loc_loss_by_codesize'


def test_batch_scope_divides_by_the_positives(random):
  detector = detector_of(*SOFTMAX, *WEIGHTS, mined('BATCH'), f'{BY_CODESIZE}=false')
  entropies, box_losses, positive = expected_losses(detector, *random)
  count = positive.sum()
  assert 0 < count < positive.size / 4
  total = entropies[positive].sum() + hardest(entropies[~positive], 3 * count)
  losses = losses_of(detector, random)
  assert_losses(losses, total / count, 2 * box_losses.sum() / count)


def test_ssd_tensorflow_divides_by_the_images(random):
  detector = detector_of(
    *(*SOFTMAX, *WEIGHTS, mined('SSD_TENSORFLOW'), f'{BY_CODESIZE}=false', UNNORMALIZED),
    'model.ssd.normalize_loss_by_batch_size=true',
  )
  entropies, box_losses, positive = expected_losses(detector, *random)
  # The third image pads the batch.
  negatives = hardest(entropies[~positive], 3 * positive.sum() + 2 - 1)
  losses = losses_of(detector, random)
  assert_losses(losses, (entropies[positive].sum() + negatives) / 2, 2 * box_losses.sum() / 2)
  targets = detector.assign_targets(random[1])
  assert detector.objective.normalizer_part(targets, random[1]).numpy() == 2


def test_ssd_tensorflow_by_layer_sums_means(random):
  detector = detector_of(
    *(*SOFTMAX, *WEIGHTS, mined('SSD_TENSORFLOW_LAYER'), f'{BY_CODESIZE}=true', UNNORMALIZED)
  )
  sizes = detector.objective.layer_sizes
  assert sum(sizes) == detector.anchors.shape[0] and len(sizes) == 3
  entropies, box_losses, positive = expected_losses(detector, *random)
  classification = localization = 0.0
  for layer in np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1]):
    mask = positive[:, layer]
    layer_entropies = entropies[:, layer]
    count, num_negatives = mask.sum(), (~mask).sum()
    kept = min(max(3 * count, mask.size // 8, 4 * 2), num_negatives + 1) - 1
    classification += hardest(layer_entropies[~mask], kept) / kept
    if count:
      classification += layer_entropies[mask].mean()
      localization += box_losses[:, layer].sum() / (4 * count)
  losses = losses_of(detector, random)
  assert_losses(losses, classification, 2 * localization)


def test_images_normalize_without_mining(random):
  by_matches = losses_of(detector_of(*SOFTMAX), random)
  detector = detector_of(*SOFTMAX, UNNORMALIZED, 'model.ssd.normalize_loss_by_batch_size=true')
  by_images = losses_of(detector, random)
  _, _, positive = expected_losses(detector, *random)
  for name, loss in by_images.items():
    np.testing.assert_allclose(loss * 2, by_matches[name] * positive.sum(), rtol=1e-5)


def test_bipartite_first_is_given_to_the_matcher():
  detector = detector_of(
    f'{MATCHER}.force_match_for_each_row=false', f'{MATCHER}.bipartite_first=true'
  )
  # Of two equal boxes only bipartite matching gives each an anchor.
  targets = detector.assign_targets(
    batches.groundtruth(
      [[[0.45, 0.45, 0.5, 0.5]] * 2], [[1, 2]], tf.ones([1, 2]), tf.ones([1, 2], tf.bool)
    )
  )
  assert sorted(targets.class_targets.numpy()[targets.positive_mask.numpy()]) == [1, 2]


@pytest.mark.parametrize(
  ('overrides', 'message'),
  [
    ([f'{MATCHER}.bipartite_first=true'], 'bipartite_first: takes the place of force_match'),
    ([mined('BATCH', 'num_hard_examples: 64')], 'num_hard_examples: has no effect .*expected 0'),
    ([mined('BATCH', 'iou_threshold: 0.7')], 'iou_threshold: has no effect .* expected 1'),
    ([mined('BATCH', 'loss_type: BOTH')], 'loss_type: has no effect .* expected CLASSIFICATION'),
    (
      [mined('SSD_TENSORFLOW', 'min_negatives_per_image: 3')],
      'min_negatives_per_image: has no effect with scope SSD_TENSORFLOW,',
    ),
    ([f'{MINER}={{scope: BATCH}}'], 'max_negatives_per_positive: is 0; expected at least 1'),
    (
      [mined('BATCH', 'min_negatives_per_image: -1')],
      'min_negatives_per_image: is -1; expected 0 to 1000000',
    ),
    (
      [
        'model.ssd.normalize_loss_by_num_matches=true',
        'model.ssd.normalize_loss_by_batch_size=true',
      ],
      'normalize_loss_by_batch_size: the losses are divided by .* one of them to false',
    ),
    (
      [mined('SSD_TENSORFLOW_LAYER'), 'model.ssd.normalize_loss_by_batch_size=true'],
      'normalize_loss_by_batch_size: is true, but .* means already',
    ),
    (
      [mined('SSD_TENSORFLOW_LAYER'), 'model.ssd.normalize_loss_by_num_matches=true'],
      'normalize_loss_by_num_matches: is true, but .* means already',
    ),
  ],
)
def test_what_does_not_fit_is_named(overrides, message):
  with pytest.raises(InputError, match=message) as caught:
    detector_of(*SOFTMAX, *overrides)
  assert str(caught.value).startswith('model.ssd')


def test_values_that_say_what_is_done_are_no_fault():
  told = 'num_hard_examples: 0 iou_threshold: 1 loss_type: CLASSIFICATION'
  miner = detector_of(*SOFTMAX, mined('BATCH', told)).objective.hard_example_miner
  assert (miner.scope, miner.max_negatives_per_positive, miner.min_negatives) == ('BATCH', 3, 0)
