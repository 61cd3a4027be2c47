"""Flips, turns, copies beside each other, noise of boxes, resizing."""

import functools
import os

import example_draws as draws
import numpy as np
import pytest
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation import boxes as boxes_lib
from ssd_tf.data.augmentation import geometry, resizing

TESTDATA = os.path.join(os.path.dirname(__file__), '..', 'testdata')
# None; on the border; tiny.
CASES = ([], [[0.0, 0.0, 0.5, 1.0]], [[0.5, 0.25, 0.502, 0.251]])


@pytest.fixture(scope='module')
def goldens():
  with np.load(os.path.join(TESTDATA, 'f_preprocess.npz')) as archive:
    return dict(archive)


def certainly(operation):
  return functools.partial(operation, probability=1.0)


@pytest.mark.parametrize(
  ('operation', 'name'),
  [
    (geometry.random_horizontal_flip, 'hflip'),
    (geometry.random_vertical_flip, 'vflip'),
    (geometry.random_rotation90, 'rot90'),
  ],
)
def test_flips_and_turns_are_the_originals(operation, name, goldens):
  example = draws.make_example(goldens['aug_in'], goldens['aug_boxes'])
  changed = draws.eager_and_mapped(certainly(operation), example)
  np.testing.assert_array_equal(changed[fields.IMAGE], goldens[f'{name}_image'].astype(np.uint8))
  np.testing.assert_allclose(
    changed[fields.GROUNDTRUTH_BOXES], goldens[f'{name}_boxes'], rtol=0, atol=1e-7
  )
  assert draws.rows_of(changed) == [0, 1, 2]


@pytest.mark.parametrize(
  ('operation', 'times'),
  [
    (geometry.random_horizontal_flip, 2),
    (geometry.random_vertical_flip, 2),
    (geometry.random_rotation90, 4),
  ],
)
@pytest.mark.parametrize('boxes', CASES)
def test_flips_and_turns_come_back(operation, times, boxes):
  example = changed = draws.make_example(draws.noise(4, 7), boxes)
  for _ in range(times):
    changed = draws.eager_and_mapped(certainly(operation), changed)
  for key in (fields.IMAGE, fields.LABELED_CLASSES):
    np.testing.assert_array_equal(changed[key], example[key])
  np.testing.assert_allclose(
    changed[fields.GROUNDTRUTH_BOXES], example[fields.GROUNDTRUTH_BOXES], atol=1e-6
  )


@pytest.mark.parametrize('operation', [geometry.random_vertical_flip, geometry.random_rotation90])
def test_each_has_its_probability(operation):
  image = draws.noise(3, 5)
  drawn = draws.many_draws(
    functools.partial(operation, probability=0.3), draws.make_example(image), 1000
  )
  changed = sum(not np.array_equal(draw[fields.IMAGE], image) for draw in drawn)
  # 300 expected, standard deviation sqrt(1000 * .3 * .7) = 14.5.
  assert 250 < changed < 350


def test_copies_lie_beside_each_other():
  example = draws.make_example(draws.noise(4, 6), [[0.0, 0.5, 1.0, 1.0], [0.2, 0.2, 0.4, 0.6]])
  twice = functools.partial(
    geometry.random_self_concat_image,
    concat_vertical_probability=1.0,
    concat_horizontal_probability=0.0,
  )
  below = draws.eager_and_mapped(twice, example)
  np.testing.assert_array_equal(below[fields.IMAGE], np.concatenate([example[fields.IMAGE]] * 2))
  # y / 2, and y / 2 + .5.
  np.testing.assert_allclose(
    below[fields.GROUNDTRUTH_BOXES],
    [[0, 0.5, 0.5, 1], [0.1, 0.2, 0.2, 0.6], [0.5, 0.5, 1, 1], [0.6, 0.2, 0.7, 0.6]],
    atol=1e-6,
  )
  assert draws.rows_of(below) == [0, 1, 0, 1]
  np.testing.assert_array_equal(below[fields.GROUNDTRUTH_CLASSES], [1, 2, 1, 2])
  both = functools.partial(twice, concat_horizontal_probability=1.0)
  four = draws.eager_and_mapped(both, example)
  np.testing.assert_array_equal(four[fields.IMAGE], np.tile(example[fields.IMAGE], [2, 2, 1]))
  # Every copy of a box holds the same pixels.
  boxes = np.round(four[fields.GROUNDTRUTH_BOXES] * [8, 12, 8, 12]).astype(int)
  first = four[fields.IMAGE][boxes[0][0] : boxes[0][2], boxes[0][1] : boxes[0][3]]
  for ymin, xmin, ymax, xmax in boxes[::2]:
    np.testing.assert_array_equal(four[fields.IMAGE][ymin:ymax, xmin:xmax], first)
  assert draws.rows_of(four) == [0, 1] * 4


def test_copies_have_their_probabilities():
  example = draws.make_example(draws.noise(2, 3), [])
  drawn = draws.many_draws(
    functools.partial(geometry.random_self_concat_image, concat_vertical_probability=0.3),
    example,
    1000,
  )
  sizes = np.array([draw[fields.IMAGE].shape[:2] for draw in drawn])
  # Of .3 and .1; standard deviations of 1000 draws: 14.5 and 9.5.
  assert 250 < (sizes[:, 0] == 4).sum() < 350
  assert 65 < (sizes[:, 1] == 6).sum() < 135


JITTERED = [[0.2, 0.3, 0.6, 0.5], [0.0, 0.1, 0.2, 0.9], [0.5, 0.5, 0.505, 0.502]]


def jittered(mode, ratio=0.2, count=400):
  """(400, 3 boxes, 4 sides): how far each side went out, as a share of height or width."""
  example = draws.make_example(draws.noise(3, 4), JITTERED)
  operation = functools.partial(boxes_lib.random_jitter_boxes, ratio=ratio, jitter_mode=mode)
  draws.eager_and_mapped(operation, example)
  drawn = draws.many_draws(operation, example, count)
  boxes = np.stack([draw[fields.GROUNDTRUTH_BOXES] for draw in drawn])
  assert boxes.min() >= 0 and boxes.max() <= 1
  original = np.array(JITTERED)
  size = np.tile(original[:, 2:] - original[:, :2], [1, 2])
  return (boxes - original) / size * [-1, -1, 1, 1]


@pytest.mark.parametrize(
  ('mode', 'low', 'high'), [('default', -0.1, 0.1), ('expand', 0, 0.1), ('shrink', -0.1, 0)]
)
def test_jitter_moves_each_side_on_its_own(mode, low, high):
  moved = jittered(mode)
  # Ratio .2: sides move by .1 of height or width. Not those on the image's border.
  for box, side in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 0)]:
    assert moved[:, box, side].min() == pytest.approx(low, abs=0.005)
    assert moved[:, box, side].max() == pytest.approx(high, abs=0.005)
    assert abs(moved[:, box, side].mean() - (low + high) / 2) < 0.015
  assert moved[:, 1, 0].max() < 1e-6
  assert abs(np.corrcoef(moved[:, 0].T) - np.eye(4)).max() < 0.25


@pytest.mark.parametrize(
  ('mode', 'low', 'high'), [('expand_symmetric', 0, 0.1), ('shrink_symmetric', -0.1, 0)]
)
def test_jitter_by_height_and_width_keeps_the_center(mode, low, high):
  moved = jittered(mode)
  np.testing.assert_allclose(moved[..., :2], moved[..., 2:], atol=1e-4)
  for axis in (0, 1):
    assert moved[:, 0, axis].min() == pytest.approx(low, abs=0.005)
    assert moved[:, 0, axis].max() == pytest.approx(high, abs=0.005)
  assert abs(np.corrcoef(moved[:, 0, 0], moved[:, 0, 1])[0, 1]) < 0.25
  if mode == 'expand_symmetric':
    # Box 1 lies on the top border: it cannot grow in height without moving.
    np.testing.assert_allclose(moved[:, 1, 0], 0, atol=1e-6)
    assert moved[:, 1, 1].max() > 0.095


@pytest.mark.parametrize('mode', ['expand_symmetric_xy', 'shrink_symmetric_xy'])
def test_jitter_by_one_factor_keeps_the_shape_too(mode):
  moved = jittered(mode)
  np.testing.assert_allclose(moved, np.broadcast_to(moved[..., :1], moved.shape), atol=1e-3)
  assert np.abs(moved[:, 0]).max() > 0.095
  if mode == 'expand_symmetric_xy':
    np.testing.assert_allclose(moved[:, 1], 0, atol=1e-6)


def test_jitter_without_boxes():
  example = draws.make_example(draws.noise(3, 4), [])
  changed = draws.eager_and_mapped(boxes_lib.random_jitter_boxes, example)
  assert changed[fields.GROUNDTRUTH_BOXES].shape == (0, 4)


@pytest.mark.parametrize('method', ['nearest_neighbor', 'bilinear', 'bicubic', 'area'])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_resizing_is_the_originals(method, dtype, goldens):
  example = draws.make_example(goldens['image_24x36'], dtype=dtype)
  resize = functools.partial(resizing.resize_image, new_height=16, new_width=20, method=method)
  changed = draws.eager_and_mapped(resize, example)
  suffix = '' if method == 'bilinear' else f'_{method.split("_")[0]}'
  expected = goldens[f'resize_fixed_16x20{suffix}_float32']
  if dtype == np.uint8:
    expected = np.clip(np.round(expected), 0, 255)
  np.testing.assert_allclose(changed[fields.IMAGE], expected, rtol=0, atol=1e-6)
  draws.assert_only_image_changed(changed, example)


def test_a_random_method_is_one_of_the_four(goldens):
  example = draws.make_example(goldens['image_24x36'])
  resize = functools.partial(resizing.random_resize_method, target_height=16, target_width=20)
  draws.eager_and_mapped(resize, example)
  drawn = draws.many_draws(resize, example, 200)
  counts = dict.fromkeys(['', '_nearest', '_bicubic', '_area'], 0)
  for draw in drawn:
    for suffix in counts:
      expected = np.clip(np.round(goldens[f'resize_fixed_16x20{suffix}_float32']), 0, 255)
      counts[suffix] += np.array_equal(draw[fields.IMAGE], expected)
  # 50 each, standard deviation 6.
  assert sum(counts.values()) == 200
  assert all(30 < count < 70 for count in counts.values())


def test_image_scale_is_even_and_aligns_corners():
  image = draws.noise(100, 160)
  example = draws.make_example(image)
  draws.eager_and_mapped(resizing.random_image_scale, example)
  drawn = draws.many_draws(resizing.random_image_scale, example)
  heights, widths = np.array([draw[fields.IMAGE].shape[:2] for draw in drawn]).T
  # Both are rounded down: (h + 1) / 100 and (w + 1) / 160 enclose the same factor.
  assert (widths / 160 < (heights + 1) / 100).all() and (heights / 100 < (widths + 1) / 160).all()
  draws.assert_spread(widths / 160, 0.5, 2.0)
  for draw in drawn[:20]:
    for row in (0, -1):
      for column in (0, -1):
        np.testing.assert_array_equal(draw[fields.IMAGE][row, column], image[row, column])
  draws.assert_only_image_changed(drawn[0], example)


def test_downscaling_has_its_numbers_of_pixels():
  shrink = functools.partial(
    resizing.random_downscale_to_target_pixels, min_target_pixels=2000, max_target_pixels=4000
  )
  example = draws.make_example(draws.noise(60, 120))
  draws.eager_and_mapped(shrink, example)
  drawn = draws.many_draws(shrink, example)
  sizes = np.array([draw[fields.IMAGE].shape[:2] for draw in drawn])
  # A side is up to one pixel short.
  pixels = sizes.prod(axis=1)
  assert pixels.max() < 4000
  draws.assert_spread((pixels + (sizes + 1).prod(axis=1)) / 2, 1990, 4030)
  assert (np.abs(sizes[:, 1] / sizes[:, 0] - 2) < 0.1).all()
  draws.assert_only_image_changed(drawn[0], example)
  # 30 * 60 = 1800 pixels are fewer than any target.
  small = draws.make_example(draws.noise(30, 60))
  changed = draws.eager_and_mapped(shrink, small)
  np.testing.assert_array_equal(changed[fields.IMAGE], small[fields.IMAGE])
  some = draws.many_draws(functools.partial(shrink, random_coef=0.7), example)
  kept = sum(draw[fields.IMAGE].shape == (60, 120, 3) for draw in some)
  # 280 expected, standard deviation 9.
  assert 245 < kept < 315


@pytest.mark.parametrize(
  'operation',
  [
    geometry.random_vertical_flip,
    geometry.random_rotation90,
    functools.partial(geometry.random_self_concat_image, concat_vertical_probability=0.5),
    boxes_lib.random_jitter_boxes,
    resizing.random_image_scale,
    functools.partial(
      resizing.random_downscale_to_target_pixels, min_target_pixels=9, max_target_pixels=99
    ),
  ],
)
def test_a_seed_decides(operation):
  example = draws.make_example(draws.noise(9, 13))
  runs = []
  for seed in ([1, 2], [1, 2], [2, 2], [3, 2], [4, 2], [5, 2], [6, 2]):
    drawn = operation({k: tf.constant(v) for k, v in example.items()}, tf.constant(seed))
    runs.append(
      drawn[fields.IMAGE].numpy().tobytes() + drawn[fields.GROUNDTRUTH_BOXES].numpy().tobytes()
    )
  assert runs[0] == runs[1]
  assert len(set(runs)) > 1
