"""Loads the variables of a checkpoint that fit a model, and accounts for all of them."""

import dataclasses
from collections.abc import Collection, Mapping

import keras
import numpy as np

from ssd_tf.errors import InputError
from ssd_tf.pretrained import checkpoint_kind, keras_applications
from ssd_tf.pretrained.checkpoint_description import describe, describe_model, step_of
from ssd_tf.pretrained.checkpoint_formats import open_checkpoint
from ssd_tf.pretrained.class_rows import remap_class_rows
from ssd_tf.pretrained.conversion import converted
from ssd_tf.pretrained.fitting_config import fitting_config
from ssd_tf.pretrained.layer_groups import BACKBONE, GROUPS, group_of, holds_class_rows
from ssd_tf.pretrained.load_report import LoadReport
from ssd_tf.pretrained.original_names import paths_in_scopes

# A backbone of which less than this share of values loads is a wrong checkpoint, not a start.
MIN_BACKBONE_SHARE = 0.95


@dataclasses.dataclass(frozen=True)
class LoadOptions:
  """How a checkpoint is loaded, where a config has no field for it.

  Attributes:
    exclude_scopes: the variables whose `original_names` begin with one of these stay as they are.
    model_scope: of a checkpoint with VGG-16, the scope that its names begin with in place of the
      model's; None: the one that they have.
    ignore_missing: whether what the checkpoint lacks, or has in another shape, is only reported.
    decimate_fc: of a classification model with VGG-16, make conv6 and conv7 of its fully connected
      layers, see `conversion.decimate`; else they stay as they are.
  """

  exclude_scopes: tuple[str, ...] = ()
  model_scope: str | None = None
  ignore_missing: bool = True
  decimate_fc: bool = False


def load_pretrained(
  model: keras.Model,
  checkpoint_path: str,
  *,
  groups: Collection[str] = GROUPS,
  class_ids: Mapping[int, int] | None = None,
  options: LoadOptions | None = None,
) -> LoadReport:
  """Restores the variables that a checkpoint has for a model, as far as they fit.

  Args:
    checkpoint_path: the prefix of a checkpoint: our own (of which the moving averages are taken, if
      there are any), one of the Object Detection API (TF1, TF2, TF2 classification), of
      SSD-Tensorflow, or of a TF1 slim classifier; or an .h5 file of ssd_keras or of Keras
      applications, or a .tflite file; or a name of `weights_table`; or 'imagenet', what Keras
      downloads for the backbone.
    groups: the parts to load, of `layer_groups.GROUPS`; the others stay as they are.
    class_ids: id of a class in the model -> its id in the checkpoint, from 1: only their rows
      of the class heads are taken, and the background's. None: whole class heads, if they fit.

  Raises:
    InputError: the file is missing, damaged, of no known kind or of another model (less than 95% of
      the backbone's values would load), lacks a class, or lacks anything where that is not
      ignored; a scope is that of nothing. The model stays as it was.
  """
  options = options or LoadOptions()
  file = _open(model, checkpoint_path, options)
  kind = checkpoint_kind.identify(file.shapes, checkpoint_path)
  _check_options(model, kind, options)
  names = checkpoint_kind.checkpoint_names(
    kind,
    model,
    file.shapes,
    model_scope=options.model_scope,
    fully_connected=options.decimate_fc,
  )
  excluded = paths_in_scopes(model, options.exclude_scopes, 'exclude_scopes')
  asked = [  # Of weights, which are variables without the seeds of dropouts.
    v for v in model.weights if group_of(v.path) in groups and v.path not in excluded
  ]
  values, skipped, missing = {}, {}, {}
  for variable in asked:
    path, name = variable.path, names[variable.path]
    if name not in file.shapes:
      missing[path] = name
      continue
    value = converted(file.read(name), path, kind, decimate_fc=options.decimate_fc)
    try:
      values[path] = _fitting(value, variable, model, class_ids)
    except InputError:  # Which is a ValueError.
      raise
    except ValueError as error:
      skipped[path] = str(error)
  # Of our own checkpoints the moving averages are taken, and the weights themselves left.
  known = {n.replace('moving_average/', 'model/', 1) for n in names.values()}
  report = LoadReport(
    path=checkpoint_path,
    kind=kind,
    loaded={path: names[path] for path in values},
    mapped=[path for path in values if class_ids is not None and holds_class_rows(path)],
    skipped=skipped,
    missing=missing,
    left=[v.path for v in model.weights if group_of(v.path) not in groups or v.path in excluded],
    unused=[n for n in file.shapes if n not in known and not checkpoint_kind.is_bookkeeping(n)],
    backbone_share=_share([v for v in model.weights if group_of(v.path) == BACKBONE], values),
    step=step_of(file),
    remedy=_remedy(model, file, kind),
  )
  _check_backbone(model, file, report, asked)
  if not options.ignore_missing and (skipped or missing):
    raise InputError(
      f'{report.faults()}; leave it out (exclude_scopes), or ignore what is missing '
      '(ignore_missing)'
    )
  for variable in asked:
    if variable.path in values:
      variable.assign(values[variable.path])
  return report


def _open(model, path, options):
  if path != keras_applications.IMAGENET:
    return open_checkpoint(path)
  description = describe_model(model)
  return keras_applications.ImageNetWeights(
    description.backbone,
    description.depth_multiplier,
    include_top=options.decimate_fc and description.backbone == 'vgg_16',
  )


def _check_options(model, kind, options):
  """A request that a kind of checkpoint cannot follow is a fault of the request."""
  by_scope = (checkpoint_kind.SSD_TENSORFLOW, checkpoint_kind.SLIM_VGG)
  if options.model_scope and kind not in by_scope:
    raise InputError(
      f'model_scope: {options.model_scope!r} has no effect with a checkpoint of {kind}; '
      'leave it out'
    )
  has_fc = kind in (checkpoint_kind.SLIM_VGG, checkpoint_kind.KERAS_APPLICATIONS)
  if options.decimate_fc and not (has_fc and describe_model(model).backbone == 'vgg_16'):
    raise InputError(
      f'decimate_fc: is for ssd_300_vgg and ssd_512_vgg with a classification model (VGG-16), not '
      f'for {model.name} with a checkpoint of {kind}; leave it out'
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


def _share(variables, paths):
  """The share of the variables' values that is in those of `paths`; 1 if there are none."""
  sizes = {v.path: int(np.prod(v.shape)) for v in variables}
  total = sum(sizes.values())
  return sum(size for path, size in sizes.items() if path in paths) / total if total else 1.0


def _check_backbone(model, file, report, asked):
  """Refuses a checkpoint that has too little of the backbone that it should have."""
  kind, loaded = report.kind, report.loaded
  backbone = [v for v in asked if group_of(v.path) == BACKBONE]
  expected = [v for v in backbone if v.path in loaded or not checkpoint_kind.may_lack(kind, v.path)]
  share = _share(expected, loaded)
  if share < MIN_BACKBONE_SHARE:
    raise InputError(
      f'{file.path}: only {share:.1%} of the backbone loads, expected at least '
      f'{MIN_BACKBONE_SHARE:.0%}. The checkpoint ({kind}) has {describe(file.shapes, kind).model()}'
      f'; the model has {describe_model(model).model()}. '
      f'{_remedy(model, file, kind) or "Set feature_extractor to that of the checkpoint"}, or take '
      'another checkpoint'
    )


def _remedy(model, file, kind):
  """What fits the checkpoint, if that is another network than the model; '' if it is not."""
  config = fitting_config(describe(file.shapes, kind))
  is_same = config in (None, fitting_config(describe_model(model)))
  return '' if is_same else f'{config} fits the checkpoint'
