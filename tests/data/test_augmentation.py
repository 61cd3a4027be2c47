import functools
import os

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data import augmentation
from ssd_tf.data.augmentation import crops, geometry, padding, square_crops

TESTDATA = os.path.join(os.path.dirname(__file__), '..', 'testdata')


@pytest.fixture(scope='module')
def goldens():
  with np.load(os.path.join(TESTDATA, 'f_preprocess.npz')) as archive:
    return dict(archive)


def make_example(image, boxes):
  """Every per-box key holds the row's number, so that a row that moves alone is seen."""
  boxes = np.array(boxes, np.float32).reshape([-1, 4])
  rows = np.arange(len(boxes))
  return {
    fields.IMAGE: np.asarray(image, np.uint8),
    fields.GROUNDTRUTH_BOXES: boxes,
    fields.GROUNDTRUTH_CLASSES: rows.astype(np.int32) + 1,
    fields.GROUNDTRUTH_WEIGHTS: rows.astype(np.float32) / 10,
    fields.GROUNDTRUTH_IS_CROWD: rows % 2 == 0,
    fields.GROUNDTRUTH_DIFFICULT: rows % 2 == 1,
    fields.GROUNDTRUTH_GROUP_OF: rows % 3 == 0,
    fields.GROUNDTRUTH_AREA: rows.astype(np.float32) * 100,
    fields.LABELED_CLASSES: np.array([True, False]),
    fields.SOURCE_ID: np.array(b'7'),
    fields.ORIGINAL_SIZE: np.array(np.shape(image)[:2], np.int32),
  }


def eager_and_mapped(function, example, seed=(3, 4)):
  """The example that comes out of an eager call and, which has to be equal, of Dataset.map."""
  seed = tf.constant(seed, tf.int32)
  eager = {key: value.numpy() for key, value in function(example_tensors(example), seed).items()}
  mapped = tf.data.Dataset.from_tensors(example).map(lambda tensors: function(tensors, seed))
  mapped = next(mapped.as_numpy_iterator())
  assert mapped.keys() == example.keys()
  for key, value in mapped.items():
    np.testing.assert_array_equal(eager[key], value, err_msg=key)
  return mapped


def example_tensors(example):
  return {key: tf.constant(value) for key, value in example.items()}


def many_draws(function, example, count):
  """Lists the examples of `count` seeds, through one Dataset.map."""
  seeds = tf.data.Dataset.range(count).map(lambda i: tf.stack([11, tf.cast(i, tf.int32)]))
  example = example_tensors(example)
  return list(seeds.map(lambda seed: function(example, seed)).as_numpy_iterator())


def rows_of(example):
  """The original row numbers, after checking that all per-box keys agree on them."""
  rows = example[fields.GROUNDTRUTH_CLASSES] - 1
  np.testing.assert_allclose(example[fields.GROUNDTRUTH_WEIGHTS], rows / np.float32(10))
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_IS_CROWD], rows % 2 == 0)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_DIFFICULT], rows % 2 == 1)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_GROUP_OF], rows % 3 == 0)
  np.testing.assert_array_equal(example[fields.GROUNDTRUTH_AREA], rows * np.float32(100))
  assert len(example[fields.GROUNDTRUTH_BOXES]) == len(rows)
  return rows.tolist()


def test_flip_is_the_originals(goldens):
  flip = functools.partial(augmentation.random_horizontal_flip, probability=1.0)
  flipped = eager_and_mapped(flip, make_example(goldens['aug_in'], goldens['aug_boxes']))
  np.testing.assert_array_equal(flipped[fields.IMAGE], goldens['hflip_image'].astype(np.uint8))
  np.testing.assert_array_equal(flipped[fields.GROUNDTRUTH_BOXES], goldens['hflip_boxes'])


def test_flip_twice_is_the_example(goldens):
  example = make_example(goldens['aug_in'], goldens['aug_boxes'])
  flip = functools.partial(augmentation.random_horizontal_flip, probability=1.0)
  twice = augmentation.augment(example, tf.constant([1, 2]), [('flip', flip), ('again', flip)])
  np.testing.assert_array_equal(twice[fields.IMAGE], example[fields.IMAGE])
  np.testing.assert_allclose(
    twice[fields.GROUNDTRUTH_BOXES], example[fields.GROUNDTRUTH_BOXES], atol=1e-7
  )


def test_flip_has_its_probability_and_needs_no_boxes():
  image = np.arange(2 * 4 * 3).reshape([2, 4, 3])
  draws = many_draws(
    functools.partial(augmentation.random_horizontal_flip, probability=0.3),
    make_example(image, []),
    1000,
  )
  flipped = [np.array_equal(draw[fields.IMAGE], image[:, ::-1]) for draw in draws]
  unchanged = [np.array_equal(draw[fields.IMAGE], image) for draw in draws]
  assert np.logical_xor(flipped, unchanged).all()
  # 300 expected, standard deviation sqrt(1000 * .3 * .7) = 14.5.
  assert 250 < sum(flipped) < 350
  assert all(draw[fields.GROUNDTRUTH_BOXES].shape == (0, 4) for draw in draws)


def crop_to(begin, size, **options):
  return lambda example, seed: augmentation.crop(
    example, tf.constant(begin), tf.constant(size), **options
  )


def test_crop_is_the_originals(goldens):
  # The window .2, .1, .8, .9 of the goldens, on a 10x10 image.
  image = np.arange(300).reshape([10, 10, 3])
  example = make_example(image, goldens['aug_boxes'])
  cropped = eager_and_mapped(crop_to([2, 1], [6, 8]), example)
  np.testing.assert_array_equal(cropped[fields.IMAGE], example[fields.IMAGE][2:8, 1:9])
  np.testing.assert_allclose(
    cropped[fields.GROUNDTRUTH_BOXES], goldens['crop_boxes_changed_frame_clipped'], atol=1e-6
  )
  assert rows_of(cropped) == [0, 1, 2]
  unclipped = eager_and_mapped(crop_to([2, 1], [6, 8], clip_boxes=False), example)
  np.testing.assert_allclose(
    unclipped[fields.GROUNDTRUTH_BOXES], goldens['crop_boxes_changed_frame'], atol=1e-6
  )


@pytest.mark.parametrize(
  ('overlap_thresh', 'rows'),
  # Shares of the boxes inside the window, from the goldens: .75, .48, .80.
  [(0.0, [0, 1, 2]), (0.45, [0, 1, 2]), (0.5, [0, 2]), (0.78, [2]), (0.9, [])],
)
def test_crop_drops_boxes_by_their_share_inside(goldens, overlap_thresh, rows):
  example = make_example(np.zeros([10, 10, 3]), goldens['aug_boxes'])
  cropped = eager_and_mapped(crop_to([2, 1], [6, 8], overlap_thresh=overlap_thresh), example)
  assert rows_of(cropped) == rows


def test_crop_of_a_non_square_image_at_its_limits():
  boxes = [
    [0.0, 0.0, 0.5, 0.25],  # touches the window from outside: dropped though the threshold is 0
    [0.5, 0.25, 1.0, 0.5],  # in the corner, on the image's border
    [0.7, 0.4, 0.701, 0.4005],  # tiny
  ]
  # Rows 10 to 20 of 20, columns 10 to 30 of 40: the window .5, .25, 1, .75.
  cropped = eager_and_mapped(
    crop_to([10, 10], [10, 20]), make_example(np.zeros([20, 40, 3]), boxes)
  )
  assert cropped[fields.IMAGE].shape == (10, 20, 3)
  assert rows_of(cropped) == [1, 2]
  # y' = (y - .5) / .5, x' = (x - .25) / .5
  np.testing.assert_allclose(
    cropped[fields.GROUNDTRUTH_BOXES],
    [[0.0, 0.0, 1.0, 0.5], [0.4, 0.3, 0.402, 0.301]],
    atol=1e-6,
  )


def test_ssd_random_crop_has_the_originals_distribution():
  with np.load(os.path.join(TESTDATA, 'f_ssd_random_crop_stats.npz')) as archive:
    original = archive['h_w_nboxes_min_max']
  boxes = [[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.2, 0.6, 0.35, 0.8]]
  example = make_example(np.zeros([120, 160, 3]), boxes)
  draws = many_draws(augmentation.ssd_random_crop, example, 1000)
  sizes = np.array([draw[fields.IMAGE].shape[:2] for draw in draws])
  kept = np.array([len(rows_of(draw)) for draw in draws])
  area = sizes.prod(axis=1) / (120 * 160)
  aspect_ratio = sizes[:, 1] / sizes[:, 0]
  # Standard deviation of a share of .16 of 400 and of 1000 draws together: .022.
  unchanged = (original[:, 0] == 120) & (original[:, 1] == 160)
  assert abs((area == 1).mean() - unchanged.mean()) < 0.066
  # Area has a standard deviation of .28: of the means' difference .017.
  original_area = original[:, 0] * original[:, 1] / (120 * 160)
  assert abs(area.mean() - original_area.mean()) < 0.05
  assert 0.095 < area.min() < 0.13
  assert 0.49 < aspect_ratio.min() < 0.56
  assert 1.9 < aspect_ratio.max() < 2.04
  # Only the case that asks for no share of any box may lose sight of all of them.
  assert 0 <= (kept == 0).mean() < 1 / 7 * 0.85
  for draw in draws:
    assert ((draw[fields.GROUNDTRUTH_BOXES] >= 0) & (draw[fields.GROUNDTRUTH_BOXES] <= 1)).all()


def test_ssd_random_crop_that_has_to_cover_a_box_keeps_one():
  boxes = [[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.2, 0.6, 0.35, 0.8]]
  example = make_example(np.zeros([120, 160, 3]), boxes)
  cases = augmentation.SSD_CROP_CASES[1:6]
  crop = functools.partial(augmentation.ssd_random_crop, operations=cases)
  kept = np.array([len(rows_of(draw)) for draw in many_draws(crop, example, 500)])
  assert {1, 2, 3} <= set(kept)
  # A share of exactly the threshold, counted in pixels, may round to just below it.
  assert (kept == 0).mean() < 0.01


def test_ssd_random_crop_keeps_pixels_and_boxes_together():
  # The pixels of the one box are 255: after the crop they still are, and no others.
  image = np.zeros([60, 100, 3])
  image[15:30, 40:80] = 255
  example = make_example(image, [[15 / 60, 0.4, 0.5, 0.8]])
  draws = many_draws(augmentation.ssd_random_crop, example, 50)
  for draw in draws:
    height, width, _ = draw[fields.IMAGE].shape
    box = draw[fields.GROUNDTRUTH_BOXES] * [height, width, height, width]
    ymin, xmin, ymax, xmax = np.round(box[0]).astype(int)
    np.testing.assert_allclose(box[0], [ymin, xmin, ymax, xmax], atol=1e-3)
    expected = np.zeros_like(draw[fields.IMAGE])
    expected[ymin:ymax, xmin:xmax] = 255
    np.testing.assert_array_equal(draw[fields.IMAGE], expected)
  assert len({draw[fields.IMAGE].shape for draw in draws}) > 30


# Boxes: none, a tiny one of 2 pixels, one as large as the image.
@pytest.mark.parametrize('boxes', [[], [[0.5, 0.5, 0.55, 0.55]], [[0.0, 0.0, 1.0, 1.0]]])
def test_ssd_random_crop_without_boxes_with_a_tiny_and_with_a_full_one(boxes):
  example = make_example(np.zeros([30, 40, 3]), boxes)
  eager_and_mapped(augmentation.ssd_random_crop, example)
  draws = many_draws(augmentation.ssd_random_crop, example, 100)
  assert len({draw[fields.IMAGE].shape for draw in draws}) > 10
  assert all(len(rows_of(draw)) <= len(boxes) for draw in draws)


def test_one_case_keeps_to_its_own_ranges():
  case = augmentation.CropCase(
    1.0, 1.0, aspect_ratio_range=(1.0, 1.0), area_range=(0.5, 0.6), random_coef=0.0
  )
  crop = functools.partial(augmentation.ssd_random_crop, operations=[case])
  draws = many_draws(crop, make_example(np.zeros([100, 100, 3]), [[0.4, 0.4, 0.6, 0.6]]), 100)
  for draw in draws:
    height, width, _ = draw[fields.IMAGE].shape
    assert abs(height - width) <= 1
    assert 0.49 < height * width / 10000 < 0.61
    assert rows_of(draw) == [0]


def test_the_same_seed_gives_the_same_example_and_each_operation_its_own():
  example = make_example(np.random.RandomState(0).randint(0, 256, [30, 40, 3]), [[0, 0, 0.5, 0.5]])
  operations = [
    ('flip', augmentation.random_horizontal_flip),
    ('crop', augmentation.ssd_random_crop),
  ]
  function = functools.partial(augmentation.augment, operations=operations)
  first, again = eager_and_mapped(function, example), eager_and_mapped(function, example)
  for key, value in first.items():
    np.testing.assert_array_equal(value, again[key])
  # Two flips of one half: were they one draw, the image would always come back.
  flips = [('flip', augmentation.random_horizontal_flip)] * 2
  draws = many_draws(functools.partial(augmentation.augment, operations=flips), example, 100)
  same = sum(np.array_equal(draw[fields.IMAGE], example[fields.IMAGE]) for draw in draws)
  assert 30 < same < 70


def test_a_chain_of_all_that_moves_pixels_moves_boxes_with_them():
  # The pixels of the one box are 255: after every operation they still are, and no others.
  image = np.zeros([48, 80, 3])
  image[12:36, 32:64] = 255
  example = make_example(image, [[0.25, 0.4, 0.75, 0.8]])
  case = crops.CropCase(0.5, 0.1, random_coef=0.0)
  black = (0.0, 0.0, 0.0)
  operations = [
    ('vertical', geometry.random_vertical_flip),
    ('crop', functools.partial(crops.random_crop_image, case=case)),
    ('rotation', geometry.random_rotation90),
    ('pad', functools.partial(padding.random_pad_image, pad_color=black)),
    ('horizontal', geometry.random_horizontal_flip),
    ('ratio', functools.partial(crops.random_crop_to_aspect_ratio, overlap_thresh=0.0)),
    (
      'twice',
      functools.partial(geometry.random_self_concat_image, concat_vertical_probability=0.5),
    ),
    ('square', functools.partial(square_crops.random_square_crop_by_scale, max_border=8)),
    ('to_ratio', padding.random_pad_to_aspect_ratio),
  ]
  function = functools.partial(augmentation.augment, operations=operations)
  eager_and_mapped(function, example)
  drawn = many_draws(function, example, 60)
  for draw in drawn:
    height, width, _ = draw[fields.IMAGE].shape
    expected = np.zeros_like(draw[fields.IMAGE])
    for box in draw[fields.GROUNDTRUTH_BOXES] * [height, width, height, width]:
      ymin, xmin, ymax, xmax = np.round(box).astype(int)
      np.testing.assert_allclose(box, [ymin, xmin, ymax, xmax], atol=1e-3)
      expected[ymin:ymax, xmin:xmax] = 255
    np.testing.assert_array_equal(draw[fields.IMAGE], expected)
    np.testing.assert_array_equal(draw[fields.LABELED_CLASSES], example[fields.LABELED_CLASSES])
  assert len({draw[fields.IMAGE].shape for draw in drawn}) > 20
  assert {len(rows_of(draw)) for draw in drawn} >= {0, 1, 2}
