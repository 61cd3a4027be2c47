"""Locates the files of named weights: in the package, or in the user's cache."""

import pathlib

from ssd_tf.pretrained import weights_table, zoo_cache

_STARTERS = pathlib.Path(__file__).parent / 'starters'
# Of COCO's 90 class ids, which all rows of the table have.
_COCO_LABEL_MAP = _STARTERS / 'ssd_mobilenet_v1_0.75_coco' / 'label_map.pbtxt'


def checkpoint_path(name: str) -> str:
  """The checkpoint of named weights; those of a zoo are downloaded if they were not before.

  Args:
    name: starter:NAME or zoo:NAME.

  Returns:
    A prefix or a file, as `checkpoint_formats.open_checkpoint` takes it.

  Raises:
    InputError: there are no weights of this name, or they cannot be downloaded.
  """
  weights = weights_table.weights_of(name)
  if weights.archive:
    return zoo_cache.obtain(weights)
  return str(_STARTERS / weights.name.removeprefix(weights_table.STARTER) / 'detect.tflite')


def label_map_path(name: str) -> str:
  """The label map of named weights: the classes that they were trained on.

  Args:
    name: starter:NAME or zoo:NAME, or what else a config calls a checkpoint.

  Returns:
    The path of a label map; '' for what is no name.
  """
  return str(_COCO_LABEL_MAP) if weights_table.is_name(name) else ''
