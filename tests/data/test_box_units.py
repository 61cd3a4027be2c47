import numpy as np
import pytest

from ssd_tf.data import box_units
from ssd_tf.errors import InputError


def test_pixels_are_divided_by_the_size():
  boxes = box_units.normalize([[4, 6, 20, 30.5], [-2, 0, 40, 60]], 40, 60, 'a.csv')
  expected = np.float32([[0.1, 0.1, 0.5, 30.5 / 60], [-0.05, 0, 1, 1]])
  np.testing.assert_array_equal(boxes, expected)
  assert boxes.dtype == np.float32
  assert box_units.normalize(np.zeros([0, 4]), 40, 60, 'a.csv').shape == (0, 4)
  # Of one image, whole numbers may be a pixel.
  boxes = box_units.normalize([[0, 0, 1, 1]], 4, 5, 'a.csv')
  np.testing.assert_array_equal(boxes, np.float32([[0, 0, 0.25, 0.2]]))


@pytest.mark.parametrize('last', [0.9, 1.0, 1 + 1e-7])
def test_fractions_are_no_pixels(last):
  boxes = [[0.1, 0.2, 0.3, last], [0, 0, 1, 1]]
  with pytest.raises(InputError, match='a.csv: .*all 2 boxes lie within 0..1'):
    box_units.require_pixels(boxes, 'a.csv')
  with pytest.raises(InputError, match='a.csv: .*all 2 boxes lie within 0..1'):
    box_units.normalize(boxes, 40, 60, 'a.csv')


@pytest.mark.parametrize('boxes', [[[0, 0, 1, 2]], [[-1, 0, 1, 1]], np.zeros([0, 4])])
def test_pixels_pass(boxes):
  box_units.require_pixels(boxes, 'a.csv')
  found = box_units.normalize(boxes, 4, 5, 'a.csv')
  np.testing.assert_array_equal(found, np.float32(np.divide(boxes, [4, 5, 4, 5])))


def test_pixels_are_no_fractions():
  box_units.require_fractions([[0, 0.5, 1.25, 1]], 'a.csv')
  with pytest.raises(InputError, match='a.csv: a coordinate is 18,'):
    box_units.require_fractions([0.5, 18, 1], 'a.csv')
