"""Builds feature maps coarser than the backbone's own."""

from collections.abc import Sequence

import keras

from ssd_tf.models.conv_block import ConvHyperparams, conv_block, depthwise_block

# Filters of the feature maps after the backbone's two. The Object Detection API's MobileNet SSDs.
EXTRA_DEPTHS = (512, 256, 256, 128)


def extend_feature_maps(
  maps: list[keras.KerasTensor],
  hyperparams: ConvHyperparams,
  *,
  num_layers: int = 6,
  use_depthwise: bool = False,
  depths: Sequence[int] = EXTRA_DEPTHS,
  kernel_sizes: Sequence[int] | None = None,
) -> list[keras.KerasTensor]:
  """Adds feature maps, each half the size of the one before: 1x1 squeeze, 3x3 with stride 2.

  A map of `filters` is squeezed to filters / 2 first. With depthwise convolutions the second step
  is a 3x3 depthwise convolution with stride 2, then a 1x1 one, each normalized and activated; the
  depthwise kernel is `unconfigured`, as the original's.

  Args:
    maps: the backbone's, finest first, f32[B,H_i,W_i,C_i].
    use_depthwise: as SSDLite.
    depths: filters of each added feature map, before scaling; maps beyond them are not added.
    kernel_sizes: of the second step of each added feature map, instead of 3.

  Returns:
    `num_layers` feature maps f32[B,ceil(H_i/2),ceil(W_i/2),C], finest first.

  Source: Liu et al. 2016, figure 2; SSDLite: Sandler et al. 2018, section 6.2; filters as the
  Object Detection API.
  """
  maps, depth = list(maps[:num_layers]), hyperparams.depth
  kernel_sizes = kernel_sizes or [3] * len(depths)
  num_added = num_layers - len(maps)
  for filters, kernel_size in list(zip(depths, kernel_sizes, strict=True))[:num_added]:
    name = f'feature_map_{len(maps)}'
    features = conv_block(maps[-1], depth(filters / 2), 1, hyperparams, name=f'{name}_squeeze')
    strides = 2
    if use_depthwise:
      features = depthwise_block(
        features,
        hyperparams.unconfigured(),
        name=f'{name}_depthwise',
        strides=2,
        kernel_size=kernel_size,
      )
      strides = kernel_size = 1
    maps.append(
      conv_block(
        features, depth(filters), kernel_size, hyperparams, strides=strides, name=f'{name}_expand'
      )
    )
  return maps
