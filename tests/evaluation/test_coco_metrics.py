"""COCO metrics against cases computed by hand, on non-square images of 100x200 pixels."""

import re

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.evaluation.coco_figures import LABELED_METRIC_NAMES, METRIC_NAMES
from ssd_tf.evaluation.coco_metrics import CocoEvaluator

_CATEGORIES = [(1, 'cell'), (2, 'platelet')]
_HEIGHT, _WIDTH = 100, 200


def _image(
  groundtruth=(), detections=(), *, crowd=(), area=None, source_id='a', real=True, labeled=None
):
  """Makes a batch of one; boxes are pixels [ymin, xmin, ymax, xmax], with class (and score).

  labeled: the ids of the labeled classes, of the model's three; None: the batch does not say.
  """
  n, d = len(groundtruth), len(detections)
  size = np.array([_HEIGHT, _WIDTH, _HEIGHT, _WIDTH], np.float32)
  boxes = np.full((1, n + 2, 4), 0.5, np.float32)
  classes = np.zeros((1, n + 2), np.int32)
  for i, (box, class_id) in enumerate(groundtruth):
    boxes[0, i], classes[0, i] = box / size, class_id
  detected = np.zeros((1, d + 3, 4), np.float32)
  detected_classes = np.ones((1, d + 3), np.int32)
  scores = np.ones((1, d + 3), np.float32)  # Rows past the count must not be read.
  for i, (box, class_id, score) in enumerate(detections):
    detected[0, i], detected_classes[0, i], scores[0, i] = box / size, class_id, score
  batch = {
    fields.GROUNDTRUTH_BOXES: boxes,
    fields.GROUNDTRUTH_CLASSES: classes,
    fields.GROUNDTRUTH_MASK: np.arange(n + 2)[None] < n,
    fields.GROUNDTRUTH_IS_CROWD: np.isin(np.arange(n + 2), crowd)[None],
    fields.GROUNDTRUTH_AREA: np.array(
      [[0.0] * (n + 2)] if area is None else [[*area, 0, 0]], np.float32
    ),
    fields.ORIGINAL_SIZE: np.array([[_HEIGHT, _WIDTH]], np.int32),
    fields.SOURCE_ID: np.array([source_id.encode()], object),
    fields.EXAMPLE_MASK: np.array([real]),
  }
  if labeled is not None:
    batch[fields.LABELED_CLASSES] = np.isin([[1, 2, 3]], labeled)
  return batch, {
    fields.DETECTION_BOXES: detected,
    fields.DETECTION_SCORES: scores,
    fields.DETECTION_CLASSES: detected_classes,
    fields.NUM_DETECTIONS: np.array([d], np.int32),
  }


def _evaluator(*images):
  evaluator = CocoEvaluator(_CATEGORIES)
  for batch, detections in images:
    evaluator.update(batch, detections)
  return evaluator


_SMALL = np.array([0, 0, 20, 30])  # 600 px^2, on the border; small is below 32^2 = 1024
_MEDIUM = np.array([40, 100, 90, 180])  # 4,000 px^2; medium is below 96^2 = 9216
_TINY = np.array([50, 50, 51, 52])


def test_groundtruth_as_detections_is_perfect_whatever_its_number():
  rng = np.random.default_rng(0)
  images = []
  for i in range(5):
    origin = rng.uniform(0, [60, 150], (i * 5, 2))
    boxes = np.concatenate([origin, origin + rng.uniform(1, [40, 50], (i * 5, 2))], axis=1)
    classes = rng.integers(1, 3, i * 5)
    images.append(
      _image(
        list(zip(boxes, classes, strict=True)),
        [(box, c, 0.5) for box, c in zip(boxes, classes, strict=True)],
        source_id=str(i),
      )
    )
  result = _evaluator(*images).result()
  assert tuple(result) == METRIC_NAMES
  for name, value in result.items():
    if 'large' in name:
      assert value == -1
    elif name not in ('DetectionBoxes_Recall/AR@1', 'DetectionBoxes_Recall/AR@10'):
      assert value == pytest.approx(1.0), name


def test_hand_computed_case():
  """Class 1: two groundtruths; a hit with IoU .91, then a miss, then a hit with IoU .61.

  Ranked by score: hit (.9), false (.8), hit (.7). At IoU .5, .55, .6 both hits count: precision is
  1 up to recall .5 (51 of the 101 recalls), 2/3 beyond it (50 recalls): AP = (51 + 50 * 2/3) / 101
  = .834983. At .65 to .9 (6 thresholds) only the first: 51 / 101 = .504950. At .95: 0.
  mAP = (3 * .834983 + 6 * .504950) / 10 = .553465.
  """
  groundtruth = [(np.array([0, 0, 10, 100]), 1), (np.array([50, 100, 60, 200]), 1)]
  detections = [
    (np.array([50, 100, 60, 161]), 1, 0.7),
    (np.array([0, 0, 10, 91]), 1, 0.9),
    (np.array([80, 0, 90, 100]), 1, 0.8),
  ]
  evaluator = _evaluator(_image(groundtruth, detections))
  result = evaluator.result()
  assert result['DetectionBoxes_Precision/mAP@.50IOU'] == pytest.approx(0.834983, abs=1e-6)
  assert result['DetectionBoxes_Precision/mAP@.75IOU'] == pytest.approx(0.504950, abs=1e-6)
  assert result['DetectionBoxes_Precision/mAP'] == pytest.approx(0.553465, abs=1e-6)
  # Both are of 1,000 px^2, below 32^2. AR@1: one hit of two at 9 thresholds; AR@10: 2, 2, 2, 1 x 6.
  assert result['DetectionBoxes_Precision/mAP (small)'] == pytest.approx(0.553465, abs=1e-6)
  assert result['DetectionBoxes_Precision/mAP (medium)'] == -1
  assert result['DetectionBoxes_Recall/AR@1'] == pytest.approx(9 * 0.5 / 10)
  assert result['DetectionBoxes_Recall/AR@10'] == pytest.approx((3 * 1 + 6 * 0.5) / 10)
  assert evaluator.per_class_ap() == {'cell': pytest.approx(0.553465, abs=1e-6), 'platelet': -1.0}


def test_per_class_ap_averages_to_map():
  evaluator = _evaluator(
    _image([(_SMALL, 1), (_MEDIUM, 2)], [(_SMALL, 1, 0.9), (_MEDIUM + [0, 0, 0, 18], 2, 0.8)])
  )
  per_class = evaluator.per_class_ap()
  # The second IoU is 80 / 98 = .816: a hit at .5 to .8, 7 thresholds of 10.
  assert per_class == {'cell': pytest.approx(1), 'platelet': pytest.approx(0.7)}
  mean = np.mean(list(per_class.values()))
  assert evaluator.result()['DetectionBoxes_Precision/mAP'] == pytest.approx(mean)


def test_swapped_height_and_width_would_be_seen():
  box = np.array([10, 10, 50, 70])
  evaluator = _evaluator(_image([(box, 1)], [(box, 1, 0.9)]))
  evaluator.result()
  coco_eval, _ = evaluator._evaluate(labeled_only=False)
  annotation = coco_eval.cocoGt.dataset['annotations'][0]
  np.testing.assert_allclose(annotation['bbox'], [10, 10, 60, 40], rtol=1e-6)
  assert annotation['area'] == pytest.approx(2400)


def test_image_without_groundtruth_counts_its_detections_as_false():
  hit = _image([(_SMALL, 1)], [(_SMALL, 1, 0.5)])
  false = _image([], [(_MEDIUM, 1, 0.9)], source_id='b')
  empty = _image([], [], source_id='c')
  # One false above the only hit: precision 1/2 at every recall.
  result = _evaluator(hit, false, empty).result()
  assert result['DetectionBoxes_Precision/mAP'] == pytest.approx(0.5)
  assert _evaluator(hit, empty).result()['DetectionBoxes_Precision/mAP'] == pytest.approx(1)


def test_crowd_is_neither_missed_nor_hit():
  groundtruth = [(_SMALL, 1), (_MEDIUM, 1)]
  within_crowd = [(np.array([45, 110, 60, 130]), 1, 0.9), (np.array([60, 140, 85, 170]), 1, 0.8)]
  images = _image(groundtruth, [(_SMALL, 1, 0.5), *within_crowd], crowd=[1])
  assert _evaluator(images).result()['DetectionBoxes_Precision/mAP'] == pytest.approx(1)
  as_objects = _image(groundtruth, [(_SMALL, 1, 0.5), *within_crowd])
  # Two false before the hit of one in two objects: 1/3 at 51 of 101 recalls.
  ap = _evaluator(as_objects).result()['DetectionBoxes_Precision/mAP']
  assert ap == pytest.approx(51 / 101 / 3)


def test_padded_example_is_left_out():
  hit = _image([(_SMALL, 1)], [(_SMALL, 1, 0.5)])
  padding = _image([(_MEDIUM, 1)], [(_MEDIUM + 5, 2, 0.9)], source_id='', real=False)
  evaluator = _evaluator(hit, padding)
  assert evaluator.result() == _evaluator(hit).result()
  assert evaluator.details['images'] == 1


def test_size_range_follows_the_recorded_area():
  # A segmented object of 500 px^2 within a box of 4,000 is small; area 0 means: take the box's own.
  recorded = _evaluator(_image([(_MEDIUM, 1)], [(_MEDIUM, 1, 0.9)], area=[500])).result()
  assert recorded['DetectionBoxes_Precision/mAP (small)'] == pytest.approx(1)
  assert recorded['DetectionBoxes_Precision/mAP (medium)'] == -1
  absent = _evaluator(_image([(_MEDIUM, 1)], [(_MEDIUM, 1, 0.9)])).result()
  assert absent['DetectionBoxes_Precision/mAP (small)'] == -1
  assert absent['DetectionBoxes_Precision/mAP (medium)'] == pytest.approx(1)


def test_repeated_source_id_loses_no_image_and_warns_once(caplog):
  hit = _image([(_SMALL, 1)], [(_SMALL, 1, 0.9)])
  miss = _image([(_MEDIUM, 1)], [])
  evaluator = _evaluator(hit, miss, miss)
  assert evaluator.details['images'] == 3
  # One of three found at full precision: 34 of 101 recalls (0, .01, .. .33).
  assert evaluator.result()['DetectionBoxes_Precision/mAP'] == pytest.approx(34 / 101)
  assert [r.getMessage().count("'a' occurs twice") for r in caplog.records] == [1]


def test_unknown_groundtruth_class_is_named_and_left_out(caplog):
  image = _image([(_SMALL, 1), (_MEDIUM, 7)], [(_SMALL, 1, 0.9), (_MEDIUM, 7, 0.95)])
  assert _evaluator(image).result()['DetectionBoxes_Precision/mAP'] == pytest.approx(1)
  assert 'groundtruth class 7' in caplog.text and 'label map' in caplog.text


@pytest.mark.parametrize('images', [[], [_image()], [_image([], [(_TINY, 1, 0.9)])]])
def test_nothing_to_find_is_minus_one(images):
  assert set(_evaluator(*images).result().values()) == {-1.0}


def test_tiny_box_and_equal_scores():
  # Equal scores keep their order: the wrong class does not matter to class 1.
  image = _image([(_TINY, 1), (_TINY, 2)], [(_TINY, 1, 0.5), (_TINY, 2, 0.5), (_SMALL, 1, 0.5)])
  assert _evaluator(image).result()['DetectionBoxes_Precision/mAP'] == pytest.approx(1)


def test_tensors_and_several_images_a_batch_equal_one_by_one():
  images = [
    _image([(_SMALL, 1)], [(_SMALL + [0, 0, 2, 2], 1, 0.9)], source_id='a'),
    _image([(_MEDIUM, 2)], [(_TINY, 2, 0.9)], source_id='b'),
  ]
  batch, detections = (
    {key: tf.concat([image[i][key] for image in images], axis=0) for key in images[0][i]}
    for i in range(2)
  )
  assert _evaluator((batch, detections)).result() == _evaluator(*images).result()


def test_update_after_result_counts():
  evaluator = _evaluator(_image([(_SMALL, 1)], [(_SMALL, 1, 0.9)]))
  assert evaluator.result()['DetectionBoxes_Recall/AR@100'] == pytest.approx(1)
  evaluator.update(*_image([(_MEDIUM, 1)], [], source_id='b'))
  assert evaluator.result()['DetectionBoxes_Recall/AR@100'] == pytest.approx(0.5)


def test_details_say_what_the_figure_is_of():
  evaluator = CocoEvaluator(_CATEGORIES, split='val', score_threshold=1e-8)
  evaluator.update(*_image([(_SMALL, 1), (_MEDIUM, 1)], [(_SMALL, 1, 0.9)], crowd=[1]))
  assert evaluator.details == {
    'split': 'val',
    'images': 1,
    'groundtruth_boxes': 2,
    'crowd_boxes': 1,
    'detections': 1,
    'score_threshold': 1e-8,
    'max_detections': 4,
    'labeled_pairs': 2,
    'pairs': 2,
  }


def test_twelve_lines_of_the_report_have_cocos_shape(capsys):
  evaluator = _evaluator(_image([(_SMALL, 1)], [(_SMALL, 1, 0.9)]))
  assert evaluator.report == ''
  evaluator.result()
  assert capsys.readouterr().out == ''
  lines = [line for line in evaluator.report.splitlines() if 'maxDets' in line]
  head = r' Average (Precision  \(AP\)|Recall     \(AR\)) @\[ IoU=0\.(50:0\.95|50     |75     ) '
  size = r'\| area=(   all| small|medium| large) \| maxDets=( *\d+) \] = '
  shape = head + size + r'(-1\.000|\d\.\d{3})'
  assert len(lines) == 12
  for line in lines:
    assert re.fullmatch(shape, line), line
  assert lines[0] == (
    ' Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 1.000'
  )


# Of each name: without and with '_Labeled'.
_MAP, _LABELED_MAP = (names[0] for names in (METRIC_NAMES, LABELED_METRIC_NAMES))


def test_names_of_the_labeled_pairs():
  assert LABELED_METRIC_NAMES[0] == 'DetectionBoxes_Precision_Labeled/mAP'
  assert LABELED_METRIC_NAMES[1] == 'DetectionBoxes_Precision_Labeled/mAP@.50IOU'
  assert LABELED_METRIC_NAMES[11] == 'DetectionBoxes_Recall_Labeled/AR@100 (large)'


def _unlabeled_platelet():
  """Two images with a cell and a platelet each, all four found; the second's platelet has no box.

  The detection of that platelet has the higher score, so that of class 2 the first detection is
  false and the second a hit: precision 1/2 at every recall.
  """
  return [
    _image([(_SMALL, 1), (_MEDIUM, 2)], [(_SMALL, 1, 0.9), (_MEDIUM, 2, 0.8)], labeled=[1, 2, 3]),
    _image([(_SMALL, 1)], [(_SMALL, 1, 0.9), (_MEDIUM, 2, 0.9)], labeled=[1], source_id='b'),
  ]


def test_detection_of_an_unlabeled_object_costs_ap_only_in_the_ordinary_metrics(caplog):
  evaluator = _evaluator(*_unlabeled_platelet())
  result = evaluator.result()
  assert tuple(result) == METRIC_NAMES + LABELED_METRIC_NAMES
  # Class 1: 1; class 2: 1/2 with the false one. Cells are small (600 px^2), platelets medium.
  expected = {
    'mAP': (0.75, 1.0),
    'mAP@.50IOU': (0.75, 1.0),
    'mAP@.75IOU': (0.75, 1.0),
    'mAP (small)': (1.0, 1.0),
    'mAP (medium)': (0.5, 1.0),
    'mAP (large)': (-1.0, -1.0),
  }
  for name, (ordinary, labeled) in expected.items():
    assert result[f'DetectionBoxes_Precision/{name}'] == pytest.approx(ordinary), name
    assert result[f'DetectionBoxes_Precision_Labeled/{name}'] == pytest.approx(labeled), name
  assert result['DetectionBoxes_Recall_Labeled/AR@1'] == pytest.approx(1)
  assert evaluator.per_class_ap() == {'cell': pytest.approx(1), 'platelet': pytest.approx(0.5)}
  labeled_only = evaluator.per_class_ap(labeled_only=True)
  assert labeled_only == {'cell': pytest.approx(1), 'platelet': pytest.approx(1)}
  # Two images, two categories; that the model has a third class is none of the metrics' business.
  assert (evaluator.details['labeled_pairs'], evaluator.details['pairs']) == (3, 4)
  evaluator.result()
  (warning,) = [record.getMessage() for record in caplog.records]
  assert warning == (
    '1 of 4 (image, class) pairs are not labeled. Detections of the unlabeled objects there count '
    'as false positives, so mAP is too low: 0.7500, against 1.0000 on the labeled pairs alone '
    '(+0.2500). Read the DetectionBoxes_Precision_Labeled and _Recall_Labeled metrics, or score on '
    'completely labeled images.'
  )


def test_labels_change_none_of_the_twelve():
  unaware = [({k: v for k, v in b.items() if k != fields.LABELED_CLASSES}, d)
             for b, d in _unlabeled_platelet()]  # fmt: skip
  result = _evaluator(*_unlabeled_platelet()).result()
  assert {name: result[name] for name in METRIC_NAMES} == _evaluator(*unaware).result()


def test_complete_labels_give_no_further_keys_lines_or_evaluation(caplog):
  hit = [(_SMALL, 1)], [(_SMALL, 1, 0.9)]
  evaluator = _evaluator(_image(*hit, labeled=[1, 2]), _image(*hit, source_id='b'))
  # A padded example is labeled for nothing, which is not to be read.
  evaluator.update(*_image(*hit, labeled=[], real=False))
  assert tuple(evaluator.result()) == METRIC_NAMES
  assert evaluator.per_class_ap(labeled_only=True) == {'cell': pytest.approx(1), 'platelet': -1.0}
  output = evaluator.report
  assert output.count('maxDets') == 12 and output.count('Running per image evaluation') == 1
  assert not caplog.records
  assert evaluator.details['labeled_pairs'] == evaluator.details['pairs'] == 4


def test_groundtruth_of_unlabeled_pairs_is_left_out_and_counted(caplog):
  """Class 2 is annotated, but not exhaustively, in the second image, and missed there.

  All: one of two found, 51 of 101 recalls; labeled: the one is found.
  """
  evaluator = _evaluator(
    _image([(_MEDIUM, 2)], [(_MEDIUM, 2, 0.9)], labeled=[1, 2]),
    _image([(_TINY, 2), (_SMALL, 1)], [(_SMALL, 1, 0.5)], labeled=[1], source_id='b'),
  )
  result = evaluator.result()
  assert result[_MAP] == pytest.approx((1 + 51 / 101) / 2)
  assert result[_LABELED_MAP] == pytest.approx(1)
  assert ' (+0.2475). 1 groundtruth boxes lie in unlabeled pairs. Read ' in caplog.text


@pytest.mark.parametrize('detections', [[], [(_SMALL, 1, 0.9), (_TINY, 2, 0.5)]])
def test_no_labeled_pair_is_minus_one(detections, caplog):
  evaluator = _evaluator(_image([(_SMALL, 1)], detections, labeled=[]))
  result = evaluator.result()
  assert result[_MAP] == pytest.approx(1.0 if detections else 0.0)
  assert {result[name] for name in LABELED_METRIC_NAMES} == {-1.0}
  assert evaluator.per_class_ap(labeled_only=True) == {'cell': -1.0, 'platelet': -1.0}
  assert 'the labeled pairs have no groundtruth to measure it on' in caplog.text


def test_lines_of_the_labeled_pairs_follow_under_a_heading():
  evaluator = _evaluator(*_unlabeled_platelet())
  evaluator.result()
  lines = evaluator.report.splitlines()
  first = ' Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = '
  assert [line for line in lines if line.startswith(first)] == [f'{first}0.750', f'{first}1.000']
  heading = lines.index('Of the 3 labeled of 4 (image, class) pairs alone:')
  assert lines[heading + 1] == f'{first}1.000' and len(lines) == heading + 13
  assert sum('maxDets' in line for line in lines[:heading]) == 12


def test_bad_input_is_named():
  batch, detections = _image([(_SMALL, 1)], [(_SMALL, 1, 0.9)])
  with pytest.raises(ValueError, match="batch lacks .'source_id'."):
    _evaluator(({k: v for k, v in batch.items() if k != fields.SOURCE_ID}, detections))
  wrong = {**detections, fields.DETECTION_BOXES: np.zeros((1, 100, 5), np.float32)}
  with pytest.raises(ValueError, match=r'detection_boxes: expected shape \[1, boxes, 4\].*5'):
    _evaluator((batch, wrong))
  nan = {**detections, fields.DETECTION_SCORES: np.full((1, 4), np.nan, np.float32)}
  with pytest.raises(ValueError, match="detections of 'a' are not finite"):
    _evaluator((batch, nan))
  narrow = {**batch, fields.LABELED_CLASSES: np.ones((1, 1), bool)}
  with pytest.raises(ValueError, match=r'labeled_classes: .* id up to 2; received \(1, 1\)'):
    _evaluator((narrow, detections))
