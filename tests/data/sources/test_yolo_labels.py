import numpy as np
import pytest

from ssd_tf.data.sources import yolo_labels
from ssd_tf.errors import InputError


@pytest.fixture
def write(tmp_path):
  def write_file(text, name='a.txt'):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(tmp_path / name)

  return write_file


def test_lines_as_editors_leave_them(write):
  path = write('\ufeff1\t.5 .5\t.2 .4 \r\n\x0c\r\n0.0 .5 .5 1e0 1\r\n0 .3 .3 0 .1')
  numbers, boxes = yolo_labels.read_boxes(path, 2, None)
  # y -+ height / 2, x -+ width / 2.
  expected = [[0.3, 0.4, 0.7, 0.6], [0, 0, 1, 1], [0.25, 0.3, 0.35, 0.3]]
  np.testing.assert_allclose(boxes, expected, atol=1e-7)
  assert numbers == [1, 0, 0]


def test_no_file_and_an_empty_one_have_no_boxes(write):
  for path in (write(''), write('\ufeff\n \n'), write('') + '.gone'):
    numbers, boxes = yolo_labels.read_boxes(path, 2, None)
    assert numbers == [] and boxes.shape == (0, 4)


def test_of_keypoints_the_box_is_read(write):
  # The points 0.9 lie outside the box: none of them may widen it.
  path = write('0 .5 .4 .2 .1 .9 .9 2 0 0 0\n0 .5 .4 .2 .1\n')
  _, boxes = yolo_labels.read_boxes(path, 1, 6)
  np.testing.assert_allclose(boxes, [[0.35, 0.4, 0.45, 0.6]] * 2, atol=1e-7)


def test_an_oriented_box_becomes_the_box_around_it(write):
  _, boxes = yolo_labels.read_boxes(write('0 .5 .1 .7 .3 .5 .5 .3 .3\n'), 1, None)
  np.testing.assert_allclose(boxes, [[0.1, 0.3, 0.5, 0.7]], atol=1e-7)


@pytest.mark.parametrize(
  ('text', 'keypoint_values', 'words'),
  [
    ('0 18.0 32.5 32.0 33.0', None, 'line 1: a coordinate is 33'),
    ('\n0 .5 .5 .1 .1\n0 10 10 90 10 90 80', None, 'line 3: a coordinate is 90'),
    ('0 nan .5 .1 .1', None, 'line 1: expected finite numbers'),
    ('0 .5 .5 .1 1e999', None, 'line 1: expected finite numbers'),
    ('inf .5 .5 .1 .1', None, 'line 1: expected finite numbers'),
    ('0 .5 .5 -.1 .1', None, 'line 1: expected a width and height'),
    ('0 .5 .5 .1 .1 .9', None, 'received 6 numbers; a confidence'),
    ('0 .5 .5 .1 .1 .5 .5 2', None, 'received 8 numbers; boxes with keypoints'),
    ('0 .5 .5 .1 .1 .5 .5', 4, 'line 1: expected class x y width height and, by kpt_shape, 4'),
    ('0 .5 .5 .1', 4, 'received 4 numbers'),
    ('0 .5,.5,.1,.1', None, 'line 1: expected numbers'),
    ('0', None, 'received 1 numbers'),
    (b'0 .5 .5 .1 .1\n0 .5 .5 .1 .1 \xe9\n', None, 'a.txt:2: expected UTF-8 text, found byte 0xe9'),
  ],
)
def test_faulty_lines_are_named(text, keypoint_values, words, write):
  with pytest.raises(InputError) as raised:
    yolo_labels.read_boxes(write(text), 2, keypoint_values)
  assert 'a.txt' in str(raised.value) and words in str(raised.value)


def boxes_inside(rng, count):
  """f64[count,4]: center and size, inside the image."""
  size = rng.uniform(0.02, 0.4, (count, 2))
  return np.hstack([rng.uniform(size / 2, 1 - size / 2), size])


def keypoints(num_points, num_values):
  def make(rng, count):
    boxes = boxes_inside(rng, count)
    points = rng.uniform(-0.5, 0.5, (count, num_points, 2)) * boxes[:, None, 2:]
    points += boxes[:, None, :2]
    if num_values == 3:
      visible = rng.integers(0, 3, (count, num_points, 1))
      points = np.concatenate([points * (visible > 0), visible], axis=2)
    return np.hstack([boxes, points.reshape(count, -1)])

  return make


def polygons(num_points):
  """Around centers all over the image."""

  def make(rng, count):
    boxes = boxes_inside(rng, count)
    angles = np.sort(rng.uniform(0, 2 * np.pi, (count, num_points)))[..., None]
    around = np.concatenate([np.cos(angles), np.sin(angles)], axis=2) / 2 * boxes[:, None, 2:]
    return (boxes[:, None, :2] + around).reshape(count, -1)

  return make


def tracks(rng, count):
  return np.hstack([boxes_inside(rng, count), rng.uniform(0.3, 1, (count, 1)), np.ones((count, 1))])


def small_and_central(rng, count):
  return 0.45 + 0.1 * polygons(5)(rng, count)


def write_lines(write, rows, files=3):
  lines = [f'0 {" ".join(f"{value:.6g}" for value in row)}\n' for row in rows]
  return [write(''.join(lines[i::files]), f'{i}.txt') for i in range(files)]


@pytest.mark.parametrize(
  ('make', 'shape'),
  [
    (keypoints(1, 2), '1,2'),
    (keypoints(2, 2), '2,2'),  # 8 numbers as of an oriented box, but rarely a convex polygon.
    (keypoints(4, 2), '4,2'),
    (keypoints(17, 2), '17,2'),
    (keypoints(2, 3), '2,3'),
    (keypoints(4, 3), '4,3'),
    (tracks, 'track'),
    (small_and_central, '3,2'),
  ],
)
def test_what_may_be_no_polygons_is_refused_until_told(make, shape, write):
  rows = make(np.random.default_rng(0), 60)
  paths = write_lines(write, rows) + [write('0 .5 .5 .1 .1\n', 'a box.txt')]
  with pytest.raises(InputError) as raised:
    yolo_labels.check_files(paths, 1, None)
  assert '0.txt: line 1: ' in str(raised.value) and shape in str(raised.value)
  assert 'all 60 lines' in str(raised.value) and '--kpt_shape=0' in str(raised.value)
  yolo_labels.check_files(paths, 1, 0)
  yolo_labels.check_files(paths, 1, rows.shape[1] - 4)


@pytest.mark.parametrize('make', [polygons(n) for n in (3, 4, 5, 7, 12)])
def test_polygons_are_polygons_also_if_all_have_the_same_number_of_points(make, write):
  rows = make(np.random.default_rng(0), 60)
  yolo_labels.check_files(write_lines(write, np.clip(rows, 0, 1)), 1, None)


def test_polygons_of_different_lengths_are_polygons(write):
  rng = np.random.default_rng(0)
  rows = [*small_and_central(rng, 30), *(0.45 + 0.1 * polygons(6)(rng, 1))]
  yolo_labels.check_files(write_lines(write, rows), 1, None)


def test_a_set_without_a_sound_file_is_refused_by_its_first(write):
  empty, pixels, latin = write('', '0.txt'), write('0 9 9 8 8', '1.txt'), write(b'\xe9', '2.txt')
  with pytest.raises(InputError, match=r'1\.txt: line 1: .* seem to be pixels.*1 other files'):
    yolo_labels.check_files([empty, pixels, latin], 1, None)
  yolo_labels.check_files([empty, pixels, latin, write('0 .5 .5 .1 .1', '3.txt')], 1, None)
  yolo_labels.check_files([empty], 1, None)
