"""Reads images to detect on, from files and folders or from records."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from ssd_tf import fields
from ssd_tf.data import image_files, record_files, tf_example
from ssd_tf.errors import InputError


@dataclasses.dataclass
class NamedImage:
  """An image u8[h,w,3] to detect on, and its groundtruth by the keys of `fields`, or None.

  Its name is for the files written, so without a folder.
  """

  name: str
  pixels: np.ndarray
  groundtruth: dict[str, np.ndarray] | None = None


def from_files(paths: list[str], output_dir: str) -> Iterator[NamedImage]:
  """Reads images; a folder stands for the images in it. A broken one is named and skipped.

  They are turned upright by their EXIF orientation, and otherwise are read as for a conversion.

  Args:
    output_dir: where pictures will be written, so none of the images may lie there.

  Raises:
    InputError: there is no such file, or no image at all; or one lies in output_dir.
  """
  files = []
  for path in map(pathlib.Path, paths):
    if path.is_dir():
      files += sorted(p for p in path.iterdir() if p.suffix.lower() in image_files.EXTENSIONS)
    elif path.exists():
      files.append(path)
    else:
      raise InputError(f'{path}: no such image or folder')
  if not files:
    raise InputError(f'{", ".join(paths)}: no image in there ({", ".join(image_files.EXTENSIONS)})')
  for file in files:
    if file.parent.resolve() == pathlib.Path(output_dir).resolve():
      raise InputError(
        f'{file}: lies in {output_dir}, where pictures are to be written, perhaps over it; write '
        'them to another folder'
      )
  return _read_files(files)


def _read_files(files):
  for file in files:
    try:
      yield NamedImage(file.name, image_files.read_pixels(file))
    except InputError as error:
      logging.error('%s; skipped', error)


def from_records(paths: list[str]) -> Iterator[NamedImage]:
  """Reads images with their groundtruth from TFRecords. A broken one is named and skipped.

  Raises:
    InputError: a file is damaged; names the record.
  """
  for path, number, record in record_files.read_records(paths):
    place = f'{path}, record {number}'
    try:
      annotation = tf_example.parse_example(record, place)
    except InputError as error:
      logging.error('%s; skipped', error)
      continue
    try:
      pixels = image_files.decode_image(annotation.encoded).numpy()
    except (ValueError, tf.errors.OpError) as error:
      logging.error(
        '%s, source_id %s: cannot be read (%s); skipped', place, annotation.source_id, error
      )
      continue
    classes = np.zeros(len(annotation.boxes), np.int64)  # Of a record without ids.
    classes[: len(annotation.class_ids)] = annotation.class_ids
    groundtruth = {
      fields.GROUNDTRUTH_BOXES: np.asarray(annotation.boxes, np.float32),
      fields.GROUNDTRUTH_CLASSES: classes,
    }
    name = annotation.filename or annotation.source_id
    yield NamedImage(os.path.basename(name), pixels, groundtruth)
