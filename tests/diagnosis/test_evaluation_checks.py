import dataclasses

import numpy as np
import planted
import pytest

from ssd_tf.builders.metrics import METRICS
from ssd_tf.diagnosis import evaluation_checks
from ssd_tf.diagnosis.finding import Severity

METRICS_SET = 'eval_config.metrics_set=["{}"]'


def boxed(image, boxes, class_ids, **changes):
  names = ['abc'[i - 1] for i in class_ids]
  changes['boxes'] = np.array(boxes, np.float32).reshape(-1, 4)
  return dataclasses.replace(image, class_ids=np.array(class_ids), class_names=names, **changes)


@pytest.mark.parametrize('name', METRICS)
def test_groundtruth_as_detections_is_perfect(tmp_path, name):
  evaluation = planted.images(12, seed=1)
  # A crowd, a difficult box and a group: left out, found or one of many, never wrong.
  boxes = [[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9]]
  flags = np.array([False, True])
  for i, flag in enumerate(('is_crowd', 'difficult', 'group_of')):
    evaluation[i] = boxed(evaluation[i], boxes, [1, 2], **{flag: flags})
  project = planted.project(tmp_path, evaluation=evaluation, overrides=[METRICS_SET.format(name)])
  metrics = evaluation_checks.perfect_metrics(project, 'eval_input_reader[0]')
  mean = [value for name, value in metrics.items() if 'mAP' in name and '(' not in name]
  assert mean and np.allclose(mean, 1)
  found = evaluation_checks.check_perfect_detections(project)
  assert {finding.check for finding in found} <= {'undefined metrics'}


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    # Of class a, one box of four has no area: COCO's precision is 1 up to a recall of 0.75, that
    # is at 76 of 101 points; the other classes have 1.
    ('coco_detection_metrics', (76 / 101 + 1 + 1) / 3),
    ('pascal_voc_detection_metrics', (0.75 + 1 + 1) / 3),
  ],
)
def test_what_nothing_can_find(tmp_path, name, value):
  evaluation = planted.images(6, seed=1)
  boxes = [[0.1, 0.1, 0.6, 0.6]] * 6
  boxes[3] = [0.2, 0.2, 0.2, 0.8]
  evaluation = [
    boxed(image, box, [class_id])
    for image, box, class_id in zip(evaluation, boxes, [1, 1, 1, 1, 2, 3], strict=True)
  ]
  project = planted.project(tmp_path, evaluation=evaluation, overrides=[METRICS_SET.format(name)])
  # As a map by names has it, the box of no area is still one of a class.
  metrics = evaluation_checks.perfect_metrics(project, 'eval_input_reader[0]')
  found = planted.only(
    evaluation_checks.check_metrics('eval_input_reader[0]', metrics), 'perfect detections'
  )
  assert found.severity is Severity.ERROR
  key = next(key for key in metrics if 'mAP' in key)
  assert found.numbers['low'][key] == pytest.approx(value)
  assert f'should have AP 1 but has {key} {value:.3f}' in found.what


def dense(image, num_boxes, class_id=1):
  # Side by side: none overlaps another.
  starts = np.arange(num_boxes) / 200
  boxes = np.stack([starts * 0, starts, starts * 0 + 0.5, starts + 0.004], axis=1)
  return boxed(image, boxes, [class_id] * num_boxes)


def test_more_objects_of_a_class_than_metrics_count(tmp_path):
  images = planted.images(4, seed=1)
  evaluation = [dense(images[0], 150), *(boxed(i, [[0, 0, 0.5, 0.5]], [2]) for i in images[1:])]
  project = planted.project(tmp_path, evaluation=evaluation)
  found = planted.only(evaluation_checks.check_perfect_detections(project), 'perfect detections')
  assert found.severity is Severity.WARNING
  # 100 of 150: a precision of 1 at the 67 of 101 recalls up to 0.66; the other class has 1.
  ceiling = (67 / 101 + 1) / 2
  assert found.numbers['low']['DetectionBoxes_Precision/mAP'] == pytest.approx(ceiling)
  assert found.what.startswith(
    'eval_input_reader[0]: 1 of 4 images have more than 100 objects of a class, up to 150, and no '
    'more detections of a class count in an image: even perfect ones have '
    f'DetectionBoxes_Precision/mAP {ceiling:.3f}, '
  )
  # With 100 of one class and 50 of another nothing is cut.
  boxes = dense(images[0], 150).boxes
  evaluation[0] = boxed(images[0], boxes, [1] * 100 + [3] * 50)
  (tmp_path / 'second').mkdir()
  project = planted.project(tmp_path / 'second', evaluation=evaluation)
  found = evaluation_checks.check_perfect_detections(project)
  assert {finding.check for finding in found} <= {'undefined metrics'}


def test_a_fault_beside_dense_images_is_an_error_still(tmp_path):
  images = planted.images(3, seed=1)
  flat = boxed(images[1], [[0, 0, 0.5, 0.5], [0.2, 0.2, 0.2, 0.8]], [2, 2])
  project = planted.project(
    tmp_path, evaluation=[dense(images[0], 150), flat, boxed(images[2], [[0, 0, 1, 1]], [3])]
  )
  found = [*evaluation_checks.check_perfect_detections(project)]
  error = planted.only([f for f in found if f.severity is Severity.ERROR], 'perfect detections')
  # Class b: one of two, so up to a recall of 0.5: 51 of 101 points; with 100 of a nothing is lost.
  assert error.numbers['low']['DetectionBoxes_Precision/mAP'] == pytest.approx(
    (1 + 51 / 101 + 1) / 3
  )


def test_metrics_of_minus_one_are_explained():
  metrics = {
    'DetectionBoxes_Precision/mAP': 1.0,
    'DetectionBoxes_Precision/mAP (small)': 1.0,
    'DetectionBoxes_Precision/mAP (large)': -1.0,
    'DetectionBoxes_Recall/AR@1': 0.4,
    'DetectionBoxes_Recall/AR@100 (large)': -1.0,
    'PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog': float('nan'),
  }
  size, dog = evaluation_checks.check_metrics('eval_input_reader[0]', metrics)
  assert size.check == dog.check == 'undefined metrics'
  assert size.severity is dog.severity is Severity.NOTE
  assert size.what == (
    'mAP and AR of the size large will be -1 whatever is detected: eval_input_reader[0] has no '
    'groundtruth of it (pixels of the original image, large: from 96 x 96).'
  )
  assert size.numbers == {'sizes': ['large']}
  assert dog.what == (
    '1 metrics will be -1 or nan whatever is detected, since eval_input_reader[0] has no '
    'groundtruth of their class: PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog.'
  )
  assert dog.numbers == {'metrics': 1}


def test_no_groundtruth_at_all(tmp_path):
  evaluation = [boxed(image, [], []) for image in planted.images(4, seed=1)]
  project = planted.project(tmp_path, evaluation=evaluation)
  (found,) = evaluation_checks.check_perfect_detections(project)
  assert (found.check, found.severity) == ('evaluation data', Severity.ERROR)
  assert found.what == (
    'eval_input_reader[0]: its 4 images hold no box of a class of the model: there is nothing to '
    'measure.'
  )
  assert found.numbers == {'images': 4, 'boxes': 0}


@pytest.mark.parametrize(
  ('threshold', 'severity'), [(0.01, None), (0.3, Severity.WARNING), (1.0, Severity.ERROR)]
)
def test_score_threshold(tmp_path, threshold, severity):
  path = 'model.ssd.post_processing.batch_non_max_suppression.score_threshold'
  project = planted.project(tmp_path, overrides=[f'{path}={threshold}'])
  found = [*evaluation_checks.check_score_threshold(project)]
  assert [finding.severity for finding in found] == [severity] * (severity is not None)
  if found:
    assert found[0].what.startswith(f'{path} is {threshold:g}: detections below it are lost')
    assert found[0].numbers == {'score_threshold': pytest.approx(threshold)}


def test_more_objects_than_detections(tmp_path):
  # 3, 1 and 1 boxes, 2 of one class in the first image.
  first, *rest = planted.images(3, seed=1)
  boxes = [[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.1, 0.5, 0.4, 0.9]]
  evaluation = [boxed(first, boxes, [1, 1, 2]), *(boxed(i, boxes[:1], [1]) for i in rest)]
  path = 'model.ssd.post_processing.batch_non_max_suppression'
  overrides = [f'{path}.max_total_detections=2', f'{path}.max_detections_per_class=1']
  project = planted.project(tmp_path, evaluation=evaluation, overrides=overrides)
  total, per_class = evaluation_checks.check_detection_limits(project)
  assert total.check == per_class.check == 'detection limits'
  assert total.severity is Severity.WARNING
  assert total.what == (
    f'eval_input_reader[0]: 1 of 5 boxes (20.0%) are beyond {path}.max_total_detections 2 of their '
    'image, which has up to 3: recall cannot exceed 0.800.'
  )
  assert total.numbers == {'cut': 1, 'boxes': 5, 'limit': 2, 'most': 3}
  assert per_class.numbers == {'cut': 1, 'boxes': 5, 'limit': 1, 'most': 2}
