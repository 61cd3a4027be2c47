"""Planted faults of a trained model: which check, how bad, which number."""

import dataclasses

import numpy as np
import pytest

from ssd_tf.diagnosis import model_checks
from ssd_tf.diagnosis.finding import Severity
from ssd_tf.evaluation.image_results import ImageResult

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
NAMES = {1: 'a', 2: 'b', 3: 'c'}


def image(classes, detected, score=0.9, shift=0.0):
  """Objects in a row, 0.1 wide, each detected as a class of its own; 0: not at all."""
  starts = np.arange(len(classes)) * 0.1

  def boxes(starts):
    zeros = np.zeros_like(starts)
    return np.stack([zeros, starts, zeros + 0.5, starts + 0.1], axis=1).astype(np.float32)

  none, n = np.zeros(len(classes), bool), len(classes)
  detected = np.array(detected)
  return ImageResult(
    source_id='image',
    height=100,
    width=200,
    groundtruth_boxes=boxes(starts),
    groundtruth_classes=np.array(classes, np.int32),
    is_crowd=none,
    is_difficult=none,
    is_group_of=none,
    area=np.zeros(n, np.float32),
    labeled=np.ones(3, bool),
    boxes=boxes(starts[detected > 0] + shift),
    scores=np.full((detected > 0).sum(), score, np.float32),
    classes=detected[detected > 0].astype(np.int32),
  )


ALL = [1, 2, 3, 1, 2, 3, 1, 2, 3]


def bad(findings):
  return [(f.check, f.severity) for f in findings if f.severity != NOTE]


def test_a_sound_model_has_notes_only():
  findings = list(model_checks.check_images([image(ALL, ALL), image([], [])], NAMES))
  assert [(f.check, f.severity) for f in findings] == [('scores', NOTE), ('confusion', NOTE)]
  scores, confusion = (finding.numbers for finding in findings)
  assert scores['recall_at_0.05'] == scores['recall_at_0.5'] == 1
  assert scores['right'] == [0] * 9 + [9] and sum(scores['wrong']) == 0
  assert confusion['matrix'] == [[0, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0], [0, 0, 0, 3]]
  assert findings[1].what == (
    'At a score of 0.5, of 9 objects 9 are detected as what they are, 0 as another class, 0 not at '
    'all; 0 detections are of no object.'
  )


def test_a_label_map_need_not_name_every_class():
  findings = list(model_checks.check_images([image(ALL, ALL)], {1: 'a', 2: 'b'}))
  assert bad(findings) == []
  assert findings[1].numbers['matrix'][3] == [0, 0, 0, 3]


def test_a_blind_detector():
  # IoU 0.04 / 0.16 = 0.25 with what it means.
  findings = list(model_checks.check_images([image(ALL, ALL, score=0.02, shift=0.06)], NAMES))
  assert bad(findings) == [('recall', ERROR)]
  numbers = findings[1].numbers
  assert numbers['recall_of_all'] == 0 and numbers['highest_score'] == pytest.approx(0.02)
  assert numbers['wrong'][0] == 9


def test_low_scores():
  findings = list(model_checks.check_images([image(ALL, ALL, score=0.1)], NAMES))
  assert bad(findings) == [('recall', WARNING)]
  assert findings[1].numbers['recall_at_0.05'] == 1 and findings[1].numbers['recall_at_0.5'] == 0


def test_a_class_that_is_never_predicted():
  findings = list(
    model_checks.check_images([image(ALL, [1, 2, 0, 1, 2, 0, 1, 2, 0])] * 2, {**NAMES, 4: 'unused'})
  )
  assert bad(findings) == [('classes never predicted', ERROR)]
  finding = next(f for f in findings if f.severity == ERROR)
  assert finding.numbers == {'classes': {'c': 6}}
  assert finding.what == (
    "1 of 4 classes are never detected at a score of 0.05 or more: 'c' (6 objects)."
  )


def test_a_rare_class_that_is_never_predicted_is_no_error():
  # 400 of 401 objects are right.
  images = [image([1, 2] * 4, [1, 2] * 4)] * 50 + [image([3], [0])]
  findings = list(model_checks.check_images(images, NAMES))
  assert bad(findings) == [('classes never predicted', WARNING)]
  finding = next(f for f in findings if f.severity == WARNING)
  assert finding.what == (
    "1 of 3 classes are never detected at a score of 0.05 or more: 'c' (1 objects); fewer than 5 "
    'objects of a class say little.'
  )
  # Four missed are no error yet, five are.
  for count, severity in ((4, WARNING), (5, ERROR)):
    images = [image([1] * 5, [1] * 5), *[image([2, 3], [0, 0])] * count]
    assert bad(model_checks.check_images(images, NAMES))[0][1] == severity


def test_a_label_map_that_is_off_by_one():
  shifted = image([1, 2, 1, 2, 1, 2], [2, 3, 2, 3, 2, 3])
  found = bad(model_checks.check_images([shifted], NAMES))
  assert found == [('recall', ERROR), ('classes never predicted', WARNING), ('label map', ERROR)]
  recall = list(model_checks.check_recall([shifted]))[1]
  assert (
    recall.what
    == '100.0% of the objects are found, but as other classes: 0.0% are as what they are.'
  )
  finding = list(model_checks.check_confusion(np.diag([0, 5, 5], 1)[:4, :4], NAMES, 0.5))
  # Row 1 as 2 and row 2 as 3: ten objects, each one too high.
  assert finding[1].numbers == {'shifted': 10, 'detected': 10, 'offset': 1}
  lower = list(model_checks.check_confusion(np.diag([0, 5, 5], -1)[:4, :4], NAMES, 0.5))
  assert lower[1].numbers['offset'] == -1


def test_a_class_taken_for_another():
  matrix = np.array([[0, 1, 0, 0], [0, 9, 0, 0], [1, 0, 9, 0], [1, 4, 1, 0]])
  findings = list(model_checks.check_confusion(matrix, NAMES, 0.5))
  assert bad(findings) == [('confusion', WARNING)]
  assert findings[1].what == "4 of 6 objects of 'c' are detected as 'a'."
  assert findings[1].numbers == {'class': 3, 'taken_for': 1, 'count': 4}


def test_kinds_of_false_positives_are_a_note():
  # IoU 0.06 / 0.14 = 0.43 with its own object; the neighbors are of other classes.
  findings = list(model_checks.check_images([image(ALL, ALL), image(ALL, ALL, shift=0.04)], NAMES))
  finding = findings[-1]
  assert (finding.check, finding.severity) == ('false positives', NOTE)
  assert finding.numbers == {
    **{'localization': 9, 'class': 0, 'duplicate': 0, 'background': 0},
    **{'right': 9, 'score_threshold': 0.5},
  }
  assert finding.what == (
    'At a score of 0.5, 9 of 18 detections are false: localization 100%, class 0%, duplicate 0%, '
    'background 0%.'
  )
  assert 'anchors' in finding.remedy


def test_nothing_to_be_found():
  (finding,) = model_checks.check_images([image([], [])], NAMES)
  assert (finding.check, finding.severity) == ('recall', WARNING)


def test_a_checkpoint_is_asked_for(monkeypatch):
  asked = []

  def evaluate(pipeline, checkpoint, max_images):
    asked.append((pipeline, checkpoint, max_images))
    return dataclasses.make_dataclass('Evaluated', ['images', 'names'])([image(ALL, ALL)], NAMES)

  monkeypatch.setattr(model_checks, 'evaluate_images', evaluate)

  class Project:
    pipeline, max_images = 'the pipeline', 7
    trained_checkpoint, evaluation_fields = None, ['eval_input_reader[0]']

  assert not list(model_checks.check(Project))
  Project.trained_checkpoint = 'ckpt-8'
  assert len(list(model_checks.check(Project))) == 2
  assert asked == [('the pipeline', 'ckpt-8', 7)]
