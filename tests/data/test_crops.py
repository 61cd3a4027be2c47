"""Random windows: of the crops of the API, of squares, of fixed aspect ratios."""

import functools
import os

import example_draws as draws
import numpy as np
import pytest
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation import boxes as boxes_lib
from ssd_tf.data.augmentation import crops, square_crops

TESTDATA = os.path.join(os.path.dirname(__file__), '..', 'testdata')
BOXES = [[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.2, 0.6, 0.35, 0.8]]
# None; on the border; tiny; the whole image.
CASES = ([], [[0.0, 0.0, 0.5, 1.0]], [[0.5, 0.25, 0.52, 0.27]], [[0.0, 0.0, 1.0, 1.0]])
OPERATIONS = {
  'random_crop_image': crops.random_crop_image,
  'ssd_random_crop': crops.ssd_random_crop,
  'ssd_random_crop_fixed_aspect_ratio': crops.ssd_random_crop_fixed_aspect_ratio,
  'random_crop_to_aspect_ratio': crops.random_crop_to_aspect_ratio,
  'random_square_crop_by_scale': square_crops.random_square_crop_by_scale,
  'random_scale_crop_and_pad_to_square': functools.partial(
    square_crops.random_scale_crop_and_pad_to_square, output_size=40
  ),
}


def ramp(height, width):
  """An image whose pixels say where they are: (row, column, 255)."""
  rows, columns = np.mgrid[:height, :width]
  return np.stack([rows, columns, np.full_like(rows, 255)], axis=-1)


def sizes_of(drawn):
  return np.array([draw[fields.IMAGE].shape[:2] for draw in drawn])


def expected_boxes(boxes, window, overlap_thresh=0.0):
  """Rows kept and boxes in the window [ymin, xmin, ymax, xmax), both in pixels."""
  rows, inside = [], []
  for i, box in enumerate(np.asarray(boxes, np.float64)):
    low, high = np.maximum(box[:2], window[:2]), np.minimum(box[2:], window[2:])
    share = np.maximum(high - low, 0).prod() / (box[2:] - box[:2]).prod()
    if (high > low).all() and share >= overlap_thresh:
      rows.append(i)
      size = np.subtract(window[2:], window[:2])
      inside.append(np.concatenate([low - window[:2], high - window[:2]]) / np.tile(size, 2))
  return rows, np.reshape(inside, [-1, 4])


def assert_crops_of(drawn, height, width, overlap_thresh):
  """Of `ramp`: the pixels say which window it is; boxes have to agree."""
  pixels = np.array(BOXES) * [height, width, height, width]
  for draw in drawn:
    (top, left), (h, w, _) = draw[fields.IMAGE][0, 0, :2].astype(int), draw[fields.IMAGE].shape
    np.testing.assert_array_equal(
      draw[fields.IMAGE], ramp(height, width)[top : top + h, left : left + w]
    )
    rows, boxes = expected_boxes(pixels, (top, left, top + h, left + w), overlap_thresh)
    assert draws.rows_of(draw) == rows
    np.testing.assert_allclose(draw[fields.GROUNDTRUTH_BOXES], boxes, atol=1e-5)


@pytest.mark.parametrize('boxes', CASES)
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
    assert found.shape[1] == 4 and ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize('name', OPERATIONS)
def test_a_seed_decides(name):
  example = {k: tf.constant(v) for k, v in draws.make_example(draws.noise(30, 50)).items()}
  results = []
  for seed in ([1, 2], [1, 2], [2, 2], [3, 2], [4, 2]):
    drawn = OPERATIONS[name](example, tf.constant(seed))
    results.append(
      (drawn[fields.IMAGE].numpy().tobytes(), drawn[fields.GROUNDTRUTH_BOXES].numpy().tobytes())
    )
  assert results[0] == results[1]
  assert len(set(results)) > 2


@pytest.mark.parametrize('name', OPERATIONS)
def test_float_images_stay_float(name):
  example = draws.make_example(draws.noise(20, 30) - 300.5, dtype=np.float32)
  changed = draws.eager_and_mapped(OPERATIONS[name], example)
  assert changed[fields.IMAGE].dtype == np.float32
  assert changed[fields.IMAGE].min() < -100


@pytest.mark.parametrize(
  ('overlap_thresh', 'rows'),
  # Shares of the boxes inside the window, from the goldens: .75, .48, .80.
  [(0.0, [0, 1, 2]), (0.5, [0, 2]), (0.78, [2])],
)
def test_a_window_on_boxes_is_the_originals(overlap_thresh, rows):
  with np.load(os.path.join(TESTDATA, 'f_preprocess.npz')) as goldens:
    example = draws.make_example(draws.noise(3, 4), goldens['aug_boxes'])
    window = goldens['crop_window']
    expected = {
      True: goldens['crop_boxes_changed_frame_clipped'],
      False: goldens['crop_boxes_changed_frame'],
    }
    ioa = goldens['crop_ioa_window_over_box'][0]
  assert rows == np.flatnonzero(ioa >= overlap_thresh).tolist()
  for clip, boxes in expected.items():
    changed = draws.eager_and_mapped(
      lambda example, seed, clip=clip: boxes_lib.boxes_in_window(
        example, tf.constant(window), overlap_thresh=overlap_thresh, clip_boxes=clip
      ),
      example,
    )
    assert draws.rows_of(changed) == rows
    np.testing.assert_allclose(changed[fields.GROUNDTRUTH_BOXES], boxes[rows], rtol=0, atol=1e-6)


def test_random_crop_image_keeps_to_its_ranges():
  # As in six of the API's configs.
  case = crops.CropCase(
    0.0, 0.0, aspect_ratio_range=(0.75, 3.0), area_range=(0.75, 1.0), random_coef=0.0
  )
  drawn = draws.many_draws(
    functools.partial(crops.random_crop_image, case=case),
    draws.make_example(ramp(120, 160), BOXES),
  )
  assert_crops_of(drawn, 120, 160, overlap_thresh=0.0)
  heights, widths = sizes_of(drawn).T
  area = heights * widths / (120 * 160)
  assert 0.735 < area.min() < 0.77 and area.max() > 0.95
  assert (widths / heights).min() > 0.74
  assert len(np.unique(heights)) > 20


def test_random_crop_image_covers_a_box_by_default():
  example = draws.make_example(ramp(120, 160), BOXES)
  drawn = draws.many_draws(crops.random_crop_image, example)
  assert_crops_of(drawn, 120, 160, overlap_thresh=0.3)
  whole = 0
  for draw in drawn:
    height, width = draw[fields.IMAGE].shape[:2]
    if (height, width) == (120, 160):
      whole += 1
      continue
    assert 0.74 < width / height < 1.36
    top, left = draw[fields.IMAGE][0, 0, :2].astype(int)
    window = np.array([top, left, top + height, left + width])
    pixels = np.array(BOXES) * [120, 160, 120, 160]
    # The sampler measures in whole pixels.
    assert any(
      (np.round(box[:2]) >= window[:2]).all() and (np.round(box[2:]) <= window[2:]).all()
      for box in pixels
    )
  assert whole < 40


def test_random_coef_keeps_the_whole_image():
  case = crops.CropCase(0.0, 0.0, area_range=(0.1, 0.5), random_coef=0.6)
  drawn = draws.many_draws(
    functools.partial(crops.random_crop_image, case=case),
    draws.make_example(ramp(60, 80), BOXES),
    1000,
  )
  # 600 expected, standard deviation 15.5.
  assert 540 < (sizes_of(drawn) == (60, 80)).all(axis=1).sum() < 660


def test_cases_have_their_own_values():
  cases = [
    crops.CropCase(0.0, 1.0, (1.0, 1.0), (0.2, 0.3), clip_boxes=False, random_coef=0.0),
    crops.CropCase(0.0, 0.0, (2.0, 2.0), (0.2, 0.3), clip_boxes=False, random_coef=0.0),
    crops.CropCase(0.0, 0.0, (0.5, 0.5), (0.2, 0.3), clip_boxes=True, random_coef=0.0),
  ]
  operation = functools.partial(crops.ssd_random_crop, operations=cases)
  example = draws.make_example(ramp(120, 160), BOXES)
  draws.eager_and_mapped(operation, example)
  drawn = draws.many_draws(operation, example, 600)
  ratios = np.array([w / h for h, w in sizes_of(drawn)])
  beyond = np.array(
    [np.abs(draw[fields.GROUNDTRUTH_BOXES] - 0.5).max(initial=0) > 0.5 + 1e-6 for draw in drawn]
  )
  for i, ratio in enumerate([1.0, 2.0, 0.5]):
    # 200 expected, standard deviation 11.5.
    of_case = np.abs(ratios - ratio) < 0.1
    assert 155 < of_case.sum() < 245
    # Only wholly visible boxes; then also those cut off, not clipped; then clipped ones.
    assert beyond[of_case].any() == (i == 1)


@pytest.mark.parametrize('aspect_ratio', [1.0, 1.5])
def test_fixed_aspect_ratio(aspect_ratio):
  example = draws.make_example(ramp(120, 160), BOXES)
  operation = functools.partial(crops.ssd_random_crop_fixed_aspect_ratio, aspect_ratio=aspect_ratio)
  drawn = draws.many_draws(operation, example, 300)
  heights, widths = sizes_of(drawn).T
  # Two rounded sides.
  assert (np.abs(widths - heights * aspect_ratio) <= 2).all()
  # .15 of 300, and those without a window: the largest of the ratio.
  largest = np.minimum([120, 160], [160 / aspect_ratio, 120 * aspect_ratio]).round()
  assert 25 < (sizes_of(drawn) == largest).all(axis=1).sum() < 90
  assert len(np.unique(heights)) > 40


@pytest.mark.parametrize(
  ('height', 'width', 'aspect_ratio', 'expected'),
  [
    (12, 30, 1.0, (12, 12)),
    (30, 12, 1.0, (12, 12)),
    (20, 30, 1.5, (20, 30)),
    (20, 30, 2.0, (15, 30)),
    (21, 30, 0.5, (21, 10)),  # 10.5, half to even
    (1, 30, 0.1, (1, 1)),  # .1 of a pixel
  ],
)
def test_crop_to_aspect_ratio_has_the_largest_window(height, width, aspect_ratio, expected):
  operation = functools.partial(crops.random_crop_to_aspect_ratio, aspect_ratio=aspect_ratio)
  drawn = draws.many_draws(operation, draws.make_example(ramp(height, width), BOXES))
  assert_crops_of(drawn, height, width, overlap_thresh=0.3)
  assert (sizes_of(drawn) == expected).all()
  # Every place is as likely.
  places = np.array([draw[fields.IMAGE][0, 0, :2] for draw in drawn])
  for axis in (0, 1):
    rest = (height, width)[axis] - expected[axis]
    assert set(places[:, axis]) == set(range(rest + 1))
    spread = np.sqrt(((rest + 1) ** 2 - 1) / 12 / 400)
    assert abs(places[:, axis].mean() - rest / 2) <= 4 * spread


def test_square_crop_by_scale():
  height, width = 60, 100
  operation = functools.partial(
    square_crops.random_square_crop_by_scale,
    max_border=40,
    scale_min=0.5,
    scale_max=1.5,
    num_scales=3,
  )
  drawn = draws.many_draws(operation, draws.make_example(ramp(height, width), BOXES), 600)
  # Sides of .5, 1 and 1.5 times 100.
  heights, widths = sizes_of(drawn).T
  np.testing.assert_array_equal(heights, widths)
  assert set(heights) == {50, 100, 150}
  assert all(155 < (heights == side).sum() < 245 for side in (50, 100, 150))
  pixels = np.array(BOXES) * [height, width, height, width]
  centers = []
  for draw in drawn:
    image = draw[fields.IMAGE].astype(int)
    side = len(image)
    inside = image[..., 2] == 255
    assert (image[~inside] == 0).all()
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top = image[rows[0], columns[0], 0] - rows[0]
    left = image[rows[0], columns[0], 1] - columns[0]
    centers.append((top + side // 2, left + side // 2))
    expected = np.zeros([side, side, 3], int)
    low, high = np.maximum([top, left], 0), np.minimum([top + side, left + side], [height, width])
    expected[low[0] - top : high[0] - top, low[1] - left : high[1] - left] = ramp(height, width)[
      low[0] : high[0], low[1] : high[1]
    ]
    np.testing.assert_array_equal(image, expected)
    rows, boxes = expected_boxes(pixels, (top, left, top + side, left + side))
    assert draws.rows_of(draw) == rows
    np.testing.assert_allclose(draw[fields.GROUNDTRUTH_BOXES], boxes, atol=1e-5)
  # 40 is more than half of 60, so 20 from top and bottom; 40 from left and right.
  centers = np.array(centers)
  assert centers.min(axis=0).tolist() == [20, 40]
  assert centers.max(axis=0).tolist() == [40, 60]


def test_scale_crop_and_pad_to_square():
  height, width, side = 60, 120, 50
  operation = functools.partial(
    square_crops.random_scale_crop_and_pad_to_square,
    output_size=side,
    scale_min=0.5,
    scale_max=2.0,
  )
  boxes = [[0.25, 0.5, 0.75, 0.75]]
  image = np.zeros([height, width, 3])
  image[15:45, 60:90] = 255
  drawn = draws.many_draws(operation, draws.make_example(image, boxes))
  factors = []
  for draw in drawn:
    assert draw[fields.IMAGE].shape == (side, side, 3)
    if draws.rows_of(draw) == [0]:
      ymin, xmin, ymax, xmax = draw[fields.GROUNDTRUTH_BOXES][0] * side
      # The bright pixels are the box, up to a pixel of interpolation on each side.
      bright = draw[fields.IMAGE][..., 0] > 127
      area = (ymax - ymin) * (xmax - xmin)
      assert abs(bright.sum() - area) <= 1.5 * (ymax - ymin + xmax - xmin) + 2
      if ymin > 0 and xmin > 0 and ymax < side and xmax < side:
        factors.append((ymax - ymin) / (0.5 * side / 2))
    else:
      assert draw[fields.IMAGE].max() <= 127 or draw[fields.GROUNDTRUTH_BOXES].size
  factors = np.array(factors)
  assert 0.46 < factors.min() < 0.6 and 1.5 < factors.max() <= 2.0
  # A factor below 1: the whole image at the top left, its longer side factor * 50.
  small = functools.partial(operation, scale_min=0.6, scale_max=0.6)
  draw = draws.eager_and_mapped(small, draws.make_example(np.full([60, 120, 3], 9), boxes))
  expected = np.zeros([side, side, 3])
  expected[:15, :30] = 9
  np.testing.assert_array_equal(draw[fields.IMAGE], expected)
  # y * 15 / 50, x * 30 / 50
  np.testing.assert_allclose(draw[fields.GROUNDTRUTH_BOXES], [[0.075, 0.3, 0.225, 0.45]], atol=1e-6)
