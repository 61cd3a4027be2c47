"""Builds data sets from the config's input readers."""

import contextlib
import dataclasses
import functools
from collections.abc import Mapping

import tensorflow as tf
from absl import logging

from ssd_tf.builders.augmentation import build_augmentation
from ssd_tf.builders.multi_scale import MultiScale
from ssd_tf.config.checks.by_schema import require_supported
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.data import (
  input_pipeline,
  labeled_classes,
  partial_labels,
  preprocessing,
  record_check,
  record_files,
  tf_example,
)
from ssd_tf.detector import SsdDetector
from ssd_tf.errors import InputError


def build_train_dataset(
  pipeline: Pipeline,
  detector: SsdDetector,
  start_step: int = 0,
  multi_scale: MultiScale | None = None,
) -> tf.data.Dataset:
  """Builds the training batches, endless, from a step on; keys of `fields`.

  Args:
    start_step: the first batch is the one that this step would get; a step takes
      gradient_accumulation_steps of them.
    multi_scale: gives each batch the size of its step; None: all have the detector's.
  """
  config = pipeline.config
  return input_pipeline.build_dataset(
    list(_sources(pipeline, is_training=True)),
    preprocess_fn=multi_scale.preprocess if multi_scale else _preprocess_fn(detector),
    batch_size=config.train_config.batch_size,
    max_num_boxes=_max_num_boxes(pipeline, is_training=True),
    training=input_pipeline.TrainingOrder(
      build_augmentation(config.train_config, config.model.ssd.num_classes),
      seed=config.train_config.seed,
      start_step=start_step * config.train_config.gradient_accumulation_steps,
    ),
  )


def build_eval_dataset(
  pipeline: Pipeline,
  detector: SsdDetector,
  *,
  num_replicas: int = 1,
  sample_1_of_n_examples: int = 1,
  on_train_data: bool = False,
) -> tf.data.Dataset:
  """Builds the evaluation batches, each example once, in the files' order; keys of `fields`.

  Args:
    num_replicas: a batch holds eval_config.batch_size examples for each.
  """
  sources = _sources(pipeline, is_training=on_train_data)
  return input_pipeline.build_dataset(
    [
      dataclasses.replace(source, sample_1_of_n=source.sample_1_of_n * sample_1_of_n_examples)
      for source in sources
    ],
    preprocess_fn=_preprocess_fn(detector),
    batch_size=pipeline.config.eval_config.batch_size * num_replicas,
    max_num_boxes=_max_num_boxes(pipeline, is_training=on_train_data),
  )


def build_decoded_dataset(pipeline: Pipeline, *, is_training: bool) -> tf.data.Dataset:
  """Builds the examples as they are before augmentation and preprocessing, each once.

  They are of every train_input_reader, or of the first eval_input_reader, as in an evaluation.
  """
  examples = None
  for source in _sources(pipeline, is_training):
    records = tf.data.TFRecordDataset(source.paths).shard(source.sample_1_of_n, 0)
    decoded = records.map(source.decode_fn, tf.data.AUTOTUNE, deterministic=True)
    examples = decoded if examples is None else examples.concatenate(decoded)
  return examples


def evaluated_paths(pipeline: Pipeline, on_train_data: bool = False) -> list[str]:
  """The input_paths, as the config has them, of all training readers, or of the evaluation's."""
  readers = pipeline.used_readers(on_train_data).values()
  return [path for reader in readers for path in reader.tf_record_input_reader.input_path]


def check_records(pipeline: Pipeline, *, is_training: bool) -> None:
  """Looks through the records of the readers; see `record_check.check_records`.

  Raises:
    InputError: they hold what cannot be trained or evaluated on, or no image is labeled for any
      class.
  """
  summaries = survey_records(pipeline, is_training=is_training)
  for field, summary in summaries.items():
    try:
      record_check.refuse_problems(summary)
    except InputError as error:
      raise InputError(f'{field}: {error}') from error
    logging.info('%s: %s', field, summary)
    for warning in summary.warnings:
      logging.warning('%s: %s', field, warning)
  check_labeled(pipeline, summaries, is_training=is_training)


def survey_records(
  pipeline: Pipeline,
  *,
  is_training: bool,
  max_records: int = record_check.MAX_RECORDS,
) -> dict[str, record_check.RecordSummary]:
  """What `check_records` looks at, by the field of the reader, but refuses nothing of.

  Raises:
    InputError: a reader is not as it should be, or a file is damaged or holds no record.
  """
  summaries = {}
  for field, reader in pipeline.used_readers(is_training).items():
    require_supported(reader, field)
    classes = pipeline.classes(field)
    try:
      summaries[field] = record_check.survey_records(
        pipeline.input_files(reader.tf_record_input_reader.input_path),
        classes.num_classes,
        classes.id_to_name,
        max_num_boxes=_max_num_boxes(pipeline, is_training),
        max_records=max_records,
        labeled_by_default=classes.labeled_ids,
      )
    except InputError as error:
      raise InputError(f'{field}: {error}') from error
  return summaries


def check_labeled(
  pipeline: Pipeline,
  summaries: Mapping[str, record_check.RecordSummary],
  *,
  is_training: bool,
) -> None:
  """Refuses labels that teach nothing, and warns of classes that no image is labeled for."""
  labeled = set()
  for field, summary in summaries.items():
    table = pipeline.classes(field).table
    for class_ids in summary.labeled_sets:
      labeled |= class_ids if table is None else labeled_classes.map_labeled_ids(class_ids, table)
  is_complete = all(summary.is_complete for summary in summaries.values())
  fields = ', '.join(pipeline.used_readers(is_training))
  if not labeled and is_complete:
    raise InputError(
      f'{fields}: no image is labeled for any class, so there is nothing to learn or measure; look '
      'at labeled_class and at image/class/labeled_classes of the records'
    )
  names = pipeline.class_names
  missing = [name for class_id, name in names.items() if class_id not in labeled]
  if missing:
    advice = (
      'the model gets no negatives for them, so expect false detections; label some images for '
      'them, or remove them from the label map'
      if is_training
      else 'they are not measured'
    )
    logging.log(
      logging.WARNING if is_training else logging.INFO,
      '%s: no image%s is labeled for %s: %s.',
      fields,
      '' if is_complete else ' of the part of the records that was checked',
      ', '.join(repr(name) for name in missing),
      advice,
    )


def explained_record_errors(
  pipeline: Pipeline, *, training: bool, evaluation: bool
) -> contextlib.AbstractContextManager:
  """Put around a loop: an error that a record causes names file and record."""
  sources = [
    (source.paths, source.decode_fn)
    for is_training, is_read in ((True, training), (False, evaluation))
    if is_read
    for source in _sources(pipeline, is_training)
  ]
  return record_files.explained_errors(sources)


def _sources(pipeline, is_training):
  for field, reader in pipeline.used_readers(is_training).items():
    for paths, weight in _weighted_paths(reader):
      yield input_pipeline.RecordSource(
        pipeline.input_files(paths),
        _decode_fn(pipeline, field),
        weight=weight,
        shuffle=reader.shuffle,
        shuffle_buffer_size=reader.shuffle_buffer_size,
        num_readers=reader.num_readers,
        sample_1_of_n=reader.sample_1_of_n_examples,
      )


def _weighted_paths(reader):
  """(input paths, weight) of each source that a reader stands for; in evaluation none counts."""
  paths, shares = reader.tf_record_input_reader.input_path, reader.sample_from_datasets_weights
  if not shares:
    return [(paths, reader.sampling_weight)]
  whole = (reader.sampling_weight or 1.0) / sum(shares)
  return [([path], whole * share) for path, share in zip(paths, shares, strict=True)]


def _decode_fn(pipeline, field):
  classes = pipeline.classes(field)
  decode = functools.partial(
    tf_example.decode_example,
    num_classes=classes.num_classes,
    name_to_id={name: i for i, name in classes.id_to_name.items()} or None,
    labeled_by_default=classes.labeled_ids,
  )
  if classes.table is not None:
    return lambda serialized: partial_labels.map_classes(
      decode(serialized), classes.table, pipeline.config.model.ssd.num_classes, classes.unused_ids
    )
  if classes.unused_ids:
    return lambda serialized: partial_labels.label_unused(decode(serialized), classes.unused_ids)
  return decode


def _preprocess_fn(detector):
  return lambda example, _: preprocessing.preprocess(
    example, preprocess_image_fn=detector.preprocess_image
  )


def _max_num_boxes(pipeline, is_training):
  """All images of a batch are padded alike."""
  readers = pipeline.used_readers(is_training).values()
  return max(reader.max_number_of_boxes for reader in readers)
