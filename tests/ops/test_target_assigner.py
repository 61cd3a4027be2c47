"""Matching and targets against the original's, and against tables worked out by hand."""

import pathlib

import batches
import numpy as np
import pytest
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.ops import anchors as anchor_ops
from ssd_tf.ops import box_coder, matching, similarity, target_assigner

GOLDENS = np.load(pathlib.Path(__file__).parents[1] / 'testdata/odapi/c_targets.npz')
CODER = box_coder.FasterRCNNBoxCoder(y_scale=10, x_scale=10, height_scale=5, width_scale=5)
ANCHORS = anchor_ops.generate_ssd_anchors(
  [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)],
  (300, 300),
  num_layers=6,
  min_scale=float(np.float32(0.2)),
  max_scale=float(np.float32(0.95)),
  scales=[],
  aspect_ratios=[1.0, 2.0, 0.5, 3.0, float(np.float32(0.3333))],
  interpolated_scale_aspect_ratio=1.0,
  base_anchor_height=1.0,
  base_anchor_width=1.0,
  reduce_boxes_in_lowest_layer=True,
  height_stride=[],
  width_stride=[],
  height_offset=[],
  width_offset=[],
)


def matcher(matched=0.5, unmatched=0.5, lower=True, force=True):
  return matching.ArgMaxMatcher(
    matched_threshold=matched,
    unmatched_threshold=unmatched,
    negatives_lower_than_unmatched=lower,
    force_match_for_each_row=force,
  )


def padded_groundtruth(num_rows=45, junk=0.0):
  """Stacks the nine images: boxes, classes 1..K, weights, mask; `junk` fills the padding."""
  boxes = np.full([9, num_rows, 4], junk, np.float32)
  classes = np.full([9, num_rows], int(junk), np.int32)
  weights = np.full([9, num_rows], junk, np.float32)
  mask = np.zeros([9, num_rows], bool)
  for image in range(9):
    n = len(GOLDENS[f'gt_boxes_{image}'])
    boxes[image, :n] = GOLDENS[f'gt_boxes_{image}']
    classes[image, :n] = GOLDENS[f'gt_classes_{image}'] + 1
    weights[image, :n] = GOLDENS[f'gt_weights_{image}']
    mask[image, :n] = True
  return boxes, classes, weights, mask


def assign(groundtruth, matcher, anchors=ANCHORS, box_coder=CODER, **options):
  assigner = target_assigner.TargetAssigner(matcher=matcher, box_coder=box_coder, **options)
  targets = assigner(batches.groundtruth(*groundtruth), tf.constant(anchors))
  return target_assigner.Targets(*(target.numpy() for target in targets))


# With the whole batch the largest image fills all rows but none, five or sixty.
@pytest.mark.parametrize('num_rows', [40, 45, 100])
def test_targets_equal_the_original(num_rows):
  targets = assign(padded_groundtruth(num_rows), matcher())
  match = GOLDENS['match']
  np.testing.assert_array_equal(targets.positive_mask, match >= 0)
  one_hot = np.eye(4, dtype=np.float32)[targets.class_targets]
  np.testing.assert_array_equal(one_hot, GOLDENS['cls_targets_bg_onehot'])
  weights = np.repeat(targets.class_weights[..., None], 4, axis=-1)
  np.testing.assert_array_equal(weights, GOLDENS['cls_weights'])
  np.testing.assert_array_equal(targets.box_weights, GOLDENS['reg_weights'])
  np.testing.assert_allclose(targets.box_targets, GOLDENS['reg_targets'], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
  ('suffix', 'matcher'),
  [
    ('05_04_force', matcher(unmatched=0.4)),
    ('05_05_noforce', matcher(force=False)),
    ('06_04_force_negnotlower', matcher(matched=0.6, unmatched=0.4, lower=False)),
  ],
)
def test_thresholds_equal_the_original(suffix, matcher):
  targets = assign(padded_groundtruth(), matcher)
  match = GOLDENS[f'match_{suffix}']
  np.testing.assert_array_equal(targets.positive_mask, match >= 0)
  np.testing.assert_array_equal(targets.class_weights, GOLDENS[f'cls_weights_{suffix}'])
  for image in range(9):
    rows = match[image][match[image] >= 0]
    classes = GOLDENS[f'gt_classes_{image}'][rows] + 1
    np.testing.assert_array_equal(targets.class_targets[image][match[image] >= 0], classes)
  if f'reg_weights_{suffix}' in GOLDENS:
    np.testing.assert_array_equal(targets.box_weights, GOLDENS[f'reg_weights_{suffix}'])


def test_padding_changes_nothing_whatever_it_holds():
  clean, junk = (assign(padded_groundtruth(60, junk), matcher()) for junk in (0.0, 7.0))
  for expected, received in zip(clean, junk, strict=True):
    np.testing.assert_array_equal(expected, received)


def test_real_rows_behind_padding_count():
  boxes, classes, weights, mask = padded_groundtruth(45)
  order = np.roll(np.arange(45), 5)
  shifted = assign([x[:, order] for x in (boxes, classes, weights, mask)], matcher())
  for expected, received in zip(
    assign((boxes, classes, weights, mask), matcher()), shifted, strict=True
  ):
    np.testing.assert_array_equal(expected, received)


@pytest.mark.parametrize('num_rows', [0, 3])
def test_no_groundtruth(num_rows):
  groundtruth = (
    np.zeros([2, num_rows, 4], np.float32),
    np.zeros([2, num_rows], np.int32),
    np.zeros([2, num_rows], np.float32),
    np.zeros([2, num_rows], bool),
  )
  targets = assign(groundtruth, matcher())
  assert targets.class_weights.shape == (2, 1917)
  assert (targets.class_weights == 1).all()
  for target in (targets.class_targets, targets.box_targets, targets.box_weights):
    assert not target.any()
  assert not targets.positive_mask.any()


# Side by side, each a quarter of the image: top left, top right, bottom left, bottom right.
QUARTERS = np.float32([[0, 0, 0.5, 0.5], [0, 0.5, 0.5, 1], [0.5, 0, 1, 0.5], [0.5, 0.5, 1, 1]])


def one_image(boxes, weights=None):
  boxes = np.float32([boxes])
  n = boxes.shape[1]
  weights = np.ones([1, n], np.float32) if weights is None else np.float32([weights])
  return boxes, np.arange(1, n + 1, dtype=np.int32)[None], weights, np.ones([1, n], bool)


def test_ties_go_to_the_lower_row_and_the_lower_anchor():
  # Rows 0 and 1 are one box, equally like anchors 0 and 1 (IoU .125 / .375): both force anchor 0.
  box = [0, 0.25, 0.5, 0.75]
  targets = assign(one_image([box, box]), matcher(), QUARTERS)
  np.testing.assert_array_equal(targets.class_targets, [[1, 0, 0, 0]])


def test_a_forced_row_takes_the_anchor_from_a_better_one():
  # Row 0 is anchor 0 itself. Row 1 is tiny and best served by anchor 0 too: the lower row keeps
  # it. The other way round the tiny box takes it from the perfect one.
  tiny = [0.1, 0.1, 0.104, 0.105]
  targets = assign(one_image([QUARTERS[0], tiny]), matcher(), QUARTERS)
  np.testing.assert_array_equal(targets.class_targets, [[1, 0, 0, 0]])
  np.testing.assert_allclose(targets.box_targets[0, 0], np.zeros(4), atol=1e-5)
  targets = assign(one_image([tiny, QUARTERS[0]]), matcher(), QUARTERS)
  np.testing.assert_array_equal(targets.class_targets, [[1, 0, 0, 0]])
  assert targets.box_targets[0, 0, 2] < -20  # 5 * log(.004 / .5) = -24


def test_weight_0_forces_nothing_but_is_no_counter_example():
  # Row 0 equals anchor 0: matched, weight 0. Row 1 has IoU 1/3 with anchors 2 and 3: not forced.
  boxes = [QUARTERS[0], [0.5, 0.25, 1, 0.75]]
  targets = assign(one_image(boxes, weights=[0, 0]), matcher(), QUARTERS)
  np.testing.assert_array_equal(targets.positive_mask, [[True, False, False, False]])
  np.testing.assert_array_equal(targets.class_weights, [[0, 1, 1, 1]])
  np.testing.assert_array_equal(targets.box_weights, [[0, 0, 0, 0]])


def test_a_box_that_touches_no_anchor_is_not_forced_upon_one():
  boxes = [[0.6, 0.6, 0.7, 0.7], [0, 0, 0, 0]]
  targets = assign(one_image(boxes), matcher(), QUARTERS[:3])
  assert not targets.positive_mask.any()


# A ladder of boxes: eight tiles of a quarter of the height and half of the width.
TILES = np.float32([[y / 4, x / 2, (y + 1) / 4, (x + 1) / 2] for y in range(4) for x in range(2)])


def with_crowds(boxes, crowds, weights=None):
  groundtruth = one_image(boxes, weights)
  return (*groundtruth, np.array([crowds]))


def test_anchors_in_a_crowd_are_ignored():
  # The crowd holds tile 0, half of tile 2 and a quarter of tile 4; tile 1 only touches it. The
  # ordinary box is tile 7.
  boxes = [TILES[7], [0, 0, 0.375, 0.5], [0.5, 0, 0.5625, 0.5]]
  targets = assign(with_crowds(boxes, [False, True, True]), matcher(), TILES)
  np.testing.assert_array_equal(targets.class_weights, [[0, 1, 0, 1, 1, 1, 1, 1]])
  np.testing.assert_array_equal(targets.class_targets, [[0, 0, 0, 0, 0, 0, 0, 1]])
  np.testing.assert_array_equal(targets.box_weights, [[0, 0, 0, 0, 0, 0, 0, 1]])
  np.testing.assert_array_equal(np.flatnonzero(targets.positive_mask), [7])
  # Trained on, the first crowd has an IoU of 2/3 with tile 0, the second forces tile 4.
  targets = assign(with_crowds(boxes, [False] * 3), matcher(), TILES)
  np.testing.assert_array_equal(targets.class_weights, np.ones([1, 8]))
  np.testing.assert_array_equal(targets.class_targets, [[2, 0, 0, 0, 3, 0, 0, 1]])


def test_an_ordinary_box_in_a_crowd_keeps_its_anchors():
  # The whole image is a crowd; tile 2 is a box all the same, and the tiny one forces tile 5.
  boxes = [[0, 0, 1, 1], TILES[2], [0.55, 0.7, 0.56, 0.71]]
  targets = assign(with_crowds(boxes, [True, False, False]), matcher(), TILES)
  np.testing.assert_array_equal(targets.class_weights, [[0, 0, 1, 0, 0, 1, 0, 0]])
  np.testing.assert_array_equal(targets.class_targets, [[0, 0, 2, 0, 0, 3, 0, 0]])


def test_a_crowd_in_one_image_changes_no_other():
  groundtruth = padded_groundtruth()
  crowds = np.zeros_like(groundtruth[3])
  crowds[2, 5:12] = True
  plain, crowded = (assign((*groundtruth, mask), matcher()) for mask in (crowds & False, crowds))
  for expected, received in zip(plain, crowded, strict=True):
    np.testing.assert_array_equal(np.delete(expected, 2, 0), np.delete(received, 2, 0))
  # Left are the anchors of the other boxes; where none is, those in a crowd weigh nothing.
  boxes, classes, weights, mask = (np.delete(x[2:3], np.s_[5:12], 1) for x in groundtruth)
  others = assign((boxes, classes, weights, mask), matcher())
  np.testing.assert_array_equal(others.positive_mask[0], crowded.positive_mask[2])
  np.testing.assert_array_equal(others.box_targets[0], crowded.box_targets[2])
  low = np.maximum(ANCHORS[:, None, :2], groundtruth[0][2, None, 5:12, :2])
  high = np.minimum(ANCHORS[:, None, 2:], groundtruth[0][2, None, 5:12, 2:])
  share = np.maximum(high - low, 0).prod(2) / (ANCHORS[:, 2:] - ANCHORS[:, :2]).prod(1)[:, None]
  assert (np.abs(share - 0.5) > 1e-6).all()
  ignored = (share >= 0.5).any(axis=1) & ~others.positive_mask[0]
  assert ignored.sum() > 5
  np.testing.assert_array_equal(
    crowded.class_weights[2], np.where(ignored, 0, others.class_weights[0])
  )


def test_padding_and_crowds_of_nothing():
  boxes, classes, weights, mask = one_image([[0, 0, 1, 1]])
  targets = assign((boxes, classes, weights, ~mask, mask), matcher(), TILES)
  np.testing.assert_array_equal(targets.class_weights, np.ones([1, 8]))


def test_weight_of_background():
  groundtruth = with_crowds([TILES[0], TILES[1]], [False, True])
  targets = assign(groundtruth, matcher(), TILES, negative_class_weight=0.25)
  np.testing.assert_array_equal(targets.class_weights, [[1, 0, *[0.25] * 6]])


def test_other_matchers_and_similarities():
  groundtruth = one_image([TILES[0], [0.125, 0, 0.375, 0.5]])
  # Each box its own anchor: tile 0, then tile 2, which has as much of the second as tile 0.
  targets = assign(groundtruth, matching.BipartiteMatcher(), TILES)
  np.testing.assert_array_equal(targets.class_targets, [[1, 0, 2, 0, 0, 0, 0, 0]])
  # The nearest box, by corners, of every anchor.
  every = matching.ArgMaxMatcher(
    matched_threshold=None,
    unmatched_threshold=0.5,
    negatives_lower_than_unmatched=True,
    force_match_for_each_row=False,
  )
  distance = similarity.NEGATIVE_SQUARED_DISTANCE
  targets = assign(groundtruth, every, TILES, box_similarity=distance)
  np.testing.assert_array_equal(targets.class_targets, [[1, 1, 2, 2, 2, 2, 2, 2]])
  # By the share of the anchor, half of tile 2 is enough; ties go to the lower row.
  targets = assign(groundtruth, matcher(), TILES, box_similarity=similarity.IOA)
  np.testing.assert_array_equal(targets.class_targets, [[1, 0, 2, 0, 0, 0, 0, 0]])
  # Of the second box an IoU of 1/3 is above .3.
  above = similarity.thresholded_iou(0.3)
  targets = assign(groundtruth, matcher(force=False), TILES, box_similarity=above)
  np.testing.assert_array_equal(targets.class_targets, [[1, 0, 2, 0, 0, 0, 0, 0]])


def test_distances_to_padding_do_not_count():
  boxes, classes, weights, mask = one_image([[0, 0, 0, 0], TILES[7]])
  mask[0, 0] = False
  nearest = assign(
    (boxes, classes, weights, mask),
    matching.BipartiteMatcher(),
    TILES,
    box_similarity=similarity.NEGATIVE_SQUARED_DISTANCE,
  )
  np.testing.assert_array_equal(nearest.class_targets, [[0, 0, 0, 0, 0, 0, 0, 2]])


def test_a_code_of_three_numbers():
  coder = box_coder.SquareBoxCoder(y_scale=10, x_scale=10, length_scale=5)
  targets = assign(one_image([TILES[3]]), matcher(), TILES, box_coder=coder)
  assert targets.box_targets.shape == (1, 8, 3)
  np.testing.assert_allclose(targets.box_targets[0, 3], np.zeros(3), atol=1e-5)


def test_no_gradient_flows():
  anchors = tf.constant(ANCHORS)
  groundtruth = batches.groundtruth(*padded_groundtruth())
  watched = [anchors, groundtruth[fields.GROUNDTRUTH_BOXES]]
  with tf.GradientTape() as tape:
    tape.watch(watched)
    assigner = target_assigner.TargetAssigner(matcher=matcher(), box_coder=CODER)
    total = tf.reduce_sum(assigner(groundtruth, anchors).box_targets)
  assert tape.gradient(total, watched) == [None, None]


def test_inside_a_graph_with_unknown_rows():
  @tf.function(
    input_signature=[
      tf.TensorSpec([None, None, 4], tf.float32),
      tf.TensorSpec([None, None], tf.int32),
      tf.TensorSpec([None, None], tf.float32),
      tf.TensorSpec([None, None], tf.bool),
    ]
  )
  def graph(*groundtruth):
    assigner = target_assigner.TargetAssigner(matcher=matcher(), box_coder=CODER)
    return assigner(batches.groundtruth(*groundtruth), tf.constant(ANCHORS))

  groundtruth = padded_groundtruth()
  for expected, received in zip(assign(groundtruth, matcher()), graph(*groundtruth), strict=True):
    np.testing.assert_allclose(expected, received, atol=1e-5)


def test_disagreeing_shapes_are_named():
  boxes, classes, weights, mask = padded_groundtruth()
  with pytest.raises(ValueError, match=r'groundtruth_classes: expected shape \(9, 45\).*\(9, 44\)'):
    assign((boxes, classes[:, :44], weights, mask), matcher())
  with pytest.raises(ValueError, match=r'groundtruth_boxes: expected shape \[B, N, 4\]'):
    assign((boxes[0], classes, weights, mask), matcher())


@pytest.mark.parametrize(
  ('options', 'field'),
  [
    ({'matched': 0.4, 'unmatched': 0.5}, 'unmatched_threshold'),
    ({'lower': False}, 'negatives_lower_than_unmatched'),
    ({'matched': 0.0, 'unmatched': 0.0}, 'matched_threshold'),
  ],
)
def test_thresholds_that_make_no_sense_are_named(options, field):
  with pytest.raises(ValueError, match=f'^{field}: '):
    matcher(**options)
