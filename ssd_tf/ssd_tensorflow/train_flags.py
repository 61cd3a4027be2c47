"""Translates the flags of SSD-Tensorflow's train_ssd_network.py into a pipeline.config."""

import json
import os
import string
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from absl import logging

from ssd_tf.config import label_map as label_maps
from ssd_tf.config import text_proto
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.errors import InputError
from ssd_tf.pretrained.loading import LoadOptions
from ssd_tf.ssd_tensorflow import data_sets
from ssd_tf.ssd_tensorflow.model_text import model_text
from ssd_tf.ssd_tensorflow.script_flags import understand

# Flag -> why it changes nothing.
WITHOUT_EFFECT = {
  'label_smoothing': "SSD-Tensorflow's loss ignores it, too",
  'labels_offset': 'SSD-Tensorflow never reads it, either',
  'train_image_size': "SSD-Tensorflow never reads it, either; the size is the model's",
  'gpu_memory_fraction': 'GPU memory is taken as it is needed',
  'num_preprocessing_threads': 'there are as many as the processors bear',
  'save_summaries_secs': (
    'the curves get a point with each line of the log, see --log_every_n_steps'
  ),
}
_OPTIMIZERS = {
  'adadelta': 'adadelta_optimizer { $rate rho: $adadelta_rho epsilon: $opt_epsilon }',
  'adagrad': (
    'adagrad_optimizer { $rate initial_accumulator_value: $adagrad_initial_accumulator_value }'
  ),
  'adam': 'adam_optimizer { $rate beta1: $adam_beta1 beta2: $adam_beta2 epsilon: $opt_epsilon }',
  'ftrl': (
    'ftrl_optimizer { $rate learning_rate_power: $ftrl_learning_rate_power '
    'initial_accumulator_value: $ftrl_initial_accumulator_value '
    'l1_regularization_strength: $ftrl_l1 l2_regularization_strength: $ftrl_l2 }'
  ),
  'momentum': 'momentum_optimizer { $rate momentum_optimizer_value: $momentum }',
  'rmsprop': (
    'rms_prop_optimizer { $rate decay: $rmsprop_decay momentum_optimizer_value: $rmsprop_momentum '
    'epsilon: $opt_epsilon }'
  ),
  'sgd': 'sgd_optimizer { $rate }',
}
_RATES = {
  'fixed': 'constant_learning_rate { learning_rate: $learning_rate }',
  'exponential': (
    'exponential_decay_learning_rate { initial_learning_rate: $learning_rate '
    'decay_steps: $decay_steps decay_factor: $learning_rate_decay_factor staircase: true }'
  ),
  'polynomial': (
    'polynomial_decay_learning_rate { initial_learning_rate: $learning_rate '
    'end_learning_rate: $end_learning_rate decay_steps: $decay_steps power: 1 }'
  ),
}
OPTIMIZERS, DECAY_TYPES = tuple(_OPTIMIZERS), tuple(_RATES)
_TRAINING = """
train_config {
  batch_size: $global_batch_size
  num_steps: $num_steps
  data_augmentation_options { ssd_tensorflow_crop {} }
  data_augmentation_options { random_horizontal_flip {} }
  data_augmentation_options { ssd_tensorflow_color {} }
  optimizer { $optimizer $average }
  keep_checkpoint_every_n_hours: 1
  $start
}
eval_config { metrics_set: "pascal_voc_detection_metrics" batch_size: 1 }
"""


def prepare(flags: Mapping[str, Any], given: Collection[str]) -> tuple[Pipeline, LoadOptions]:
  """Makes the config of a training, and the label map beside it.

  Says what flags without effect, misspelled ones and an unusual epsilon mean; refuses boxes of
  classes that the model would not have.

  Raises:
    InputError: a flag, the data set or the folder of the training is at fault.
  """
  flags = understand(flags, given, WITHOUT_EFFECT)
  _warn_of_epsilon(flags)
  data_set = data_sets.load(
    flags['dataset_dir'],
    flags['dataset_name'],
    flags['dataset_split_name'],
    flags['label_map_path'] or '',
  )
  logging.info(
    '%d images in %d files; classes from %s.',
    data_set.counts.num_records, len(data_set.paths), data_set.source,
  )  # fmt: skip
  text = ''.join(_config_text(flags, data_set, _write_label_maps(flags, data_set)))
  config = PipelineConfig()
  text_proto.parse(text, 'the config of these flags', config)
  return Pipeline(config, os.path.join(flags['train_dir'], 'pipeline.config')), LoadOptions(
    exclude_scopes=tuple(_scopes(flags['checkpoint_exclude_scopes'])),
    model_scope=flags['checkpoint_model_scope'],
    ignore_missing=flags['ignore_missing_vars'],
    decimate_fc=flags['decimate_fc'],
  )


def _warn_of_epsilon(flags):
  if flags['optimizer'] == 'adam' and flags['opt_epsilon'] >= 0.1:
    logging.warning(
      '--opt_epsilon=%g goes to Adam as well (1 is the default, as in SSD-Tensorflow): its steps '
      'are then about --learning_rate times the gradient itself, far smaller than the steps of '
      'about --learning_rate that Adam is for; for those set --opt_epsilon=1e-8.',
      flags['opt_epsilon'],
    )


def _write_label_maps(flags, data_set):
  """Writes label maps; returns (path for the readers, their lines, path for the model or None)."""
  num_classes, folder = flags['num_classes'] - 1, flags['train_dir']
  if not flags['classes']:
    classes = data_sets.classes_below(data_set, flags['num_classes'])
    return _save(classes, folder, 'label_map.pbtxt'), '', None
  chosen = _scopes(flags['classes'])
  if len(chosen) != num_classes:
    raise InputError(
      f'--classes: names {len(chosen)}, so give --num_classes={len(chosen) + 1}, with the '
      f'background; received {flags["num_classes"]}'
    )
  for name in chosen:
    data_set.classes.id_of(name)  # Refuses what the records do not have.
  dropped = [name for name in data_set.classes.names if name not in chosen]
  class_map = ''.join(f'class_map {{ name: {_quoted(n)} drop: true }}\n' for n in dropped)
  reader_path = _save(data_set.classes, folder, 'data_label_map.pbtxt')
  model_path = _save(label_maps.numbered(chosen), folder, 'label_map.pbtxt')
  return reader_path, class_map, model_path


def _save(classes, folder, name):
  path = os.path.join(folder, name)
  if os.path.exists(path) and os.path.exists(os.path.join(folder, 'checkpoint')):
    if label_maps.load(path) != classes:
      raise InputError(
        f'--train_dir={folder}: holds a training of other classes, see {path}; go on with its data '
        'and classes, or take another folder'
      )
    return path
  os.makedirs(folder, exist_ok=True)
  label_maps.save(classes, path)
  return path


def _config_text(flags, data_set, label_maps_text) -> Iterator[str]:
  reader_map, class_map, model_map = label_maps_text
  if flags['negative_ratio'] != int(flags['negative_ratio']):
    raise InputError(
      f'--negative_ratio={flags["negative_ratio"]:g}: expected a whole number of negatives for '
      'each positive'
    )
  yield model_text(
    flags['model_name'],
    num_classes=flags['num_classes'] - 1,
    weight_decay=flags['weight_decay'],
    match_threshold=flags['match_threshold'],
    negative_ratio=int(flags['negative_ratio']),
    loss_alpha=flags['loss_alpha'],
    original_objective=flags['original_objective'],
  )
  average = flags['moving_average_decay']
  yield string.Template(_TRAINING).substitute(
    global_batch_size=flags['batch_size'] * flags['num_clones'],
    num_steps=flags['max_number_of_steps'] or 0,
    optimizer=_optimizer(flags, data_set.counts.num_records),
    average='use_moving_average: false'
    if average is None
    else f'use_moving_average: true moving_average_decay: {average}',
    start=''.join(_start(flags)),
  )
  if model_map:
    yield f'label_map_path: {_quoted(model_map)}\n'
  reader = f'label_map_path: {_quoted(reader_map)}\n{class_map}'
  yield (
    f'train_input_reader {{ {reader} num_readers: {flags["num_readers"]}\n'
    f'{_record_input(data_set.paths)} }}\n'
  )
  if flags['dataset_split_name'] != 'test' and (paths := _test_records(flags)):
    yield f'eval_input_reader {{ {reader} shuffle: false\n{_record_input(paths)} }}\n'


def _optimizer(flags, num_images):
  decay_steps = int(num_images / flags['batch_size'] * flags['num_epochs_per_decay'])
  if flags['learning_rate_decay_type'] != 'fixed' and decay_steps < 1:
    raise InputError(
      f'--num_epochs_per_decay={flags["num_epochs_per_decay"]:g}: {num_images} images in batches '
      f'of {flags["batch_size"]} are less than a step; raise it, or give '
      '--learning_rate_decay_type=fixed'
    )
  rate = string.Template(_RATES[flags['learning_rate_decay_type']])
  rate = rate.substitute(flags, decay_steps=decay_steps)
  optimizer = string.Template(_OPTIMIZERS[flags['optimizer']])
  return optimizer.substitute(flags, rate=f'learning_rate {{ {rate} }}')


def _start(flags) -> Iterator[str]:
  """What the weights start from, and which of them train."""
  if flags['checkpoint_path']:
    yield f'fine_tune_checkpoint: {_quoted(flags["checkpoint_path"])}\n'
    yield 'fine_tune_checkpoint_type: "fine_tune"\n'
  for scope in _scopes(flags['trainable_scopes']):
    # A regular expression, compared with the beginning, as tf.get_collection does.
    pattern = f'^(?:{scope})' if '|' in scope else f'^{scope}'
    yield f'update_trainable_variables: {_quoted(pattern)}\n'


def _test_records(flags):
  try:
    return data_sets.find_records(flags['dataset_dir'], flags['dataset_name'], 'test')
  except InputError:  # There need not be any to train.
    return []


def _record_input(paths):
  return f'tf_record_input_reader {{ input_path: [{", ".join(map(_quoted, paths))}] }}'


def _scopes(text):
  return [scope.strip() for scope in (text or '').split(',') if scope.strip()]


def _quoted(text):
  return json.dumps(text, ensure_ascii=False)
