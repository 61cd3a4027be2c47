"""Detections against hand-made tables; IoUs are in the comments."""

import numpy as np
import pytest

from ssd_tf.evaluation import error_analysis
from ssd_tf.evaluation.image_results import ImageResult

K = 3


def image(groundtruth=(), detections=(), *, crowd=(), difficult=(), group=(), labeled=(1, 2, 3)):
  """Rows (class, box) and (class, score, box); an image twice as wide as high."""
  n = len(groundtruth)

  def flags(rows):
    return np.isin(np.arange(n), rows)

  return ImageResult(
    source_id='image',
    height=100,
    width=200,
    groundtruth_boxes=np.array([b for _, b in groundtruth], np.float32).reshape(-1, 4),
    groundtruth_classes=np.array([c for c, _ in groundtruth], np.int32),
    is_crowd=flags(crowd),
    is_difficult=flags(difficult),
    is_group_of=flags(group),
    area=np.zeros(n, np.float32),
    labeled=np.isin(np.arange(1, K + 1), labeled),
    boxes=np.array([b for *_, b in detections], np.float32).reshape(-1, 4),
    scores=np.array([s for _, s, _ in detections], np.float32),
    classes=np.array([c for c, *_ in detections], np.int32),
  )


# Widths are of the height's 0.5, so that IoUs are those of intervals: [0, .4] and [0, .2]: 0.5.
def span(start, end):
  return [0.0, start, 0.5, end]


TABLE = image(
  [(1, span(0, 0.4)), (2, span(0.5, 0.9))],
  [
    (1, 0.9, span(0, 0.4)),  # IoU 1: right
    (1, 0.8, span(0, 0.3)),  # IoU 0.75 with what is taken: duplicate
    (1, 0.7, span(0.3, 0.5)),  # IoU 0.1 / 0.5 = 0.2: localization
    (1, 0.6, span(0.5, 0.8)),  # IoU 0.75 with the 2: class
    (3, 0.5, span(0.05, 0.15)),  # IoU 0.25 with the 1, of another class: background
    (2, 0.4, [0.8, 0.1, 1.0, 0.2]),  # IoU 0: background
    (2, 0.3, span(0.5, 0.7)),  # IoU 0.5, just enough: right
    (2, 0.2, span(0.86, 1.0)),  # IoU 0.04 / 0.5 = 0.08: background
  ],
)
KINDS = [
  *('right', 'duplicate', 'localization', 'class', 'background', 'background', 'right'),
  'background',
]


def test_kinds_of_false_positives():
  judged = error_analysis.judge(TABLE)
  assert list(judged.kinds) == KINDS
  assert list(judged.found) == [True, True]
  assert error_analysis.count_false_positives([judged, judged]) == {
    'localization': 2,
    'class': 2,
    'duplicate': 2,
    'background': 6,
  }
  counts = error_analysis.count_by_class([judged], K)
  assert counts.groundtruth.tolist() == [1, 1, 0]
  assert counts.found.tolist() == [1, 1, 0]
  assert counts.predicted.tolist() == [4, 3, 1]
  assert counts.wrong.tolist() == [3, 2, 1]


def test_a_score_threshold_leaves_detections_out():
  judged = error_analysis.judge(TABLE, score_threshold=0.4)  # 0.4 itself stays, as a float32.
  assert list(judged.kinds) == KINDS[:6]
  assert list(judged.missed) == [False, True]
  assert error_analysis.recall([judged]) == 0.5
  assert len(judged.result.boxes) == 6


def test_confusion_matrix():
  # The 1 that lies on the 2 takes it: of any class, by falling score. What is left for the other
  # detections, of 1 (two), 2 (three) and 3 (one), is no object.
  assert error_analysis.confusion_matrix([TABLE], K, score_threshold=0).tolist() == [
    [0, 2, 3, 1],
    [0, 1, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 0, 0],
  ]
  # Above 0.65: the 2 is missed, two of the three 1s are of no object.
  assert error_analysis.confusion_matrix([TABLE, TABLE], K, score_threshold=0.65).tolist() == [
    [0, 4, 0, 0],
    [0, 2, 0, 0],
    [2, 0, 0, 0],
    [0, 0, 0, 0],
  ]


def test_ties_of_overlap_and_of_score():
  # Both boxes are the same; the detection is of the first one's class, which the matrix prefers.
  twins = image([(1, span(0, 0.4)), (2, span(0, 0.4))], [(1, 0.9, span(0, 0.4))])
  matrix = error_analysis.confusion_matrix([twins], K)
  assert (matrix[1, 1], matrix[2, 0], matrix.sum()) == (1, 1, 2)
  # Equal scores: the first detection takes the object, though the second fits it better.
  equal = image([(1, span(0, 0.4))], [(1, 0.9, span(0, 0.3)), (1, 0.9, span(0, 0.4))])
  assert list(error_analysis.judge(equal).kinds) == ['right', 'duplicate']
  # Equal overlaps of its class: the last box is taken, and the second detection gets the first.
  boxes = [(1, span(0, 0.2)), (1, span(0.2, 0.4))]
  between = image(boxes, [(1, 0.9, span(0, 0.4)), (1, 0.8, span(0, 0.2))])  # 0.5 and 0.5; 1
  assert list(error_analysis.judge(between).kinds) == ['right', 'right']


@pytest.mark.parametrize('kind', ['crowd', 'group'])
def test_detections_inside_a_crowd_are_left_out(kind):
  # [0.1, 0.2] lies inside whole, though its IoU is 0.25; [0.3, 0.5] by half; [0.35, 0.55] by a
  # quarter; another class does not count as lying in it.
  detections = [
    (1, 0.9, span(0.1, 0.2)),
    (1, 0.8, span(0.3, 0.5)),
    (1, 0.7, span(0.35, 0.55)),
    (2, 0.6, span(0.1, 0.2)),
  ]
  crowd = image([(1, span(0, 0.4))], detections, **{kind: [0]})
  judged = error_analysis.judge(crowd)
  assert list(judged.kinds) == ['left out', 'left out', 'background', 'background']
  assert not judged.missed.any() and not judged.found.any()
  assert np.isnan(error_analysis.recall([judged]))
  matrix = error_analysis.confusion_matrix([crowd], K)
  assert (matrix[0, 1], matrix[0, 2], matrix.sum()) == (1, 1, 2)


def test_an_object_within_a_crowd_comes_first():
  both = image([(1, span(0, 0.4)), (1, span(0, 0.2))], [(1, 0.9, span(0, 0.2))], crowd=[0])
  judged = error_analysis.judge(both)
  assert list(judged.kinds) == ['right'] and list(judged.found) == [False, True]


def test_a_difficult_box_is_neither_found_nor_missed():
  # IoU 1, and 0.25: in difficult boxes it is the IoU that counts.
  detections = [(1, 0.9, span(0, 0.4)), (1, 0.8, span(0, 0.1))]
  judged = error_analysis.judge(image([(1, span(0, 0.4))], detections, difficult=[0]))
  assert list(judged.kinds) == ['left out', 'background']
  assert not judged.missed.any()


def test_what_is_not_labeled_is_not_wrong():
  # Only 1 is labeled in the image: the 2s may be there, wherever they lie.
  detections = [(2, 0.9, span(0, 0.4)), (2, 0.8, span(0.6, 0.8)), (1, 0.7, span(0, 0.4))]
  partly = image([(1, span(0, 0.4))], detections, labeled=[1])
  assert list(error_analysis.judge(partly).kinds) == ['left out', 'left out', 'right']
  matrix = error_analysis.confusion_matrix([partly], K)
  assert (matrix[1, 1], matrix.sum()) == (1, 1)


def test_images_without_groundtruth_and_without_detections():
  empty = error_analysis.judge(image([], [(2, 0.9, span(0, 0.4))]))
  blind = error_analysis.judge(image([(3, span(0, 0.4))], []))
  neither = error_analysis.judge(image())
  assert list(empty.kinds) == ['background']
  assert list(blind.missed) == [True]
  assert error_analysis.recall([empty, blind, neither]) == 0
  results = [judged.result for judged in (empty, blind, neither)]
  matrix = error_analysis.confusion_matrix(results, K)
  assert (matrix[0, 2], matrix[3, 0], matrix.sum()) == (1, 1, 2)


def test_score_histogram():
  scores = (0.0, 0.05, 0.25, 0.5, 0.5, 1.0)  # 0.25 and 0.5 lie on edges of quarters
  detections = [(1, s, span(0, 0.4)) for s in scores]
  histogram = error_analysis.score_histogram(
    [error_analysis.judge(image([(1, span(0, 0.4))], detections)), error_analysis.judge(image())],
    num_bins=4,
  )
  assert histogram.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
  assert histogram.right.tolist() == [0, 0, 0, 1]  # The highest score takes the only object.
  assert histogram.wrong.tolist() == [2, 1, 2, 0]
  assert error_analysis.score_histogram([], num_bins=2).right.tolist() == [0, 0]
