"""Defines the SSD network as one Keras model: feature maps, and a box predictor on them."""

from collections.abc import Callable

import keras

Maps = list[keras.KerasTensor]


def ssd_model(
  *,
  name: str,
  image_size: tuple[int, int],
  num_channels: int = 3,
  feature_extractor: Callable[[keras.KerasTensor], Maps],
  box_predictor: Callable[[Maps], tuple[keras.KerasTensor, keras.KerasTensor]],
) -> keras.Model:
  """An SSD: f32[B,H,W,C], normalized -> class_logits f32[B,A,K+1], box_encodings f32[B,A,4].

  Args:
    image_size: (height, width) of the input, pixels.
    num_channels: C, of the input: 3, or 1 for gray images.
    feature_extractor: images f32[B,H,W,C] -> maps f32[B,H_i,W_i,C_i], finest first.
    box_predictor: maps -> (class logits, box encodings).

  Returns:
    A model; its `feature_map_sizes` lists (height, width), finest first.

  Source: Liu et al. 2016.
  """
  images = keras.Input((*image_size, num_channels), name='image')
  maps = feature_extractor(images)
  class_logits, box_encodings = box_predictor(maps)
  outputs = {'class_logits': class_logits, 'box_encodings': box_encodings}
  model = keras.Model(images, outputs, name=name)
  model.feature_map_sizes = [tuple(features.shape[1:3]) for features in maps]
  return model
