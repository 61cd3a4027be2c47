import functools
import io
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
from PIL import Image

from ssd_tf import fields
from ssd_tf.data import augmentation, preprocessing
from ssd_tf.data.augmentation import pixels

TESTDATA = os.path.join(os.path.dirname(__file__), '..', 'testdata')


@pytest.fixture(scope='module')
def goldens():
  with np.load(os.path.join(TESTDATA, 'f_preprocess.npz')) as archive:
    return dict(archive)


def normalize(low, high):
  return functools.partial(
    pixels.normalize_image,
    original_minval=0.0,
    original_maxval=255.0,
    target_minval=low,
    target_maxval=high,
  )


def test_normalized_image_is_the_originals(goldens):
  example = make_example(goldens['aug_in'])
  changed = eager_and_mapped(normalize(-1.0, 1.0), example)
  assert changed[fields.IMAGE].dtype == np.float32
  np.testing.assert_allclose(
    changed[fields.IMAGE], goldens['normalize_image_0_255_m1_1'], atol=1e-6
  )
  assert_only_image_changed(changed, example)


def test_subtracted_mean_is_the_originals(goldens):
  difference = goldens['aug_in'] - goldens['subtract_channel_mean']
  means = difference[0, 0]
  np.testing.assert_allclose(difference, np.broadcast_to(means, difference.shape), atol=1e-4)
  example = make_example(goldens['aug_in'])
  changed = eager_and_mapped(functools.partial(pixels.subtract_channel_mean, means=means), example)
  assert changed[fields.IMAGE].min() < 0
  np.testing.assert_allclose(changed[fields.IMAGE], goldens['subtract_channel_mean'], atol=1e-4)
  assert_only_image_changed(changed, example)


def test_a_changed_range_reaches_the_model():
  # Before the model's own (2 / 255) x - 1, as in the original.
  image = noise(6, 10)
  operations = [
    ('flip', functools.partial(augmentation.random_horizontal_flip, probability=1.0)),
    ('normalize', normalize(0.0, 1.0)),
    ('mean', functools.partial(pixels.subtract_channel_mean, means=[0.5, 0.25, 0.0])),
  ]
  to_model = functools.partial(
    preprocessing.preprocess,
    preprocess_image_fn=functools.partial(
      preprocessing.preprocess_image,
      resize_fn=functools.partial(preprocessing.resize, size=(6, 10)),
    ),
  )

  def run(example):
    return to_model(augmentation.augment(example, tf.constant([1, 2]), operations))

  batch = next(tf.data.Dataset.from_tensors(make_example(image)).map(run).as_numpy_iterator())
  expected = (2 / 255) * (image[:, ::-1] / 255.0 - [0.5, 0.25, 0.0]) - 1
  np.testing.assert_allclose(batch[fields.IMAGE], expected, atol=1e-6)
  assert len(np.unique(batch[fields.IMAGE])) > 100  # Nothing was rounded to whole levels.


def test_pixel_values_are_scaled_each_on_its_own():
  example = make_example(np.full([8, 17, 3], 100), dtype=np.float32)
  changed = eager_and_mapped(pixels.random_pixel_value_scale, example)
  assert_spread(changed[fields.IMAGE].ravel() / 100, 0.9, 1.1)  # 408 values.
  assert len(np.unique(changed[fields.IMAGE])) > 400
  assert_only_image_changed(changed, example)


def test_scaled_pixel_values_stop_at_255_and_are_rounded():
  operation = functools.partial(pixels.random_pixel_value_scale, minval=1.0, maxval=2.0)
  bright = eager_and_mapped(operation, make_example(np.full([4, 6, 3], 250)))[fields.IMAGE]
  assert bright.dtype == np.uint8
  assert bright.min() >= 250
  assert (bright == 255).mean() > 0.9
  exact = eager_and_mapped(operation, make_example(noise(4, 6), dtype=np.float32))[fields.IMAGE]
  rounded = eager_and_mapped(operation, make_example(noise(4, 6)))[fields.IMAGE]
  assert np.abs(exact - rounded).max() <= 0.5


def photo(height, width):
  """Smooth enough for JPEG."""
  y, x = np.mgrid[:height, :width]
  channels = [127 + 100 * np.sin(y / 9 + k) * np.cos(x / 13 - k) for k in range(3)]
  return np.stack(channels, -1).astype(np.uint8)


def jpeg(quality, **kwargs):
  return functools.partial(
    pixels.random_jpeg_quality, min_jpeg_quality=quality, max_jpeg_quality=quality + 1, **kwargs
  )


@pytest.mark.parametrize('quality', [5, 40, 90])
def test_jpeg_quality_is_that_of_pillow(quality):
  example = make_example(photo(40, 56))
  changed = eager_and_mapped(jpeg(quality), example)
  assert_only_image_changed(changed, example)
  differences = {}
  for other in (2, 5, 10, 20, 40, 60, 80, 90, 97):
    stream = io.BytesIO()
    Image.fromarray(example[fields.IMAGE]).save(stream, 'JPEG', quality=other)
    pillows = np.asarray(Image.open(stream), np.float32)
    differences[other] = np.abs(changed[fields.IMAGE] - pillows).mean()
  # Two libjpegs that decode by different cosine transforms: about one level.
  assert min(differences, key=differences.get) == quality
  assert differences[quality] < 1.5


def test_jpeg_qualities_are_drawn_from_their_range():
  example = make_example(photo(24, 32))
  encoded = {
    quality: eager_and_mapped(jpeg(quality), example)[fields.IMAGE].tobytes()
    for quality in range(20, 24)
  }
  assert len(set(encoded.values())) == 4
  operation = functools.partial(
    pixels.random_jpeg_quality, min_jpeg_quality=20, max_jpeg_quality=24
  )
  drawn = [draw[fields.IMAGE].tobytes() for draw in many_draws(operation, example)]
  counts = [drawn.count(image) for image in encoded.values()]
  assert sum(counts) == 400
  assert min(counts) > 65  # 100 each; a standard deviation of 8.7.


def test_jpeg_leaves_a_share_of_images_alone():
  example = make_example(photo(24, 32), boxes=[])
  draws = many_draws(jpeg(10, random_coef=0.25), example)
  same = [np.array_equal(draw[fields.IMAGE], example[fields.IMAGE]) for draw in draws]
  assert abs(np.mean(same) - 0.25) < 0.09


def gaussian(size, stddev, **kwargs):
  return functools.partial(
    pixels.random_patch_gaussian,
    min_patch_size=size,
    max_patch_size=size + 1,
    min_gaussian_stddev=stddev,
    max_gaussian_stddev=stddev,
    **kwargs,
  )


def extent(mask):
  """First row, column, and the ones after the last, of where a mask is set."""
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


@pytest.mark.parametrize('size', [1, 4, 7, 50])
def test_gaussian_patches_are_squares_around_a_pixel_of_the_image(size):
  height, width = 12, 20
  example = make_example(np.full([height, width, 3], 128), dtype=np.float32)
  operation = gaussian(size, 0.1)
  assert_only_image_changed(eager_and_mapped(operation, example), example)
  centers = []
  for draw in many_draws(operation, example):
    noisy = (draw[fields.IMAGE] != 128).any(-1)
    y0, x0, y1, x1 = extent(noisy)
    assert noisy[y0:y1, x0:x1].all()
    if size < 12:
      # A side that the image's border cuts ends there; the center is size // 2 from the other one.
      y = y0 + size // 2 if y0 else y1 - size + size // 2
      x = x0 + size // 2 if x0 else x1 - size + size // 2
      rows = max(0, y - size // 2), min(height, y - size // 2 + size)
      columns = max(0, x - size // 2), min(width, x - size // 2 + size)
      assert ((y0, y1), (x0, x1)) == (rows, columns)
      centers.append((y, x))
    else:
      assert (y0, x0, y1, x1) == (0, 0, height, width)
  if centers:
    y, x = np.array(centers).T
    assert_spread(y, 0, height - 1)
    assert_spread(x, 0, width - 1)


def test_gaussian_noise_has_its_deviation_and_stops_at_the_range():
  example = make_example(np.full([60, 60, 3], 128), dtype=np.float32)
  changed = eager_and_mapped(gaussian(500, 0.1), example)[fields.IMAGE]
  assert abs(changed.mean() - 128) < 1
  assert abs(changed.std() - 25.5) < 1
  wide = eager_and_mapped(gaussian(500, 2.0), example)[fields.IMAGE]
  assert (wide.min(), wide.max()) == (0, 255)
  rounded = eager_and_mapped(gaussian(500, 0.1), make_example(np.full([60, 60, 3], 128)))
  assert np.abs(rounded[fields.IMAGE] - changed).max() <= 0.5


def test_gaussian_sizes_and_deviations_are_spread_over_their_ranges():
  example = make_example(np.full([90, 100, 3], 128), dtype=np.float32)
  operation = functools.partial(
    pixels.random_patch_gaussian,
    min_patch_size=10,
    max_patch_size=30,
    min_gaussian_stddev=0.05,
    max_gaussian_stddev=0.1,
  )
  sizes, deviations = [], []
  for draw in many_draws(operation, example):
    noisy = (draw[fields.IMAGE] != 128).any(-1)
    y0, x0, y1, x1 = extent(noisy)
    deviations.append(draw[fields.IMAGE][noisy].std() / 255)
    if y0 and x0 and y1 < 90 and x1 < 100:
      assert y1 - y0 == x1 - x0
      sizes.append(y1 - y0)
  # Seen are more of the small ones: the greatest is one less than max_patch_size.
  assert (min(sizes), max(sizes)) == (10, 29)
  assert 0.045 < min(deviations) < 0.055
  assert 0.095 < max(deviations) < 0.115
  assert abs(np.mean(deviations) - 0.075) < 0.004


def test_gaussian_leaves_a_share_of_images_alone():
  example = make_example(noise(8, 9), boxes=[])
  draws = many_draws(gaussian(20, 0.5, random_coef=0.4), example)
  same = [np.array_equal(draw[fields.IMAGE], example[fields.IMAGE]) for draw in draws]
  assert abs(np.mean(same) - 0.4) < 0.1


def test_one_black_patch_has_its_size_and_place():
  # .2 of the shorter side: 4 x 4; its first row is int(20 u), column int(30 u), u of 0 to .8.
  operation = functools.partial(
    pixels.random_black_patches, max_black_patches=1, probability=1.0, size_to_image_ratio=0.2
  )
  example = make_example(np.full([20, 30, 3], 7))
  assert_only_image_changed(eager_and_mapped(operation, example), example)
  corners = []
  for draw in many_draws(operation, example):
    black = (draw[fields.IMAGE] == 0).all(-1)
    y0, x0, y1, x1 = extent(black)
    assert (y1 - y0, x1 - x0) == (4, 4)
    assert black.sum() == 16
    np.testing.assert_array_equal(draw[fields.IMAGE][~black], 7)
    corners.append((y0, x0))
  y, x = np.array(corners).T
  assert_spread(y, 0, 15)
  assert_spread(x, 0, 23)


def test_each_black_patch_has_its_probability():
  example = make_example(np.full([100, 150, 3], 7), boxes=[], dtype=np.float32)
  operation = functools.partial(
    pixels.random_black_patches, max_black_patches=6, probability=0.3, size_to_image_ratio=0.01
  )
  # Patches of one pixel, which hardly ever meet.
  counts = [(draw[fields.IMAGE] == 0).all(-1).sum() for draw in many_draws(operation, example)]
  assert abs(np.mean(counts) - 1.8) < 4 * np.sqrt(6 * 0.3 * 0.7 / 400)
  assert (min(counts), max(counts) > 3) == (0, True)
  none = functools.partial(pixels.random_black_patches, max_black_patches=0)
  np.testing.assert_array_equal(
    eager_and_mapped(none, example)[fields.IMAGE], example[fields.IMAGE]
  )


@pytest.mark.parametrize(
  'operation',
  [
    pixels.random_pixel_value_scale,
    jpeg(30),
    gaussian(5, 0.3),
    pixels.random_black_patches,
  ],
)
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_the_image_keeps_its_type_and_a_seed_is_a_change(operation, dtype):
  example = make_example(noise(16, 11), boxes=[], dtype=dtype)
  first = eager_and_mapped(operation, example, (1, 2))
  assert first[fields.IMAGE].dtype == dtype
  assert first[fields.IMAGE].shape == (16, 11, 3)
  tf.random.set_seed(5)  # Has no say.
  again = eager_and_mapped(operation, example, (1, 2))
  np.testing.assert_array_equal(first[fields.IMAGE], again[fields.IMAGE])
