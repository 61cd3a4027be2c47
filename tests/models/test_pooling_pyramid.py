"""The pooling pyramid against a loop over cells."""

import keras
import numpy as np

from ssd_tf.models.pooling_pyramid import pooling_pyramid


def maxima_of_cells(features):
  height, width = features.shape[1:3]
  rows = [
    [features[:, y : y + 2, x : x + 2].max((1, 2)) for x in range(0, width, 2)]
    for y in range(0, height, 2)
  ]
  return np.moveaxis(np.array(rows), 2, 0)


def test_each_map_holds_the_maxima_of_the_one_before():
  # 19, 10, 5, 3, 2, 1 as at 300 pixels; the width stays at 1 in the end.
  features = np.random.default_rng(0).normal(-5, 1, [2, 19, 7, 3]).astype(np.float32)
  inputs = keras.Input([19, 7, 3])
  model = keras.Model(inputs, pooling_pyramid(inputs, num_layers=6))
  assert model.count_params() == 0
  expected = features
  sizes = []
  for found in model(features):
    np.testing.assert_array_equal(found, expected)
    sizes.append(found.shape[1:3])
    expected = maxima_of_cells(expected)
  assert sizes == [(19, 7), (10, 4), (5, 2), (3, 1), (2, 1), (1, 1)]


def test_one_map_is_the_finest():
  inputs = keras.Input([4, 6, 3])
  assert pooling_pyramid(inputs, num_layers=1) == [inputs]
