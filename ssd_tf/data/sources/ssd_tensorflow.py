"""Pascal VOC data into the files that SSD-Tensorflow reads: 200 images each, with its keys too."""

import glob
import os
from collections.abc import Mapping
from typing import Any

from absl import logging

from ssd_tf.data import record_writer, ssd_tensorflow_keys, tf_example
from ssd_tf.data.sources import pascal_voc
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

  Args:
    data_dir: has Annotations with the XML files, and JPEGImages.
    name_to_id: the label map.
    output_dir: the folder to write to.
    output_name: the files' name up to the number.
    **options: num_workers, strict of `record_writer.write_records`.

  Returns:
    The report.

  Raises:
    InputError: there is no folder Annotations; or as `pascal_voc.write_data_set`.

  Source: SSD-Tensorflow's pascalvoc_to_tfrecords. There, difficult and truncated are always 0 in
  the records; here they are as annotated, boxes are clipped to the image, and the Object Detection
  API's keys are written besides.
  """
  if not os.path.isdir(os.path.join(data_dir, 'Annotations')):
    raise InputError(
      f'--dataset_dir={data_dir}: expected a folder that holds Annotations, with XML files, and '
      'JPEGImages'
    )
  # The number is filled in by `%`.
  stem = os.path.join(output_dir, output_name)
  report = pascal_voc.write_data_set(
    data_dir,
    'all',
    name_to_id,
    f'{stem.replace("%", "%%")}_%03d.tfrecord',
    images_per_file=IMAGES_PER_FILE,
    encode=lambda annotation: ssd_tensorflow_keys.add_keys(tf_example.encode_example(annotation)),
    **options,
  )
  _warn_of_older(stem, -(-report.num_images // IMAGES_PER_FILE))
  return report


def _warn_of_older(stem, num_files):
  """What an earlier conversion left would be read as part of this one."""
  written = {f'{stem}_{i:03d}.tfrecord' for i in range(num_files)}
  older = sorted(set(glob.glob(f'{glob.escape(stem)}_[0-9][0-9][0-9].tfrecord')) - written)
  if older:
    logging.warning(
      '%s: is there from an earlier conversion, as are %d files in all; remove what does not '
      'belong to this data set.',
      older[0], len(older),
    )  # fmt: skip
