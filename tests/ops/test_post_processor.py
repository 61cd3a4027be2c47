"""Detections against the original's, and against tables worked out by hand."""

import batches
import numpy as np
import odapi_goldens
import pytest
import tensorflow as tf

from ssd_tf.ops import anchors as anchor_ops
from ssd_tf.ops import post_processor

DEFAULTS = {
  'score_converter': 'SIGMOID',
  'logit_scale': 1.0,
  'score_threshold': 1e-8,
  'iou_threshold': 0.6,
  'max_detections_per_class': 100,
  'max_total_detections': 100,
  'use_class_agnostic_nms': False,
  'soft_nms_sigma': 0.0,
}
IOU_045 = {'max_total_detections': 10, 'iou_threshold': 0.45}
CASES = {
  'v2_320_c3': {},
  'v2_320_c3_shapes_none': {},
  'v1_coco_tf1_c90': {},
  'fpnlite_c3': {},
  'v2_320_thr03_perclass5_total10_iou045': {
    **IOU_045,
    'score_threshold': 0.3,
    'max_detections_per_class': 5,
  },
  'v2_320_fewer_than_max': {**IOU_045, 'score_threshold': 0.9},
  'v2_320_softmax': {'score_converter': 'SOFTMAX'},
  'v2_320_logit_scale2': {'logit_scale': 2.0},
  'v2_320_class_agnostic': {'use_class_agnostic_nms': True},
  'v2_320_soft_nms_05': {'soft_nms_sigma': 0.5},
}


def fpnlite_anchors():
  return anchor_ops.generate_multiscale_anchors(
    [(40, 40), (20, 20), (10, 10), (5, 5), (3, 3)],
    (320, 320),
    min_level=3,
    max_level=7,
    anchor_scale=4.0,
    aspect_ratios=[1.0, 2.0, 0.5],
    scales_per_octave=2,
    normalize_coordinates=True,
  )


@pytest.fixture
def case(request):
  """A measured case: settings, inputs and the original's outputs."""
  name = request.param
  measured = odapi_goldens.arrays('e_postprocess')
  golden = {key[len(name) + 2 :]: measured[key] for key in measured if key.startswith(f'{name}__')}
  if name == 'fpnlite_c3':
    anchors = fpnlite_anchors()
  else:
    anchors = odapi_goldens.arrays('a_anchors')['ssd_mobilenet_v2_320']
  batch_size, num_classes = len(golden['num_detections']), int(golden['num_classes'])
  random = np.random.RandomState(int(golden['seed']))
  encodings = random.normal(0, 1, [batch_size, len(anchors), 4])
  logits = random.normal(0, 2, [batch_size, len(anchors), num_classes + 1])
  logits += float(golden['logit_bias'])
  options, clip_windows = {**DEFAULTS, **CASES[name]}, None
  if len(golden['true_image_shapes']):
    side = 320 if name == 'fpnlite_c3' else 300
    size = golden['true_image_shapes'][:, :2] / side
    clip_windows = np.concatenate([np.zeros_like(size), size], axis=1).astype('f4')
  inputs = [tf.constant(x.astype(np.float32)) for x in (logits, encodings)]
  return {
    **golden,
    'options': options,
    'inputs': inputs,
    'anchors': tf.constant(anchors),
    'clip_windows': clip_windows,
  }


def check_against_original(result, golden):
  np.testing.assert_array_equal(result['num_detections'], golden['num_detections'])
  for image, count in enumerate(golden['num_detections'].astype(int)):
    np.testing.assert_array_equal(
      result['detection_classes'][image, :count], golden['detection_classes'][image, :count] + 1
    )
    assert not result['detection_classes'][image, count:].numpy().any()
  for key in ('detection_boxes', 'detection_scores', 'detection_multiclass_scores'):
    np.testing.assert_allclose(result[key], golden[key], rtol=1e-5, atol=1e-5)
  np.testing.assert_array_equal(
    result['detection_anchor_indices'], golden['detection_anchor_indices']
  )
  for key in ('raw_detection_boxes', 'raw_detection_scores'):
    first = result[key][:, :20]
    np.testing.assert_allclose(first, golden[f'{key}_first20'], rtol=1e-5, atol=1e-5)


def detect_case(case, coder):
  processor = post_processor.PostProcessor(box_coder=coder, **case['options'])
  outputs = batches.outputs(*case['inputs'])
  return tf.function(processor)(outputs, case['anchors'], case['clip_windows'])


@pytest.mark.parametrize('case', CASES, indirect=True)
def test_detections_equal_the_original(case, coder):
  check_against_original(detect_case(case, coder), case)


@pytest.mark.parametrize('case', ['v1_coco_tf1_c90', 'v2_320_soft_nms_05'], indirect=True)
@pytest.mark.parametrize('candidates_per_detection', [1, 10_000])
def test_looking_at_few_candidates_first_changes_nothing(
  case, candidates_per_detection, coder, monkeypatch
):
  # With 1 the few are never enough; with 10,000 they are all.
  monkeypatch.setattr(post_processor, '_CANDIDATES_PER_DETECTION', candidates_per_detection)
  check_against_original(detect_case(case, coder), case)


# Two halves that overlap by a third, one box tiny, one on the right border.
ANCHORS = np.float32(
  [[0, 0, 0.5, 0.5], [0, 0.25, 0.5, 0.75], [0.9, 0.1, 0.91, 0.12], [0.25, 0.75, 1, 1]]
)


def detect(scores, coder, anchors=ANCHORS, clip_windows=None, **changes):
  """Detects boxes that lie on their anchors; scores are [B, A, K], background is put before."""
  scores = np.float32(scores)
  logits = np.concatenate([np.zeros_like(scores[..., :1]), scores], axis=-1)
  encodings = tf.zeros([*scores.shape[:2], 4])
  options = {'score_converter': 'IDENTITY', 'max_total_detections': 6, 'iou_threshold': 0.3}
  processor = post_processor.PostProcessor(box_coder=coder, **{**DEFAULTS, **options, **changes})
  outputs = batches.outputs(tf.constant(logits), encodings)
  result = processor(outputs, tf.constant(anchors), clip_windows)
  return {key: value.numpy() for key, value in result.items()}


def test_suppression_is_by_class_and_rows_past_the_count_are_0(coder):
  # Class 1: anchor 0 suppresses 1 (IoU .125 / .375 = 1/3 > .3). Class 2: anchor 1 alone.
  scores = [[[0.9, 0], [0.8, 0.7], [0.2, 0], [0, 0.6]]]
  result = detect(scores, coder)
  assert result['num_detections'] == [4]
  np.testing.assert_array_equal(result['detection_anchor_indices'], [[0, 1, 3, 2, 0, 0]])
  np.testing.assert_array_equal(result['detection_classes'], [[1, 2, 2, 1, 0, 0]])
  np.testing.assert_allclose(result['detection_scores'], [[0.9, 0.7, 0.6, 0.2, 0, 0]])
  np.testing.assert_allclose(result['detection_boxes'][0, :4], ANCHORS[[0, 1, 3, 2]], atol=1e-6)
  assert not result['detection_boxes'][0, 4:].any()
  assert not result['detection_multiclass_scores'][0, 4:].any()
  np.testing.assert_allclose(result['detection_multiclass_scores'][0, 1], [0, 0.8, 0.7])


def test_class_agnostic_suppression(coder):
  # Anchor 1's best class is 2; anchor 0 suppresses it all the same.
  scores = [[[0.9, 0], [0.7, 0.8], [0.2, 0], [0, 0.6]]]
  result = detect(scores, coder, use_class_agnostic_nms=True)
  np.testing.assert_array_equal(result['detection_anchor_indices'], [[0, 3, 2, 0, 0, 0]])
  np.testing.assert_array_equal(result['detection_classes'], [[1, 2, 1, 0, 0, 0]])


def test_class_agnostic_suppression_with_several_classes(coder):
  # As above, but two classes to a box; the second of anchor 2 is not above the threshold.
  scores = [[[0.9, 0.3, 0.2], [0.7, 0.8, 0], [0.2, 0.05, 0], [0.6, 0.1, 0.5]]]
  options = {'use_class_agnostic_nms': True, 'score_threshold': 0.1}
  result = detect(scores, coder, max_classes_per_detection=2, **options)
  np.testing.assert_array_equal(result['detection_anchor_indices'], [[0, 3, 3, 0, 2, 0]])
  np.testing.assert_array_equal(result['detection_classes'], [[1, 1, 3, 2, 1, 0]])
  np.testing.assert_allclose(result['detection_scores'], [[0.9, 0.6, 0.5, 0.3, 0.2, 0]])
  np.testing.assert_allclose(result['detection_boxes'][0, 2], ANCHORS[3], atol=1e-6)
  assert result['num_detections'] == [5]
  # More classes than there are are all; no more detections than asked for.
  result = detect(scores, coder, max_classes_per_detection=9, max_total_detections=3, **options)
  np.testing.assert_array_equal(result['detection_classes'], [[1, 1, 3]])
  # Without it they are suppressed class by class, however many a box may have.
  one, two = (detect(scores, coder, max_classes_per_detection=n) for n in (1, 2))
  for key, value in one.items():
    np.testing.assert_array_equal(value, two[key])


def test_soft_suppression_takes_from_all_classes_alike(coder):
  options = {'use_class_agnostic_nms': True, 'soft_nms_sigma': 0.5, 'iou_threshold': 1.0}
  scores = [[[0.9, 0], [0.8, 0.4], [0, 0], [0, 0]]]
  result = detect(scores, coder, max_classes_per_detection=2, **options)
  left = np.exp(-1 / 9)  # IoU 1/3, as below.
  expected = [0.9, 0.8 * left, 0.4 * left]
  np.testing.assert_allclose(result['detection_scores'][0, :3], expected, rtol=1e-5)
  np.testing.assert_array_equal(result['detection_classes'][0, :3], [1, 1, 2])


def test_candidates_past_the_first_of_a_class_are_left_out(coder):
  # Of class 1 the two best candidates are anchors 0 and 1 (which is suppressed), so that anchor 2
  # was not among them; of class 2, anchors 1 (which suppresses 0) and 2.
  scores = [[[0.9, 0.1], [0.8, 0.6], [0.7, 0.5], [0.1, 0.2]]]
  result = detect(scores, coder, max_candidates_per_class=2)
  np.testing.assert_allclose(result['detection_scores'], [[0.9, 0.6, 0.5, 0, 0, 0]])
  np.testing.assert_array_equal(result['detection_classes'], [[1, 2, 2, 0, 0, 0]])
  np.testing.assert_array_equal(result['detection_anchor_indices'], [[0, 1, 2, 0, 0, 0]])
  np.testing.assert_allclose(result['detection_boxes'][0, :3], ANCHORS[:3], atol=1e-6)
  assert result['num_detections'] == [3] and not result['detection_boxes'][0, 3:].any()
  everything = detect(scores, coder)
  for key, value in detect(scores, coder, max_candidates_per_class=400).items():
    np.testing.assert_array_equal(value, everything[key])


def test_ties(coder):
  # Equal scores: the lower class first, then the lower anchor. The overlap of boxes 0 and 1 is
  # exactly a half (.125 / .25), which at that threshold suppresses nothing.
  anchors = np.float32([[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.25]])
  result = detect([[[0.5, 0.5], [0.5, 0]]], coder, anchors, iou_threshold=0.5)
  np.testing.assert_array_equal(result['detection_classes'], [[1, 1, 2, 0, 0, 0]])
  np.testing.assert_array_equal(result['detection_anchor_indices'], [[0, 1, 0, 0, 0, 0]])


def test_nothing_above_the_threshold(coder):
  result = detect(np.full([2, 4, 2], 0.5), coder, score_threshold=0.5)
  np.testing.assert_array_equal(result['num_detections'], [0, 0])
  for key, value in result.items():
    assert key.startswith('raw_') or not value.any(), key


def test_both_limits(coder):
  apart = np.float32([[i / 8, 0, (i + 1) / 8, 1] for i in range(8)])
  scores = np.stack([np.linspace(0.9, 0.2, 8), np.linspace(0.85, 0.15, 8)], axis=-1)[None]
  result = detect(scores, coder, apart, max_detections_per_class=2)
  np.testing.assert_array_equal(result['detection_classes'], [[1, 2, 1, 2, 0, 0]])
  result = detect(scores, coder, apart, max_total_detections=3)
  np.testing.assert_array_equal(result['detection_anchor_indices'], [[0, 0, 1]])
  assert result['num_detections'] == [3]


def test_the_window_clips_drops_and_becomes_the_frame(coder):
  # The image fills the upper half and three quarters of the width. Anchor 0 becomes twice as high
  # and 4/3 as wide; anchor 1 ends at the right border; 2 and 3 are padding, 3 touches the border.
  windows = np.float32([[0, 0, 0.5, 0.75], [0, 0, 1, 1]])
  scores = np.full([2, 4, 1], 0.5) - np.arange(4)[:, None] / 10
  result = detect(scores, coder, clip_windows=windows, iou_threshold=0.5)
  np.testing.assert_array_equal(result['num_detections'], [2, 4])
  expected = [[0, 0, 1, 2 / 3], [0, 1 / 3, 1, 1]]
  np.testing.assert_allclose(result['detection_boxes'][0, :2], expected, atol=1e-6)
  np.testing.assert_allclose(result['detection_boxes'][1, :4], ANCHORS, atol=1e-6)
  one_for_all = detect(scores, coder, clip_windows=windows[0], iou_threshold=0.5)
  np.testing.assert_array_equal(one_for_all['num_detections'], [2, 2])


def test_without_a_change_of_frame_boxes_stay_normalized_to_the_input(coder):
  window = np.float32([0, 0, 0.5, 0.75])
  scores = np.full([1, 4, 1], 0.5) - np.arange(4)[:, None] / 10
  options = {'clip_windows': window, 'iou_threshold': 0.5}
  result = detect(scores, coder, change_coordinate_frame=False, **options)
  assert result['num_detections'] == [2]
  expected = [[0, 0, 0.5, 0.5], [0, 0.25, 0.5, 0.75]]
  np.testing.assert_allclose(result['detection_boxes'][0, :2], expected, atol=1e-6)


def test_an_image_without_size_has_no_detections(coder):
  # The example that only fills a batch.
  result = detect(np.full([2, 4, 1], 0.5), coder, clip_windows=np.float32([[0] * 4, [0, 0, 1, 1]]))
  assert result['num_detections'][0] == 0 and result['num_detections'][1] > 0
  for key, value in result.items():
    assert np.isfinite(value).all(), key


def test_a_box_outside_the_window_still_suppresses(coder):
  # Box 0 is the better one and lies outside; box 1 reaches into the window; IoU .5 / 1 = .5.
  anchors = np.float32([[0, 0.5, 1, 1], [0, 0, 1, 1]])
  result = detect([[[0.9], [0.8]]], coder, anchors, clip_windows=[0, 0, 1, 0.5])
  assert result['num_detections'] == [0]


def test_soft_suppression_lowers_scores(coder):
  result = detect([[[0.9], [0.8], [0], [0]]], coder, soft_nms_sigma=0.5, iou_threshold=1.0)
  # IoU 1/3: .8 * exp(-(1/9) / (2 * .5))
  np.testing.assert_allclose(
    result['detection_scores'][0, :2], [0.9, 0.8 * np.exp(-1 / 9)], rtol=1e-5
  )


def test_what_is_wrong_is_named(coder):
  with pytest.raises(ValueError, match="score_converter: .*'RELU'"):
    detect(np.zeros([1, 4, 1]), coder, score_converter='RELU')
  with pytest.raises(ValueError, match=r'class_logits: expected shape \[B, 4, ...\].*\(1, 5, 2\)'):
    detect(np.zeros([1, 5, 1]), coder)
