import functools
import os

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data import preprocessing

GOLDENS = os.path.join(os.path.dirname(__file__), '..', 'testdata', 'f_preprocess.npz')


@pytest.fixture(scope='module')
def goldens():
  with np.load(GOLDENS) as archive:
    return dict(archive)


def eager_and_mapped(function, image):
  """The function's value run eagerly; inside Dataset.map, sizes unknown, it has to be the same."""
  eager = tf.nest.map_structure(lambda tensor: tensor.numpy(), function(tf.constant(image)))
  dataset = tf.data.Dataset.from_generator(
    lambda: [image], output_signature=tf.TensorSpec([None, None, image.shape[-1]], image.dtype)
  )
  mapped = next(dataset.map(function).as_numpy_iterator())
  tf.nest.map_structure(np.testing.assert_array_equal, eager, mapped)
  return eager


@pytest.mark.parametrize('dtype', ['uint8', 'float32'])
@pytest.mark.parametrize(
  ('case', 'size', 'method'),
  [
    ('fixed_16x20', (16, 20), 'bilinear'),
    ('fixed_50x40', (50, 40), 'bilinear'),
    ('fixed_16x20_nearest', (16, 20), 'nearest_neighbor'),
    ('fixed_16x20_bicubic', (16, 20), 'bicubic'),
    ('fixed_16x20_area', (16, 20), 'area'),
  ],
)
def test_resize_is_the_originals_bit_for_bit(goldens, case, size, method, dtype):
  image = goldens['image_24x36'].astype(dtype)
  resized = eager_and_mapped(
    functools.partial(preprocessing.resize, size=size, method=method), image
  )
  assert resized.dtype == np.float32
  np.testing.assert_array_equal(resized, goldens[f'resize_{case}_{dtype}'])


@pytest.mark.parametrize('dtype', ['uint8', 'float32'])
@pytest.mark.parametrize(
  ('case', 'max_dimension', 'pad_values'),
  [
    ('keep_min30_max40', 40, None),
    ('keep_min30_max100', 100, None),
    ('keep_min30_max40_pad', 40, (0.0,)),
    ('keep_pad_color', 40, (123.68, 116.779, 103.939)),
  ],
)
def test_keep_aspect_ratio_and_padding_are_the_originals(
  goldens, case, max_dimension, pad_values, dtype
):
  image, true_size = eager_and_mapped(
    functools.partial(
      preprocessing.preprocess_image,
      resize_fn=functools.partial(
        preprocessing.resize_keep_aspect_ratio, min_dimension=30, max_dimension=max_dimension
      ),
      normalize_fn=tf.identity,
      pad_fn=pad_values
      and functools.partial(preprocessing.pad_bottom_right, size=(40, 40), values=pad_values),
    ),
    goldens['image_24x36'].astype(dtype),
  )
  np.testing.assert_array_equal(image, goldens[f'resize_{case}_{dtype}'])
  np.testing.assert_array_equal(true_size, goldens[f'resize_{case}_{dtype}_true_shape'][:2])


@pytest.mark.parametrize('dtype', ['uint8', 'float32'])
def test_grayscale_is_the_originals(goldens, dtype):
  image, true_size = eager_and_mapped(
    functools.partial(
      preprocessing.preprocess_image,
      resize_fn=functools.partial(preprocessing.resize, size=(16, 20)),
      normalize_fn=tf.identity,
      grayscale=True,
    ),
    goldens['image_24x36'].astype(dtype),
  )
  np.testing.assert_array_equal(image, goldens[f'resize_fixed_16x20_gray_{dtype}'])
  np.testing.assert_array_equal(true_size, [16, 20])


def test_half_pixel_centers_sample_where_the_formula_says():
  # Two rows 0, 10 to four: (i + .5) / 2 - .5 = -.25, .25, .75, 1.25, held at the border.
  # Legacy: i / 2 = 0, .5, 1, 1.5, held at the border.
  image = np.array([[[0.0]], [[10.0]]], np.float32)
  half_pixel = preprocessing.resize(image, (4, 1), half_pixel_centers=True)
  legacy = preprocessing.resize(image, (4, 1))
  np.testing.assert_allclose(tf.squeeze(half_pixel), [0.0, 2.5, 7.5, 10.0])
  np.testing.assert_allclose(tf.squeeze(legacy), [0.0, 5.0, 10.0, 10.0])


def test_unknown_resize_method_is_named():
  with pytest.raises(ValueError, match="'cubic' is unknown: give one of .*bilinear"):
    preprocessing.resize(np.zeros([2, 2, 3], np.uint8), (4, 4), method='cubic')


def test_normalization_is_the_originals_bit_for_bit(goldens):
  normalized = preprocessing.normalize_mobilenet(goldens['fe_preprocess_in'])
  for model in ('ssd_mobilenet_v2_320', 'ssd_mobilenet_v1_coco_300', 'ssd_mobilenet_v1_fpn_640'):
    np.testing.assert_array_equal(normalized, goldens[f'fe_preprocess_{model}'])


def test_whole_preprocessing_of_a_batch_is_the_originals(goldens):
  image, true_size = preprocessing.preprocess_image(
    tf.constant(goldens['model_preprocess_in']),
    resize_fn=functools.partial(preprocessing.resize, size=(300, 300)),
  )
  golden = goldens['model_preprocess_out_v2_320_every7']
  np.testing.assert_allclose(image[:, ::7, ::7], golden, rtol=0, atol=1e-6)
  np.testing.assert_array_equal(true_size, [300, 300])


def test_padding_of_a_batch_leaves_the_image_bits_alone():
  images = np.random.RandomState(0).rand(2, 3, 4, 3).astype(np.float32)
  padded = preprocessing.pad_bottom_right(images, size=(5, 6), values=(0.1, 0.2, 0.3)).numpy()
  np.testing.assert_array_equal(padded[:, :3, :4], images)
  margin = np.broadcast_to(np.float32([0.1, 0.2, 0.3]), [2, 5, 6, 3])
  np.testing.assert_array_equal(padded[:, 3:], margin[:, 3:])
  np.testing.assert_array_equal(padded[:, :, 4:], margin[:, :, 4:])


def padding_preprocess(example):
  return preprocessing.preprocess(
    example,
    preprocess_image_fn=functools.partial(
      preprocessing.preprocess_image,
      resize_fn=functools.partial(
        preprocessing.resize_keep_aspect_ratio, min_dimension=20, max_dimension=20
      ),
      pad_fn=functools.partial(preprocessing.pad_bottom_right, size=(20, 20)),
    ),
  )


@pytest.mark.parametrize(
  ('boxes', 'expected'),
  [
    # 10x40 becomes 5x20 in 20x20: y shrinks to 5 / 20, x stays.
    ([[0.0, 0.0, 1.0, 1.0]], [[0.0, 0.0, 0.25, 1.0]]),  # on the border
    ([[0.4, 0.2, 0.404, 0.201]], [[0.1, 0.2, 0.101, 0.201]]),  # tiny
    (np.zeros([0, 4]), np.zeros([0, 4])),
  ],
)
def test_boxes_follow_the_padding(boxes, expected):
  example = {
    fields.IMAGE: np.full([10, 40, 3], 255, np.uint8),
    fields.GROUNDTRUTH_BOXES: np.array(boxes, np.float32),
  }
  mapped = tf.data.Dataset.from_tensors(example).map(padding_preprocess)
  for out in (padding_preprocess(example), next(iter(mapped))):
    np.testing.assert_allclose(out[fields.GROUNDTRUTH_BOXES], expected, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(out[fields.TRUE_SIZE], [5, 20])
    np.testing.assert_array_equal(out[fields.IMAGE][:5], np.ones([5, 20, 3]))
    np.testing.assert_array_equal(out[fields.IMAGE][5:], np.zeros([15, 20, 3]))
