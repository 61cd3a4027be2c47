"""Opens Keras's HDF5 files of weights, and reads them by the names of layers."""

import re

import h5py
import numpy as np

from ssd_tf.errors import InputError

# The last part of a weight's name: Keras 1 wrote W and b, and all append numbers now and then.
_LEAF = re.compile(
  r'(?:^|.*_)(kernel|W|bias|b|gamma|beta|moving_mean|moving_variance|depthwise_kernel|'
  r'pointwise_kernel)(?:_\d+)?$'
)
_OLD_LEAVES = {'W': 'kernel', 'b': 'bias'}
_DAMAGE = (OSError, KeyError, RuntimeError)


class H5File:
  """The weights in an .h5 file: of `Model.save_weights` before Keras 3, or of a whole model.

  `shapes` is '<layer>/<kernel, bias, gamma, ...>' -> shape. A damaged file is an InputError.
  """

  def __init__(self, path: str):
    """Opens a file."""
    self.path = path
    try:
      self._file = h5py.File(path, 'r')
      self._places = dict(_places(self._file.get('model_weights', self._file)))
      self.shapes = {name: self._file[place].shape for name, place in self._places.items()}
    except _DAMAGE as error:
      raise InputError(
        f'{path}: cannot be read as HDF5 ({str(error).splitlines()[0]}); download or copy it again'
      ) from error
    if not self.shapes:
      raise InputError(
        f'{path}: holds no weights by the names of layers ({", ".join(list(self._file)[:3])}); the '
        '.weights.h5 of Keras 3 have none: write it anew with model.save("name.h5")'
      )

  def read(self, name: str) -> np.ndarray:
    """The value of a weight."""
    try:
      return self._file[self._places[name]][()]
    except _DAMAGE as error:
      raise InputError(
        f'{self.path}: is damaged or cut short at {name} ({str(error).splitlines()[0]}); download '
        'or copy it again'
      ) from error


def _places(root):
  """Yields (<layer>/<leaf>, place in the file)."""
  for layer, group in root.items():
    weight_names = group.attrs.get('weight_names', ())
    weight_names = [n.decode() if isinstance(n, bytes) else n for n in weight_names]
    leaves = [_leaf(name) for name in weight_names]
    for weight_name, leaf in zip(weight_names, leaves, strict=True):
      if leaf == 'depthwise_kernel' and 'pointwise_kernel' not in leaves:
        leaf = 'kernel'  # Of a depthwise convolution, as Keras 3 calls it.
      yield f'{layer}/{leaf}', f'{group.name}/{weight_name}'


def _leaf(weight_name):
  leaf = weight_name.rsplit('/', 1)[-1].removesuffix(':0')
  match = _LEAF.match(leaf)
  return _OLD_LEAVES.get(match[1], match[1]) if match else leaf
