"""The whole loss against the original's model.loss()."""

import functools

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


@pytest.fixture
def loss(loss_goldens, golden_targets, ssd_anchors, coder):
  """ssd_losses of the nine images with the settings of ssd_mobilenet_v2_320, and changes."""

  def compute(**changes):
    all_true = tf.ones([9], tf.bool)
    options = {
      'anchors': ssd_anchors,
      'box_coder': coder,
      'classification_loss': focal(0.75),
      'localization_loss': functools.partial(losses.smooth_l1, delta=1.0),
      'hard_example_miner': None,
      'classification_weight': 1.0,
      'localization_weight': 1.0,
      'normalize_by_num_matches': True,
      'normalize_loc_by_codesize': True,
      'normalizer': objective.num_matches(golden_targets, all_true),
      'example_mask': all_true,
      'labeled_classes': None,
    }
    logits = changes.pop('class_logits', loss_goldens['logits'])
    targets = changes.pop('targets', golden_targets)
    encodings = loss_goldens['box_encodings']
    return objective.ssd_losses(logits, encodings, targets, **{**options, **changes})

  return compute


@pytest.mark.parametrize(
  ('name', 'changes'),
  [
    ('ssd_mobilenet_v2_320_config', {}),
    ('v2_320_no_codesize_norm', {'normalize_loc_by_codesize': False}),
    ('v2_320_no_num_matches_norm', {'normalize_by_num_matches': False}),
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


def test_two_halves_of_a_batch_add_up(loss):
  first = tf.range(9) < 4
  halves = [loss(example_mask=mask, hard_example_miner=miner(3)) for mask in (first, ~first)]
  whole = loss(hard_example_miner=miner(3))
  for term, value in whole.items():
    np.testing.assert_allclose(halves[0][term] + halves[1][term], value, rtol=1e-6)


def test_num_matches_is_the_weight_of_the_real_images(golden_targets, loss_goldens):
  everything = objective.num_matches(golden_targets, tf.ones([9], tf.bool))
  np.testing.assert_allclose(everything, loss_goldens['json']['sum_reg_weights'], rtol=1e-6)
  # Image 5, one box as large as the image: 5 anchors of weight 1.
  assert objective.num_matches(golden_targets, tf.range(9) == 5).numpy() == 5


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


def test_predictions_of_other_anchors_are_named(loss, golden_targets):
  cut = target_assigner.Targets(*(target[:, :1000] for target in golden_targets))
  with pytest.raises(ValueError, match=r'class_logits: expected \(9, 1000\).*\(9, 1917, 4\)'):
    loss(targets=cut)
