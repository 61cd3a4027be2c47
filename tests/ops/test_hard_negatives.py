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
  return many_targets(np.array([positive_mask]), np.array([class_weights]))


def many_targets(positive_mask, class_weights):
  return target_assigner.Targets(
    class_targets=None,
    box_targets=None,
    class_weights=tf.constant(class_weights, tf.float32),
    box_weights=None,
    positive_mask=tf.constant(positive_mask),
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


def batch_miner(scope='BATCH', **changes):
  options = {'scope': scope, 'max_negatives_per_positive': 2.0, **changes}
  return hard_negatives.BatchHardExampleMiner(**options)


# Two images of six anchors; the third image pads the batch.
BATCH_LOSSES = tf.constant([[9.0, 1, 8, 2, 7, 3], [6, 6, 5, 6, 4, 0], [99] * 6])
EXAMPLE_MASK = tf.constant([True, True, False])


def batch_targets(positives=((0, 3),), ignored=((0, 2),)):
  positive_mask, weights = np.zeros([3, 6], bool), np.ones([3, 6], np.float32)
  for place in positives:
    positive_mask[place] = True
  for place in ignored:
    weights[place] = 0
  return many_targets(positive_mask, weights)


@pytest.mark.parametrize(
  ('changes', 'positives', 'expected'),
  [
    # Two for the positive, wherever they are: 9 and 7, not 8, which is ignored.
    ({}, [(0, 3)], [(0, 0), (0, 3), (0, 4)]),
    # Two and a half are two.
    ({'max_negatives_per_positive': 2.5}, [(0, 3)], [(0, 0), (0, 3), (0, 4)]),
    # Four: of the three sixes the first two.
    (
      {'max_negatives_per_positive': 4.0},
      [(0, 3)],
      [(0, 0), (0, 3), (0, 4), (1, 0), (1, 1)],
    ),
    ({}, [], []),
    ({'min_negatives': 3}, [], [(0, 0), (0, 4), (1, 0)]),
    # Of 11 negatives one costs nothing, and stays out.
    (
      {'min_negatives': 20},
      [],
      [(0, i) for i in (0, 1, 3, 4, 5)] + [(1, i) for i in range(5)],
    ),
    # int(2 * 1) + 2 images - 1 = 3.
    ({'scope': 'SSD_TENSORFLOW'}, [(0, 3)], [(0, 0), (0, 3), (0, 4), (1, 0)]),
    # No positive: 2 images - 1.
    ({'scope': 'SSD_TENSORFLOW'}, [], [(0, 0)]),
  ],
)
@pytest.mark.parametrize('in_graph', [False, True])
def test_hardest_of_the_batch(in_graph, changes, positives, expected):
  def select(losses):
    return batch_miner(**changes).select(losses, batch_targets(positives), EXAMPLE_MASK)

  if in_graph:
    select = tf.function(select, input_signature=[tf.TensorSpec([None, None])])
  selected = [tuple(place) for place in np.argwhere(select(BATCH_LOSSES))]
  assert selected == expected


def test_hardest_of_each_layer():
  # The first layer has 4 of the 6 anchors: 3 of the 8 are positive, 1 ignored, 4 negative;
  # min(max(2 * 3, 8 // 8, 4 * 2), 4 + 1) - 1 = 4: all of them.
  # The second: no positive, 4 negatives; min(max(0, 4 // 8, 8), 4 + 1) - 1 = 4.
  given = batch_targets([(0, 0), (0, 1), (1, 3)])
  miner = batch_miner('SSD_TENSORFLOW_LAYER')
  mask = miner.select(BATCH_LOSSES, given, EXAMPLE_MASK, [4, 2]).numpy()
  expected = np.ones([3, 6], bool)
  expected[0, 2], expected[2] = False, False
  np.testing.assert_array_equal(mask, expected)
  shares = hard_negatives.layer_shares(mask, given.positive_mask, [4, 2]).numpy()
  np.testing.assert_allclose(shares[0], [1 / 3, 1 / 3, 1 / 4, 1 / 4, 1 / 4, 1 / 4])
  np.testing.assert_allclose(shares[1], [1 / 4, 1 / 4, 1 / 4, 1 / 3, 1 / 4, 1 / 4])
  # 100 anchors of two images in one layer: 200 // 8 - 1 = 24 of 200 negatives.
  losses = tf.reshape(tf.range(200.0), [2, 100])
  none = many_targets(np.zeros([2, 100], bool), np.ones([2, 100]))
  mask = miner.select(losses, none, tf.constant([True, True]), [100]).numpy()
  np.testing.assert_array_equal(mask, losses.numpy() >= 176)
  with pytest.raises(ValueError, match='layer_sizes: expected'):
    miner.select(losses, none, tf.constant([True, True]))


def test_a_layer_without_positives_has_no_share():
  given = batch_targets([])
  shares = hard_negatives.layer_shares(tf.zeros([3, 6], tf.bool), given.positive_mask, [4, 2])
  np.testing.assert_array_equal(shares, np.zeros([3, 6]))


def test_masked_losses_are_what_is_mined():
  # The two greatest losses are masked: images that say nothing of the class.
  losses = tf.where(BATCH_LOSSES > 6, 0.0, BATCH_LOSSES)
  mask = batch_miner().select(losses, batch_targets(), EXAMPLE_MASK)
  assert [tuple(place) for place in np.argwhere(mask)] == [(0, 3), (1, 0), (1, 1)]


def test_batch_miner_names_what_does_not_fit():
  with pytest.raises(ValueError, match="scope: .*'IMAGE'"):
    batch_miner('IMAGE')
  with pytest.raises(ValueError, match='min_negatives: expected 0 with SSD_TENSORFLOW'):
    batch_miner('SSD_TENSORFLOW', min_negatives=1)
