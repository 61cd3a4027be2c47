"""Maps variables to layers of ssd_keras in its .h5 files: SSD300, SSD512, their VGG-16, SSD7.

Source: layers of ssd_keras's networks.
"""

from ssd_tf.pretrained.layer_table import LayerTable, vgg_16_layers

# Their convN is the block N + 2 here: their conv6 follows fc7.
_MAPS = ('conv4_3_norm', 'fc7', *(f'conv{i}_2' for i in range(6, 11)))
VGG_LAYERS = LayerTable(
  {
    **vgg_16_layers('conv{stage}_{i}'),
    'vgg_16_conv6': 'fc6',
    'vgg_16_conv7': 'fc7',
    'conv4_3_norm': 'conv4_3_norm',
    **{f'block{i + 2}_conv1x1': f'conv{i}_1' for i in range(6, 11)},
    **{f'block{i + 2}_conv3x3': f'conv{i}_2' for i in range(6, 10)},
    'block12_conv4x4': 'conv10_2',
    **{f'box_encoding_head_{i}': f'{name}_mbox_loc' for i, name in enumerate(_MAPS)},
    **{f'class_head_{i}': f'{name}_mbox_conf' for i, name in enumerate(_MAPS)},
  },
  {'scale': 'gamma'},
)
SSD7_LAYERS = LayerTable(
  {
    **{f'ssd_7_conv{i}': f'conv{i}' for i in range(1, 8)},
    **{f'ssd_7_conv{i}_batch_norm': f'bn{i}' for i in range(1, 8)},
    **{f'box_encoding_head_{i}': f'boxes{i + 4}' for i in range(4)},
    **{f'class_head_{i}': f'classes{i + 4}' for i in range(4)},
  }
)
