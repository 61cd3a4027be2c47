"""The report of VOC2007's and VOC2012's metrics: values against both originals, tables, curves."""

import csv
import json
import pathlib
import xml.etree.ElementTree

import numpy as np
import pytest
from absl import logging
from detection_cases import TINY, A, B, balancap_batch, batch_of

from ssd_tf.evaluation.average_precision import (
  average_precision,
  match_detections,
  precision_recall,
)
from ssd_tf.evaluation.detection_evaluator import EvaluatorGroup
from ssd_tf.evaluation.voc_07_12_metrics import Voc0712Evaluator
from ssd_tf.report import voc_tables
from ssd_tf.report.voc_report import VocReport, class_table
from ssd_tf.run.evaluation_log import EvaluationLog

TESTDATA = pathlib.Path(__file__).parents[1] / 'testdata'
BALANCAP, SSD_KERAS = TESTDATA / 'balancap', TESTDATA / 'ssd_keras'
CATEGORIES = [(1, 'cat'), (2, 'dog|wolf'), (3, '_$rare$')]
# cat: right, wrong, right on 2 boxes: precision 1, 1/2, 2/3. VOC07: recalls 0 to .5 have 1, .6 to 1
# have 2/3: (6 + 5 * 2/3) / 11. VOC12: .5 * 1 + .5 * 2/3. dog: its only box is not found. Class 3:
# no groundtruth, one detection.
IMAGES = (
  ([(A, 1, ''), (B, 2, '')], [(A, 1, 0.9), (TINY, 1, 0.8), (A, 3, 0.5)]),
  ([(B, 1, ''), (A, 1, 'difficult')], [(B, 1, 0.7), (A, 1, 0.95)]),
  ([], []),
)
CAT_07, CAT_12 = (6 + 10 / 3) / 11, 0.5 + 1 / 3


def evaluated(*images, **kwargs):
  evaluator = Voc0712Evaluator(CATEGORIES, split='test.record', **kwargs)
  evaluator.update(*batch_of(images, num_classes=3))
  return evaluator


def test_names_and_values_by_hand(monkeypatch):
  warnings = []
  monkeypatch.setattr(logging, 'warning', lambda text, *args: warnings.append(text % args))
  metrics = evaluated(*IMAGES).result()
  assert list(metrics) == [
    f'{kind}/{name}' for kind in ('AP_VOC07', 'AP_VOC12') for name in ('1', '2', '3', 'mAP')
  ]
  expected = [CAT_07, 0, np.nan, CAT_07 / 2, CAT_12, 0, np.nan, CAT_12 / 2]
  np.testing.assert_allclose(list(metrics.values()), expected, atol=1e-12)
  assert warnings[0] == (
    f'AP_VOC07/mAP {CAT_07 / 2:.4f} is the mean over the 2 classes that have groundtruth. '
    f'SSD-Tensorflow counts the others (_$rare$) as 0: {CAT_07 / 3:.4f}'
  )


def test_difficult_boxes_count_if_they_are_asked_for():
  # By score: right (the difficult box), right, wrong, right, on 3 boxes: precision 1, 1, 2/3, 3/4.
  evaluator = evaluated(*IMAGES, count_difficult=True)
  metrics = evaluator.result()
  assert metrics['AP_VOC12/1'] == pytest.approx(2 / 3 + 0.75 / 3)
  assert metrics['AP_VOC07/1'] == pytest.approx((7 + 4 * 0.75) / 11)
  assert evaluator.details['difficult'] == 'counted'


def test_matching_threshold_has_to_be_reached():
  whole, half = np.array([0, 0, 25, 50]), np.array([0, 0, 25, 25])  # IoU .5, exactly.
  image = ([(whole, 1, '')], [(half, 1, 0.9)])
  assert evaluated(image).result()['AP_VOC12/1'] == 1  # As VOC's; SSD-Tensorflow: above .5.
  assert evaluated(image, iou_threshold=0.51).result()['AP_VOC12/1'] == 0


def test_nothing_at_all_is_nan():
  assert all(np.isnan(value) for value in evaluated(([], [])).result().values())


def test_tags_are_ssd_tensorflows():
  theirs = json.loads((BALANCAP / 'summary_tags.json').read_text())
  ours = Voc0712Evaluator([(i, f'class {i}') for i in range(1, 21)]).result()
  assert sorted(ours) == theirs and len(ours) == 42


@pytest.mark.parametrize('case', ['difficult_counted', 'difficult_ignored'])
def test_balancaps_images_from_boxes_to_both_metrics(case):
  golden = np.load(BALANCAP / 'metrics.npz')
  expected = json.loads((BALANCAP / 'metrics.json').read_text())
  assert expected[f'{case}_batch1'] == expected[f'{case}_batch4']
  expected = expected[f'{case}_batch1']
  evaluator = Voc0712Evaluator(
    [(i, f'{i}') for i in range(1, 5)], count_difficult=case == 'difficult_counted'
  )
  evaluator.update(*balancap_batch(golden, with_difficult=True))
  metrics, results = evaluator.result(), evaluator.class_results()
  for id_, per_class in expected['per_class'].items():
    result = results[int(id_)]
    assert result.num_groundtruth == per_class['num_gt']
    if case == 'difficult_counted':
      assert len(result.precision) == per_class['num_detections']
    else:  # Its fault: forgiven are also detections that overlap nothing.
      assert len(result.precision) >= per_class['num_detections']
    if id_ == '4':  # Without groundtruth: 0 there, undefined here.
      assert per_class['AP_VOC07'] == 0 and np.isnan(metrics['AP_VOC07/4'])
    elif case == 'difficult_counted' and id_ in '23':  # Of 1, detections come unsorted there.
      for kind in ('AP_VOC07', 'AP_VOC12'):
        assert metrics[f'{kind}/{id_}'] == pytest.approx(per_class[kind], abs=1e-12)
  if case == 'difficult_ignored':
    # Forgiving as it does gives its numbers: leave out what its own matches leave out.
    for id_ in (1, 2, 3):
      right, wrong = (golden[f'{case}_{kind}'][id_ - 1] for kind in ('tp', 'fp'))
      scores = golden['scores'][id_ - 1]
      counted = (right | wrong) & (scores > 1e-4)
      per_class = expected['per_class'][str(id_)]
      curve = precision_recall(scores[counted], right[counted], per_class['num_gt'])
      for kind, eleven in (('AP_VOC07', True), ('AP_VOC12', False)):
        assert average_precision(*curve, eleven) == pytest.approx(per_class[kind], abs=1e-12)
        assert metrics[f'{kind}/{id_}'] <= per_class[kind]


def keras_matches(golden, class_id, leave_out_neutral):
  """(Detections by falling score, right, counted) of ssd_keras' images by our matching."""
  rows, found = golden['gt_rows_imageid_class_xyxy_neutral'], golden[f'pred_c{class_id}']
  found = found[np.argsort(-found[:, 1], kind='stable')]
  right, counted = np.zeros(len(found)), np.zeros(len(found), bool)
  for image in np.unique(found[:, 0]):
    real = rows[(rows[:, 0] == image) & (rows[:, 1] == class_id)]
    neutral = (real[:, 6] > 0) & leave_out_neutral
    here = np.flatnonzero(found[:, 0] == image)
    matches = match_detections(
      found[here, 2:],
      # Ranks tell which detections were left out.
      -here,
      real[:, 2:6],
      is_difficult=neutral,
      is_group_of=np.zeros(len(real), bool),
    )
    kept = (-matches.scores).astype(int)
    right[kept], counted[kept] = matches.true_positives, True
  real = rows[rows[:, 1] == class_id]
  return right, counted, int(np.sum(~((real[:, 6] > 0) & leave_out_neutral)))


@pytest.mark.parametrize('border', ['half', 'include'])
@pytest.mark.parametrize('ignore_neutral', [True, False])
def test_ssd_keras_matches_curves_and_sampled_ap(ignore_neutral, border):
  golden = np.load(SSD_KERAS / 'evaluator.npz')
  expected = json.loads((SSD_KERAS / 'evaluator.json').read_text())
  case = expected[f'ignore_neutral={ignore_neutral}|border={border}|sample']
  averages = []
  for class_id in (1, 2, 3):
    right, counted, num_groundtruth = keras_matches(golden, class_id, ignore_neutral)
    key = f'ign{int(ignore_neutral)}_{border}_c{class_id}'
    np.testing.assert_array_equal(right, golden[f'{key}_tp'])
    np.testing.assert_array_equal(counted & (right == 0), golden[f'{key}_fp'])
    assert num_groundtruth == case['num_gt'][class_id]
    precision, recall = precision_recall(-np.flatnonzero(counted), right[counted], num_groundtruth)
    # There, a detection that is left out repeats the point before it; before the first, it is 0.
    np.testing.assert_allclose(precision, golden[f'{key}_prec'][counted], atol=1e-12)
    np.testing.assert_allclose(recall, golden[f'{key}_rec'][counted], atol=1e-12)
    averages.append(average_precision(precision, recall, use_07_metric=True))
  np.testing.assert_allclose(averages, case['AP'][1:], atol=1e-12)
  assert np.mean(averages) == pytest.approx(case['mAP'], abs=1e-12)


def test_ssd_keras_faults_are_not_ours():
  golden = json.loads((SSD_KERAS / 'evaluator.json').read_text())
  one, two = ([1.0], [1.0]), ([1.0, 1.0], [0.5, 1.0])
  # It leaves out the area before the first recall: 0 and .5 for nothing but right detections.
  assert golden['quirk_single_perfect_detection_integrate']['AP'][1] == 0
  assert golden['quirk_two_perfect_detections_integrate']['AP'][1] == 0.5
  assert average_precision(*one) == average_precision(*two) == 1
  assert golden['quirk_single_perfect_detection_sample']['AP'][1] == 1
  assert average_precision(*one, use_07_metric=True) == 1
  # Wrong, right, right: 1/2 up to recall .5, then 2/3, so 2/3 everywhere; .5 there.
  assert golden['fp_then_two_tp_integrate']['AP'][1] == 0.5
  assert average_precision([0, 0.5, 2 / 3], [0, 0.5, 1]) == pytest.approx(2 / 3)
  # It fails on a class without detections and on an image without groundtruth; here AP 0, and fine.
  assert 'raises' in golden['quirk_class_without_predictions']
  assert 'raises' in golden['quirk_image_without_gt']
  assert evaluated(([(A, 2, '')], []), ([], [])).result()['AP_VOC07/2'] == 0


STEPS = {
  20000: {'AP_VOC07/1': 0.6874, 'AP_VOC07/mAP': 0.6874, 'Loss/total_loss': 2.5},
  102500: {'AP_VOC07/1': 0.79, 'AP_VOC07/2': float('nan'), 'AP_VOC07/mAP': 0.79},
}


def test_table_of_classes_and_steps_has_ssd_keras_shape():
  text = voc_tables.markdown(STEPS, {1: 'aeroplane', 2: 'a|b'}, '# Title')
  table = text.split('\n\n')[2].splitlines()
  assert [[cell.strip() for cell in line.split(' | ')] for line in table[:1] + table[2:]] == [
    ['|', 'Steps', '20k', '102500 |'],
    ['| aeroplane', 'AP', '0.6874', '0.7900 |'],
    [r'| a\|b', 'AP', '-', '- |'],
    ['|', '**mAP**', '**0.6874**', '**0.7900** |'],
  ]
  assert set(table[1]) <= set('|-:')
  assert len({len(line) for line in table}) == 1
  assert text.startswith('# Title\n\n## Average precision as VOC2007')
  assert text.splitlines()[-1].split() == ['|', 'loss', '|', '2.5000', '|', '-', '|']
  rows = list(csv.reader(voc_tables.comma_separated(STEPS, {1: 'aeroplane', 2: 'a|b'}).split('\n')))
  assert rows[0] == ['metric', 'class', '20000', '102500']
  assert rows[1] == ['AP_VOC07', 'aeroplane', '0.687400', '0.790000']
  assert (
    rows[2] == ['AP_VOC07', 'a|b', '', ''] and ['AP_VOC07', 'mAP', '0.687400', '0.790000'] in rows
  )


def test_report_gathers_the_steps_of_the_same_settings(tmp_path, capfd):
  settings = {'nms_threshold': 0.45}
  evaluator = evaluated(*IMAGES)
  folder = str(tmp_path)
  for split, used in (('other.record', settings), ('test.record', {'nms_threshold': 0.6})):
    EvaluationLog(folder).append(7, {'AP_VOC07/1': 1.0}, {'split': split, 'settings': used})
  report = VocReport(folder, 'ssd_300_vgg on voc test', settings)
  for step in (1000, 2000):
    metrics = evaluator.result()
    EvaluationLog(folder).append(step, metrics, evaluator.details | {'settings': settings})
    report(step, metrics, EvaluatorGroup([evaluator]))
  text = (tmp_path / 'average_precision.md').read_text()
  assert '3 images with 4 boxes, of which 1 are difficult (left out), from `test.record`' in text
  assert (
    'nms_threshold 0.45' in text and 'SSD-Tensorflow counts each of the others as 0: _$r' in text
  )
  [header] = [line for line in text.splitlines() if ' Steps |' in line][:1]
  assert header.split() == ['|', '|', 'Steps', '|', '1k', '|', '2k', '|']
  assert f'| cat       |      AP |     {CAT_07:.4f} |     {CAT_07:.4f} |' in text
  names = sorted(path.name for path in tmp_path.glob('*.svg'))
  assert names == ['precision_recall_1000.svg', 'precision_recall_2000.svg']
  svg = xml.etree.ElementTree.parse(tmp_path / names[0])
  texts = [''.join(node.itertext()) for node in svg.iter('{http://www.w3.org/2000/svg}text')]
  assert f'cat  {CAT_07:.3f} / {CAT_12:.3f}' in texts and 'dog|wolf  0.000 / 0.000' in texts
  assert '1 of 3 classes have no groundtruth' in texts
  assert 'ssd_300_vgg on voc test, step 1000' in texts


def test_lines_of_the_classes():
  evaluator = evaluated(*IMAGES)
  text = class_table(evaluator.result(), evaluator.class_results())
  lines = [line.split() for line in text.splitlines()]
  assert lines == [
    ['id', 'class', 'boxes', 'detections', 'AP_VOC07', 'AP_VOC12'],
    ['1', 'cat', '2', '3', f'{CAT_07:.4f}', f'{CAT_12:.4f}'],
    ['2', 'dog|wolf', '1', '0', '0.0000', '0.0000'],
    ['3', '_$rare$', '0', '1', '-', '-'],
    ['mAP', f'{CAT_07 / 2:.4f}', f'{CAT_12 / 2:.4f}'],
  ]
