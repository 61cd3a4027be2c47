import colorsys
import functools
import os

import numpy as np
import pytest
import tensorflow as tf
from example_draws import (
  assert_only_image_changed,
  assert_spread,
  eager_and_mapped,
  make_example,
  many_draws,
  noise,
)

from ssd_tf import fields
from ssd_tf.data.augmentation import color

TESTDATA = os.path.join(os.path.dirname(__file__), '..', 'testdata')


@pytest.fixture(scope='module')
def goldens():
  with np.load(os.path.join(TESTDATA, 'f_preprocess.npz')) as archive:
    return dict(archive)


# References: formulas in float64, HSV by Python's colorsys.
def brighter(pixels, delta):
  return np.clip(pixels + 255 * delta, 0, 255)


def contrasted(pixels, factor):
  mean = pixels.mean(axis=(0, 1), keepdims=True)
  return np.clip(mean + factor * (pixels - mean), 0, 255)


def with_hsv(pixels, change):
  def of_one(rgb):
    return colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*(rgb / 255))))

  return 255 * np.apply_along_axis(of_one, -1, np.asarray(pixels, np.float64))


def turned(pixels, delta):
  return with_hsv(pixels, lambda h, s, v: ((h + delta) % 1, s, v))


def saturated(pixels, factor):
  return with_hsv(pixels, lambda h, s, v: (h, min(1, factor * s), v))


def gray(pixels):
  return np.repeat(np.asarray(pixels) @ [[0.2989], [0.587], [0.114]], 3, axis=-1)


@pytest.mark.parametrize(
  ('name', 'function', 'value'),
  [
    ('adjust_brightness_p02', color.adjust_brightness, 0.2),
    ('adjust_contrast_12', color.adjust_contrast, 1.2),
    ('adjust_hue_p002', color.adjust_hue, 0.02),
    ('adjust_saturation_08', color.adjust_saturation, 0.8),
  ],
)
def test_adjusted_pixels_are_the_originals(goldens, name, function, value):
  np.testing.assert_allclose(function(goldens['aug_in'], value), goldens[name], atol=1e-4)


def test_a_uint8_image_is_within_half_a_level_of_the_original(goldens):
  # min_delta = max_delta fixes the factor.
  for name, operation in {
    'adjust_contrast_12': functools.partial(
      color.random_adjust_contrast, min_delta=1.2, max_delta=1.2
    ),
    'adjust_saturation_08': functools.partial(
      color.random_adjust_saturation, min_delta=0.8, max_delta=0.8
    ),
  }.items():
    changed = eager_and_mapped(operation, make_example(goldens['aug_in']))[fields.IMAGE]
    assert changed.dtype == np.uint8
    assert np.abs(changed.astype(np.float32) - goldens[name]).max() <= 0.5 + 1e-4


def test_gray_is_the_originals_in_three_channels(goldens):
  example = make_example(goldens['aug_in'], dtype=np.float32)
  changed = eager_and_mapped(color.rgb_to_gray, example)
  expected = np.repeat(goldens['rgb_to_gray'], 3, axis=-1)
  np.testing.assert_allclose(changed[fields.IMAGE], expected, atol=1e-4)
  assert_only_image_changed(changed, example)
  # A model of one channel makes of it what it makes of the image.
  np.testing.assert_allclose(
    tf.image.rgb_to_grayscale(changed[fields.IMAGE]), goldens['rgb_to_gray'], rtol=2e-4
  )


def test_adjusted_pixels_are_those_of_the_references():
  pixels = noise(9, 13).astype(np.float32)
  pixels[0, :4] = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [10, 10, 10]]
  for function, reference, values in (
    (color.adjust_brightness, brighter, (-0.4, 0.1)),
    (color.adjust_contrast, contrasted, (0.0, 0.5, 1.7)),
    (color.adjust_hue, turned, (-0.3, 0.0, 0.11, 0.5)),
    (color.adjust_saturation, saturated, (0.0, 0.6, 1.8)),
  ):
    for value in values:
      np.testing.assert_allclose(function(pixels, value), reference(pixels, value), atol=2e-3)


# No gain that makes .5 of a level: eager and in a graph it may be rounded to either side.
@pytest.mark.parametrize(('gamma', 'gain'), [(1.0, 1.0), (0.5, 1.0), (2.2, 0.9), (1.0, 1.4142)])
def test_gamma(gamma, gain):
  example = make_example(noise(7, 11))
  changed = eager_and_mapped(functools.partial(color.adjust_gamma, gamma=gamma, gain=gain), example)
  expected = np.clip(255 * gain * (example[fields.IMAGE] / 255.0) ** gamma, 0, 255)
  assert np.abs(changed[fields.IMAGE] - expected).max() <= 0.5 + 1e-3
  assert_only_image_changed(changed, example)


def test_random_brightness_is_spread_over_its_range():
  example = make_example(np.full([3, 5, 3], 100), dtype=np.float32)
  draws = many_draws(color.random_adjust_brightness, example)
  assert_spread([draw[fields.IMAGE][0, 0, 0] - 100 for draw in draws], -0.2 * 255, 0.2 * 255)
  assert all(np.ptp(draw[fields.IMAGE]) == 0 for draw in draws)


@pytest.mark.parametrize(('low', 'high'), [(0.8, 1.25), (0.2, 0.5)])
def test_random_contrast_is_spread_over_its_range(low, high):
  image = np.full([2, 4, 3], 90)
  image[1] = 110
  operation = functools.partial(color.random_adjust_contrast, min_delta=low, max_delta=high)
  draws = many_draws(operation, make_example(image, dtype=np.float32))
  assert_spread([np.ptp(draw[fields.IMAGE]) / 20 for draw in draws], low, high)


def hsv_of(draw):
  return colorsys.rgb_to_hsv(*(draw[fields.IMAGE][0, 0] / np.float64(255)))


def test_random_hue_is_spread_over_its_range():
  # A hue of 1 / 3, a saturation of .5.
  example = make_example(np.full([3, 5, 3], [100, 200, 100]), dtype=np.float32)
  draws = [hsv_of(draw) for draw in many_draws(color.random_adjust_hue, example)]
  assert_spread([hue - 1 / 3 for hue, _, _ in draws], -0.02, 0.02)
  np.testing.assert_allclose([rest for _, *rest in draws], [[0.5, 200 / 255]] * 400, atol=1e-5)


def test_random_saturation_is_spread_over_its_range():
  example = make_example(np.full([3, 5, 3], [100, 200, 100]), dtype=np.float32)
  draws = [hsv_of(draw) for draw in many_draws(color.random_adjust_saturation, example)]
  assert_spread([saturation / 0.5 for _, saturation, _ in draws], 0.8, 1.25)
  np.testing.assert_allclose([hue for hue, _, _ in draws], 1 / 3, atol=1e-5)


@pytest.mark.parametrize('ordering', [0, 1])
def test_distorted_colors_follow_their_order(ordering):
  example = make_example(noise(6, 10), dtype=np.float32)
  operation = functools.partial(color.random_distort_color, color_ordering=ordering)
  for seed in ([3, 4], [5, 6], [7, 8]):
    factors = tf.random.stateless_uniform(
      [4], seed, [-32 / 255, 0.5, 0.5, -0.2], [32 / 255, 1.5, 1.5, 0.2]
    )
    brightness, contrast, saturation, hue = factors.numpy().astype(np.float64)
    pixels = brighter(example[fields.IMAGE].astype(np.float64), brightness)
    if ordering == 0:
      pixels = contrasted(turned(saturated(pixels, saturation), hue), contrast)
    else:
      pixels = turned(saturated(contrasted(pixels, contrast), saturation), hue)
    changed = eager_and_mapped(operation, example, seed)
    np.testing.assert_allclose(changed[fields.IMAGE], pixels, atol=3e-3)
    assert_only_image_changed(changed, example)


def test_distorted_colors_are_spread_over_their_ranges():
  # Gray has no saturation, one value no contrast: what is left is brightness.
  draws = many_draws(
    color.random_distort_color, make_example(np.full([3, 5, 3], 100), dtype=np.float32)
  )
  assert_spread([draw[fields.IMAGE][0, 0, 0] - 100 for draw in draws], -32, 32)
  # One color has no contrast: hue 1 / 3, saturation .5; brightness changes the saturation, to
  # 100 / (200 + delta), but not the hue.
  draws = many_draws(
    color.random_distort_color, make_example(np.full([3, 5, 3], [100, 200, 100]), dtype=np.float32)
  )
  assert_spread([hsv_of(draw)[0] - 1 / 3 for draw in draws], -0.2, 0.2)
  saturations = [hsv_of(draw)[1] for draw in draws]
  assert 0.5 * 100 / 232 <= min(saturations) < 0.27
  assert 0.8 < max(saturations) <= 1.5 * 100 / 168


def test_another_ordering_is_an_error():
  with pytest.raises(ValueError, match='color_ordering is 2: expected 0 or 1'):
    color.random_distort_color(make_example(noise(2, 3)), [1, 2], color_ordering=2)


def test_random_gray_has_its_probability():
  image = noise(4, 7)
  example = make_example(image)
  draws = many_draws(functools.partial(color.random_rgb_to_gray, probability=0.3), example, 600)
  is_gray = [np.abs(draw[fields.IMAGE] - gray(image)).max() <= 0.5001 for draw in draws]
  is_same = [np.array_equal(draw[fields.IMAGE], image) for draw in draws]
  assert np.logical_xor(is_gray, is_same).all()
  assert abs(np.mean(is_gray) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 600)


OPERATIONS = (
  color.random_adjust_brightness,
  color.random_adjust_contrast,
  color.random_adjust_hue,
  color.random_adjust_saturation,
  color.random_distort_color,
  functools.partial(color.random_rgb_to_gray, probability=0.5),
)


@pytest.mark.parametrize('operation', OPERATIONS)
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_the_image_keeps_its_type_and_a_seed_is_a_change(operation, dtype):
  example = make_example(noise(6, 9), boxes=[], dtype=dtype)
  first = eager_and_mapped(operation, example, (1, 2))
  assert first[fields.IMAGE].dtype == dtype
  assert_only_image_changed(first, example)
  tf.random.set_seed(5)  # Has no say.
  again = eager_and_mapped(operation, example, (1, 2))
  np.testing.assert_array_equal(first[fields.IMAGE], again[fields.IMAGE])
  assert len({draw[fields.IMAGE].tobytes() for draw in many_draws(operation, example, 20)}) > 1
