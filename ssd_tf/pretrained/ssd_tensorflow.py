"""Maps a VGG SSD's variables to names in checkpoints of SSD-Tensorflow and of its VGG-16.

Source: variable lists of SSD-Tensorflow's networks.
"""

import re
from collections.abc import Collection

from ssd_tf.pretrained.layer_table import LayerTable, vgg_16_layers

_HEAD_BLOCKS = (4, 7, 8, 9, 10, 11, 12)  # Whose end each head looks at.
# Below the scope of the network, such as ssd_300_vgg or vgg_16.
LAYERS = LayerTable(
  {
    **vgg_16_layers('conv{stage}/conv{stage}_{i}'),
    'vgg_16_conv6': 'conv6',
    'vgg_16_conv7': 'conv7',
    'conv4_3_norm': 'block4_box/L2Normalization',
    **{
      f'block{block}_conv{size}x{size}': f'block{block}/conv{size}x{size}'
      for block in range(8, 13)
      for size in (1, 4 if block == 12 else 3)
    },
    **{f'box_encoding_head_{i}': f'block{b}_box/conv_loc' for i, b in enumerate(_HEAD_BLOCKS)},
    **{f'class_head_{i}': f'block{b}_box/conv_cls' for i, b in enumerate(_HEAD_BLOCKS)},
  },
  {'kernel': 'weights', 'bias': 'biases', 'scale': 'gamma'},
)
# Where conv6 and conv7 come from the fully connected layers of a classification model.
LAYERS_OF_CLASSIFIER = LayerTable(
  {**LAYERS.layers, 'vgg_16_conv6': 'fc6', 'vgg_16_conv7': 'fc7'}, LAYERS.leaves
)


def scope_of(names: Collection[str]) -> str | None:
  """The scope of the VGG network in a checkpoint, such as vgg_16; None if there is none."""
  matches = (re.fullmatch(r'(.+)/conv1/conv1_1/weights', name) for name in sorted(names))
  return next((match[1] for match in matches if match), None)
