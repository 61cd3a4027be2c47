"""Builds MobileNet v1 and v2 as backbones of an SSD or of a feature pyramid."""

import keras

from ssd_tf.models.conv_block import ConvHyperparams, conv_block, depthwise_block

# (stride, filters) of the 13 depthwise separable blocks. Howard et al. 2017, table 1.
V1_BLOCKS = (
  (1, 64),
  (2, 128),
  (1, 128),
  (2, 256),
  (1, 256),
  (2, 512),
  (1, 512),
  (1, 512),
  (1, 512),
  (1, 512),
  (1, 512),
  (2, 1024),
  (1, 1024),
)
# (expansion, filters, repeats, stride of the first). Sandler et al. 2018, table 2.
V2_STAGES = (
  (1, 16, 1, 1),
  (6, 24, 2, 2),
  (6, 32, 3, 2),
  (6, 64, 4, 2),
  (6, 96, 3, 1),
  (6, 160, 3, 2),
  (6, 320, 1, 1),
)


def mobilenet_v1(
  images: keras.KerasTensor,
  hyperparams: ConvHyperparams,
  *,
  for_pyramid: bool = False,
) -> list[keras.KerasTensor]:
  """MobileNet v1 without its classifier.

  Args:
    images: f32[B,H,W,3] in [-1, 1].

  Returns:
    The outputs of blocks 11 (stride 16) and 13 (stride 32), after activation; for a pyramid those
    of blocks 3 and 5 (strides 4 and 8) before them.

  Source: the Object Detection API's ssd_mobilenet_v1 and ssd_mobilenet_v1_fpn extractors.
  """
  name, depth = 'mobilenet_v1', hyperparams.depth
  outputs = [conv_block(images, depth(32), 3, hyperparams, strides=2, name=f'{name}_conv_0')]
  for i, (stride, filters) in enumerate(V1_BLOCKS, start=1):
    block = f'{name}_block_{i}'
    features = depthwise_block(outputs[-1], hyperparams, strides=stride, name=f'{block}_depthwise')
    outputs.append(conv_block(features, depth(filters), 1, hyperparams, name=f'{block}_pointwise'))
  return [outputs[i] for i in ((3, 5, 11, 13) if for_pyramid else (11, 13))]


def mobilenet_v2(
  images: keras.KerasTensor,
  hyperparams: ConvHyperparams,
  *,
  for_pyramid: bool = False,
) -> list[keras.KerasTensor]:
  """MobileNet v2 without its classifier.

  Filters are `rounded_depth`; the last convolution keeps its 1280 when the multiplier is above 1.

  Args:
    images: f32[B,H,W,3] in [-1, 1].

  Returns:
    The expansion of block 13 (stride 16) and the last convolution (stride 32), after activation.
    For a pyramid the outputs of blocks 2, 5 and 12 (strides 4, 8, 16), which are not activated, and
    the last convolution.

  Source: the Object Detection API's ssd_mobilenet_v2 and ssd_mobilenet_v2_fpn extractors.
  """
  name, depth = 'mobilenet_v2', hyperparams.rounded_depth
  features = conv_block(images, depth(32), 3, hyperparams, strides=2, name=f'{name}_conv_0')
  expansions, outputs = [], []
  for expansion, filters, repeats, first_stride in V2_STAGES:
    for repeat in range(repeats):
      stride = first_stride if repeat == 0 else 1
      scope = f'{name}_block_{len(outputs)}'
      inputs = features
      if expansion > 1:
        width = expansion * inputs.shape[-1]
        features = conv_block(inputs, width, 1, hyperparams, name=f'{scope}_expand')
      expansions.append(features)
      features = depthwise_block(features, hyperparams, strides=stride, name=f'{scope}_depthwise')
      features = conv_block(
        features, depth(filters), 1, hyperparams, activate=False, name=f'{scope}_project'
      )
      if stride == 1 and inputs.shape[-1] == features.shape[-1]:
        features = keras.layers.Add(name=f'{scope}_add')([inputs, features])
      outputs.append(features)
  filters = int(1280 * min(hyperparams.depth_multiplier, 1.0))
  last = conv_block(features, filters, 1, hyperparams, name=f'{name}_conv_1')
  return [outputs[2], outputs[5], outputs[12], last] if for_pyramid else [expansions[13], last]
