"""Maps a model's variables to the originals' names, by which configs and flags choose them."""

from collections.abc import Iterable

import keras

from ssd_tf.errors import InputError
from ssd_tf.pretrained import odapi_tf1, ssd_tensorflow


def original_names(model: keras.Model) -> dict[str, str]:
  """The name of each variable in the stack that had the model first.

  Returns:
    With VGG-16, the names of SSD-Tensorflow: {'vgg_16_conv6/kernel': 'ssd_300_vgg/conv6/weights',
    ...}. Else those of the Object Detection API under TF1:
    {'class_head_0/bias': 'BoxPredictor_0/ClassPredictor/biases', ...}.
  """
  if any(v.path.startswith('vgg_16_') for v in model.variables):
    return ssd_tensorflow.LAYERS.names(model, f'{model.name}/')
  return odapi_tf1.checkpoint_names(model)


def paths_in_scopes(model: keras.Model, scopes: Iterable[str], option: str) -> set[str]:
  """The variables whose original names begin with one of the scopes.

  Args:
    scopes: beginnings of names: ssd_300_vgg/block8 is one of ssd_300_vgg/block8_box too.

  Source: SSD-Tensorflow's get_init_fn, where a scope of nothing goes unnoticed.
  """
  names = original_names(model)
  found = set()
  for scope in scopes:
    paths = {path for path, name in names.items() if name.startswith(scope)}
    if not paths or not scope:
      there = dict.fromkeys('/'.join(name.split('/')[:2]) for name in names.values())
      raise InputError(f'{option}: {scope!r} is the scope of nothing; there are {", ".join(there)}')
    found |= paths
  return found
