"""Names of ssd_keras's layers, in its .h5 files of weights: SSD300, SSD512, their VGG-16, SSD7."""

import keras

# Our layer -> theirs. Their convN is the block N + 2 here: their conv6 follows fc7.
_MAPS = ('conv4_3_norm', 'fc7', *(f'conv{i}_2' for i in range(6, 11)))
_VGG_LAYERS = {
  **{
    f'vgg_16_conv{stage}_{i}': f'conv{stage}_{i}'
    for stage, num_convs in enumerate((2, 2, 3, 3, 3), 1)
    for i in range(1, num_convs + 1)
  },
  'vgg_16_conv6': 'fc6',
  'vgg_16_conv7': 'fc7',
  'conv4_3_norm': 'conv4_3_norm',
  **{f'block{i + 2}_conv1x1': f'conv{i}_1' for i in range(6, 11)},
  **{f'block{i + 2}_conv3x3': f'conv{i}_2' for i in range(6, 10)},
  'block12_conv4x4': 'conv10_2',
  **{f'box_encoding_head_{i}': f'{name}_mbox_loc' for i, name in enumerate(_MAPS)},
  **{f'class_head_{i}': f'{name}_mbox_conf' for i, name in enumerate(_MAPS)},
}
_SSD7_LAYERS = {
  **{f'ssd_7_conv{i}': f'conv{i}' for i in range(1, 8)},
  **{f'ssd_7_conv{i}_batch_norm': f'bn{i}' for i in range(1, 8)},
  **{f'box_encoding_head_{i}': f'boxes{i + 4}' for i in range(4)},
  **{f'class_head_{i}': f'classes{i + 4}' for i in range(4)},
}


def checkpoint_names(model: keras.Model) -> dict[str, str]:
  """Maps the variable paths of a VGG SSD, or of SSD7, to '<layer>/<weight>' in ssd_keras's files.

  Args:
    model: as `ssd_model` makes it.

  Returns:
    {'class_head_0/kernel': 'conv4_3_norm_mbox_conf/kernel', ...}; the path itself where there is
    no such layer.

  Source: layers of ssd_keras's networks.
  """
  layers = _SSD7_LAYERS if model.name == 'ssd_7' else _VGG_LAYERS
  names = {}
  for variable in model.variables:
    layer, _, leaf = variable.path.rpartition('/')
    leaf = 'gamma' if leaf == 'scale' else leaf
    names[variable.path] = f'{layers[layer]}/{leaf}' if layer in layers else variable.path
  return names


def our_path(name: str) -> str | None:
  """Our path of a weight of a file; None where we have none."""
  layer, _, leaf = name.rpartition('/')
  for layers in (_VGG_LAYERS, _SSD7_LAYERS):
    for ours, theirs in layers.items():
      if theirs == layer:
        return f'{ours}/{"scale" if ours == "conv4_3_norm" else leaf}'
  return None
