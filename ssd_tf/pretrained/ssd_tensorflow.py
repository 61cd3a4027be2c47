"""Names of a VGG SSD's variables in SSD-Tensorflow's checkpoints, and in those of its VGG-16."""

import re
from collections.abc import Collection

import keras

_LEAVES = {'kernel': 'weights', 'bias': 'biases', 'scale': 'gamma'}
_HEAD_BLOCKS = (4, 7, 8, 9, 10, 11, 12)  # Whose end each head looks at.
_BACKBONE_LAYERS = {
  **{
    f'vgg_16_conv{stage}_{i}': f'conv{stage}/conv{stage}_{i}'
    for stage, num_convs in enumerate((2, 2, 3, 3, 3), 1)
    for i in range(1, num_convs + 1)
  },
  'vgg_16_conv6': 'conv6',
  'vgg_16_conv7': 'conv7',
}
# Our layer -> theirs, below the scope of the network.
LAYERS = {
  **_BACKBONE_LAYERS,
  'conv4_3_norm': 'block4_box/L2Normalization',
  **{
    f'block{block}_conv{size}x{size}': f'block{block}/conv{size}x{size}'
    for block in range(8, 13)
    for size in (1, 4 if block == 12 else 3)
  },
  **{f'box_encoding_head_{i}': f'block{b}_box/conv_loc' for i, b in enumerate(_HEAD_BLOCKS)},
  **{f'class_head_{i}': f'block{b}_box/conv_cls' for i, b in enumerate(_HEAD_BLOCKS)},
}
_FULLY_CONNECTED = {'vgg_16_conv6': 'fc6', 'vgg_16_conv7': 'fc7'}


def checkpoint_names(
  model: keras.Model, scope: str, *, fully_connected: bool = False
) -> dict[str, str]:
  """Maps the variable paths of a VGG SSD to their names in a checkpoint of SSD-Tensorflow.

  Args:
    model: as `ssd_model` makes it.
    scope: of the network in the checkpoint, such as ssd_300_vgg or vgg_16.
    fully_connected: whether conv6 and conv7 come from fc6 and fc7, of a classification model.

  Returns:
    {'class_head_0/kernel': 'ssd_300_vgg/block4_box/conv_cls/weights', ...}; the path itself where
    there is no such variable.

  Source: variable lists of SSD-Tensorflow's networks.
  """
  layers = {**LAYERS, **(_FULLY_CONNECTED if fully_connected else {})}
  names = {}
  for variable in model.variables:
    layer, _, leaf = variable.path.rpartition('/')
    known = layer in layers and leaf in _LEAVES
    names[variable.path] = f'{scope}/{layers[layer]}/{_LEAVES[leaf]}' if known else variable.path
  return names


def scope_of(names: Collection[str]) -> str | None:
  """The scope of the VGG network in a checkpoint, such as vgg_16; None if there is none."""
  matches = (re.fullmatch(r'(.+)/conv1/conv1_1/weights', name) for name in sorted(names))
  return next((match[1] for match in matches if match), None)


def our_path(name: str) -> str | None:
  """Our path of a variable of a checkpoint; None where we have none."""
  layers = {theirs: ours for ours, theirs in LAYERS.items()}
  leaves = {theirs: ours for ours, theirs in _LEAVES.items()}
  layer, _, leaf = name.rpartition('/')
  while layer:
    if layer in layers and leaf in leaves:
      return f'{layers[layer]}/{leaves[leaf]}'
    layer = layer.partition('/')[2]  # Without the outermost scope.
  return None
