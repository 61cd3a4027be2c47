import itertools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ssd_tf.evaluation.error_analysis import ScoreHistogram
from ssd_tf.report import class_plots

SVG = '{http://www.w3.org/2000/svg}'
NAMES = ['cat', '<b>dog & $x$</b>', '_cow', 'hen']


def _texts(path):
  root = ElementTree.parse(path).getroot()
  assert root.tag == f'{SVG}svg'
  return [''.join(element.itertext()) for element in root.iter(f'{SVG}text')]


def test_scatter_names_points_and_gives_the_correlation(tmp_path):
  path = tmp_path / 'out' / 'scatter.svg'
  x, y = np.array([1.0, 2, 3, 4]), np.array([0.1, 0.3, 0.2, 0.6])
  # Deviations of x -1.5 -.5 .5 1.5 (squares 5), of y -.2 0 -.1 .3 (.14); products .3 - .05 + .45.
  found, left_out = class_plots.plot_scatter(x, y, NAMES, 'boxes', str(path))
  assert found.pearson == pytest.approx(0.7 / (5 * 0.14) ** 0.5)
  assert found.slope == pytest.approx(0.14)
  assert left_out == 0
  texts = _texts(path)
  assert set(NAMES) <= set(texts)
  assert {'boxes', 'AP at IoU .50:.95'} <= set(texts)
  assert 'stroke-dasharray' in path.read_text()


def test_two_classes_get_no_line(tmp_path):
  path = tmp_path / 'scatter.svg'
  x, y = np.array([5.0, 5.0]), np.array([0.5, 0.5])  # One and the same point.
  found, _ = class_plots.plot_scatter(x, y, NAMES[:2], 'boxes', str(path))
  assert found == '2 classes: with fewer than 3 a correlation coefficient has no meaning'
  assert 'stroke-dasharray' not in path.read_text()
  nothing, _ = class_plots.plot_scatter(np.zeros(0), np.zeros(0), [], 'boxes', str(path))
  assert nothing.startswith('0 classes')


@pytest.mark.parametrize(('count', 'some_left_out'), [(6, False), (90, True)])
def test_names_do_not_cover_each_other(count, some_left_out):
  figure = Figure(figsize=(10.8, 7.2))
  axes = figure.add_subplot(xlim=(0, 1), ylim=(0, 1))
  # Half of them in one corner; and one at the right border, whose name is at its left.
  x, y = np.random.default_rng(0).uniform(size=(2, count)) ** 2
  x[0] = 1
  left_out = class_plots._write_names(axes, x, y, [f'class number {i}' for i in range(count)], 7)
  renderer = FigureCanvasAgg(figure).get_renderer()
  boxes = [text.get_window_extent(renderer) for text in axes.texts]
  assert len(boxes) == count - left_out
  assert (left_out > 0) == some_left_out
  assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
  assert max(box.x1 for box in boxes) <= axes.get_window_extent(renderer).x1


def test_confusion_leaves_out_what_does_not_occur(tmp_path):
  path = tmp_path / 'confusion.svg'
  matrix = np.zeros((4, 4), np.int64)
  matrix[1, 1], matrix[1, 3], matrix[1, 0], matrix[0, 3] = 17, 23, 29, 31
  names = {1: 'cat', 2: 'dog', 3: '$hen'}
  class_plots.plot_confusion(matrix, names, str(path))
  texts = _texts(path)
  assert sorted(text for text in texts if text.isdigit()) == ['17', '23', '29', '31']
  assert texts.count('cat') == texts.count('$hen') == 2
  assert 'dog' not in texts
  assert {'missed', 'no object', 'detected as', 'groundtruth'} <= set(texts)


def test_confusion_with_a_class_that_the_label_map_lacks(tmp_path):
  path = tmp_path / 'confusion.svg'
  class_plots.plot_confusion(np.ones((4, 4), int), {1: 'cat', 3: 'dog'}, str(path))
  assert all(_texts(path).count(name) == 2 for name in ('cat', 'class 2', 'dog'))


def test_confusion_of_many_classes_and_of_none(tmp_path):
  path = tmp_path / 'confusion.svg'
  class_plots.plot_confusion(np.ones((91, 91), int), {i: f'c{i}' for i in range(1, 91)}, str(path))
  assert _texts(path).count('c90') == 2
  assert path.stat().st_size < 200_000
  class_plots.plot_confusion(np.zeros((3, 3), int), {1: 'a', 2: 'b'}, str(path))
  assert 'missed' in _texts(path)


def test_curves_kinds_and_scores_are_svg(tmp_path):
  path = tmp_path / 'plot.svg'
  curve = np.where(np.arange(101) <= 50, 0.8, 0)
  class_plots.plot_curves(
    {1: curve, 2: np.full(101, -1.0)}, {1: 'cat', 2: 'dog'}, {1: 3, 2: 0}, 'IoU 0.50', str(path)
  )
  # 51 of the 101 recalls at .8: .404.
  assert {'cat  0.404', 'AP', '1 of 2 classes have no groundtruth'} <= set(_texts(path))
  class_plots.plot_kinds({'class': 0, 'background': 41}, str(path))
  assert {'class', 'background', '0', '41'} <= set(_texts(path))
  histogram = ScoreHistogram(np.linspace(0, 1, 4), np.array([0, 1, 9]), np.array([90, 1, 0]))
  class_plots.plot_scores(histogram, str(path))
  assert {'right', 'wrong', 'score', 'detections'} <= set(_texts(path))
