"""Reads Pascal VOC: XML annotations and their images."""

import collections
import functools
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ssd_tf.data import box_units, image_files
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.source import Source
from ssd_tf.data.sources import class_names, voc_files, voc_xml
from ssd_tf.data.sources.voc_files import VocFile
from ssd_tf.errors import InputError


def list_rows(files: Iterable[VocFile]) -> list[tuple]:
  """The objects of all readable files as rows of `csv_boxes.COLUMNS`; one for an empty image."""
  rows = []
  for _, found in _readable(files):
    image = (found.filename, *(found.size[::-1] if found.size else ('', '')))
    for entry in found.objects:
      ymin, xmin, ymax, xmax = entry.box
      rows.append((*image, entry.name, xmin, ymin, xmax, ymax))
    if not found.objects:
      rows.append((*image, *[''] * 5))
  return rows


def read_annotation(
  file: VocFile, name_to_id: Mapping[str, int], ignore_difficult: bool = False
) -> Annotation:
  """Reads an annotation file and its image; boxes are not yet clipped.

  The image is the one named as the XML file is; if there is none, the one that <filename> names.
  Its size counts, not <size>. Coordinates are divided by it as they are written.

  Raises:
    InputError: the XML or the image is missing or broken, or the boxes are no pixels; names the
      file.

  Source: the Object Detection API's create_pascal_tf_record. As there, 1 is not subtracted from
  the coordinates, though those of the devkit count from 1. It divides by <size> instead.
  """
  found = voc_xml.read_xml(file.path)
  objects = [entry for entry in found.objects if not (ignore_difficult and entry.difficult)]
  image_path, remarks = voc_files.find_image(file, found.filename)
  image = image_files.read_image(image_path, found.size)
  boxes = np.array([entry.box for entry in objects], np.float64)
  return Annotation(
    **vars(image),
    filename=os.path.basename(image_path),
    source_id=os.path.basename(image_path),
    boxes=box_units.normalize(boxes, image.height, image.width, file.path),
    class_ids=np.array([name_to_id[entry.name] for entry in objects], np.int64),
    class_names=[entry.name for entry in objects],
    difficult=np.array([entry.difficult for entry in objects], bool),
    truncated=np.array([entry.truncated for entry in objects], bool),
    views=[entry.pose for entry in objects],
    remarks=remarks + image.size_remarks(found.size, f'{file.path} says'),
    num_boxes_left_out=len(found.objects) - len(objects),
  )


def open_source(
  files: Sequence[VocFile],
  name_to_id: Mapping[str, int] | None = None,
  ignore_difficult: bool = False,
) -> Source:
  """Opens annotation files as a data set; those that cannot be read are reported by the conversion.

  Args:
    files: of `voc_files.list_files` or `voc_files.list_folder`.
    name_to_id: the label map; None: the classes that occur, numbered from 1 in this order.

  Raises:
    InputError: the files have class names that the label map lacks.
  """
  found = _find_class_names(files, ignore_difficult)
  if name_to_id is None:
    name_to_id = {name: class_id for class_id, name in enumerate(found, start=1)}
  by_count = sorted(found.items(), key=lambda item: -len(item[1]))
  class_names.require_known(
    {name: f'{len(paths)} boxes, first in {paths[0]}' for name, paths in by_count},
    name_to_id,
    'the XML files',
  )
  read = functools.partial(
    read_annotation, name_to_id=name_to_id, ignore_difficult=ignore_difficult
  )
  return Source({class_id: name for name, class_id in name_to_id.items()}, files, read)


def _find_class_names(files, ignore_difficult):
  """Name -> the path of the file of each of its boxes, in the order of first occurrence."""
  paths = collections.defaultdict(list)
  for file, found in _readable(files):
    for entry in found.objects:
      if not (ignore_difficult and entry.difficult):
        paths[entry.name].append(file.path)
  return paths


def _readable(files):
  """Yields (file, what it says) of those that can be read."""
  for file in files:
    try:
      found = voc_xml.read_xml(file.path)
    except InputError:
      continue
    yield file, found
