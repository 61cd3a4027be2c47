"""Writes Pascal VOC data as the files that SSD-Tensorflow reads: 200 images each, with its keys."""

import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ssd_tf.data import record_schema, record_writer, tf_example
from ssd_tf.data.sources import pascal_voc, voc_files
from ssd_tf.errors import InputError

IMAGES_PER_FILE = 200


def write_data_set(
  data_dir: str,
  name_to_id: Mapping[str, int],
  output_dir: str,
  output_name: str,
  **options: Any,
) -> record_writer.ConversionReport:
  """Converts all annotations of a folder to <output_name>_000.tfrecord, _001 and so on.

  Raises:
    InputError: there is no folder Annotations, or it cannot be converted.

  Source: SSD-Tensorflow's pascalvoc_to_tfrecords. There, difficult and truncated are always 0 in
  the records; here they are as annotated, boxes are clipped to the image, and the Object Detection
  API's keys are written besides.
  """
  if not os.path.isdir(os.path.join(data_dir, 'Annotations')):
    raise InputError(
      f'--dataset_dir={data_dir}: expected a folder that holds Annotations, with XML files, and '
      'JPEGImages'
    )
  source = pascal_voc.open_source(voc_files.list_files(data_dir, 'all'), name_to_id)
  return record_writer.write_records(
    source,
    os.path.join(output_dir, f'{output_name}.tfrecord'),
    images_per_file=IMAGES_PER_FILE,
    encode=lambda annotation: add_keys(tf_example.encode_example(annotation)),
    **options,
  )


def add_keys(serialized: bytes) -> bytes:
  """Adds to a record what only SSD-Tensorflow's own scripts read."""
  example = tf.train.Example.FromString(serialized)
  features = example.features.feature
  for ours, theirs in record_schema.SSD_TENSORFLOW_KEYS.items():
    features[theirs].CopyFrom(features[ours])
  size = [features[f'image/{side}'].int64_list.value[0] for side in ('height', 'width')]
  features['image/channels'].int64_list.value[:] = [3]
  features['image/shape'].int64_list.value[:] = [*size, 3]
  return example.SerializeToString(deterministic=True)
