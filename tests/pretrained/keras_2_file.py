"""The .h5 files that Keras 2 wrote."""

import h5py

SUFFIXES = {'kernel': 'kernel:0', 'bias': 'bias:0', 'gamma': 'conv4_3_norm_gamma:0'}


def write_h5(path, weights, group=None, suffixes=SUFFIXES):
  """Writes {'<layer>/<leaf>': value} as Keras 2 did; with a group, as of a whole model."""
  with h5py.File(path, 'w') as file:
    root = file.create_group(group) if group else file
    layers = {}
    for name, value in weights.items():
      layers.setdefault(name.split('/')[0], []).append((name.split('/')[1], value))
    root.attrs['layer_names'] = [name.encode() for name in ('input_1', *layers)]
    root.create_group('input_1').attrs['weight_names'] = []
    for layer, values in layers.items():
      names = [f'{layer}/{suffixes.get(leaf, f"{leaf}:0")}' for leaf, _ in values]
      root.create_group(layer).attrs['weight_names'] = [name.encode() for name in names]
      for name, (_, value) in zip(names, values, strict=True):
        root[layer].create_dataset(name, data=value)
