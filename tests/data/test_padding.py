"""Images set into larger ones, alone and after a crop."""

import functools

import example_draws as draws
import numpy as np
import pytest
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation import crop_padding, crops, padding

BOXES = [[0.1, 0.1, 0.4, 0.4], [0.0, 0.5, 1.0, 1.0], [0.5, 0.5, 0.52, 0.51]]
OPERATIONS = {
  'random_pad_image': padding.random_pad_image,
  'random_absolute_pad_image': functools.partial(
    padding.random_absolute_pad_image, max_height_padding=9, max_width_padding=5
  ),
  'random_pad_to_aspect_ratio': padding.random_pad_to_aspect_ratio,
  'random_crop_pad_image': crop_padding.random_crop_pad_image,
  'ssd_random_crop_pad': crop_padding.ssd_random_crop_pad,
  'ssd_random_crop_pad_fixed_aspect_ratio': crop_padding.ssd_random_crop_pad_fixed_aspect_ratio,
}
RED = (200.0, 7.4, 3.6)


def bright(height, width):
  """No pixel has the color of a padding: rows, columns, 255."""
  rows, columns = np.mgrid[:height, :width]
  return np.stack([rows, columns, np.full_like(rows, 255)], axis=-1)


def places(drawn):
  """(top, left, height, width) of the bright pixels of each, in its image."""
  found = []
  for draw in drawn:
    inside = draw[fields.IMAGE][..., 2] == 255
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert inside.sum() == len(rows) * len(columns)
    found.append((rows[0], columns[0], len(rows), len(columns)))
  return np.array(found)


def sizes_of(drawn):
  return np.array([draw[fields.IMAGE].shape[:2] for draw in drawn])


def test_pad_sets_pixels_and_boxes():
  example = draws.make_example(
    draws.noise(2, 3), [[0, 0, 1, 1], [0.5, 1 / 3, 1, 1], [0, 0, 0.1, 0]]
  )
  pad = lambda example, seed: padding.pad(  # noqa: E731
    example, tf.constant([1, 4]), tf.constant([5, 10]), pad_color=RED
  )
  padded = draws.eager_and_mapped(pad, example)
  expected = np.broadcast_to(np.array([200, 7, 4]), [5, 10, 3]).copy()
  expected[1:3, 4:7] = example[fields.IMAGE]
  np.testing.assert_array_equal(padded[fields.IMAGE], expected)
  # (2 y + 1) / 5, (3 x + 4) / 10
  np.testing.assert_allclose(
    padded[fields.GROUNDTRUTH_BOXES],
    [[0.2, 0.4, 0.6, 0.7], [0.4, 0.5, 0.6, 0.7], [0.2, 0.4, 0.24, 0.4]],
    atol=1e-6,
  )
  assert draws.rows_of(padded) == [0, 1, 2]


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_pad_color_is_the_mean_of_the_image(dtype):
  example = draws.make_example(draws.noise(5, 8), dtype=dtype)
  pad = lambda example, seed: padding.pad(example, tf.constant([0, 0]), tf.constant([5, 9]))  # noqa: E731
  padded = draws.eager_and_mapped(pad, example)
  mean = example[fields.IMAGE].mean(axis=(0, 1))
  tolerance = 0.5 if dtype == np.uint8 else 1e-4
  np.testing.assert_allclose(
    padded[fields.IMAGE][:, 8], np.broadcast_to(mean, [5, 3]), atol=tolerance
  )
  assert padded[fields.IMAGE].dtype == dtype


@pytest.mark.parametrize('boxes', [[], [[0.0, 0.0, 0.5, 1.0]], [[0.5, 0.25, 0.52, 0.27]]])
@pytest.mark.parametrize('name', OPERATIONS)
def test_examples_of_every_kind(name, boxes):
  example = draws.make_example(draws.noise(30, 50), boxes)
  example[fields.LABELED_CLASSES] = np.array([True, False, True, False])
  changed = draws.eager_and_mapped(OPERATIONS[name], example)
  assert changed[fields.IMAGE].dtype == np.uint8
  np.testing.assert_array_equal(changed[fields.LABELED_CLASSES], example[fields.LABELED_CLASSES])
  np.testing.assert_array_equal(changed[fields.ORIGINAL_SIZE], [30, 50])
  for draw in draws.many_draws(OPERATIONS[name], example, 50):
    assert set(draws.rows_of(draw)) <= set(range(len(boxes)))
    found = draw[fields.GROUNDTRUTH_BOXES]
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize('name', OPERATIONS)
def test_a_seed_decides(name):
  example = {k: tf.constant(v) for k, v in draws.make_example(draws.noise(30, 50)).items()}
  results = []
  for seed in ([1, 2], [1, 2], [2, 2], [3, 2], [4, 2]):
    drawn = OPERATIONS[name](example, tf.constant(seed))
    results.append(drawn[fields.IMAGE].numpy().tobytes())
  assert results[0] == results[1]
  assert len(set(results)) > 2


def assert_boxes_follow(drawn, found):
  for draw, (top, left, height, width) in zip(drawn, found, strict=True):
    h, w = draw[fields.IMAGE].shape[:2]
    pixels = np.array(BOXES) * [height, width, height, width] + [top, left, top, left]
    np.testing.assert_allclose(draw[fields.GROUNDTRUTH_BOXES], pixels / [h, w, h, w], atol=1e-5)
    assert draws.rows_of(draw) == [0, 1, 2]


def test_random_pad_image_is_even_up_to_twice_the_size():
  example = draws.make_example(bright(100, 150), BOXES)
  drawn = draws.many_draws(
    functools.partial(padding.random_pad_image, pad_color=(1.0, 2.0, 3.0)), example
  )
  found, sizes = places(drawn), sizes_of(drawn)
  assert (found[:, 2:] == (100, 150)).all()
  draws.assert_spread(sizes[:, 0], 100, 199)
  draws.assert_spread(sizes[:, 1], 150, 299)
  # The place is even in [0, what is missing), so its share has a mean of about .5.
  missing = sizes - (100, 150)
  assert (found[:, :2] <= np.maximum(missing - 1, 0)).all()
  share = found[:, :2] / np.maximum(missing, 1)
  assert (np.abs(share[(missing > 30).all(axis=1)].mean(axis=0) - 0.5) < 0.07).all()
  assert_boxes_follow(drawn, found)
  for draw, (top, left, _, _) in zip(drawn[:20], found, strict=False):
    image = draw[fields.IMAGE]
    np.testing.assert_array_equal(image[top : top + 100, left : left + 150], bright(100, 150))
    outside = np.ones(image.shape[:2], bool)
    outside[top : top + 100, left : left + 150] = False
    assert (image[outside] == (1, 2, 3)).all()


@pytest.mark.parametrize(
  ('least', 'most', 'low', 'high'),
  [
    ((120, 160), (140, 161), (120, 160), (139, 160)),
    ((1, 1), (1, 1), (100, 150), (100, 150)),  # Both limits are at least the image's size.
    ((1, 1), (110, 1), (100, 150), (109, 150)),
    (None, (103, 150), (100, 150), (102, 150)),
    ((190, 290), None, (190, 290), (199, 299)),
    ((900, 900), None, (200, 300), (200, 300)),  # The greatest counts: twice the image's.
  ],
)
def test_random_pad_image_keeps_to_its_sizes(least, most, low, high):
  operation = functools.partial(
    padding.random_pad_image, min_image_size=least, max_image_size=most, pad_color=(0.0, 0.0, 0.0)
  )
  drawn = draws.many_draws(operation, draws.make_example(bright(100, 150), BOXES), 200)
  sizes = sizes_of(drawn)
  assert sizes.min(axis=0).tolist() == list(low)
  assert sizes.max(axis=0).tolist() == list(high)
  assert_boxes_follow(drawn, places(drawn))


def test_absolute_padding_is_below_its_limit():
  example = draws.make_example(bright(20, 30), BOXES)
  operation = functools.partial(
    padding.random_absolute_pad_image,
    max_height_padding=5,
    max_width_padding=3,
    pad_color=(0.0, 0.0, 0.0),
  )
  drawn = draws.many_draws(operation, example)
  added = sizes_of(drawn) - (20, 30)
  # 80 each, and 133 each; standard deviations 8 and 9.4.
  for axis, limit in ((0, 5), (1, 3)):
    counts = np.bincount(added[:, axis])
    assert len(counts) == limit
    assert (np.abs(counts - 400 / limit) < 38).all()
  assert_boxes_follow(drawn, places(drawn))
  unchanged = draws.eager_and_mapped(padding.random_absolute_pad_image, example)
  np.testing.assert_array_equal(unchanged[fields.IMAGE], example[fields.IMAGE])


@pytest.mark.parametrize(
  ('aspect_ratio', 'least', 'most', 'low', 'high'),
  [
    # 100x150: the smallest square is 150x150; its height may be 100 to 200, its width 150 to 300,
    # so the scale is 1 to 200 / 150.
    (1.0, (1.0, 1.0), (2.0, 2.0), 1.0, 4 / 3),
    # 100x200; 100 to 200 by 150 to 300: 1 to 1.5.
    (2.0, (1.0, 1.0), (2.0, 2.0), 1.0, 1.5),
    # 150x150; 160 to 250 by 225 to 450: 160 / 150 (225 / 150 is more) to 250 / 150.
    (1.0, (1.6, 1.5), (2.5, 3.0), 1.6 / 1.5, 2.5 / 1.5),
  ],
)
def test_pad_to_aspect_ratio(aspect_ratio, least, most, low, high):
  operation = functools.partial(
    padding.random_pad_to_aspect_ratio,
    aspect_ratio=aspect_ratio,
    min_padded_size_ratio=least,
    max_padded_size_ratio=most,
  )
  drawn = draws.many_draws(operation, draws.make_example(bright(100, 150), BOXES))
  found, sizes = places(drawn), sizes_of(drawn)
  assert (found == (0, 0, 100, 150)).all()
  smallest = np.maximum([100, 150], [150 / aspect_ratio, 100 * aspect_ratio])
  scales = sizes / smallest
  np.testing.assert_allclose(scales[:, 0], scales[:, 1], atol=0.011)
  # Rounded to a pixel.
  assert abs(scales.min() - low) < 0.02 and abs(scales.max() - high) < 0.02
  assert abs(scales.mean() - (low + high) / 2) < 0.03
  assert_boxes_follow(drawn, found)
  assert drawn[0][fields.IMAGE][-1, -1].tolist() == [0, 0, 0]


def test_crop_pad_has_sizes_of_the_image_before_the_crop():
  case = crop_padding.CropPadCase(
    crops.CropCase(0.0, 0.0, area_range=(0.2, 0.3), random_coef=0.0),
    min_padded_size_ratio=(0.5, 1.0),
    max_padded_size_ratio=(1.0, 1.5),
    pad_color=(1.0, 2.0, 3.0),
  )
  operation = functools.partial(crop_padding.random_crop_pad_image, case=case)
  example = draws.make_example(bright(100, 150), BOXES)
  draws.eager_and_mapped(operation, example)
  drawn = draws.many_draws(operation, example)
  found, sizes = places(drawn), sizes_of(drawn)
  area = found[:, 2] * found[:, 3] / 15000
  assert area.min() > 0.19 and area.max() < 0.31
  # Heights from 50, or the window's, to 99; widths from 150 to 224.
  assert (sizes[:, 0] >= np.maximum(found[:, 2], 50)).all() and sizes[:, 0].max() == 99
  draws.assert_spread(sizes[:, 1], 150, 224)
  for draw, (top, left, height, width) in zip(drawn, found, strict=True):
    # Pixels say where the window was.
    first = draw[fields.IMAGE][top, left, :2].astype(int)
    h, w = draw[fields.IMAGE].shape[:2]
    for row, box in zip(draws.rows_of(draw), draw[fields.GROUNDTRUTH_BOXES], strict=True):
      pixels = np.array(BOXES[row]) * [100, 150, 100, 150] - np.tile(first, 2)
      clipped = np.clip(pixels, 0, [height, width, height, width]) + [top, left, top, left]
      np.testing.assert_allclose(box, clipped / [h, w, h, w], atol=1e-5)


def test_crop_pad_fills_with_the_mean_of_the_window():
  case = crop_padding.CropPadCase(crops.CropCase(0.0, 0.0, area_range=(0.2, 0.3), random_coef=0.0))
  operation = functools.partial(crop_padding.random_crop_pad_image, case=case)
  drawn = draws.many_draws(operation, draws.make_example(bright(100, 150), BOXES), 40)
  for draw in drawn:
    image = draw[fields.IMAGE].astype(float)
    # Blue is 255 in window and mean; the window ascends: its mean is half of its ends.
    outside = image[0, 0] if (image[0, 0] != image[0, 1]).sum() == 0 else image[-1, -1]
    same = (image == outside).all(axis=-1)
    window = image[~same]
    np.testing.assert_allclose(window.mean(axis=0), outside, atol=1.5)


def test_ssd_crop_pad_has_six_cases_of_its_own():
  assert [case.crop.min_object_covered for case in crop_padding.SSD_CROP_PAD_CASES] == [
    *(0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
  ]
  colors = [(float(i), 50.0, 60.0) for i in range(3)]
  cases = [
    crop_padding.CropPadCase(crops.CropCase(0.0, 0.0), (1.5, 1.5), (2.0, 2.0), color)
    for color in colors
  ]
  operation = functools.partial(crop_padding.ssd_random_crop_pad, operations=cases)
  drawn = draws.many_draws(operation, draws.make_example(np.full([60, 80, 3], 255), BOXES), 300)
  corners = [tuple(draw[fields.IMAGE][-1, -1]) for draw in drawn]
  # 100 each, standard deviation 8.2.
  assert all(67 < corners.count(color) < 133 for color in colors)
  sizes = sizes_of(drawn)
  assert sizes.min(axis=0).tolist() == [90, 120] and sizes.max(axis=0).tolist() == [119, 159]


def test_ssd_crop_pad_fixed_aspect_ratio():
  operation = functools.partial(
    crop_padding.ssd_random_crop_pad_fixed_aspect_ratio, aspect_ratio=1.5
  )
  drawn = draws.many_draws(operation, draws.make_example(bright(100, 150), BOXES), 300)
  heights, widths = sizes_of(drawn).T
  assert (np.abs(widths - 1.5 * heights) <= 1.3).all()
  found = places(drawn)
  assert (found[:, :2] == 0).all()
  # .15 of 300 are not cropped.
  assert 25 < (found[:, 2:] == (100, 150)).all(axis=1).sum() < 80
