"""Loads a checkpoint into a model: what fits goes in, and all of it is accounted for."""

import dataclasses
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from ssd_tf.errors import InputError
from ssd_tf.pretrained import odapi_tf1, odapi_tf2

# A backbone of which less than this share of values loads is a wrong checkpoint, not a start.
MIN_BACKBONE_SHARE = 0.95
HEAD_PREFIXES = ('box_encoding_head_', 'class_head_')
FEATURE_MAP_PREFIX = 'feature_map_'


@dataclasses.dataclass(frozen=True)
class LoadReport:
  """What a checkpoint gave to a model, by variable path of the model.

  Attributes:
    loaded: path -> the checkpoint's name for it.
    skipped: path -> why its value does not fit (shapes).
    missing: path -> the name that the checkpoint lacks.
    unused: names in the checkpoint that no variable asked for.
    backbone_share: share of the backbone's values that loaded, 0 to 1.
  """

  loaded: dict[str, str]
  skipped: dict[str, str]
  missing: dict[str, str]
  unused: list[str]
  backbone_share: float

  def table(self) -> str:
    """The report as lines of text: a count of each kind, then what did not load."""
    lines = [
      f'{len(self.loaded)} variables loaded, {len(self.skipped)} skipped, {len(self.missing)} '
      f'missing in the checkpoint, {len(self.unused)} unused of it; '
      f'{self.backbone_share:.1%} of the backbone loaded'
    ]
    lines += [f'  skipped  {path}: {why}' for path, why in sorted(self.skipped.items())]
    lines += [f'  missing  {path} ({name})' for path, name in sorted(self.missing.items())]
    lines += [f'  unused   {name}' for name in sorted(self.unused)]
    return '\n'.join(lines)


def load_pretrained(
  model: keras.Model, checkpoint_path: str, *, backbone_only: bool = False
) -> LoadReport:
  """Restores the variables that a checkpoint has for a model, as far as they fit.

  Args:
    model: an SSD model; its variables are assigned.
    checkpoint_path: the prefix of a checkpoint: our own, or one of the Object Detection API,
      name-based (TF1) or object-based (TF2).
    backbone_only: leave feature maps and heads as they are (fine_tune_checkpoint_type
      "classification").

  Returns:
    What was loaded, skipped, missing and unused.

  Raises:
    InputError: the file is missing or of no known kind, or less than 95% of the backbone's values
      load.
  """
  reader = _open(checkpoint_path)
  shapes = reader.get_variable_to_shape_map()
  names = _names_for(model, shapes, checkpoint_path)
  wanted = {
    v.path: v
    for v in model.variables
    if not (backbone_only and v.path.startswith((*HEAD_PREFIXES, FEATURE_MAP_PREFIX)))
  }
  loaded, skipped, missing = {}, {}, {}
  for path, variable in wanted.items():
    name = names.get(path, path)
    if name not in shapes:
      missing[path] = name
    elif tuple(shapes[name]) != tuple(variable.shape):
      skipped[path] = f'{list(shapes[name])} in the checkpoint, {list(variable.shape)} here'
    else:
      variable.assign(reader.get_tensor(_averaged(name, shapes)))
      loaded[path] = name
  asked = {*loaded.values(), *(names.get(path, path) for path in skipped)}
  unused = [name for name in shapes if name not in asked and not _is_bookkeeping(name)]
  report = LoadReport(loaded, skipped, missing, unused, _backbone_share(model, loaded))
  if report.backbone_share < MIN_BACKBONE_SHARE:
    raise InputError(
      f'{checkpoint_path}: only {report.backbone_share:.1%} of the backbone loads, expected at '
      f'least {MIN_BACKBONE_SHARE:.0%}; is it a checkpoint of the same feature extractor and '
      f'depth_multiplier?\n{report.table()}'
    )
  return report


def _open(path):
  try:
    return tf.train.load_checkpoint(path)
  except (tf.errors.OpError, ValueError) as error:
    raise InputError(
      f'{path}: cannot be read as a checkpoint ({error}); give the prefix, such as model.ckpt or '
      'ckpt-0, of files that end in .index and .data-00000-of-00001'
    ) from error


def _names_for(model, shapes, path) -> Mapping[str, str]:
  """Variable path -> name in the checkpoint, for the kind of checkpoint that this is."""
  kinds: list[Callable] = [_own_names, odapi_tf2.checkpoint_names, odapi_tf1.checkpoint_names]
  candidates = [kind(model) for kind in kinds]
  best = max(candidates, key=lambda names: len(set(names.values()) & set(shapes)))
  if not set(best.values()) & set(shapes):
    some = ', '.join(sorted(name for name in shapes if not _is_bookkeeping(name))[:3])
    raise InputError(
      f'{path}: no variable of {model.name} is in it; it holds {some}, ...; expected a checkpoint '
      'of ssd_tf, or of an Object Detection API SSD MobileNet (TF1 or TF2)'
    )
  return best


def _own_names(model):
  """Names in the checkpoints that this package writes; see `training.checkpoints`."""
  return {v.path: f'model/{v.path}/.ATTRIBUTES/VARIABLE_VALUE' for v in model.variables}


def _averaged(name, shapes):
  """The name of a weight's moving average, where a training of ours kept one."""
  average = f'moving_average/{name.removeprefix("model/")}'
  return average if average in shapes else name


def _is_bookkeeping(name):
  return (
    name in ('global_step', '_CHECKPOINTABLE_OBJECT_GRAPH')
    or name.startswith(('save_counter', 'step/', 'optimizer/', 'moving_average/', 'global_step/'))
    or '.OPTIMIZER_SLOT' in name
    or name.endswith(('/Momentum', '/RMSProp', '/RMSProp_1', '/ExponentialMovingAverage'))
  )


def _backbone_share(model, loaded):
  backbone = [
    v for v in model.variables if not v.path.startswith((*HEAD_PREFIXES, FEATURE_MAP_PREFIX))
  ]
  sizes = {v.path: int(np.prod(v.shape)) for v in backbone}
  return sum(size for path, size in sizes.items() if path in loaded) / sum(sizes.values())
