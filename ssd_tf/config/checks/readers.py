"""Checks the input readers against each other, against the model and against their files."""

from collections.abc import Iterator

from absl import logging

from ssd_tf.config.checks.fault import Fault, faults_of
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError


def training_reader_faults(pipeline: Pipeline) -> Iterator[Fault]:
  """Finds what is wrong with every train_input_reader; warns of what does not count."""
  readers = pipeline.used_readers(is_training=True)
  if not readers:
    yield Fault('train_input_reader', 'there is none: add one with a label map and an input path')
  for field, reader in readers.items():
    yield from _reader_faults(pipeline, reader, field)
  weights = [reader.sampling_weight for reader in readers.values()]
  is_mixed = any(reader.sample_from_datasets_weights for reader in readers.values())
  needed = any(weights) or (is_mixed and len(weights) > 1)
  if needed and not all(weight > 0 for weight in weights):
    alternative = ', since one has sample_from_datasets_weights' if is_mixed else ', or in none'
    yield Fault(
      'train_input_reader.sampling_weight',
      f'is {", ".join(f"{weight:g}" for weight in weights)}: set it in every reader, to more than'
      f' 0{alternative}',
    )


def evaluation_reader_faults(pipeline: Pipeline) -> Iterator[Fault]:
  """Finds what is wrong with every eval_input_reader; warns of what does not count."""
  readers = {field: r for field, r in pipeline.readers.items() if field.startswith('eval')}
  if not readers:
    yield Fault('eval_input_reader', 'there is none: add one with a label map and an input path')
  for field, reader in readers.items():
    if not reader.label_map_path:
      yield Fault(f'{field}.label_map_path', 'is empty: evaluation needs the names of the classes')
    yield from _reader_faults(pipeline, reader, field)


def _reader_faults(pipeline, reader, field):
  if reader.label_map_path:
    try:
      pipeline.load_label_map(reader.label_map_path, f'{field}.label_map_path')
    except InputError as error:
      yield from faults_of(error)
    else:
      yield from _class_faults(pipeline, reader, field)
  inputs = reader.tf_record_input_reader.input_path
  if not inputs:
    yield Fault(f'{field}.tf_record_input_reader.input_path', 'is empty: name the TFRecord files')
  for pattern in inputs:
    try:
      pipeline.input_files([pattern])
    except InputError as error:
      yield Fault(f'{field}.tf_record_input_reader.input_path', str(error))
  weights = reader.sample_from_datasets_weights
  if weights and len(weights) != len(inputs):
    yield Fault(
      f'{field}.sample_from_datasets_weights',
      f'is [{", ".join(f"{weight:g}" for weight in weights)}]: expected a number above 0 for each'
      f' of the {len(inputs)} input_path',
    )
  if reader.num_epochs and field.startswith('train'):
    logging.warning(
      '%s: %s.num_epochs: is %d, but the records are repeated until train_config.num_steps.',
      pipeline.path,
      field,
      reader.num_epochs,
    )
  elif weights and not field.startswith('train'):
    logging.warning(
      '%s: %s.sample_from_datasets_weights: does not count, evaluation reads each example once.',
      pipeline.path,
      field,
    )


def _class_faults(pipeline, reader, field):
  config = pipeline.config
  num_classes = config.model.ssd.num_classes
  if not num_classes:
    return  # There is no model.
  try:
    classes = pipeline.model_classes
    pipeline.classes(field)
  except InputError as error:
    yield from faults_of(error)
    return
  is_merged = len(config.train_input_reader) > 1 and not config.label_map_path
  train_map = config.train_input_reader[0].label_map_path if config.train_input_reader else ''
  named = config.label_map_path or train_map or reader.label_map_path
  named = 'the label maps of all train_input_reader together' if is_merged else named
  if classes.num_classes > num_classes:
    hint = (
      f'the classes are {", ".join(classes.names)}; set it to {classes.num_classes}, or rename or '
      'drop classes by class_map'
      if is_merged
      else f'set it to {classes.num_classes}, or give the classes the ids 1 to {num_classes}'
    )
    yield Fault(
      'model.ssd.num_classes',
      f'is {num_classes}, but {named} has id {classes.num_classes}'
      f' ({classes.name_by_id[classes.num_classes]!r}): objects of ids above {num_classes} would be'
      f' lost; {hint}',
    )
  elif len(classes.ids) < num_classes:
    logging.warning(
      '%s: model.ssd.num_classes: is %d, but %s names %d classes.',
      pipeline.path,
      num_classes,
      named,
      len(classes.ids),
    )
