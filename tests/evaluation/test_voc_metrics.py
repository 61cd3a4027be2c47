"""VOC's average precision: by hand, against balancap's numbers, against a plain NumPy reference."""

import json
import pathlib

import numpy as np
import pytest
from detection_cases import CATEGORIES, TINY, A, B, balancap_batch, batch_of

from ssd_tf import fields
from ssd_tf.evaluation.average_precision import (
  average_precision,
  match_detections,
  precision_recall,
)
from ssd_tf.evaluation.voc_metrics import VocEvaluator, open_images_evaluator

GOLDENS = pathlib.Path(__file__).parents[1] / 'testdata' / 'balancap'


def evaluated(evaluator, *images):
  evaluator.update(*batch_of(images))
  return evaluator.result()


@pytest.mark.parametrize('name', json.loads((GOLDENS / 'metrics_curves.json').read_text()))
def test_average_precision_of_balancaps_curves(name):
  curve = json.loads((GOLDENS / 'metrics_curves.json').read_text())[name]
  for use_07_metric, key in ((False, 'AP_VOC12'), (True, 'AP_VOC07')):
    actual = average_precision(curve['precision'], curve['recall'], use_07_metric)
    assert actual == pytest.approx(curve[key], abs=1e-12)


@pytest.mark.parametrize('case', ['difficult_ignored', 'difficult_counted'])
@pytest.mark.parametrize('class_id', [1, 2, 3])
def test_curves_and_ap_of_balancaps_matches(case, class_id):
  golden = np.load(GOLDENS / 'metrics.npz')
  expected = json.loads((GOLDENS / 'metrics.json').read_text())[f'{case}_batch1']['per_class']
  expected = expected[str(class_id)]
  right, wrong = (golden[f'{case}_{kind}'][class_id - 1] for kind in ('tp', 'fp'))
  scores = golden['scores'][class_id - 1]
  counted = (right | wrong) & (scores > 1e-4)
  precision, recall = precision_recall(scores[counted], right[counted], expected['num_gt'])
  for key, actual in (('precision', precision), ('recall', recall)):
    np.testing.assert_allclose(actual, golden[f'{case}_{key}_c{class_id}'], atol=1e-12)
  assert average_precision(precision, recall) == pytest.approx(expected['AP_VOC12'], abs=1e-12)
  assert average_precision(precision, recall, True) == pytest.approx(
    expected['AP_VOC07'], abs=1e-12
  )


def test_balancaps_images_from_boxes_to_ap():
  golden = np.load(GOLDENS / 'metrics.npz')
  expected = json.loads((GOLDENS / 'metrics.json').read_text())['difficult_counted_batch1']
  evaluator = VocEvaluator([(i, f'{i}') for i in range(1, 5)])
  evaluator.update(*balancap_batch(golden, with_difficult=False))
  metrics = evaluator.result()
  for name in '23':
    ap = expected['per_class'][name]
    actual = metrics[f'PascalBoxes_PerformanceByCategory/AP@0.5IOU/{name}']
    assert actual == pytest.approx(ap['AP_VOC12'], abs=1e-12)
    assert average_precision(*evaluator.curve(int(name)), True) == pytest.approx(
      ap['AP_VOC07'], abs=1e-12
    )
  # The detections of class 1 in image 5 do not come by falling score, in which case it matches them
  # as they come: a box goes to the third (.133), not to the last (.273). By score, one right
  # detection moves forward, so AP is a little higher.
  assert (np.diff(golden['scores'][0, 5][:7]) > 0).any()
  precision, recall = evaluator.curve(1)
  assert len(precision) == expected['per_class']['1']['num_detections']
  assert recall[-1] * 20 == expected['per_class']['1']['n_tp']
  actual = metrics['PascalBoxes_PerformanceByCategory/AP@0.5IOU/1']
  assert 0 < actual - expected['per_class']['1']['AP_VOC12'] < 0.002
  # Its mean counts the class without groundtruth as 0; ours leaves it out.
  assert metrics['PascalBoxes_Precision/mAP@0.5IOU'] == pytest.approx(
    np.mean([metrics[f'PascalBoxes_PerformanceByCategory/AP@0.5IOU/{i}'] for i in (1, 2, 3)])
  )


def test_balancaps_difficult_boxes_but_for_its_fault():
  golden = np.load(GOLDENS / 'metrics.npz')
  evaluator = VocEvaluator([(i, f'{i}') for i in range(1, 5)])
  evaluator.update(*balancap_batch(golden, with_difficult=True))
  evaluator.result()
  expected = json.loads((GOLDENS / 'metrics.json').read_text())['difficult_ignored_batch1']
  for class_id in (1, 2, 3):
    ap = expected['per_class'][str(class_id)]
    precision, recall = evaluator.curve(class_id)
    assert round(recall[-1] * ap['num_gt']) == ap['n_tp']
    # It forgives more: the detections that overlap no box at all, but whose first row is difficult.
    assert len(precision) >= ap['num_detections']


def reference_matches(boxes, scores, groundtruth, difficult, group_of, threshold, weight):
  """VOCevaldet's loop, then Open Images' groups, box by box."""

  def intersection(a, b):
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(height, 0) * max(width, 0)

  def area(a):
    return (a[2] - a[0]) * (a[3] - a[1])

  taken, found, counted = set(), {}, []
  for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
    best, best_iou = None, -1
    for j, box in enumerate(groundtruth):
      shared = intersection(boxes[i], box)
      iou = shared / (area(boxes[i]) + area(box) - shared)
      if not group_of[j] and iou > best_iou:
        best, best_iou = j, iou
    if best_iou >= threshold and difficult[best]:
      continue
    if best_iou >= threshold and best not in taken:
      taken.add(best)
      counted.append((scores[i], 1.0))
      continue
    parts = [
      (intersection(boxes[i], box) / area(boxes[i]), -j)
      for j, box in enumerate(groundtruth)
      if group_of[j]
    ]
    part, j = max(parts, default=(0, 0))
    if parts and part >= threshold:
      found[-j] = max(found.get(-j, 0), scores[i])
    else:
      counted.append((scores[i], 0.0))
  return sorted(counted + [(score, weight) for score in found.values() if weight])


@pytest.mark.parametrize('weight', [0.0, 1.0])
def test_matches_equal_the_reference(weight):
  rng = np.random.default_rng(0)
  num_matched = 0
  for _ in range(60):
    n, d = rng.integers(0, 6), rng.integers(0, 20)
    origin = rng.uniform(0, 50, (n, 2))
    groundtruth = np.concatenate([origin, origin + rng.uniform(5, 60, (n, 2))], axis=1)
    near = groundtruth[rng.integers(0, n, d)] if n else np.tile([0, 0, 20, 20.0], [d, 1])
    boxes = near + rng.uniform(-4, 4, (d, 4))
    scores = rng.choice(np.arange(1, 100), d, replace=False) / 100
    difficult, group_of = rng.random(n) < 0.3, rng.random(n) < 0.4
    matches = match_detections(
      boxes, scores, groundtruth,
      is_difficult=difficult, is_group_of=group_of, group_of_weight=weight,
    )  # fmt: skip
    actual = sorted(zip(matches.scores, matches.true_positives, strict=True))
    expected = reference_matches(boxes, scores, groundtruth, difficult, group_of, 0.5, weight)
    assert actual == expected
    num_matched += sum(matches.true_positives)
  assert num_matched > 50


def test_hand_computed_means_and_names():
  # cat: two boxes; right .9, wrong .8, right .7: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1.
  # AP = 1/2 * 1 + 1/2 * 2/3 = 5/6. dog: one box, a wrong one first: AP = 1/2.
  images = [
    ([(A, 1, ''), (B, 2, '')], [(A, 1, 0.9), (B, 1, 0.8), (A, 2, 0.6), (B, 2, 0.5)]),
    ([(TINY, 1, '')], [(TINY, 1, 0.7)]),
    ([], []),
  ]
  assert evaluated(VocEvaluator(CATEGORIES), *images) == pytest.approx({
    'PascalBoxes_Precision/mAP@0.5IOU': 2 / 3,
    'PascalBoxes_PerformanceByCategory/AP@0.5IOU/cat': 5 / 6,
    'PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog': 1 / 2,
  })  # fmt: skip
  # Together: right .9, wrong .8, right .7, wrong .6, right .5 of three boxes:
  # (1 + 2/3 + 3/5) / 3.
  weighted = evaluated(
    VocEvaluator(CATEGORIES, prefix='WeightedPascalBoxes', weighted=True), *images
  )
  assert next(iter(weighted.items())) == (
    'WeightedPascalBoxes_Precision/mAP@0.5IOU',
    pytest.approx((1 + 2 / 3 + 3 / 5) / 3),
  )
  # Recalls of at most .6: of cat the point at 1/2 is left, of dog, whose only recalls are 0 and 1,
  # the one at 0.
  bounded = evaluated(
    VocEvaluator(CATEGORIES, prefix='PrecisionAtRecallBoxes', recall_bounds=(0.0, 0.6)), *images
  )
  assert bounded == pytest.approx({
    'PrecisionAtRecallBoxes_Precision/mAP@0.5IOU@[0.0,0.6]Recall': 0.25,
    'PrecisionAtRecallBoxes_PerformanceByCategory/AP@0.5IOU/cat': 0.5,
    'PrecisionAtRecallBoxes_PerformanceByCategory/AP@0.5IOU/dog': 0.0,
  })  # fmt: skip


def test_difficult_boxes_are_neither_missed_nor_found():
  # Both detections of the difficult box are left out; the other box is found last.
  images = [([(A, 1, 'difficult'), (B, 1, '')], [(A, 1, 0.9), (A, 1, 0.8), (B, 1, 0.7)])]
  name = 'AP@0.5IOU/cat'
  assert evaluated(VocEvaluator(CATEGORIES), *images)[f'PascalBoxes_PerformanceByCategory/{name}'] == 1.0  # fmt: skip  # noqa: E501
  # To Open Images it is like any other: right, wrong, right of two: 1/2 * 1 + 1/2 * 2/3.
  metrics = evaluated(open_images_evaluator(CATEGORIES), *images)
  assert metrics[f'OpenImagesV2_PerformanceByCategory/{name}'] == pytest.approx(5 / 6)


def test_groups():
  inside = [B + [0, 0, -30, -60], B + [30, 60, 0, 0]]  # Parts of it, IoU below one half.
  images = [([(B, 1, 'group_of'), (A, 1, '')], [(inside[0], 1, 0.9), (inside[1], 1, 0.8), (A, 1, 0.7), (A, 1, 0.6)])]  # fmt: skip  # noqa: E501
  # Version 2: both of the group are left out: right .7, wrong .6 of one.
  metrics = evaluated(open_images_evaluator(CATEGORIES), *images)
  assert metrics['OpenImagesV2_Precision/mAP@0.5IOU'] == 1.0
  # Challenge: the group is found with .9: right .9, right .7, wrong .6 of two.
  metrics = evaluated(open_images_evaluator(CATEGORIES, challenge=True), *images)
  assert metrics['OpenImagesDetectionChallenge_Precision/mAP@0.5IOU'] == 1.0
  # Nobody finds it: right .7 of two.
  missed = [(images[0][0], images[0][1][2:])]
  assert evaluated(open_images_evaluator(CATEGORIES), *missed)['OpenImagesV2_Precision/mAP@0.5IOU'] == 1.0  # fmt: skip  # noqa: E501
  metrics = evaluated(open_images_evaluator(CATEGORIES, challenge=True), *missed)
  assert metrics['OpenImagesDetectionChallenge_Precision/mAP@0.5IOU'] == 0.5
  # VOC knows no groups: wrong .9, wrong .8, right .7, wrong .6 of two: 1/2 * 1/3.
  metrics = evaluated(VocEvaluator(CATEGORIES), *images)
  assert metrics['PascalBoxes_Precision/mAP@0.5IOU'] == pytest.approx(1 / 6)


def test_the_challenge_leaves_out_classes_that_are_not_labeled_in_an_image():
  images = [
    ([(A, 1, '')], [(A, 1, 0.5)]),
    ([(B, 2, '')], [(A, 1, 0.9), (B, 2, 0.9)], [2]),  # Nobody looked for cats.
    ([(B, 2, '')], [(A, 1, 0.8)], []),  # A class that is there is looked at.
  ]
  challenge = evaluated(open_images_evaluator(CATEGORIES, challenge=True), *images)
  assert challenge['OpenImagesDetectionChallenge_PerformanceByCategory/AP@0.5IOU/cat'] == 1.0
  assert challenge['OpenImagesDetectionChallenge_PerformanceByCategory/AP@0.5IOU/dog'] == 0.5
  version_2 = evaluated(open_images_evaluator(CATEGORIES), *images)
  # Wrong .9, wrong .8, right .5.
  assert version_2['OpenImagesV2_PerformanceByCategory/AP@0.5IOU/cat'] == pytest.approx(1 / 3)


def test_no_groundtruth_is_nan_and_no_part_of_the_mean(caplog):
  metrics = evaluated(VocEvaluator(CATEGORIES), ([(A, 1, '')], [(A, 1, 0.9), (A, 2, 0.9)]))
  assert metrics['PascalBoxes_Precision/mAP@0.5IOU'] == 1.0
  assert np.isnan(metrics['PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog'])
  assert 'PascalBoxes: no groundtruth of dog' in caplog.text
  nothing = evaluated(VocEvaluator(CATEGORIES, weighted=True), ([], [(A, 1, 0.9)]))
  assert all(np.isnan(value) for value in nothing.values())
  missed = evaluated(VocEvaluator(CATEGORIES), ([(A, 1, '')], []))
  assert missed['PascalBoxes_Precision/mAP@0.5IOU'] == 0.0


def test_an_iou_of_the_threshold_is_enough_and_of_equal_overlaps_the_first_box_counts():
  groundtruth = np.array([[0, 0, 10, 20], [0, 0, 10, 20]], np.float64)
  half = np.array([[0, 0, 10, 10.0]])
  matches = match_detections(
    half, [0.5], groundtruth,
    is_difficult=np.array([False, True]), is_group_of=np.zeros(2, bool),
  )  # fmt: skip
  assert matches.true_positives.tolist() == [1.0]


def test_details_and_a_detection_without_area():
  evaluator = VocEvaluator(CATEGORIES, split='val.record', score_threshold=0.1)
  flat = np.array([10, 10, 10, 30])
  metrics = evaluated(
    evaluator, ([(A, 1, ''), (B, 1, 'difficult')], [(flat, 1, 0.9), (A, 1, 0.8), (A, 7, 0.8)])
  )
  assert metrics['PascalBoxes_Precision/mAP@0.5IOU'] == 1.0  # A box without area is none.
  assert evaluator.details == {
    'split': 'val.record',
    'images': 1,
    'groundtruth_boxes': 2,
    'difficult_boxes': 1,
    'group_of_boxes': 0,
    'detections': 2,
    'max_detections': 4,
    'score_threshold': 0.1,
  }


def test_bad_input_is_named():
  batch, detections = batch_of([([(A, 1, '')], [(A, 1, 0.9)])])
  detections[fields.DETECTION_SCORES][0, 0] = np.nan
  with pytest.raises(ValueError, match="detections of '0' are not finite"):
    VocEvaluator(CATEGORIES).update(batch, detections)
  with pytest.raises(ValueError, match='detections lacks'):
    VocEvaluator(CATEGORIES).update(batch, {})
