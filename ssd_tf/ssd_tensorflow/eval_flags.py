"""Translates the flags of SSD-Tensorflow's eval_ssd_network.py into a pipeline.config."""

import os
from collections.abc import Collection, Mapping
from typing import Any

from ssd_tf.config import label_map, text_proto
from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.config.schema import MAX_DETECTIONS
from ssd_tf.errors import InputError
from ssd_tf.ssd_tensorflow import data_sets
from ssd_tf.ssd_tensorflow.model_text import MODELS, model_text
from ssd_tf.ssd_tensorflow.script_flags import understand

# Flag -> why it changes nothing.
WITHOUT_EFFECT = {
  'eval_image_size': "SSD-Tensorflow never reads it, either; the size is the model's",
  'gpu_memory_fraction': 'GPU memory is taken as it is needed',
  'master': 'one machine evaluates',
  'moving_average_decay': 'averages are taken wherever the checkpoint has them',
  'num_preprocessing_threads': 'there are as many as the processors bear',
}
# In metrics.jsonl: two evaluations that differ in one of these are not compared.
SETTINGS = (
  *('checkpoint_dir', 'num_classes', 'select_threshold', 'select_top_k', 'nms_threshold'),
  *('keep_top_k', 'matching_threshold', 'remove_difficult', 'max_num_batches', 'batch_size'),
)
_METRICS = ('voc_07_12_detection_metrics', 'coco_detection_metrics')
_RESIZE = {1: 'NONE', 2: 'CENTRAL_CROP', 3: 'PAD_AND_RESIZE', 4: 'WARP_RESIZE'}
_WARP = 4
_DEFAULT_CLASSES = 21


def prepare(flags: Mapping[str, Any], given: Collection[str]) -> tuple[Pipeline, dict[str, Any]]:
  """Makes the config of an evaluation: that of the training, else one of the flags.

  pipeline.config in the folder of the checkpoint has the model and the classes; without one, those
  come from the flags and the data set, and are written to eval_dir. Thresholds, records and
  metrics are those of the flags.

  Raises:
    InputError: a flag, the data set or the checkpoint's folder is at fault.
  """
  flags = _understood(flags, given)
  paths = data_sets.find_records(
    flags['dataset_dir'], flags['dataset_name'], flags['dataset_split_name']
  )
  trained = os.path.join(flags['checkpoint_dir'], 'pipeline.config')
  if os.path.exists(trained):
    config, path = Pipeline.load(trained).config, trained
    _check_against_training(config, trained, flags)
    flags['num_classes'] = config.model.ssd.num_classes + 1
    _read_as_in_training(config, trained)
  else:
    config, path = _config_of_flags(flags)
  del config.eval_input_reader[1:]
  reader = config.eval_input_reader[0]
  reader.shuffle = False
  reader.tf_record_input_reader.input_path[:] = paths
  suppression = config.model.ssd.post_processing.batch_non_max_suppression
  suppression.score_threshold = flags['select_threshold']
  suppression.iou_threshold = flags['nms_threshold']
  # SSD-Tensorflow limits the detections of a class, not those of an image.
  suppression.max_detections_per_class = flags['keep_top_k']
  suppression.max_total_detections = min(
    flags['keep_top_k'] * config.model.ssd.num_classes, MAX_DETECTIONS
  )
  config.eval_config.metrics_set[:] = _METRICS
  config.eval_config.batch_size = flags['batch_size']
  return Pipeline(config, path), flags


def _understood(flags, given):
  """The flags as they are meant, besides what they say together: checkpoints, checkpoint_dir."""
  for name, value in flags.items():
    for other in flags if isinstance(value, str) else ():
      if f'--{other}=' in value:
        raise InputError(
          f'--{name}={value}: --{other} is part of the value: put a space before it (and before a '
          'backslash at the end of a line)'
        )
  for name in ('dataset_dir', 'dataset_name'):
    if not flags[name]:
      raise InputError(f'--{name}: is required; see --help')
  flags = understand(flags, given, WITHOUT_EFFECT)
  if flags['eval_resize'] != _WARP:
    names = ', '.join(f'{number} {name}' for number, name in _RESIZE.items())
    raise InputError(
      f'--eval_resize={flags["eval_resize"]}: of {names} there is 4 only, the whole image at the '
      'size of the model, as in training'
    )
  flags['num_classes'] = flags['num_classes'] if 'num_classes' in given else None
  checkpoints = [path for path in flags['checkpoint_path'].split(',') if path]
  if not checkpoints:
    raise InputError('--checkpoint_path: is empty: give a folder or the prefix of a checkpoint')
  if not flags['wait_for_checkpoints']:
    for path in checkpoints:
      _check_checkpoint(path)
  first = os.path.expanduser(checkpoints[0])
  # A checkpoint's prefix is no file, and a folder that is waited for need not be there yet.
  is_prefix = os.path.exists(f'{first}.index') or os.path.isfile(first)
  flags['checkpoints'] = checkpoints
  flags['checkpoint_dir'] = os.path.dirname(first) if is_prefix else first
  return flags


def _check_checkpoint(path):
  """Says at once, not after a look through all records, that there is none."""
  try:
    find_checkpoint(path)
  except InputError as error:
    raise InputError(
      f'--checkpoint_path={path}: {error} (To wait for one: --wait_for_checkpoints)'
    ) from error


def _check_against_training(config, path, flags):
  ssd = config.model.ssd
  num_classes = flags['num_classes']
  if num_classes is not None and num_classes != ssd.num_classes + 1:
    raise InputError(
      f'--num_classes={num_classes}: counts the background, so it is {ssd.num_classes + 1} for '
      f'this training ({path}: model.ssd.num_classes: {ssd.num_classes})'
    )
  if flags['model_name']:
    asked = _model(flags['model_name'], ssd.num_classes).model.ssd
    mine, theirs = asked.feature_extractor.type, ssd.feature_extractor.type
    if mine != theirs:
      raise InputError(
        f'--model_name={flags["model_name"]}: the training is of {theirs} ({path}: model.ssd.'
        'feature_extractor.type); leave the flag out, or give another --checkpoint_path'
      )


def _read_as_in_training(config, path):
  """Gives the evaluation the label map and class map that the training has."""
  if not config.train_input_reader and not config.eval_input_reader:
    raise InputError(f'{path}: there is no input reader in it, whose label map would be needed')
  if config.train_input_reader:
    reader = config.train_input_reader[0]
    del config.eval_input_reader[:]
    config.eval_input_reader.add().CopyFrom(reader)
    # Those say which images are labeled for what, or how often to draw, which is the training's.
    for field in ('labeled_class', 'sampling_weight', 'sample_from_datasets_weights'):
      config.eval_input_reader[0].ClearField(field)


def _model(model_name, num_classes):
  config = PipelineConfig()
  # What belongs to the training has SSD-Tensorflow's usual values; the losses are told by them.
  text = model_text(
    model_name,
    num_classes=num_classes,
    weight_decay=0.0005,
    match_threshold=0.5,
    negative_ratio=3,
    loss_alpha=1.0,
  )
  text_proto.parse(text, 'the config of these flags', config)
  return config


def _config_of_flags(flags):
  if not flags['model_name']:
    raise InputError(
      f'--model_name: expected one of {", ".join(MODELS)}, as {flags["checkpoint_dir"]} has no '
      'pipeline.config that would say it'
    )
  flags['num_classes'] = flags['num_classes'] or _DEFAULT_CLASSES
  data_set = data_sets.load(
    flags['dataset_dir'],
    flags['dataset_name'],
    flags['dataset_split_name'],
    flags['label_map_path'] or '',
  )
  classes = data_sets.classes_below(data_set, flags['num_classes'])
  os.makedirs(flags['eval_dir'], exist_ok=True)
  label_map_path = os.path.abspath(os.path.join(flags['eval_dir'], 'eval_label_map.pbtxt'))
  label_map.save(classes, label_map_path)
  config = _model(flags['model_name'], flags['num_classes'] - 1)
  config.eval_input_reader.add().label_map_path = label_map_path
  # Not named pipeline.config: eval_dir may be the checkpoint's folder, which has no training's.
  path = os.path.join(flags['eval_dir'], 'eval_pipeline.config')
  return config, Pipeline(config, path).save(path)
