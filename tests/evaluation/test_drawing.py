"""Drawn boxes and labels, by their pixels, on non-square images."""

import numpy as np
import pytest

from ssd_tf import fields
from ssd_tf.evaluation import drawing

_NAMES = {1: 'cell', 2: 'platelet'}


def _blank(height=240, width=480):
  return np.full((height, width, 3), 200, np.uint8)


def _draw(image, boxes, classes, scores=None, names=_NAMES):
  boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
  return drawing.draw_detections(image, boxes, np.asarray(classes, np.int32), scores, names)


def _of_color(image, class_id):
  """Gives where the class's color is, as a mask."""
  return (image == np.array(drawing.class_color(class_id))).all(axis=-1)


def test_box_lies_on_its_pixels():
  # 240x480: rows .25..0.75 are 60..179, columns .5...75 are 240..359; line width 240 / 240 = 1.
  drawn = _of_color(_draw(_blank(), [[0.25, 0.5, 0.75, 0.75]], [1]), 1)
  expected = np.zeros((240, 480), bool)
  expected[[60, 179], 240:360] = True
  expected[60:180, [240, 359]] = True
  # The label stands above the box: letters of 10 pixels and a margin of 4.
  np.testing.assert_array_equal(drawn[60:], expected[60:])
  rows, columns = np.nonzero(drawn[:60])
  assert rows.min() == 60 - 14 and columns.min() == 240 and columns.max() < 360


def test_line_grows_with_the_image():
  # The shorter side counts: 960 / 240 = 4.
  drawn = _of_color(_draw(_blank(960, 1200), [[0.25, 0.25, 0.75, 0.75]], [2]), 2)
  column = drawn[720 - 10 : 730, 600]
  np.testing.assert_array_equal(np.flatnonzero(column), [6, 7, 8, 9])


def test_image_without_boxes_and_the_image_given_stay_as_they_are():
  image = _blank()
  np.testing.assert_array_equal(_draw(image, [], []), image)
  _draw(image, [[0, 0, 1, 1]], [1])
  np.testing.assert_array_equal(image, _blank())


@pytest.mark.parametrize(
  'box',
  [
    [0.5, 0.5, 0.5, 0.5],
    [0.5, 0.5, 0.501, 0.5005],
    [0, 0, 1, 1],
    [-0.2, 0.9, 0.1, 1.3],
    [0.99, 0.99, 1, 1],
  ],
  ids=['empty', 'tiny', 'full', 'outside', 'corner'],
)
def test_box_and_label_of_any_box_are_within_the_image(box):
  drawn = _draw(_blank(), [box], [1], np.array([0.5]))
  assert drawn.shape == (240, 480, 3)
  # At least 14 rows of a label some 30 pixels wide, less its letters.
  assert _of_color(drawn, 1).sum() > 200


def test_labels_keep_clear_of_each_other():
  # Two classes on the same box: each label's own color keeps its whole area but for the letters.
  box = [0.3, 0.3, 0.6, 0.6]
  alone = [_of_color(_draw(_blank(), [box], [k], np.array([0.5])), k).sum() for k in (1, 2)]
  both = _draw(_blank(), [box, box], [1, 2], np.array([0.9, 0.5]))
  outline = 2 * (72 + 144) - 4
  assert _of_color(both, 1).sum() >= alone[0] - 60  # '90%' for '50%', letters differ a little
  assert _of_color(both, 2).sum() >= alone[1] - outline


def test_best_detection_is_on_top():
  box = [0.3, 0.3, 0.6, 0.6]
  both = _draw(_blank(), [box, box], [1, 2], np.array([0.5, 0.9]))
  assert _of_color(both, 2)[100, 144] and not _of_color(both, 1)[73:143, 144].any()


def test_narrow_boxes_show_no_score():
  # A digit's box is 14 pixels wide; 'cell 90%' would take more than three times that.
  box = [0.5, 0.5, 0.6, 0.53]
  scored = _draw(_blank(), [box], [1], np.array([0.9]))
  np.testing.assert_array_equal(scored, _draw(_blank(), [box], [1]))


def test_names_in_other_scripts_are_written():
  box = [[0.25, 0.5, 0.75, 0.75]]
  drawn = {name: _draw(_blank(), box, [1], None, {1: name}) for name in ('ж', 'я', 'ß', '1')}
  names = list(drawn)
  for i, name in enumerate(names):
    for other in names[i + 1 :]:
      assert (drawn[name] != drawn[other]).any(), (name, other)


def test_name_that_no_font_has_and_absent_name_show_the_id():
  box = [[0.25, 0.5, 0.75, 0.75]]
  unwritable = _draw(_blank(), box, [7], None, {7: '\U000f0000'})  # private use: in no font
  np.testing.assert_array_equal(unwritable, _draw(_blank(), box, [7], None, {}))
  np.testing.assert_array_equal(unwritable, _draw(_blank(), box, [7], None, {7: '7'}))


def test_class_colors_are_stable_and_apart():
  colors = np.array([drawing.class_color(k) for k in range(1, 21)], int)
  # Hue .568 at saturation .9 is (25.5, 161.4, 255), luma 131.4; scaled by 120 / 131.4.
  assert drawing.class_color(1) == (23, 147, 233)
  distances = np.abs(colors[:, None] - colors[None]).sum(axis=-1)
  assert distances[~np.eye(20, dtype=bool)].min() > 30


def test_side_by_side_halves_threshold_and_padding():
  detections = {
    fields.DETECTION_BOXES: np.array([[0.2, 0.2, 0.6, 0.6]] * 3, np.float32),
    fields.DETECTION_SCORES: np.array([0.5, 0.49, 0.99], np.float32),
    fields.DETECTION_CLASSES: np.array([1, 2, 2], np.int32),
    fields.NUM_DETECTIONS: np.int32(2),  # the third row is padding
  }
  groundtruth = {
    fields.GROUNDTRUTH_BOXES: np.array([[0.5, 0.5, 0.9, 0.9], [0, 0, 0, 0]], np.float32),
    fields.GROUNDTRUTH_CLASSES: np.array([2, 0], np.int32),
    fields.GROUNDTRUTH_MASK: np.array([True, False]),
  }
  pair = drawing.side_by_side(_blank(), detections, groundtruth, _NAMES)
  # Letters of 10: a strip of 18; a gap of 480 / 80 = 6.
  assert pair.shape == (240 + 18, 2 * 480 + 6, 3)
  left, right = pair[18:, :480], pair[18:, 486:]
  np.testing.assert_array_equal(
    left, _draw(_blank(), [[0.2, 0.2, 0.6, 0.6]], [1], np.array([0.5], np.float32))
  )
  np.testing.assert_array_equal(right, _draw(_blank(), [[0.5, 0.5, 0.9, 0.9]], [2]))


def test_side_by_side_enlarges_a_small_image_and_takes_an_empty_one():
  nothing = {
    fields.DETECTION_BOXES: np.zeros((0, 4)),
    fields.DETECTION_SCORES: np.zeros(0),
    fields.DETECTION_CLASSES: np.zeros(0, int),
    fields.NUM_DETECTIONS: 0,
    fields.GROUNDTRUTH_BOXES: np.zeros((0, 4)),
    fields.GROUNDTRUTH_CLASSES: np.zeros(0, int),
  }
  # 60x90: five times 90 is the first past 400.
  pair = drawing.side_by_side(_blank(60, 90), nothing, nothing, _NAMES)
  assert pair.shape[1] == 2 * 450 + 6
  np.testing.assert_array_equal(pair[18:, :450], _blank(300, 450))


def test_bad_input_is_named():
  with pytest.raises(ValueError, match=r'image: expected uint8 .* received float32 \(4, 6, 3\)'):
    _draw(np.zeros((4, 6, 3), np.float32), [], [])
  with pytest.raises(ValueError, match=r'boxes: expected shape \[2, 4\], received \(1, 4\)'):
    _draw(_blank(), [[0, 0, 1, 1]], [1, 2])
