"""The whole loss against the original's model.loss()."""

import functools

import batches
import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.ops import hard_negatives, losses, masked_loss, objective, target_assigner


def focal(alpha):
  return masked_loss.SigmoidLoss(gamma=2.0, alpha=alpha, background_as_zeros=True)


def miner(min_negatives_per_image):
  return hard_negatives.HardExampleMiner(
    num_hard_examples=3000,
    iou_threshold=0.99,
    loss_type='CLASSIFICATION',
    classification_weight=1.0,
    localization_weight=1.0,
    max_negatives_per_positive=3.0,
    min_negatives_per_image=min_negatives_per_image,
  )


def mined(classification_loss, min_negatives_per_image):
  return {
    'classification_loss': classification_loss,
    'hard_example_miner': miner(min_negatives_per_image),
    'normalize_loc_by_codesize': False,
  }


def objective_of(coder, **changes):
  options = {
    'box_coder': coder,
    'classification_loss': focal(0.75),
    'localization_loss': functools.partial(losses.smooth_l1, delta=1.0),
    'hard_example_miner': None,
    'classification_weight': 1.0,
    'localization_weight': 1.0,
    'normalized_by': 'MATCHES',
    'normalize_loc_by_codesize': True,
  }
  return objective.Objective(**{**options, **changes})


@pytest.fixture
def loss(loss_goldens, golden_targets, ssd_anchors, coder):
  """The losses of the nine images with the settings of ssd_mobilenet_v2_320, and changes."""

  def compute(**changes):
    logits = changes.pop('class_logits', loss_goldens['logits'])
    targets = changes.pop('targets', golden_targets)
    encodings = changes.pop('box_encodings', loss_goldens['box_encodings'])
    batch = batches.masks(9, 3, changes.pop('example_mask', None))
    ours = objective_of(coder, **changes)
    # All nine images are the global batch, also where some are left out.
    normalizer = tf.maximum(ours.normalizer_part(golden_targets, batches.masks(9, 3)), 1.0)
    outputs = batches.outputs(logits, encodings)
    return ours(outputs, targets, batch, normalizer, ssd_anchors)

  return compute


@pytest.mark.parametrize(
  ('name', 'changes'),
  [
    ('ssd_mobilenet_v2_320_config', {}),
    ('v2_320_no_codesize_norm', {'normalize_loc_by_codesize': False}),
    ('v2_320_no_num_matches_norm', {'normalized_by': 'NOTHING'}),
    ('v2_320_clsw2_locw05', {'classification_weight': 2.0, 'localization_weight': 0.5}),
    (
      'ssd_mobilenet_v1_coco_config_hard_mining_min0_bg_onehot',
      mined(masked_loss.SigmoidLoss(background_as_zeros=False), 0),
    ),
    (
      'ssdlite_mobilenet_v2_coco_config_hard_mining_min3_bg_onehot',
      mined(masked_loss.SigmoidLoss(background_as_zeros=False), 3),
    ),
    ('v2_320_focal_alpha025', {'classification_loss': focal(0.25)}),
    (
      'ssd_mobilenet_v1_coco_softmax_hard_mining_min0',
      mined(masked_loss.SoftmaxLoss(), 0),
    ),
    ('v2_320_is_annotated_even_images', {'example_mask': tf.constant([True, False] * 4 + [True])}),
  ],
)
def test_losses_equal_the_original(name, changes, loss, loss_goldens):
  golden = loss_goldens['json']['model_loss'][name]
  result = loss(**changes)
  for term in ('localization_loss', 'classification_loss'):
    np.testing.assert_allclose(result[term], golden[f'Loss/{term}'], rtol=1e-5)


@pytest.mark.parametrize('box_loss', [losses.iou, losses.giou])
def test_losses_of_decoded_boxes(box_loss, loss, loss_goldens, golden_targets, ssd_anchors, coder):
  changes = {'localization_loss': box_loss, 'localize_decoded': True}
  result = loss(normalized_by='NOTHING', normalize_loc_by_codesize=False, **changes)
  boxes = coder.decode(loss_goldens['box_encodings'], ssd_anchors)
  values = box_loss(boxes, coder.decode(golden_targets.box_targets, ssd_anchors))
  expected = np.sum(values * golden_targets.box_weights, dtype=np.float64)
  np.testing.assert_allclose(result['localization_loss'], expected, rtol=1e-5)
  # What is right costs nothing.
  targets = golden_targets._replace(box_targets=loss_goldens['box_encodings'])
  exact = loss(targets=targets, normalized_by='NOTHING', **changes)['localization_loss']
  np.testing.assert_allclose(exact, 0, atol=1e-4)


def test_absurd_encodings_where_nothing_is_wanted_do_no_harm(loss, loss_goldens, golden_targets):
  encodings = tf.where(
    golden_targets.box_weights[..., None] > 0, loss_goldens['box_encodings'], 1e6
  )
  with tf.GradientTape() as tape:
    tape.watch(encodings)
    value = loss(box_encodings=encodings, localization_loss=losses.giou, localize_decoded=True)[
      'localization_loss'
    ]
  assert np.isfinite(value) and np.isfinite(tape.gradient(value, encodings)).all()


def test_two_halves_of_a_batch_add_up(loss):
  first = tf.range(9) < 4
  halves = [loss(example_mask=mask, hard_example_miner=miner(3)) for mask in (first, ~first)]
  whole = loss(hard_example_miner=miner(3))
  for term, value in whole.items():
    np.testing.assert_allclose(halves[0][term] + halves[1][term], value, rtol=1e-6)


def test_the_normalizer_is_of_the_real_images(golden_targets, loss_goldens, coder):
  def part(normalized_by, example_mask=None):
    ours = objective_of(coder, normalized_by=normalized_by)
    return ours.normalizer_part(golden_targets, batches.masks(9, 3, example_mask)).numpy()

  expected = loss_goldens['json']['sum_reg_weights']
  np.testing.assert_allclose(part('MATCHES'), expected, rtol=1e-6)
  # Image 5, one box as large as the image: 5 anchors of weight 1.
  assert part('MATCHES', tf.range(9) == 5) == 5
  assert part('IMAGES') == 9 and part('IMAGES', tf.range(9) < 2) == 2
  assert part('REPLICAS') == 1 and part('NOTHING') == 0


def test_padding_of_the_batch_changes_nothing_even_if_it_is_not_finite(loss, loss_goldens):
  mask = tf.range(9) != 2
  logits = loss_goldens['logits'].numpy()
  logits[2] = np.nan
  for term, value in loss(example_mask=mask, class_logits=tf.constant(logits)).items():
    np.testing.assert_array_equal(value, loss(example_mask=mask)[term])


def test_gradient_is_zero_where_ignored(loss, loss_goldens, golden_targets):
  ignored = tf.random.stateless_uniform([9, 1917], [1, 2]) < 0.5
  weights = tf.where(ignored, 0.0, golden_targets.class_weights)
  targets = golden_targets._replace(class_weights=weights)
  logits = loss_goldens['logits']
  with tf.GradientTape() as tape:
    tape.watch(logits)
    value = loss(class_logits=logits, targets=targets)['classification_loss']
  gradient = tape.gradient(value, logits).numpy()
  assert not gradient[ignored.numpy()].any()
  assert gradient[weights.numpy() > 0].any(axis=-1).all()


def test_hard_negatives_are_mined_on_the_masked_loss(coder):
  # One row of ten anchors that do not overlap. Anchor 0 is matched to class 1; of the negatives 3
  # is the hardest, but for class 2, and 7 the hardest for class 1.
  left = np.arange(10, dtype=np.float32) / 10
  anchors = tf.constant(np.stack([0 * left, left, 0 * left + 0.1, left + 0.1], axis=-1))
  logits = np.full([1, 10, 3], -4, np.float32)
  logits[0, 3, 2], logits[0, 7, 1] = 6, 2
  is_first = np.arange(10)[np.newaxis] == 0
  targets = target_assigner.Targets(
    class_targets=tf.constant(is_first.astype(np.int32)),
    box_targets=tf.zeros([1, 10, 4]),
    class_weights=tf.ones([1, 10]),
    box_weights=tf.constant(is_first.astype(np.float32)),
    positive_mask=tf.constant(is_first),
  )
  one_negative = hard_negatives.HardExampleMiner(
    num_hard_examples=None,
    iou_threshold=0.99,
    loss_type='CLASSIFICATION',
    classification_weight=1.0,
    localization_weight=1.0,
    max_negatives_per_positive=1.0,
    min_negatives_per_image=0,
  )
  found = {}
  for labels in ([True, True], [True, False]):
    logits_in = tf.constant(logits)
    with tf.GradientTape() as tape:
      tape.watch(logits_in)
      value = objective_of(
        coder,
        classification_loss=masked_loss.SigmoidLoss(background_as_zeros=True),
        hard_example_miner=one_negative,
      )(
        batches.outputs(logits_in, tf.zeros([1, 10, 4])),
        targets,
        batches.masks(1, 2, labeled_classes=tf.constant([labels])),
        tf.constant(1.0),
        anchors,
      )['classification_loss']
    gradient = tape.gradient(value, logits_in).numpy()[0]
    found[labels[1]] = (np.flatnonzero(gradient.any(axis=-1)).tolist(), float(value))
  softplus = np.log1p(np.exp([-4.0, 4.0, 6.0, 2.0]))
  no, yes, hardest, next_one = softplus
  # The positive with all three columns and anchor 3 with all; the positive without class 2, and of
  # anchor 7 class 1 alone: on a negative, neither background nor class 2 is known.
  assert found[True][0] == [0, 3] and found[False][0] == [0, 7]
  np.testing.assert_allclose(found[True][1], (yes + 2 * no) + (hardest + 2 * no), rtol=1e-6)
  np.testing.assert_allclose(found[False][1], (yes + no) + next_one, rtol=1e-6)


def test_label_counts_and_masked_losses_of_a_mixed_batch(golden_targets, coder):
  # Equal logits: a column costs log 2 on each anchor.
  rows = target_assigner.Targets(*(target[:2] for target in golden_targets))
  labeled = tf.constant([[True, True, True], [True, False, True]])
  both = batches.masks(2, 3, labeled_classes=labeled)
  counts = objective.count_labels(rows, both).numpy()
  np.testing.assert_array_equal(counts[0], [2, 1, 2])
  matched = rows.class_targets.numpy()
  np.testing.assert_array_equal(counts[1], [(matched == i).sum() for i in (1, 2, 3)])
  sigmoid = masked_loss.SigmoidLoss(background_as_zeros=True)
  logits = batches.outputs(tf.zeros([2, matched.shape[1], 4]), None)
  weights = rows.class_weights.numpy()
  others = [[np.log(2) * weights[b][matched[b] != i].sum() for i in (1, 2, 3)] for b in range(2)]
  for mode, masked in (('masked', [0, others[1][1], 0]), ('naive', [0, 0, 0])):
    ours = objective_of(coder, classification_loss=sigmoid, partial_labels=mode)
    found = ours.masked_losses(logits, rows, both)
    np.testing.assert_allclose(found, [masked, np.sum(others, axis=0)], rtol=1e-5)
  second = batches.masks(2, 3, tf.constant([False, True]), labeled)
  alone = objective_of(coder, classification_loss=sigmoid).masked_losses(logits, rows, second)
  np.testing.assert_allclose(alone, [[0, others[1][1], 0], others[1]], rtol=1e-5)


def test_predictions_of_other_anchors_are_named(loss, golden_targets):
  cut = target_assigner.Targets(*(target[:, :1000] for target in golden_targets))
  with pytest.raises(ValueError, match=r'class_logits: expected \(9, 1000\).*\(9, 1917, 4\)'):
    loss(targets=cut)
