import pytest

from ssd_tf.data.sources import stated_numbers


@pytest.mark.parametrize(
  ('value', 'number', 'whole'),
  [
    (7, 7.0, 7),
    (7.0, 7.0, 7),
    ('7', 7.0, 7),
    (' 7.0 ', 7.0, 7),
    ('007', 7.0, 7),
    ('-3', -3.0, -3),
    (7.5, 7.5, None),
    ('1e3', 1000.0, 1000),
    # 2^63 + 1 is no float.
    (2**63 + 1, 2.0**63, 2**63 + 1),
    (str(2**63 + 1), 2.0**63, 2**63 + 1),
    (10**400, None, 10**400),
    *((value, None, None) for value in (True, False, None, [7], {}, '', 'seven', '7,5')),
    *((value, None, None) for value in (float('nan'), float('inf'), 'nan', '1e999', '1_0', '٧')),
  ],
)
def test_numbers_count_by_value(value, number, whole):
  found = stated_numbers.number(value), stated_numbers.whole_number(value)
  assert found == (number, whole)
  assert [type(entry) for entry in found] == [type(number), type(whole)]


@pytest.mark.parametrize(
  ('value', 'pixels', 'area'),
  [
    ('12.5', 12.5, 12.5),
    (0, 0, 0),
    (-3, -3, None),
    (1e9, 1e9, 1e9),
    (2e9, None, 2e9),
    (2e18, None, None),
    (float('nan'), None, None),
    (True, None, None),
  ],
)
def test_pixels_and_areas_are_those_of_images(value, pixels, area):
  assert (stated_numbers.pixels(value), stated_numbers.area(value)) == (pixels, area)
