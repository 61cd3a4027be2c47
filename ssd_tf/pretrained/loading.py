"""Loads a checkpoint into a model: what fits goes in, and all of it is accounted for."""

from collections.abc import Collection, Mapping

import keras
import numpy as np

from ssd_tf.errors import InputError
from ssd_tf.pretrained import checkpoint_kind
from ssd_tf.pretrained.checkpoint_description import describe, describe_model
from ssd_tf.pretrained.checkpoint_file import CheckpointFile
from ssd_tf.pretrained.class_rows import remap_class_rows
from ssd_tf.pretrained.layer_groups import BACKBONE, GROUPS, group_of, holds_class_rows
from ssd_tf.pretrained.load_report import LoadReport

# A backbone of which less than this share of values loads is a wrong checkpoint, not a start.
MIN_BACKBONE_SHARE = 0.95


def load_pretrained(
  model: keras.Model,
  checkpoint_path: str,
  *,
  groups: Collection[str] = GROUPS,
  class_ids: Mapping[int, int] | None = None,
) -> LoadReport:
  """Restores the variables that a checkpoint has for a model, as far as they fit.

  Args:
    model: an SSD model; its variables are assigned.
    checkpoint_path: the prefix of a checkpoint: our own (of which the moving averages are taken, if
      there are any), one of the Object Detection API (TF1, TF2, TF2 classification), or one of a
      TF1 slim classifier.
    groups: the parts to load, of `layer_groups.GROUPS`; the others stay as they are.
    class_ids: id of a class in the model -> its id in the checkpoint, from 1: only their rows
      of the class heads are taken, and the background's. None: whole class heads, if they fit.

  Returns:
    What was loaded, skipped, missing and unused.

  Raises:
    InputError: the file is missing, damaged, of no known kind or of another model (less than 95% of
      the backbone's values would load; the model stays as it was); or it lacks a class.
  """
  file = CheckpointFile(checkpoint_path)
  kind = checkpoint_kind.identify(file.shapes, checkpoint_path)
  names = checkpoint_kind.checkpoint_names(kind, model, file.shapes)
  share = _check_backbone(model, file, kind, names)
  loaded, skipped, missing = {}, {}, {}
  for variable in model.weights:  # Without the seeds of dropouts.
    path, name = variable.path, names[variable.path]
    if group_of(path) not in groups:
      continue
    if name not in file.shapes:
      missing[path] = name
      continue
    try:
      variable.assign(_fitting(file.read(name), variable, model, class_ids))
    except InputError:  # Which is a ValueError.
      raise
    except ValueError as error:
      skipped[path] = str(error)
    else:
      loaded[path] = name
  # Of our own checkpoints the moving averages are taken, and the weights themselves left.
  known = {n.replace('moving_average/', 'model/', 1) for n in names.values()}
  return LoadReport(
    path=checkpoint_path,
    kind=kind,
    loaded=loaded,
    mapped=[path for path in loaded if class_ids is not None and holds_class_rows(path)],
    skipped=skipped,
    missing=missing,
    left=[v.path for v in model.weights if group_of(v.path) not in groups],
    unused=[n for n in file.shapes if n not in known and not checkpoint_kind.is_bookkeeping(n)],
    backbone_share=share,
  )


def _fitting(value, variable, model, class_ids):
  """The value that a variable gets; a ValueError says why there is none."""
  if class_ids is not None and holds_class_rows(variable.path):
    box_bias = f'{variable.path.rsplit("/", 1)[0].replace("class", "box_encoding")}/bias'
    return remap_class_rows(
      value,
      variable.numpy(),
      class_ids,
      num_anchors=next(v.shape[0] // 4 for v in model.weights if v.path == box_bias),
      num_classes=model.output['class_logits'].shape[-1] - 1,
    )
  if value.shape != tuple(variable.shape):
    raise ValueError(f'{list(value.shape)} in the checkpoint, {list(variable.shape)} here')
  return value


def _check_backbone(model, file, kind, names):
  """The share of the backbone's values that will load."""
  backbone = [v for v in model.weights if group_of(v.path) == BACKBONE]
  sizes = {v.path: int(np.prod(v.shape)) for v in backbone}
  fitting = [v.path for v in backbone if file.shapes.get(names[v.path]) == tuple(v.shape)]
  share = sum(sizes[path] for path in fitting) / sum(sizes.values())
  if share < MIN_BACKBONE_SHARE:
    raise InputError(
      f'{file.path}: only {share:.1%} of the backbone loads, expected at least '
      f'{MIN_BACKBONE_SHARE:.0%}. The checkpoint ({kind}) has {describe(file.shapes, kind).model()}'
      f'; the model has {describe_model(model).model()}. Set feature_extractor to that of the '
      'checkpoint, or take another checkpoint'
    )
  return share
