"""Hard example mining: the very anchors that the original selects."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.ops import hard_negatives, losses, masked_loss, target_assigner

LOSS_TYPES = {'cls': 'CLASSIFICATION', 'loc': 'LOCALIZATION', 'both': 'BOTH'}


def miner(**changes):
  options = {
    'num_hard_examples': 3000,
    'iou_threshold': 0.99,
    'loss_type': 'CLASSIFICATION',
    'classification_weight': 1.0,
    'localization_weight': 1.0,
    'max_negatives_per_positive': 3.0,
    'min_negatives_per_image': 0,
  }
  return hard_negatives.HardExampleMiner(**{**options, **changes})


@pytest.mark.parametrize('setting', ['tf1_min3', 'tf1_min0', 'both_64_07'])
def test_selection_equals_the_original(setting, loss_goldens, golden_targets, ssd_anchors, coder):
  golden = loss_goldens['json']['hard_example_miner'][setting]
  names = {'cls_loss_weight': 'classification_weight', 'loc_loss_weight': 'localization_weight'}
  options = {names.get(name, name): value for name, value in golden['params'].items()}
  options['loss_type'] = LOSS_TYPES[options['loss_type']]

  encodings = loss_goldens['box_encodings']
  class_losses = golden_targets.class_weights * masked_loss.masked_classification_loss(
    loss_goldens['logits'],
    golden_targets.class_targets,
    None,
    loss=masked_loss.SigmoidLoss(background_as_zeros=True),
  )
  box_losses = losses.smooth_l1(encodings, golden_targets.box_targets, delta=1.0)
  box_losses *= golden_targets.box_weights
  boxes = coder.decode(encodings, ssd_anchors)
  mask = miner(**options).select(class_losses, box_losses, boxes, golden_targets).numpy()

  np.testing.assert_allclose(np.sum(class_losses * mask), golden['cls_loss'], rtol=1e-5)
  np.testing.assert_allclose(np.sum(box_losses * mask), golden['location_loss'], rtol=1e-5)
  for image, expected in enumerate(golden['per_image']):
    selected = np.flatnonzero(mask[image])
    np.testing.assert_array_equal(selected, np.sort(expected['selected_anchor_indices']))
    if 'num_positives' in expected:
      num_positives = golden_targets.positive_mask.numpy()[image][selected].sum()
      assert num_positives == expected['num_positives']
      assert len(selected) - num_positives == expected['num_negatives']


# Five boxes apart from one another but 3, which lies on 2. Losses fall from 0 to 4.
BOXES = np.float32(
  [[[0, 0, 0.1, 0.2], [0, 0.5, 0.1, 0.7], [0.5, 0, 1, 0.3], [0.5, 0, 1, 0.3], [0.9, 0.9, 1, 1]]]
)
LOSSES = np.float32([[5, 4, 3, 2, 1]])


def targets(positive_mask, class_weights):
  return target_assigner.Targets(
    class_targets=None,
    box_targets=None,
    class_weights=tf.constant([class_weights], tf.float32),
    box_weights=None,
    positive_mask=tf.constant([positive_mask]),
  )


@pytest.mark.parametrize(
  ('positive', 'changes', 'expected'),
  [
    # One positive, two negatives for it: the two hardest that are left, 0 and 1.
    ([4], {'max_negatives_per_positive': 2.0}, [0, 1, 4]),
    # Two negatives and a half are two.
    ([4], {'max_negatives_per_positive': 2.5}, [0, 1, 4]),
    # No positive: none, or the least number.
    ([], {}, []),
    ([], {'min_negatives_per_image': 1}, [0]),
    # A positive on a harder spot is suppressed, and no negative comes with it.
    ([3], {}, []),
    # It is not, where boxes may lie on each other.
    ([3], {'iou_threshold': 1.0, 'max_negatives_per_positive': 1.0}, [0, 3]),
    # No proportion: what the suppression leaves.
    ([4], {'max_negatives_per_positive': None, 'num_hard_examples': 3}, [0, 1, 2]),
    ([4], {'max_negatives_per_positive': None, 'num_hard_examples': None}, [0, 1, 2, 4]),
    # Nor a suppression: the greatest losses, or all.
    *(
      (
        [4],
        {'iou_threshold': 1.0, 'max_negatives_per_positive': None, 'num_hard_examples': n},
        kept,
      )
      for n, kept in ((4, [0, 1, 2, 3]), (9, [0, 1, 2, 3, 4]))
    ),
  ],
)
def test_proportion(positive, changes, expected):
  given = targets([i in positive for i in range(5)], [1.0] * 5)
  mask = miner(**{'iou_threshold': 0.7, **changes}).select(LOSSES, LOSSES, BOXES, given)
  np.testing.assert_array_equal(np.flatnonzero(mask[0]), expected)


def test_ignored_anchors_are_no_negatives():
  given = targets([False] * 4 + [True], [0.0, 1.0, 1.0, 1.0, 1.0])
  mask = miner(max_negatives_per_positive=1.0).select(LOSSES, LOSSES, BOXES, given)
  np.testing.assert_array_equal(np.flatnonzero(mask[0]), [1, 4])


def test_unknown_loss_type_is_named():
  with pytest.raises(ValueError, match="loss_type: .*'cls'"):
    miner(loss_type='cls')
