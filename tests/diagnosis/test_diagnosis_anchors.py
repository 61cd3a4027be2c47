import dataclasses

import numpy as np
import planted
import pytest

from ssd_tf.anchors import training_boxes
from ssd_tf.diagnosis import anchor_checks
from ssd_tf.diagnosis.finding import Severity

# Of 20 boxes, 12 below the threshold of 0.5: all 10 of 'a' but 1, and 3 of the 10 of 'b'.
IOUS = np.array([0.7] + [0.2] * 9 + [0.4] * 3 + [0.5] + [0.9] * 6, np.float32)
GROUPS = {"'a'": np.arange(20) < 10, "'b'": np.arange(20) >= 10, 'few': np.arange(20) < 5}


def test_boxes_without_an_anchor():
  (found,) = anchor_checks.check_coverage(IOUS, 0.5, GROUPS, is_forced=True)
  assert (found.check, found.severity) == ('anchor coverage', Severity.WARNING)
  # (0.7 + 9 * 0.2 + 3 * 0.4 + 0.5 + 6 * 0.9) / 20 = 9.6 / 20
  assert found.what == (
    '12 of 20 groundtruth boxes (60.0%) have no anchor that reaches the matched_threshold 0.5, and '
    "each of them trains by its one best anchor; the mean best IoU is 0.48. By class and size: 'a' "
    "90%, 'b' 30%."
  )
  assert 'tools/cluster_anchors.py' in found.remedy
  assert found.numbers == {
    'uncovered': 12,
    'boxes': 20,
    'share': 0.6,
    'threshold': 0.5,
    'mean_best_iou': pytest.approx(0.48),
    'shares': {"'a'": 0.9, "'b'": 0.3},
  }


def test_boxes_that_nothing_forces_to_an_anchor_are_lost():
  (found,) = anchor_checks.check_coverage(IOUS, 0.5, GROUPS, is_forced=False)
  assert found.severity is Severity.ERROR
  assert (
    'and they train nothing (model.ssd.matcher.argmax_matcher.force_match_for_each_row is false); '
    in found.what
  )
  # At 0.3 it is 9 of 20: not most of them, but 'a' suffers.
  (found,) = anchor_checks.check_coverage(IOUS, 0.3, GROUPS, is_forced=False)
  assert (found.severity, found.numbers['share']) == (Severity.WARNING, 0.45)
  assert found.what.endswith("By class and size: 'a' 90%, 'b' 0%.")


def test_covered_boxes_are_a_note():
  (found,) = anchor_checks.check_coverage(IOUS, 0.2, GROUPS, is_forced=True)
  assert (found.severity, found.remedy, found.numbers['uncovered']) == (Severity.NOTE, '', 0)
  assert found.what == (
    'Each of the 20 groundtruth boxes has an anchor that reaches the matched_threshold 0.2; the '
    'mean best IoU is 0.48.'
  )


def test_boxes_smaller_than_a_cell():
  # Cells of 64 / 4 = 16 by 96 / 6 = 16 pixels. Of four boxes two are smaller along both axes.
  pixels = np.array([[15, 15], [15.9, 3], [17, 3], [40, 40]])
  boxes = np.concatenate([np.zeros_like(pixels), pixels / [64, 96]], axis=1).astype(np.float32)
  (found,) = anchor_checks.check_cells(boxes, (4, 6), (64, 96))
  assert (found.check, found.severity) == ('finest cell', Severity.WARNING)
  assert found.what == (
    '2 of 4 groundtruth boxes (50.0%) are smaller than a cell of the first feature map, 16 x 16 '
    'pixels of the input: neighbors share the same features.'
  )
  assert found.numbers == {'smaller': 2, 'boxes': 4, 'share': 0.5, 'cell': [16.0, 16.0]}
  assert [*anchor_checks.check_cells(boxes[2:], (4, 6), (64, 96))] == []


def test_a_project_with_tiny_objects(tmp_path):
  train = planted.images(10)
  # 0.1 x 0.05 of the image, 6.4 x 4.8 pixels of the 64 x 96 input, in cells of 16 x 16; the
  # smallest anchors are of scale 0.1 of 64 pixels: 6.4 x 6.4, in the middle of a cell.
  train = [
    dataclasses.replace(
      image,
      boxes=np.array([[0.02, 0.02, 0.12, 0.07]], np.float32),
      class_ids=np.array([1]),
      class_names=['a'],
      is_crowd=np.array([i == 0]),
    )
    for i, image in enumerate(train)
  ]
  project = planted.project(tmp_path, train)
  coverage, cell = anchor_checks.check(project)
  assert (coverage.severity, cell.severity) == (Severity.WARNING, Severity.WARNING)
  assert coverage.what.startswith('9 of 9 groundtruth boxes (100.0%) have no anchor')  # No crowd.
  assert cell.what.startswith('9 of 9 groundtruth boxes (100.0%) are smaller than a cell')


@pytest.mark.parametrize('train_on_crowds', [False, True])
def test_boxes_are_those_that_anchors_are_fitted_to(tmp_path, train_on_crowds):
  boxes = np.array([[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.1, 0.5, 0.4, 0.9]], np.float32)
  train = [
    dataclasses.replace(
      image,
      boxes=boxes + np.float32(i / 100),
      class_ids=np.array([1, 2, 3]),
      class_names=['a', 'b', 'c'],
      is_crowd=np.array([True, False, False]),
      weights=np.array([1, 1 - i % 2, 1], np.float32),
    )
    for i, image in enumerate(planted.images(9))
  ]
  overrides = [
    f'model.ssd.train_on_crowds={str(train_on_crowds).lower()}',
    'train_input_reader.max_number_of_boxes=2',
    'train_input_reader.sample_1_of_n_examples=3',
  ]
  project = planted.project(tmp_path, train, overrides=overrides)
  found = training_boxes.read_training_boxes(project.pipeline)
  # Images 0, 3 and 6, of which the second box of 3 weighs 0; the third boxes are past the limit.
  assert found.classes.tolist() == ([1, 2, 1, 1, 2] if train_on_crowds else [2, 2])
  coverage, *_ = anchor_checks.check(project)
  assert coverage.numbers['boxes'] == len(found.boxes)


def test_a_box_on_the_threshold_matches_as_in_the_matcher():
  ious = np.array([0.7, 0.6999999], np.float32)
  (found,) = anchor_checks.check_coverage(ious, 0.7, {}, is_forced=True)
  assert found.numbers['uncovered'] == 1
