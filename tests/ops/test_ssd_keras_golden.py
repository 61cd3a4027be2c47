"""Targets, losses, mining and detections of ssd_keras, which are those of Caffe's SSD.

Its faults are not copied: a box that overlaps no anchor gets the first one there, and the image's
first box loses its own for it. Overlaps that rounding alone sets apart (a tiny box has the same
one with every anchor around it) are compared in float64 there, in float32 here.
"""

import functools
import json

import batches
import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.ops import (
  box_coder,
  hard_negatives,
  losses,
  masked_loss,
  matching,
  objective,
  post_processor,
  similarity,
  target_assigner,
)

# Height, width, columns of class scores, scales of the box coder: 1 / variance.
MODELS = {
  'ssd300_voc': (300, 300, 21, (10, 5)),
  'ssd512_voc': (512, 512, 21, (10, 5)),
  'ssd7': (300, 480, 6, (1, 1)),
}
# cx, cy, w, h there; y, x, h, w here.
SWAPPED = [1, 0, 3, 2]
# In the image 'partly_and_fully_outside' the third box, of class 2, overlaps no anchor: (anchor,
# class there, class here). The first box, of class 1, has more anchors than its own with 'multi'.
ON_NO_ANCHOR = [(0, 2, 0)]
ITS_OWN_LOST = [(8543, -1, 1)]


def coder(model):
  center, side = MODELS[model][3]
  return box_coder.FasterRCNNBoxCoder(
    y_scale=center, x_scale=center, height_scale=side, width_scale=side
  )


def anchors_of(model, golden_file):
  corners = np.load(golden_file(f'ssd_keras/anchors_{model}.npz'))['corners_xyxy']
  return tf.constant(corners[:, SWAPPED], tf.float32)


def groundtruth_of(arrays, model):
  """Boxes, classes, weights and mask of the six images."""
  height, width = MODELS[model][:2]
  boxes, classes = np.zeros([6, 14, 4], np.float32), np.zeros([6, 14], np.int32)
  for image in range(6):
    rows = arrays[f'gt{image}']
    boxes[image, : len(rows)] = rows[:, [2, 1, 4, 3]] / [height, width, height, width]
    classes[image, : len(rows)] = rows[:, 0]
  mask = classes > 0
  return tuple(tf.constant(rows) for rows in (boxes, classes, mask.astype(np.float32), mask))


def multi(neg_iou_limit, pos_iou_threshold=0.5):
  return matching.ArgMaxMatcher(
    matched_threshold=pos_iou_threshold,
    unmatched_threshold=neg_iou_limit,
    negatives_lower_than_unmatched=True,
    force_match_for_each_row=False,
    bipartite_first=True,
  )


@pytest.mark.parametrize(
  ('name', 'matcher'),
  [
    ('ssd300_voc_multi', multi(0.5)),
    ('ssd300_voc_multi_neg0.3', multi(0.3)),
    # No overlap is enough for a second anchor; from the limit on it is neutral all the same.
    ('ssd300_voc_bipartite', multi(0.5, pos_iou_threshold=2.0)),
    ('ssd512_voc_multi', multi(0.5)),
    ('ssd7_multi', multi(0.3)),
  ],
)
def test_targets_are_the_originals(name, matcher, golden_file):
  model = name.removesuffix('_multi_neg0.3').removesuffix('_multi').removesuffix('_bipartite')
  arrays = np.load(golden_file(f'ssd_keras/encode_{name}.npz'))
  anchors = anchors_of(model, golden_file)
  groundtruth = groundtruth_of(arrays, model)
  assigner = target_assigner.TargetAssigner(matcher=matcher, box_coder=coder(model))
  targets = assigner(batches.groundtruth(*groundtruth), anchors)
  encoded = np.where(targets.class_weights == 0, -1, targets.class_targets)
  overlaps = similarity.IOU.compare(groundtruth[0], anchors).numpy()

  differing = np.argwhere(encoded != arrays['cls'])
  by_image: dict[str, list] = {}
  for image, anchor in differing:
    by_image.setdefault(str(arrays['names'][image]), []).append(
      (int(anchor), int(arrays['cls'][image, anchor]), int(encoded[image, anchor]))
    )
  lost = ITS_OWN_LOST if 'bipartite' in name else []
  assert by_image.pop('partly_and_fully_outside') == ON_NO_ANCHOR + lost
  for anchor, theirs, ours in by_image.pop('tiny_boxes', []):
    # Each box has one anchor here and one there, and their overlaps are the same.
    row = np.flatnonzero(groundtruth[1][3] == max(theirs, ours))[0]
    np.testing.assert_allclose(overlaps[3, row, anchor], overlaps[3, row].max(), rtol=1e-6)
    assert min(theirs, ours) == 0
  assert not by_image
  assert (encoded[3] > 0).sum() == (arrays['cls'][3] > 0).sum()

  images, positions = arrays['pos_image'], arrays['pos_anchor']
  same = encoded[images, positions] == arrays['cls'][images, positions]
  offsets = targets.box_targets.numpy()[images, positions][:, SWAPPED]
  np.testing.assert_allclose(offsets[same], arrays['pos_offsets_cxcywh'][same], atol=1e-5)
  np.testing.assert_array_equal(targets.box_targets.numpy()[encoded <= 0], 0)


def test_the_bipartite_matcher_takes_the_same_anchors(golden_file):
  arrays = np.load(golden_file('ssd_keras/encode_ssd300_voc_bipartite.npz'))
  anchors = anchors_of('ssd300_voc', golden_file)
  groundtruth = batches.groundtruth(*groundtruth_of(arrays, 'ssd300_voc'))
  alone, first = (
    target_assigner.TargetAssigner(matcher=matcher, box_coder=coder('ssd300_voc'))(
      groundtruth, anchors
    )
    for matcher in (matching.BipartiteMatcher(), multi(0.5, pos_iou_threshold=2.0))
  )
  np.testing.assert_array_equal(alone.class_targets, first.class_targets)
  np.testing.assert_array_equal(alone.box_targets, first.box_targets)
  np.testing.assert_array_equal(alone.class_weights, 1)  # Nothing is neutral.


def test_inclusive_borders_are_an_image_too_large_there(golden_file):
  # border_pixels='include' adds 1 to normalized sides, which is the whole image: not offered here.
  arrays = np.load(golden_file('ssd_keras/encode_ssd300_voc_include.npz'))
  centroids = np.load(golden_file('ssd_keras/anchors_ssd300_voc.npz'))['centroids_cxcywh']
  first = np.flatnonzero(arrays['pos_image'] == 0)[0]
  anchor = centroids[arrays['pos_anchor'][first]]
  sides = np.exp(arrays['pos_offsets_cxcywh'][first, 2:] * 0.2) * anchor[2:]
  _, xmin, ymin, xmax, ymax = arrays['gt0'][0] / 300
  np.testing.assert_allclose(sides, [xmax - xmin + 1, ymax - ymin + 1])


@pytest.mark.parametrize('model', list(MODELS))
@pytest.mark.parametrize('case', ['all6', 'single', 'no_gt', 'no_gt_n_neg_min10', 'alpha2_ratio1'])
def test_losses_and_negatives_are_the_originals(model, case, golden_file):
  golden = json.loads(golden_file('ssd_keras/loss.json').read_text())[f'{model}|{case}']
  targets = golden_targets(model, golden['image_indices'], golden_file)
  random = np.random.RandomState(golden['seed'])
  shape = targets.class_targets.shape
  logits = tf.constant(random.normal(0, 2, (*shape, MODELS[model][2])), tf.float32)
  encodings = tf.constant(random.normal(0, 1, (*shape, 4))[..., SWAPPED], tf.float32)
  miner = hard_negatives.BatchHardExampleMiner(
    scope='BATCH',
    max_negatives_per_positive=float(golden['params']['neg_pos_ratio']),
    min_negatives=golden['params']['n_neg_min'],
  )
  example_mask = tf.ones(shape[:1], tf.bool)
  softmax = masked_loss.SoftmaxLoss()
  ours = objective.Objective(
    box_coder=coder(model),
    classification_loss=softmax,
    localization_loss=functools.partial(losses.smooth_l1, delta=1.0),
    hard_example_miner=miner,
    classification_weight=1.0,
    localization_weight=golden['params']['alpha'],
    normalized_by='MATCHES',
    normalize_loc_by_codesize=False,
  )
  batch = batches.masks(shape[0], MODELS[model][2] - 1)
  normalizer = tf.maximum(ours.normalizer_part(targets, batch), 1.0)
  result = ours(batches.outputs(logits, encodings), targets, batch, normalizer, anchors=None)
  np.testing.assert_allclose(sum(result.values()), golden['keras_reported_mean'], rtol=1e-6)
  normalizer = max(golden['n_positive'], 1)
  # The parts there are before alpha.
  expected = golden['parts_sum']['loc'] * golden['params']['alpha'] / normalizer
  np.testing.assert_allclose(result['localization_loss'], expected, rtol=1e-6)

  class_losses = targets.class_weights * masked_loss.masked_classification_loss(
    logits, targets.class_targets, None, loss=softmax
  )
  mask = miner.select(class_losses, targets, example_mask).numpy() & ~targets.positive_mask.numpy()
  kept = np.load(golden_file('ssd_keras/loss_negatives_kept.npz'))[f'{model}__{case}']
  np.testing.assert_array_equal(mask, np.unpackbits(kept, axis=1)[:, : shape[1]] > 0)


def golden_targets(model, images, golden_file):
  """What ssd_keras encoded."""
  arrays = np.load(golden_file(f'ssd_keras/encode_{model}_multi.npz'))
  classes = arrays['cls'].astype(np.int32)
  offsets = np.zeros([*classes.shape, 4], np.float32)
  offsets[arrays['pos_image'], arrays['pos_anchor']] = arrays['pos_offsets_cxcywh'][:, SWAPPED]
  classes, offsets = classes[images], offsets[images]
  return target_assigner.Targets(
    class_targets=tf.constant(np.maximum(classes, 0)),
    box_targets=tf.constant(offsets),
    class_weights=tf.constant(classes >= 0, tf.float32),
    box_weights=tf.constant(classes > 0, tf.float32),
    positive_mask=tf.constant(classes > 0),
  )


@pytest.fixture(scope='module', params=list(MODELS))
def predictions(request, golden_file):
  """The name of a model, its golden detections, logits, and detections by options."""
  model = request.param
  golden = np.load(golden_file(f'ssd_keras/decode_{model}.npz'))
  height, width, num_columns, _ = MODELS[model]
  anchors = anchors_of(model, golden_file)
  random = np.random.RandomState(401)
  logits = random.normal(0, 2, (2, anchors.shape[0], num_columns))
  logits[..., 0] += golden['bg_logit_bias']
  encodings = random.normal(0, 1, (2, anchors.shape[0], 4))[..., SWAPPED].astype(np.float32)

  def detect(given_logits, **options):
    processor = post_processor.PostProcessor(
      score_converter='SOFTMAX',
      logit_scale=1.0,
      iou_threshold=0.45,
      soft_nms_sigma=0.0,
      change_coordinate_frame=False,
      box_coder=coder(model),
      **options,
    )
    result = processor(
      batches.outputs(tf.constant(given_logits, tf.float32), tf.constant(encodings)),
      anchors,
      # Nothing is clipped there.
      clip_windows=tf.constant([-99.0, -99.0, 99.0, 99.0]),
    )
    boxes = result['detection_boxes'] * [height, width, height, width]
    columns = [result['detection_classes'], result['detection_scores']]
    columns += [boxes[..., i] for i in SWAPPED]
    rows = np.stack([column.numpy().astype(np.float64) for column in columns], axis=-1)
    return [rows[image, : result['num_detections'][image]] for image in range(2)]

  return golden, logits, detect


def assert_same_detections(rows, expected):
  """Rows: class, score, xmin, ymin, xmax, ymax in pixels."""
  assert rows.shape == expected.shape
  np.testing.assert_array_equal(rows[:, 0], expected[:, 0])
  np.testing.assert_allclose(rows[:, 1], expected[:, 1], atol=1e-6)
  np.testing.assert_allclose(rows[:, 2:], expected[:, 2:], atol=5e-4)  # 1e-6 of the image.


@pytest.mark.parametrize('max_detections_per_class', [400, 12000])
def test_detections_are_the_originals(max_detections_per_class, predictions):
  golden, logits, detect = predictions
  rows = detect(
    logits,
    score_threshold=0.01,
    max_detections_per_class=max_detections_per_class,
    max_total_detections=200,
    use_class_agnostic_nms=False,
  )
  for image in range(2):
    assert_same_detections(rows[image], golden[f'decode_{image}'])
    assert_same_detections(rows[image], golden['layer_decode'][image])


def test_fast_detections_are_the_originals(predictions):
  golden, logits, detect = predictions
  options = {
    'max_detections_per_class': 1,  # Not heeded.
    'max_total_detections': 500,
    'use_class_agnostic_nms': True,
  }
  rows = detect(logits, score_threshold=0.5, **options)
  for image in range(2):
    expected = golden[f'fast_{image}']
    assert_same_detections(rows[image], expected[expected[:, 1] > 0.5])
  # Below a half, an anchor that is most of all background is no detection there.
  object_first = logits.copy()
  object_first[logits.argmax(axis=-1) == 0, 0] += 50
  rows = detect(object_first, score_threshold=0.3, **options)
  for image in range(2):
    assert_same_detections(rows[image], golden[f'fast_{image}'])
