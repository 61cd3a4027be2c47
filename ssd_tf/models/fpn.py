"""Builds a feature pyramid, in which each level includes features of the coarser ones."""

import keras

from ssd_tf.models.conv_block import ConvHyperparams, conv_block, conv_layer

# The levels of a backbone's maps: level l has stride 2^l.
FINEST_LEVEL = 2
COARSEST_LEVEL = 5


def feature_pyramid(
  maps: list[keras.KerasTensor],
  hyperparams: ConvHyperparams,
  *,
  min_level: int = 3,
  max_level: int = 7,
  depth: int = 256,
  use_depthwise: bool = False,
  pass_smoothed: bool = True,
) -> list[keras.KerasTensor]:
  """Builds the levels of a feature pyramid.

  Top down, from level 5 to the finest: a level is a 1x1 convolution of the backbone's map, plus
  the level above enlarged twice by repetition; all but the topmost are then smoothed by a 3x3
  convolution. Level 6 and further ones are 3x3 convolutions with stride 2 of the level before. The
  1x1 convolutions have a bias and nothing after them; the 3x3 ones are normalized and activated.

  Args:
    maps: the backbone's at levels 2 to 5, f32[B,H/2^l,W/2^l,C_l].
    min_level: of the finest map, 2 to 5.
    use_depthwise: separable 3x3 convolutions, as FPNLite.
    pass_smoothed: whether a level passes down what it is after smoothing, as the original's Keras
      models; its TF1 models and the paper pass what it is before.

  Returns:
    max_level - min_level + 1 feature maps f32[B,H/2^l,W/2^l,depth], sides rounded up, finest first.

  Source: Lin et al. 2017, "Feature Pyramid Networks for Object Detection", section 3; where levels
  begin and what is activated as the Object Detection API's ssd_mobilenet_v1_fpn and _v2_fpn. A map
  that enlarged is larger than the finer one, whose side is odd, is cut below and to the right, as
  the original does with explicit padding (without, it cannot be built from such images).
  """
  top = min(max_level, COARSEST_LEVEL)
  pyramid = []
  inner = None
  for level in range(top, min_level - 1, -1):
    name = f'feature_map_{level}'
    project = conv_layer(depth, 1, hyperparams, name=f'{name}_projection', use_bias=True)
    projected = project(maps[level - FINEST_LEVEL])
    if inner is None:
      inner = projected
      pyramid.append(inner)
    else:
      inner = keras.layers.Add(name=f'{name}_add')([_enlarge(inner, projected, name), projected])
      smoothed = conv_block(
        inner, depth, 3, hyperparams, name=f'{name}_smoothing', separable=use_depthwise
      )
      pyramid.insert(0, smoothed)
      if pass_smoothed:
        inner = smoothed
  for level in range(top + 1, max_level + 1):
    name = f'feature_map_{level}_coarse'
    pyramid.append(
      conv_block(pyramid[-1], depth, 3, hyperparams, name=name, strides=2, separable=use_depthwise)
    )
  return pyramid


def _enlarge(coarse, fine, name):
  """Repeats each pixel of the coarse map to 2x2, no larger than the fine one."""
  outputs = keras.layers.UpSampling2D(2, name=f'{name}_enlarge')(coarse)
  excess = [ours - wanted for ours, wanted in zip(outputs.shape[1:3], fine.shape[1:3], strict=True)]
  if not any(excess):
    return outputs
  return keras.layers.Cropping2D([(0, side) for side in excess], name=f'{name}_crop')(outputs)
