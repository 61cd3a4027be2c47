"""Reads TFRecords as a data set, image by image in any order."""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence

from ssd_tf.data import record_files, tf_example
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class RecordPlace:
  """Where a record lies: `length` bytes from `offset` of a file, its `number` there from 0."""

  path: str
  number: int
  offset: int
  length: int

  def __str__(self):
    return f'{self.path}, record {self.number} (counted from 0)'


def open_source(paths: Sequence[str], names: Mapping[int, str]) -> Source:
  """Reads every record once, for its checksum and its place."""
  places, end = [], 0
  for path, number, record in record_files.read_records(paths):
    offset = (end if number else 0) + record_files.HEADER_BYTES
    places.append(RecordPlace(path, number, offset, len(record)))
    end = offset + len(record) + record_files.FOOTER_BYTES
  read = functools.partial(read_annotation, names=names)
  return Source(names, places, read, files=paths)


def read_annotation(place: RecordPlace, names: Mapping[int, str]) -> Annotation:
  """Reads a record, with an id and a name for each box where it holds only one of the two.

  Where it has no source_id, that is the file name.

  Raises:
    InputError: it is no annotated image, or has a class text that the label map lacks.
  """
  with open(place.path, 'rb') as file:
    file.seek(place.offset)
    record = file.read(place.length)
  annotation = tf_example.parse_example(record, str(place))
  if not annotation.encoded:
    raise InputError(f'{place}: its image has 0 bytes; remove the record or convert it again')
  if not len(annotation.class_ids):
    if unknown := sorted({*annotation.class_names} - {*names.values()}):
      raise InputError(f'{place}: class texts {unknown} are not in the label map')
    annotation = annotation.with_class_ids(names)
  class_ids, n = annotation.class_ids.tolist(), len(annotation.boxes)
  if len(class_ids) != n:
    raise InputError(f'{place}: 0 class labels for {n} boxes; convert it again')
  return dataclasses.replace(
    annotation,
    # Some writers leave the texts out.
    class_names=annotation.class_names or [names.get(class_id, '') for class_id in class_ids],
    source_id=annotation.source_id or os.path.basename(annotation.filename),
  )
