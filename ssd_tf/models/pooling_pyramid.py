"""Builds the feature maps of a pooling pyramid network: one map, repeatedly max-pooled."""

import keras


def pooling_pyramid(features: keras.KerasTensor, *, num_layers: int = 6) -> list[keras.KerasTensor]:
  """Adds feature maps, finest first, each the maxima of 2x2 cells of the one before.

  f[B,H,W,C] -> num_layers of f[B,ceil(H/2^i),ceil(W/2^i),C]. All feature maps lie in the same
  feature space, so that one box predictor fits all of them. A last row or column of a map of odd
  size is a cell of its own.

  Source: Jin et al. 2018, arXiv:1807.03284, section 3; without a convolution on the finest map, as
  the Object Detection API's ssd_mobilenet_v1_ppn.
  """
  maps = [features]
  for i in range(1, num_layers):
    pool = keras.layers.MaxPooling2D(2, strides=2, padding='same', name=f'pooled_map_{i}')
    maps.append(pool(maps[-1]))
  return maps
