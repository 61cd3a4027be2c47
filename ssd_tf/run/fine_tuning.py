"""Loads a training's fine_tune_checkpoint, by type and class map."""

import keras
from absl import logging

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.pretrained.checkpoint_kind import (
  SLIM,
  SLIM_VGG,
  SSD_TENSORFLOW,
  TF1,
  TF2,
  TF2_CLASSIFICATION,
)
from ssd_tf.pretrained.layer_groups import BACKBONE, CLASS_HEADS, FEATURE_MAPS, GROUPS, group_of
from ssd_tf.pretrained.load_report import LoadReport
from ssd_tf.pretrained.loading import LoadOptions, load_pretrained
from ssd_tf.pretrained.named_weights import label_map_path

CLASS_MAP = 'train_config.fine_tune_class_map'
_GROUPS = {
  'classification': (BACKBONE,),
  'detection': (BACKBONE, FEATURE_MAPS),
  'fine_tune': GROUPS,
  'full': GROUPS,
}
_VERSIONS = {SLIM: 1, SLIM_VGG: 1, SSD_TENSORFLOW: 1, TF1: 1, TF2: 2, TF2_CLASSIFICATION: 2}


def load_fine_tune_checkpoint(
  pipeline: Pipeline,
  model: keras.Model,
  load_options: LoadOptions | None = None,
) -> LoadReport:
  """Loads train_config.fine_tune_checkpoint, as far as fine_tune_checkpoint_type says.

  - classification: the backbone.
  - detection: backbone and feature maps (with an FPN, all of it); the heads too with
    load_all_detection_checkpoint_vars, or with a fine_tune_class_map.
  - fine_tune, or nothing: all that fits; what does not fit is skipped.
  - full: everything; what is missing or does not fit is an error.
  An empty type with from_detection_checkpoint set is detection (true) or classification (false).
  The names in the checkpoint say which program wrote it, not fine_tune_checkpoint_version.

  Raises:
    InputError: there is no such checkpoint, it does not fit, or the class map is at fault.

  Source: the Object Detection API's SSD, of which detection is the same with TF1 and TF2; there,
  fine_tune does not exist for an SSD and an empty type is classification.
  """
  settings = pipeline.config.train_config
  path = pipeline.find_checkpoint(settings.fine_tune_checkpoint)
  kind = _checkpoint_type(settings)
  class_ids = _class_ids(pipeline)
  groups = _GROUPS[kind]
  if class_ids is not None and kind == 'classification':
    raise InputError(
      f'{CLASS_MAP}: needs the heads, but train_config.fine_tune_checkpoint_type '
      '"classification" is the backbone alone; take "fine_tune"'
    )
  if kind == 'detection' and (settings.load_all_detection_checkpoint_vars or class_ids):
    groups = GROUPS
  report = load_pretrained(model, path, groups=groups, class_ids=class_ids, options=load_options)
  if kind == 'full' and (report.skipped or report.missing):
    raise InputError(
      f'train_config.fine_tune_checkpoint: {report.faults()}; train_config.'
      'fine_tune_checkpoint_type "full" needs everything, "fine_tune" takes what fits'
    )
  _warn_of_version(settings, path, report.kind)
  if class_ids is None and CLASS_HEADS in groups:
    _suggest_class_map(pipeline, report)
  return report


def _checkpoint_type(settings):
  if settings.fine_tune_checkpoint_type:
    return settings.fine_tune_checkpoint_type
  if settings.HasField('from_detection_checkpoint'):
    return 'detection' if settings.from_detection_checkpoint else 'classification'
  return 'fine_tune'


def _warn_of_version(settings, path, kind):
  """The field is a hint only: the file is read as what it is."""
  version = settings.fine_tune_checkpoint_version
  is_of = _VERSIONS.get(kind, version)
  if settings.HasField('fine_tune_checkpoint_version') and version not in (0, is_of):
    logging.warning(
      'train_config.fine_tune_checkpoint_version: is V%d, but %s is of the %s; read as such.',
      version, path, kind,
    )  # fmt: skip


def _class_ids(pipeline):
  """{id in the model: id in the checkpoint} of train_config.fine_tune_class_map, or None."""
  mappings = pipeline.config.train_config.fine_tune_class_map
  if not mappings:
    return None
  theirs, ours = _label_maps(pipeline)
  class_ids = {}
  for mapping in mappings:
    if mapping.drop or not mapping.name or not mapping.to:
      raise InputError(
        f'{CLASS_MAP}: needs name: "..." to: "...", and has no drop: the rows of a class that is '
        f'not named stay as they are; received {str(mapping).split()}'
      )
    source = _id_of(mapping.name, theirs, 'train_config.fine_tune_label_map_path')
    target = _id_of(mapping.to, ours, 'train_input_reader.label_map_path')
    if target > pipeline.config.model.ssd.num_classes:
      raise InputError(f'{CLASS_MAP}: {mapping.to!r} is id {target}, above num_classes')
    if target in class_ids:
      raise InputError(f'{CLASS_MAP}: {mapping.to!r} occurs twice')
    class_ids[target] = source
  return class_ids


def _label_maps(pipeline):
  """(of the checkpoint, of the model), each None where it is not known."""
  settings = pipeline.config.train_config
  path = settings.fine_tune_label_map_path or label_map_path(settings.fine_tune_checkpoint)
  theirs = pipeline.load_label_map(path)
  return theirs, pipeline.model_classes


def _id_of(name, classes, field):
  if classes is not None and name in classes.names:
    return classes.id_of(name)
  if name.isdigit() and int(name) > 0:
    return int(name)
  if classes is None:
    raise InputError(f'{CLASS_MAP}: {name!r} is a name, but there is no {field} to look it up in')
  try:
    return classes.id_of(name)
  except InputError as error:
    raise InputError(f'{CLASS_MAP}: {field}: {error}') from None


def _suggest_class_map(pipeline, report):
  """Tells of rows that both label maps know, but that are not where they should be."""
  theirs, ours = _label_maps(pipeline)
  if theirs is None or ours is None:
    return
  if not any(group_of(path) == CLASS_HEADS for path in report.skipped) and (
    (theirs.ids, theirs.names) == (ours.ids, ours.names)
  ):
    return
  shared = [name for name in ours.names if name in theirs.names]
  if shared:
    logging.warning(
      'The classes of %s are not those of the model, or not in the same order. To take over the '
      'rows of those that both know: --class_map=%s',
      report.path, ','.join(f'{name}={name}' for name in shared),
    )  # fmt: skip
