"""Targets, mining, losses and detections of SSD-Tensorflow, with its configs' settings.

Its faults are not copied: labels that are no class are dropped there without a word (an error of
the config here), and of equal losses it mines none.
"""

import functools
import json

import batches
import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.ops import (
  box_coder,
  boxes,
  hard_negatives,
  losses,
  masked_loss,
  matching,
  objective,
  post_processor,
  similarity,
  target_assigner,
)

NETS = ('ssd_300_vgg', 'ssd_512_vgg')
CASES = ('random_batch4', 'all_images_batch7', 'no_gt_batch2', 'single_batch1')
SCOPES = {
  'flat_hnm(ssd_vgg_300.ssd_losses)': 'SSD_TENSORFLOW',
  'per_block_hnm(ssd_vgg_512.ssd_losses)': 'SSD_TENSORFLOW_LAYER',
}
NUM_IMAGES = 7
CODER = box_coder.FasterRCNNBoxCoder(y_scale=10, x_scale=10, height_scale=5, width_scale=5)
MATCHER = matching.ArgMaxMatcher(
  matched_threshold=0.5,
  unmatched_threshold=0.5,
  negatives_lower_than_unmatched=True,
  force_match_for_each_row=False,
)
# cx, cy, w, h there; y, x, h, w here.
SWAPPED = [1, 0, 3, 2]


@pytest.fixture(scope='module', params=NETS)
def net(request, golden_file):
  """The name of a network, its anchors and how many of them each layer has."""
  arrays = np.load(golden_file(f'balancap/anchors_{request.param}.npz'))
  centers, sizes = np.split(arrays['anchors_yxhw'], 2, axis=1)
  anchors = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
  return request.param, tf.constant(anchors), np.diff(arrays['layer_offsets']).tolist()


@pytest.fixture(scope='module')
def groundtruth(golden_file):
  """Boxes, classes, weights and mask of the seven images."""
  arrays = np.load(golden_file('balancap/encode_inputs.npz'))
  box_rows = np.zeros([NUM_IMAGES, 14, 4], np.float32)
  classes = np.zeros([NUM_IMAGES, 14], np.int32)
  for image in range(NUM_IMAGES):
    is_class = arrays[f'labels{image}'] < 21
    count = is_class.sum()
    box_rows[image, :count] = arrays[f'boxes{image}'][is_class]
    classes[image, :count] = arrays[f'labels{image}'][is_class]
  mask = classes > 0
  return tuple(tf.constant(rows) for rows in (box_rows, classes, mask.astype(np.float32), mask))


@pytest.fixture(scope='module')
def targets(net, groundtruth):
  assigner = target_assigner.TargetAssigner(matcher=MATCHER, box_coder=CODER)
  return assigner(batches.groundtruth(*groundtruth), net[1])


def test_targets_are_the_originals_above_the_match_threshold(
  net, groundtruth, targets, golden_file
):
  arrays = np.load(golden_file(f'balancap/encode_{net[0]}.npz'))
  shape = targets.class_targets.shape
  where = tuple(arrays['matched'].T)  # Images and anchors.
  class_targets, box_targets = np.zeros(shape, np.int32), np.zeros([*shape, 4], np.float32)
  class_targets[where] = arrays['labels']
  box_targets[where] = arrays['localisations'][:, SWAPPED]
  np.testing.assert_array_equal(targets.positive_mask, class_targets > 0)
  np.testing.assert_array_equal(targets.class_targets, class_targets)
  np.testing.assert_array_equal(targets.class_weights, np.ones(shape))
  np.testing.assert_allclose(targets.box_targets, box_targets, atol=1e-5)
  best = tf.reduce_max(similarity.IOU.compare(groundtruth[0], net[1]), axis=1)
  np.testing.assert_allclose(best[:, ::16], arrays['scores'], atol=1e-6)


def taken(targets, images):
  return target_assigner.Targets(*(tf.gather(target, images) for target in targets))


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('kind', list(SCOPES))
def test_losses_and_negatives_are_the_originals(kind, case, net, targets, golden_file):
  name, _, layer_sizes = net
  golden = json.loads(golden_file('balancap/losses.json').read_text())[f'{name}|{case}|{kind}']
  given = taken(targets, golden['image_indices'])
  result, mask = mine(golden, given, layer_sizes, SCOPES[kind])

  masks = np.load(golden_file('balancap/losses_negatives.npz'))
  suffix = 'flat' if kind.startswith('flat') else 'perblock'
  negatives = np.unpackbits(masks[f'{name}__{case}__{suffix}'], axis=1)[:, : mask.shape[1]] > 0
  np.testing.assert_array_equal(mask & ~given.positive_mask.numpy(), negatives)
  np.testing.assert_array_equal(mask & given.positive_mask.numpy(), given.positive_mask)
  if kind.startswith('flat'):
    parts = [golden['losses'][f'ssd_losses/cross_entropy_{sign}/value'] for sign in ('pos', 'neg')]
    localization = golden['losses']['ssd_losses/localization/value']
  else:
    parts = [golden['extra_losses']['ssd_losses/total/cross_entropy']]
    localization = golden['extra_losses']['ssd_losses/total/localization']
  np.testing.assert_allclose(result['classification_loss'], sum(parts), rtol=1e-6)
  np.testing.assert_allclose(result['localization_loss'], localization, rtol=1e-5)
  np.testing.assert_allclose(sum(result.values()), golden['total_loss'], rtol=1e-6)


def mine(golden, targets, layer_sizes, scope):
  """The losses of random predictions and the mask of the selected anchors."""
  random = np.random.RandomState(golden['seed'])
  shape = targets.class_targets.shape
  logits = tf.constant(random.normal(0, golden['logit_std'], (*shape, 21)), tf.float32)
  encodings = tf.constant(random.normal(0, 1, (*shape, 4))[..., SWAPPED], tf.float32)
  miner = hard_negatives.BatchHardExampleMiner(scope=scope, max_negatives_per_positive=3.0)
  example_mask = tf.ones(shape[:1], tf.bool)
  softmax = masked_loss.SoftmaxLoss()
  ours = objective.Objective(
    box_coder=CODER,
    classification_loss=softmax,
    localization_loss=functools.partial(losses.smooth_l1, delta=1.0),
    hard_example_miner=miner,
    classification_weight=1.0,
    localization_weight=1.0,
    normalized_by='REPLICAS' if miner.averages_layers else 'IMAGES',
    normalize_loc_by_codesize=miner.averages_layers,
    layer_sizes=tuple(layer_sizes),
  )
  batch = batches.masks(shape[0], 20)
  normalizer = ours.normalizer_part(targets, batch)
  result = ours(batches.outputs(logits, encodings), targets, batch, normalizer, anchors=None)
  class_losses = masked_loss.masked_classification_loss(
    logits, targets.class_targets, None, loss=softmax
  )
  return result, miner.select(class_losses, targets, example_mask, layer_sizes).numpy()


@pytest.mark.parametrize('kind', list(SCOPES))
def test_equal_losses_are_mined_where_the_original_mines_none(kind, net, targets, golden_file):
  name, _, layer_sizes = net
  case = f'{name}|ties_zero_logits_batch2|{kind}'
  golden = json.loads(golden_file('balancap/losses.json').read_text())[case]
  assert golden['logit_std'] == 0 and golden['n_negatives_chosen'] == 0
  given = taken(targets, golden['image_indices'])
  positives = given.positive_mask.numpy()
  result, mask = mine(golden, given, layer_sizes, SCOPES[kind])
  np.testing.assert_array_equal(mask & positives, positives)
  num_positives, num_negatives = positives.sum(), (mask & ~positives).sum()
  if kind.startswith('flat'):
    # 3 P + 2 - 1 of them, log 21 each; divided by the two images.
    assert num_negatives == 3 * num_positives + 1
    expected = (num_positives + num_negatives) * np.log(21) / 2
  else:
    # A mean of log 21 for each layer with positives, and for each with negatives: all of them.
    per_layer = np.split(positives.any(axis=0), np.cumsum(layer_sizes)[:-1])
    expected = (sum(layer.any() for layer in per_layer) + len(layer_sizes)) * np.log(21)
  np.testing.assert_allclose(result['classification_loss'], expected, rtol=1e-5)


def detect(net, clip_windows):
  num_anchors = net[1].shape[0]
  random = np.random.RandomState(201)
  logits = (3 * random.normal(0, 1, (2, num_anchors, 21))).astype(np.float32)
  logits[..., 0] += 6
  scores = np.exp(logits.astype(np.float64))
  scores = (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32)
  scores[1, :, 5] = 0.001
  encodings = random.normal(0, 1, (2, num_anchors, 4)).astype(np.float32)[..., SWAPPED]
  processor = post_processor.PostProcessor(
    score_converter='IDENTITY',
    logit_scale=1.0,
    score_threshold=0.01,
    iou_threshold=0.45,
    max_detections_per_class=200,
    max_total_detections=4000,
    use_class_agnostic_nms=False,
    soft_nms_sigma=0.0,
    change_coordinate_frame=False,
    box_coder=CODER,
  )
  outputs = batches.outputs(tf.constant(scores), tf.constant(encodings))
  result = processor(outputs, net[1], clip_windows)
  return {name: value.numpy() for name, value in result.items()}


def test_detections_are_the_originals_but_for_the_clipping(net, golden_file):
  golden = np.load(golden_file(f'balancap/detect_{net[0]}.npz'))
  far = detect(net, tf.constant([-99.0, -99.0, 99.0, 99.0]))
  clipped = detect(net, None)
  np.testing.assert_allclose(
    far['raw_detection_boxes'][:, golden['decoded_idx']], golden['decoded_yxyx'], atol=1e-6
  )
  for image in range(2):
    for row, number in enumerate(golden['classes']):
      scores, expected = golden['scores'][image, row], golden['bboxes_yxyx'][image, row]
      scores, expected = scores[scores > 0], expected[scores > 0]
      is_class = far['detection_classes'][image] == number
      np.testing.assert_allclose(far['detection_scores'][image][is_class], scores, atol=1e-6)
      np.testing.assert_allclose(far['detection_boxes'][image][is_class], expected, atol=1e-6)

      # Clipped to the image, those outside it are gone.
      inside = boxes.clip_to_window(expected, [0.0, 0.0, 1.0, 1.0]).numpy()
      inside = inside[np.prod(inside[:, 2:] - inside[:, :2], axis=1) > 0]
      is_class = clipped['detection_classes'][image] == number
      np.testing.assert_allclose(clipped['detection_boxes'][image][is_class], inside, atol=1e-6)
