"""Matching against pycocotools; thresholds against tables worked out by hand."""

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ssd_tf.pseudo_labels.score_thresholds import (
  PrecisionRecall,
  choose_thresholds,
  match_detections,
)

A = [0.0, 0.0, 0.2, 0.4]
B = [0.0, 0.2, 0.2, 0.6]  # IoU with A: 1/3.
FAR = [0.5, 0.5, 0.75, 0.75]
HALF = [0.0, 0.0, 0.2, 0.2]  # IoU with A: exactly 1/2.
INSIDE = [0.0, 0.0, 0.1, 0.1]  # IoU with A: 1/8.


@pytest.mark.parametrize(
  ('boxes', 'scores', 'groundtruth', 'is_crowd', 'is_left_out', 'expected'),
  [
    ([], [], [], [], [], []),
    ([A, B], [0.9, 0.8], [], [], [], [0, 0]),
    ([], [], [A], [0], [0], []),
    # The better of two on one box; the order of rows does not count.
    ([A, A], [0.3, 0.9], [A], [0], [0], [0, 1]),
    ([A, A], [0.5, 0.5], [A], [0], [0], [1, 0]),
    ([HALF], [0.5], [A], [0], [0], [1]),  # At the threshold it counts.
    ([INSIDE], [0.5], [A], [0], [0], [0]),
    # The better detection takes the box it overlaps most, the other one what is left.
    ([A, A], [0.9, 0.8], [HALF, A], [0, 0], [0, 0], [1, 1]),
    ([A, HALF], [0.9, 0.8], [A, FAR], [0, 0], [0, 0], [1, 0]),
    # A box left out makes neither right nor wrong, yet a counted one goes first.
    ([A, FAR], [0.9, 0.8], [A], [0], [1], [-1, 0]),
    ([A, A], [0.9, 0.8], [A, A], [0, 0], [1, 0], [1, -1]),
    # A crowd takes what lies inside it.
    ([INSIDE, HALF, FAR], [0.9, 0.8, 0.7], [A], [1], [0], [-1, -1, 0]),
  ],
)
def test_matches(boxes, scores, groundtruth, is_crowd, is_left_out, expected):
  outcome = match_detections(
    np.reshape(boxes, [-1, 4]),
    np.array(scores),
    np.reshape(groundtruth, [-1, 4]),
    np.array(is_crowd, bool),
    np.array(is_left_out, bool),
  )
  assert outcome.tolist() == expected


def _coco_outcome(boxes, scores, groundtruth, is_crowd):
  def dataset(boxes, **columns):
    coco = COCO()
    rows = [
      {'id': i + 1, 'image_id': 1, 'category_id': 1, 'bbox': [x, y, x2 - x, y2 - y],
       'area': (y2 - y) * (x2 - x), 'iscrowd': 0, **{k: v[i] for k, v in columns.items()}}
      for i, (y, x, y2, x2) in enumerate(boxes.tolist())
    ]  # fmt: skip
    images, categories = [{'id': 1}], [{'id': 1, 'name': 'a'}]
    coco.dataset = {'images': images, 'categories': categories, 'annotations': rows}
    coco.createIndex()
    return coco

  evaluation = COCOeval(
    dataset(groundtruth, iscrowd=is_crowd.astype(int).tolist()),
    dataset(boxes, score=scores.tolist()),
    'bbox',
  )
  evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ['all']
  evaluation.evaluate()
  image = evaluation.evalImgs[0]
  outcome = np.where(image['dtIgnore'][0], -1, image['dtMatches'][0] > 0)
  return dict(zip(image['dtIds'], outcome.tolist(), strict=True))


def test_matches_like_pycocotools():
  rng = np.random.default_rng(0)
  kinds = set()
  for _ in range(60):
    corners = rng.integers(0, 12, [2, 14, 2, 2])
    corners.sort(axis=2)
    corners[:, :, 1] += 2
    groundtruth, boxes = corners.reshape(2, 14, 4).astype(float)
    is_crowd, scores = rng.random(14) < 0.2, rng.integers(0, 8, 14) / 8
    outcome = match_detections(boxes, scores, groundtruth, is_crowd, np.zeros(14, bool))
    expected = _coco_outcome(boxes, scores, groundtruth, is_crowd)
    assert outcome.tolist() == [expected[i + 1] for i in range(14)]
    kinds |= set(outcome.tolist())
  assert kinds == {-1, 0, 1}


# By falling score: right, right, wrong, right, wrong, wrong; 4 boxes.
SCORES = np.array([0.6, 0.9, 0.8, 0.4, 0.7, 0.5])
RIGHT = np.array([1, 1, 1, 0, 0, 0], bool)


def test_precision_and_recall_at_every_score():
  curve = PrecisionRecall.of(SCORES, RIGHT, num_boxes=4)
  assert curve.thresholds.tolist() == [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
  assert curve.num_right.tolist() == [3, 3, 3, 2, 2, 1]
  assert curve.num_detections.tolist() == [6, 5, 4, 3, 2, 1]
  np.testing.assert_allclose(curve.precision, [1 / 2, 3 / 5, 3 / 4, 2 / 3, 1, 1])
  np.testing.assert_allclose(curve.recall, [3 / 4, 3 / 4, 3 / 4, 1 / 2, 1 / 2, 1 / 4])
  # 1.25 right / (0.25 * 4 + detections), and 5 right / (4 * 4 + detections).
  np.testing.assert_allclose(
    curve.f_beta(0.5), [3.75 / 7, 3.75 / 6, 3.75 / 5, 2.5 / 4, 2.5 / 3, 1.25 / 2]
  )
  np.testing.assert_allclose(curve.f_beta(2), [15 / 22, 15 / 21, 15 / 20, 10 / 19, 10 / 18, 5 / 17])
  # The formula in precision and recall.
  p, r = curve.precision, curve.recall
  np.testing.assert_allclose(curve.f_beta(0.5), 1.25 * p * r / (0.25 * p + r))


def test_equal_scores_remain_or_go_together():
  curve = PrecisionRecall.of(np.array([0.5, 0.7, 0.5]), np.array([True, True, False]), 0)
  assert curve.thresholds.tolist() == [0.5, 0.7]
  assert curve.num_right.tolist() == [2, 1]
  assert curve.num_detections.tolist() == [3, 1]
  assert curve.recall.tolist() == [2, 1]  # No box: not a division by 0.


def test_thresholds_have_the_greatest_f_beta():
  chosen = choose_thresholds(PrecisionRecall.of(SCORES, RIGHT, 4), beta=0.5, low_beta=2)
  assert (chosen.high, chosen.low) == (0.8, 0.6)
  assert chosen.at_high == pytest.approx({'precision': 1, 'recall': 0.5, 'f_beta': 2.5 / 3})
  assert chosen.at_low == pytest.approx({'precision': 0.75, 'recall': 0.75, 'f_beta': 0.75})
  assert chosen.weights(np.array([1.0, 0.9, 0.8, 0.79, 0.1])).tolist() == [1, 1, 1, 0, 0]


def test_weights_are_the_interpolated_precision():
  # F1 = 2 right / (4 + detections): .6 .667 .75 .571 .667 .4, so both thresholds are 0.6.
  chosen = choose_thresholds(PrecisionRecall.of(SCORES, RIGHT, 4), beta=1, low_beta=1)
  assert (chosen.high, chosen.low) == (0.6, 0.6)
  # At 0.7 the precision is 2/3, but already 3/4 at 0.6.
  weights = chosen.weights(np.array([0.59, 0.6, 0.7, 0.79, 0.8, 0.99]))
  assert weights.tolist() == [0, 0.75, 0.75, 0.75, 1, 1]
  assert weights.dtype == np.float32
  assert chosen.weights(np.zeros(0)).tolist() == []


def test_of_equal_f_high_is_the_highest_and_low_the_lowest():
  # F1 = 2 right / (2 + detections): at 0.5 4/6 with 2 of 4, at 0.9 2/3 with 1 of 1.
  curve = PrecisionRecall.of(
    np.array([0.9, 0.8, 0.7, 0.5]), np.array([True, False, False, True]), 2
  )
  chosen = choose_thresholds(curve, beta=1, low_beta=1)
  assert (chosen.high, chosen.low) == (0.9, 0.5)


def test_low_is_never_above_high():
  rng = np.random.default_rng(1)
  for _ in range(300):
    n = rng.integers(1, 12)
    right = rng.random(n) < 0.5
    curve = PrecisionRecall.of(rng.integers(0, 9, n) / 8, right, right.sum() + rng.integers(4))
    beta = rng.uniform(0.1, 2)
    chosen = choose_thresholds(curve, beta, beta + rng.uniform(0, 2))
    assert chosen.low <= chosen.high


def test_nothing_to_choose_from():
  with pytest.raises(ValueError, match='0 thresholds'):
    choose_thresholds(PrecisionRecall.of(np.zeros(0), np.zeros(0, bool), 3), 0.5, 2)
  with pytest.raises(ValueError, match='low_beta 0.5'):
    choose_thresholds(PrecisionRecall.of(SCORES, RIGHT, 4), 1, 0.5)
