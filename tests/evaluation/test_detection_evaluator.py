"""Several evaluators at once, COCO's figures of classes, results as files and tables."""

import math

import numpy as np
import pytest
from detection_cases import CATEGORIES, TINY, A, B, batch_of

from ssd_tf import fields
from ssd_tf.evaluation import log_format
from ssd_tf.evaluation.coco_metrics import CocoEvaluator
from ssd_tf.evaluation.detection_evaluator import EvaluatorGroup
from ssd_tf.evaluation.image_results import drop_unlabeled_classes
from ssd_tf.evaluation.voc_metrics import VocEvaluator

IMAGES = [
  ([(A, 1, ''), (B, 2, '')], [(A, 1, 0.9), (A, 2, 0.6), (B, 2, 0.5)]),
  ([(TINY, 1, '')], [(TINY, 1, 0.7)]),
]


def test_several_sets_of_metrics_are_one_by_one():
  group = EvaluatorGroup([CocoEvaluator(CATEGORIES, split='a'), VocEvaluator(CATEGORIES)])
  group.update(*batch_of(IMAGES))
  coco, voc = CocoEvaluator(CATEGORIES, split='a'), VocEvaluator(CATEGORIES)
  for evaluator in (coco, voc):
    evaluator.update(*batch_of(IMAGES))
  assert list(group.result().items()) == [*coco.result().items(), *voc.result().items()]
  assert group.details['crowd_boxes'] == 0 and group.details['difficult_boxes'] == 0
  assert group.details['images'] == 2


def test_all_twelve_figures_of_each_class_and_of_a_group_of_classes():
  evaluator = CocoEvaluator(
    [*CATEGORIES, (3, 'eel')],
    include_metrics_per_category=True,
    all_metrics_per_category=True,
    super_categories={'pets': ['cat', 'dog'], 'fish': ['eel']},
  )
  evaluator.update(*batch_of(IMAGES, num_classes=3))
  metrics = evaluator.result()
  # cat is found whole, A and TINY, both small; of dog the only box comes second, so AP is 1/2.
  expected = {
    'DetectionBoxes_PerformanceByCategory/mAP/cat': 1.0,
    'DetectionBoxes_Precision mAP ByCategory/cat': 1.0,
    'DetectionBoxes_Precision mAP (small) ByCategory/cat': 1.0,
    'DetectionBoxes_Precision mAP (medium) ByCategory/cat': -1.0,
    'DetectionBoxes_Precision mAP@.50IOU ByCategory/dog': 0.5,
    'DetectionBoxes_Precision mAP@.75IOU ByCategory/dog': 0.5,
    'DetectionBoxes_Precision mAP (medium) ByCategory/dog': 1.0,
    'DetectionBoxes_Recall AR@1 ByCategory/dog': 0.0,
    'DetectionBoxes_Recall AR@10 ByCategory/dog': 1.0,
    'DetectionBoxes_Recall AR@100 (large) ByCategory/dog': -1.0,
    'DetectionBoxes_PerformanceBySuperCategory/pets': 0.75,
    'DetectionBoxes_PerformanceBySuperCategory/fish': -1.0,
  }
  assert {name: metrics[name] for name in expected} == pytest.approx(expected, abs=1e-6)
  assert sum('ByCategory/cat' in name for name in metrics) == 12
  # Their means over the classes with groundtruth are COCO's own.
  for short, name in (('Precision mAP', 'Precision/mAP'), ('Recall AR@10', 'Recall/AR@10')):
    of_classes = [metrics[f'DetectionBoxes_{short} ByCategory/{c}'] for c in ('cat', 'dog')]
    assert np.mean(of_classes) == pytest.approx(metrics[f'DetectionBoxes_{name}'])


def test_detections_of_classes_not_labeled_in_the_image_are_left_out_where_asked_for():
  images = [
    ([(A, 1, '')], [(B, 2, 0.9), (A, 1, 0.8), (B, 2, 0.7), (TINY, 1, 0.6)], [1]),
    ([], [(A, 1, 0.5)], [2]),
    ([], [], []),
  ]
  batch, detections = batch_of(images)
  dropped = drop_unlabeled_classes(batch, detections)
  assert dropped[fields.NUM_DETECTIONS].tolist() == [2, 0, 0]
  assert dropped[fields.DETECTION_SCORES][0, :2] == pytest.approx([0.8, 0.6])
  assert dropped[fields.DETECTION_CLASSES][0, :2].tolist() == [1, 1]
  np.testing.assert_allclose(dropped[fields.DETECTION_BOXES][0, 0] * [100, 200, 100, 200], A)
  group = EvaluatorGroup([VocEvaluator(CATEGORIES)], skip_predictions_for_unlabeled_class=True)
  group.update(batch, detections)
  group.result()
  assert group.details['detections'] == 2
  assert group.details['skip_predictions_for_unlabeled_class']


def test_cocos_results_are_in_pixels_and_of_the_records_ids():
  group = EvaluatorGroup([CocoEvaluator(CATEGORIES)])
  batch, detections = batch_of(IMAGES)
  batch[fields.SOURCE_ID] = np.array([b'000042', b'a.jpg'], object)
  group.update(batch, detections)
  results = group.coco_results()
  assert [r['image_id'] for r in results] == [42, 42, 42, 'a.jpg']
  assert results[2]['bbox'] == pytest.approx([100, 40, 80, 50], abs=1e-4)
  assert results[2]['category_id'] == 2 and results[2]['score'] == pytest.approx(0.5)


def test_table_of_evaluations():
  rows = [
    (0, {'DetectionBoxes_Precision/mAP': 0.1, 'Loss/total_loss': 2.0, 'Loss/x': 1.0}),
    (1000, {'DetectionBoxes_Precision/mAP': 0.25, 'PascalBoxes_Precision/mAP@0.5IOU': 0.5}),
  ]
  lines = log_format.evaluation_table(rows).splitlines()
  assert [line.split() for line in lines] == [
    ['step', 'DetectionBoxes_Precision/mAP', 'Loss/total_loss', 'PascalBoxes_Precision/mAP@0.5IOU'],
    ['0', '0.1000', '2.0000'],
    ['1000', '0.2500*', '0.5000'],
  ]


def test_nan_and_a_size_of_a_class_are_explained():
  assert log_format.eval_lines(1, {
    'PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog': math.nan,
    'DetectionBoxes_Precision mAP (small) ByCategory/cat': -1.0,
  })[3:] == [
    '-1.000 (no groundtruth of this size): Precision mAP (small) ByCategory/cat',
    'nan (no groundtruth at all): dog',
  ]  # fmt: skip
