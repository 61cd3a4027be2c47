"""The chains of Caffe's SSD (ssd_keras) and SSD-Tensorflow: values, draws, boxes."""

import colorsys
import itertools
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from example_draws import (
  BOXES,
  assert_only_image_changed,
  assert_spread,
  eager_and_mapped,
  make_example,
  many_draws,
  noise,
)

from ssd_tf import fields
from ssd_tf.data import preprocessing
from ssd_tf.data.augmentation import crops, ssd_chain, ssd_tensorflow

TESTDATA = os.path.join(os.path.dirname(__file__), '..', 'testdata', 'balancap')
NO_CHANGE = {
  'brightness_delta': 0.0,
  'min_contrast': 1.0,
  'max_contrast': 1.0,
  'min_saturation': 1.0,
  'max_saturation': 1.0,
  'hue_delta': 0.0,
}
# Four pixels: gray, a color, one near white, pure red.
PIXELS = np.array([[[100, 100, 100], [200, 120, 40], [250, 240, 255], [255, 0, 0]]], np.uint8)


# References, in float64; HSV by Python's colorsys.
def with_hsv(pixels, change):
  def of_one(rgb):
    return colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*rgb)))

  return np.apply_along_axis(of_one, -1, np.asarray(pixels, np.float64))


def photometric(**options):
  def operation(example, seed):
    return ssd_chain.ssd_photometric_distortion(example, seed, **{**NO_CHANGE, **options})

  return operation


def expand(**options):
  return lambda example, seed: ssd_chain.ssd_expand(example, seed, **options)


def patch(**options):
  return lambda example, seed: ssd_chain.ssd_patch_crop(example, seed, **options)


@pytest.mark.parametrize(
  ('options', 'expected'),
  [
    # 127.5 + 1.5 (x - 127.5) = 1.5 x - 63.75.
    (
      {'min_contrast': 1.5, 'max_contrast': 1.5},
      [[86.25] * 3, [236.25, 116.25, 0], [255, 255, 255], [255, 0, 0]],
    ),
    # s = 1 - 40 / 200 = .8, halved .4: the least is 200 * .6; half the distance to the greatest.
    (
      {'min_saturation': 0.5, 'max_saturation': 0.5},
      [[100] * 3, [200, 160, 120], [252.5, 247.5, 255], [255, 127.5, 127.5]],
    ),
    # s = min(1, 1.5 * .8) = 1: the hue, 30 degrees, is then 200, 100, 0.
    (
      {'min_saturation': 1.5, 'max_saturation': 1.5},
      [[100] * 3, [200, 100, 0], [247.5, 232.5, 255], [255, 0, 0]],
    ),
  ],
)
def test_a_fixed_change(options, expected):
  for dtype, tolerance in ((np.float32, 1e-3), (np.uint8, 0.501)):
    example = make_example(PIXELS, dtype=dtype)
    changed = eager_and_mapped(photometric(probability=1.0, **options), example)
    assert changed[fields.IMAGE].dtype == dtype
    np.testing.assert_allclose(changed[fields.IMAGE][0], expected, atol=tolerance)
    assert_only_image_changed(changed, example)


def test_nothing_is_drawn_with_probability_0_and_labeled_classes_stay():
  example = make_example(noise(5, 7))
  operation = photometric(
    probability=0.0, brightness_delta=100.0, hue_delta=90.0, max_contrast=2.0, max_saturation=2.0
  )
  changed = eager_and_mapped(operation, example)
  np.testing.assert_array_equal(changed[fields.IMAGE], example[fields.IMAGE])
  assert_only_image_changed(changed, example)


def test_brightness_is_drawn_half_the_time_over_its_range():
  example = make_example(np.full([1, 2, 3], 100.0), dtype=np.float32)
  draws = many_draws(photometric(brightness_delta=32.0), example, 800)
  deltas = np.array([draw[fields.IMAGE][0, 0, 0] for draw in draws]) - 100
  changed = deltas != 0
  # 800 draws of 1/2: a deviation of .018.
  assert 0.43 < changed.mean() < 0.57
  assert_spread(deltas[changed], -32, 32)


def test_contrast_and_saturation_are_drawn_half_the_time_over_their_ranges():
  example = make_example(np.array([[[100.0, 80.0, 60.0]]]), dtype=np.float32)
  draws = many_draws(photometric(min_contrast=0.5, max_contrast=1.5), example, 800)
  factors = np.array([(draw[fields.IMAGE][0, 0, 2] - 127.5) / (60 - 127.5) for draw in draws])
  assert 0.43 < (abs(factors - 1) > 1e-6).mean() < 0.57
  assert_spread(factors[abs(factors - 1) > 1e-6], 0.5, 1.5)
  draws = many_draws(photometric(min_saturation=0.5, max_saturation=1.5), example, 800)
  factors = np.array([(1 - draw[fields.IMAGE][0, 0, 2] / 100) / 0.4 for draw in draws])
  assert 0.43 < (abs(factors - 1) > 1e-5).mean() < 0.57
  assert_spread(factors[abs(factors - 1) > 1e-5], 0.5, 1.5)


def test_hue_is_drawn_half_the_time_over_its_range_and_wraps_around():
  # Red has hue 0: a negative change ends at 180 - change.
  example = make_example(np.array([[[200.0, 50.0, 50.0]]]), dtype=np.float32)
  draws = many_draws(photometric(hue_delta=18.0), example, 800)
  hues = np.array([180 * colorsys.rgb_to_hsv(*draw[fields.IMAGE][0, 0])[0] for draw in draws])
  assert ((hues <= 18.001) | (hues >= 161.999)).all()
  deltas = (hues + 90) % 180 - 90
  assert 0.43 < (abs(deltas) > 1e-4).mean() < 0.57
  assert_spread(deltas[abs(deltas) > 1e-4], -18, 18)
  for hue, draw in list(zip(hues, draws, strict=True))[:20]:
    expected = with_hsv([[[200, 50, 50]]], lambda h, s, v, hue=hue: (hue / 180, s, v))
    np.testing.assert_allclose(draw[fields.IMAGE], expected, atol=1e-3)


def test_contrast_comes_second_or_last():
  # Contrast 2: gray 100 - 127.5 = -27.5 to 72.5; (200, 120, 40) to (255, 112.5, 0), then s * .5:
  # (255, 183.75, 127.5). Last: s * .5 (200, 160, 120), then (255, 192.5, 112.5).
  example = make_example(np.array([[[200.0, 120.0, 40.0]]]), dtype=np.float32)
  operation = photometric(
    probability=1.0, min_contrast=2.0, max_contrast=2.0, min_saturation=0.5, max_saturation=0.5
  )
  blues = np.array([draw[fields.IMAGE][0, 0, 2] for draw in many_draws(operation, example, 400)])
  second = abs(blues - 127.5) < 1e-3
  assert (second | (abs(blues - 112.5) < 1e-3)).all()
  assert 0.4 < second.mean() < 0.6


def test_channels_are_swapped_to_each_of_the_other_orders():
  example = make_example(np.array([[[10, 20, 30]]]))
  draws = many_draws(photometric(channel_swap_probability=0.75), example, 600)
  orders = [tuple(draw[fields.IMAGE][0, 0].tolist()) for draw in draws]
  shares = {order: orders.count(order) / 600 for order in itertools.permutations((10, 20, 30))}
  assert 0.19 < shares.pop((10, 20, 30)) < 0.31
  assert all(0.1 < share < 0.2 for share in shares.values())  # .75 / 5.
  # The default swaps none.
  draws = many_draws(photometric(), example, 100)
  assert {tuple(draw[fields.IMAGE][0, 0].tolist()) for draw in draws} == {(10, 20, 30)}


def test_an_expanded_image_lies_on_a_canvas_of_the_mean_color():
  example = make_example(noise(20, 30))
  changed = eager_and_mapped(expand(probability=1.0, min_scale=2.5, max_scale=2.5), example)
  image = changed[fields.IMAGE]
  assert image.shape == (50, 75, 3)
  # Where the image lies, the first box tells: (.1, .2, .6, .7) of it.
  top, left = np.rint(changed[fields.GROUNDTRUTH_BOXES][0, :2] * [50, 75] - [2, 6]).astype(int)
  np.testing.assert_array_equal(image[top : top + 20, left : left + 30], example[fields.IMAGE])
  around = np.ones([50, 75], bool)
  around[top : top + 20, left : left + 30] = False
  np.testing.assert_array_equal(image[around], np.tile([[123, 117, 104]], [50 * 75 - 600, 1]))
  scale, shift = np.array([20, 30, 20, 30]), np.array([top, left, top, left])
  np.testing.assert_allclose(
    changed[fields.GROUNDTRUTH_BOXES],
    (np.array(BOXES) * scale + shift) / [50, 75, 50, 75],
    atol=1e-6,
  )
  for key in set(example) - {fields.IMAGE, fields.GROUNDTRUTH_BOXES}:
    np.testing.assert_array_equal(changed[key], example[key])


def test_half_the_images_expand_by_1_to_4_to_any_place():
  example = make_example(np.zeros([40, 100, 3]), [[0.0, 0.0, 1.0, 1.0]])
  draws = many_draws(expand(color=(7.0, 8.0, 9.0)), example, 800)
  sizes = np.array([draw[fields.IMAGE].shape[:2] for draw in draws])
  boxes = np.array([draw[fields.GROUNDTRUTH_BOXES][0] for draw in draws])
  grown = sizes[:, 1] > 100
  assert 0.42 < grown.mean() < 0.56  # Of those drawn, 1 in 300 grows by less than a pixel.
  assert_spread(sizes[grown, 1], 100, 400)
  # The same factor both ways, rounded down.
  factors = sizes / [40, 100]
  assert (abs(factors[:, 0] - factors[:, 1]) < 1 / 40).all()
  begins = np.rint(boxes[grown, :2] * sizes[grown]).astype(int)
  room = sizes[grown] - [40, 100]
  assert ((begins >= 0) & (begins <= room)).all()
  wide = room[:, 0] > 30
  assert_spread((begins / np.maximum(room, 1))[wide, 0], 0, 1)
  assert_spread((begins / np.maximum(room, 1))[wide, 1], 0, 1)


def test_with_room_for_one_pixel_an_expanded_image_takes_both_places():
  example = make_example(np.zeros([2, 2, 3]), [[0.0, 0.0, 1.0, 1.0]])
  operation = expand(probability=1.0, min_scale=1.6, max_scale=1.9)
  draws = many_draws(operation, example, 200)
  lefts = [round(3 * float(draw[fields.GROUNDTRUTH_BOXES][0, 1])) for draw in draws]
  assert 60 < lefts.count(0) < 140
  assert lefts.count(0) + lefts.count(1) == 200


def coordinates(height, width):
  """An image whose pixels hold their row and column, so that a patch tells where it is from."""
  rows, columns = np.mgrid[:height, :width]
  return np.stack([rows, columns, 0 * rows], -1)


def patch_of(draw):
  """(y, x) of the first pixel, (height, width)."""
  image = draw[fields.IMAGE].astype(int)
  begin, size = image[0, 0, :2], np.array(image.shape[:2])
  np.testing.assert_array_equal(image[-1, -1, :2], begin + size - 1)
  return begin, size


def iou_in_pixels(begin, size, box):
  low, high = np.maximum(begin, box[:2]), np.minimum(begin + size, box[2:])
  intersection = np.prod(np.maximum(high - low, 0))
  return intersection / (np.prod(size) + np.prod(box[2:] - box[:2]) - intersection)


@pytest.mark.parametrize('bound', [0.0, 0.3, 0.7])
def test_a_patch_fits_its_bound_and_keeps_the_boxes_whose_center_it_holds(bound):
  height, width = 120, 200
  example = make_example(coordinates(height, width))
  boxes = np.array(BOXES) * [height, width, height, width]
  draws = many_draws(patch(min_iou=(bound,), keep_probability=0.0), example, 200)
  counts = set()
  for draw in draws:
    begin, size = patch_of(draw)
    assert (size >= np.floor(0.3 * np.array([height, width]))).all()
    assert 0.5 <= size[1] / size[0] <= 2
    assert max(iou_in_pixels(begin, size, box) for box in boxes) >= bound - 1e-6
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    kept = ((centers >= begin) & (centers < begin + size)).all(axis=1)
    counts.add(kept.sum())
    expected = (np.clip(boxes - [*begin, *begin], 0, [*size, *size]) / [*size, *size])[kept]
    np.testing.assert_allclose(draw[fields.GROUNDTRUTH_BOXES], expected, atol=1e-5)
    for key in set(fields.PER_BOX) - {fields.GROUNDTRUTH_BOXES}:
      np.testing.assert_array_equal(draw[key], example[key][kept], err_msg=key)
    np.testing.assert_array_equal(draw[fields.LABELED_CLASSES], example[fields.LABELED_CLASSES])
  assert len(counts) > 1
  assert bound > 0 or 0 in counts  # Any patch fits 0, one without boxes too.


def test_patches_are_spread_over_sizes_and_places():
  # One box in a square image: sizes of .3 to 1, each alone, of those with a ratio of .5 to 2.
  example = make_example(coordinates(200, 200), [[0.2, 0.2, 0.8, 0.8]])
  draws = many_draws(patch(min_iou=(0.0,), keep_probability=0.0), example, 600)
  begins, sizes = np.array([patch_of(draw) for draw in draws]).transpose(1, 0, 2)
  reference = np.random.RandomState(0).uniform(0.3, 1, [100000, 2])
  ratios = reference[:, 1] / reference[:, 0]
  reference = np.floor(200 * reference[(ratios >= 0.5) & (ratios <= 2)])
  assert (sizes >= 60).all()
  # Of 600: a deviation of the mean of 200 * .19 / sqrt(600) = 1.6.
  np.testing.assert_allclose(sizes.mean(axis=0), reference.mean(axis=0), atol=6)
  np.testing.assert_allclose(
    np.quantile(sizes, [0.1, 0.5, 0.9], axis=0),
    np.quantile(reference, [0.1, 0.5, 0.9], axis=0),
    atol=14,
  )
  room = 200 - sizes
  shares = (begins / np.maximum(room, 1))[(room > 20).all(axis=1)]
  assert (begins <= room).all()
  assert_spread(shares[:, 0], 0, 1)
  assert_spread(shares[:, 1], 0, 1)


def test_a_bound_is_drawn_again_after_trials_that_did_not_fit():
  # A tiny box: no patch has an IoU of .1 with it, so that a round ends the loop with probability
  # .143 (whole) or .857 / 6 (any patch): half and half.
  example = make_example(coordinates(60, 80), [[0.5, 0.5, 0.52, 0.51]])
  draws = many_draws(patch(), example, 600)
  whole = np.array([draw[fields.IMAGE].shape == (60, 80, 3) for draw in draws])
  assert 0.43 < whole.mean() < 0.57
  # A patch's IoU with a box as large as the image is its area, which is .1 within a few of the 50
  # trials: a round is always the last.
  example = make_example(coordinates(60, 80), [[0.0, 0.0, 1.0, 1.0]])
  draws = many_draws(patch(min_iou=(0.0, 0.1)), example, 600)
  whole = np.array([draw[fields.IMAGE].shape == (60, 80, 3) for draw in draws])
  assert 0.1 < whole.mean() < 0.19


@pytest.mark.parametrize(
  ('boxes', 'options'),
  [
    # Without boxes; with one that no patch of the first 100 rounds can fit; always kept.
    (np.zeros([0, 4]), {}),
    ([[0.5, 0.5, 0.52, 0.51]], {'min_iou': (0.9,), 'keep_probability': 0.0, 'max_trials': 2}),
    (BOXES, {'keep_probability': 1.0}),
  ],
)
def test_an_example_that_stays_whole(boxes, options):
  example = make_example(noise(12, 17), boxes)
  changed = eager_and_mapped(patch(**options), example)
  for key, value in example.items():
    np.testing.assert_array_equal(changed[key], value, err_msg=key)


def test_a_patch_of_an_image_of_one_pixel():
  changed = eager_and_mapped(
    patch(keep_probability=0.0), make_example(np.zeros([1, 1, 3]), [[0.0, 0.0, 1.0, 1.0]])
  )
  assert changed[fields.IMAGE].shape == (1, 1, 3)


def kernel_resize(image, size, kernel, radius):
  """Resizes by a kernel around the places of pixels' centers, float64, without antialiasing."""
  for axis, length in enumerate(size):
    count = image.shape[axis]
    places = (np.arange(length) + 0.5) * count / length - 0.5
    distances = places[:, None] - np.arange(count)
    weights = np.where(abs(distances) < radius, kernel(abs(distances)), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    image = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
  return np.clip(image, 0, 255)


def linear_resize(image, size):
  for axis, length in enumerate(size):
    count = image.shape[axis]
    places = np.clip((np.arange(length) + 0.5) * count / length - 0.5, 0, count - 1)
    low = np.floor(places).astype(int)
    share = (places - low).reshape([-1, *[1] * (2 - axis)])
    high = np.minimum(low + 1, count - 1)
    image = (1 - share) * image.take(low, axis) + share * image.take(high, axis)
  return image


def keys_cubic(x):
  near = 1.5 * x**3 - 2.5 * x**2 + 1
  return np.where(x < 1, near, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2)


def test_each_interpolation():
  image = noise(24, 36)
  size = (12, 9)
  pixels = image.astype(np.float64)
  expected = {
    # floor(i * scale), as OpenCV has it.
    'nearest': pixels[::2, ::4],
    'bilinear': linear_resize(pixels, size),
    'bicubic': kernel_resize(pixels, size, keys_cubic, 2),
    'area': pixels.reshape(12, 2, 9, 4, 3).mean(axis=(1, 3)),
    'lanczos3': kernel_resize(pixels, size, lambda x: np.sinc(x) * np.sinc(x / 3), 3),
  }
  operation = ssd_chain.resize_random_interpolation
  example = make_example(image)
  draws = many_draws(lambda e, seed: operation(e, seed, height=12, width=9), example, 300)
  counts = dict.fromkeys(expected, 0)
  for draw in draws:
    result = draw[fields.IMAGE]
    assert result.dtype == np.uint8
    (name,) = [k for k, v in expected.items() if abs(result - v).max() <= 0.51]
    counts[name] += 1
    assert_only_image_changed(draw, example)
  # 300 / 5 = 60, with a deviation of 7.
  assert set(counts) == set(ssd_chain.INTERPOLATIONS)
  assert all(35 < count < 85 for count in counts.values())


def test_a_resized_image_is_not_resized_again():
  example = make_example(noise(37, 53))
  changed = eager_and_mapped(ssd_chain.resize_random_interpolation, example)
  assert changed[fields.IMAGE].shape == (300, 300, 3)
  np.testing.assert_array_equal(
    preprocessing.resize(changed[fields.IMAGE], (300, 300)), changed[fields.IMAGE]
  )


def test_ssd_tensorflows_crop_keeps_the_boxes_that_it_kept():
  with open(os.path.join(TESTDATA, 'preprocess_train_boxes.json')) as file:
    golden = json.load(file)
  example = make_example(noise(100, 200), golden['bboxes_yxyx'])
  # The window, in pixels of an image for which they are whole: (.25, .1, .85, .75).
  window = np.rint(np.array(golden['crop_yxyx']) * [100, 200, 100, 200]).astype(int)
  changed = crops.crop(
    {key: tf.constant(value) for key, value in example.items()},
    tf.constant(window[:2], tf.int32),
    tf.constant(window[2:] - window[:2], tf.int32),
    overlap_thresh=np.nextafter(np.float32(0.5), np.float32(2)),
    clip_boxes=False,
  )
  np.testing.assert_array_equal(changed[fields.GROUNDTRUTH_CLASSES], golden['kept_labels'])
  np.testing.assert_allclose(
    changed[fields.GROUNDTRUTH_BOXES], golden['kept_boxes(not clipped)'], atol=1e-6
  )


def test_ssd_tensorflows_crop_over_many_draws():
  height, width = 120, 200
  example = make_example(coordinates(height, width))
  boxes = np.array(BOXES) * [height, width, height, width]
  draws = many_draws(ssd_tensorflow.ssd_tensorflow_crop, example, 300)
  uncut, areas = 0, []
  for draw in draws:
    begin, size = patch_of(draw)
    low, high = np.maximum(begin, boxes[:, :2]), np.minimum(begin + size, boxes[:, 2:])
    covered = np.prod(np.maximum(high - low, 0), axis=1) / np.prod(
      boxes[:, 2:] - boxes[:, :2], axis=1
    )
    areas.append(np.prod(size) / (height * width))
    assert covered.max() >= 0.25 - 1e-6
    assert 0.58 <= size[1] / size[0] <= 1.72  # .6 to 1.67, whole pixels.
    kept = covered > 0.5
    expected = ((boxes - [*begin, *begin]) / [*size, *size])[kept]
    np.testing.assert_allclose(draw[fields.GROUNDTRUTH_BOXES], expected, atol=1e-5)
    np.testing.assert_array_equal(
      draw[fields.GROUNDTRUTH_CLASSES], example[fields.GROUNDTRUTH_CLASSES][kept]
    )
    uncut += (abs(expected - 0.5) > 0.5 + 1e-6).any()
  assert uncut > 50
  assert min(areas) < 0.15
  assert max(areas) > 0.8
  eager_and_mapped(ssd_tensorflow.ssd_tensorflow_crop, example)


def test_ssd_tensorflows_crop_drops_a_box_of_which_half_is_left():
  # The window is the whole image; boxes reach beyond it, by half and by a little less.
  example = make_example(noise(8, 10), [[-0.5, 0.0, 0.5, 1.0], [-0.375, 0.0, 0.5, 1.0]])
  options = {'min_object_covered': 1.0, 'min_area': 1.0, 'max_attempts': 1}

  def operation(example, seed):
    return ssd_tensorflow.ssd_tensorflow_crop(
      example, seed, min_aspect_ratio=1.25, max_aspect_ratio=1.25, **options
    )

  changed = eager_and_mapped(operation, example)
  assert changed[fields.IMAGE].shape == (8, 10, 3)
  np.testing.assert_array_equal(changed[fields.GROUNDTRUTH_CLASSES], [2])
  np.testing.assert_array_equal(changed[fields.GROUNDTRUTH_BOXES], [[-0.375, 0.0, 0.5, 1.0]])


def test_ssd_tensorflows_crop_without_boxes():
  example = make_example(noise(40, 50), np.zeros([0, 4]))
  changed = eager_and_mapped(ssd_tensorflow.ssd_tensorflow_crop, example)
  assert changed[fields.GROUNDTRUTH_BOXES].shape == (0, 4)
  assert 0.25 <= np.prod(changed[fields.IMAGE].shape[:2]) / 2000 <= 1


# On [0, 1], not limited in between.
REFERENCE = {
  'brightness': lambda x, delta: x + delta,
  'contrast': lambda x, f: x.mean(axis=(0, 1)) + f * (x - x.mean(axis=(0, 1))),
  'saturation': lambda x, f: with_hsv(x, lambda h, s, v: (h, min(1, f * s), v)),
  'hue': lambda x, delta: with_hsv(x, lambda h, s, v: ((h + delta) % 1, s, v)),
}


@pytest.mark.parametrize('order', ssd_tensorflow.COLOR_ORDERS)
def test_ssd_tensorflows_colors_in_each_order(order):
  # Of 80 to 180, so that nothing leaves [0, 1] and colorsys knows every value.
  pixels = 80.0 + 100.0 * noise(5, 7) / 255
  amounts = {'brightness': 0.1, 'saturation': 0.7, 'hue': -0.15, 'contrast': 1.2}
  expected = pixels / 255
  for name in order:
    expected = REFERENCE[name](expected, amounts[name])
  actual = ssd_tensorflow._distort(tf.constant(pixels, tf.float32), amounts, order)
  np.testing.assert_allclose(actual, 255 * expected, atol=1e-3)


def test_ssd_tensorflows_colors_are_limited_only_at_the_end():
  # Brighter by .2 and then half the contrast: 1.1 and .7 are .9 +- .1, where a limit of 1 in
  # between would leave .925 and .775.
  pixels = tf.constant([[[0.9] * 3, [0.5] * 3]]) * 255
  amounts = {'brightness': 0.2, 'saturation': 1.0, 'hue': 0.0, 'contrast': 0.5}
  actual = ssd_tensorflow._distort(pixels, amounts, ssd_tensorflow.COLOR_ORDERS[0])
  np.testing.assert_allclose(actual[0, :, 0], [255.0, 204.0], atol=1e-3)


def test_ssd_tensorflows_colors_over_many_draws():
  # One gray color: saturation, hue and, about its own mean, contrast do nothing.
  example = make_example(np.full([2, 3, 3], 100.0), dtype=np.float32)
  draws = many_draws(ssd_tensorflow.ssd_tensorflow_color, example)
  assert_spread([draw[fields.IMAGE][0, 0, 0] - 100 for draw in draws], -32, 32)
  for dtype in (np.uint8, np.float32):
    example = make_example(noise(6, 9), dtype=dtype)
    changed = eager_and_mapped(ssd_tensorflow.ssd_tensorflow_color, example)
    assert_only_image_changed(changed, example)
    assert (changed[fields.IMAGE] != example[fields.IMAGE]).mean() > 0.5


def big_image():
  rows, columns, channels = np.ogrid[:400, :500, :3]
  waves = 128 + 100 * np.sin(rows / 37 + channels) * np.cos(columns / 29)
  return np.clip(np.rint(waves), 0, 255).astype(np.uint8)


def test_the_resized_image_of_ssd_tensorflows_evaluation():
  """Its WARP_RESIZE is our fixed_shape_resizer without half-pixel centers, then the means."""
  with np.load(os.path.join(TESTDATA, 'preprocess_eval.npz')) as golden:
    small = golden['img_small']
    for image, name, size in (
      (small, 'small_WARP_RESIZE_300', [300, 300]),
      (big_image(), 'big_WARP_RESIZE', [300, 300]),
      (small, 'small_WARP_RESIZE_512', [512, 512]),
    ):
      actual = preprocessing.normalize_vgg(preprocessing.resize(image, size)).numpy()
      rows = actual.reshape([-1, 3])[golden[f'{name}_pix_idx']]
      np.testing.assert_allclose(rows, golden[f'{name}_pix'], atol=1e-4)
