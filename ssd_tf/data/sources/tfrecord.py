"""TFRecords as a data set, their images read one by one in any order."""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence

import numpy as np

from ssd_tf.data import record_files, tf_example
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError

# What stands before and after the bytes of a record in its file: length and checksum, checksum.
_HEADER_BYTES = 12
_FOOTER_BYTES = 4


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
    offset = (end if number else 0) + _HEADER_BYTES
    places.append(RecordPlace(path, number, offset, len(record)))
    end = offset + len(record) + _FOOTER_BYTES
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
  n = len(annotation.boxes)
  texts, class_ids = list(annotation.class_names), annotation.class_ids
  if n and texts and not len(class_ids):
    ids = {name: class_id for class_id, name in names.items()}
    if unknown := sorted({*texts} - ids.keys()):
      raise InputError(f'{place}: class texts {unknown} are not in the label map')
    class_ids = np.array([ids[text] for text in texts], np.int64)
  # Some writers leave the texts out.
  texts = texts or [names.get(class_id, '') for class_id in class_ids.tolist()]
  if len(class_ids) != n:
    raise InputError(f'{place}: 0 class labels for {n} boxes; convert it again')
  return dataclasses.replace(
    annotation,
    class_ids=class_ids,
    class_names=texts,
    source_id=annotation.source_id or os.path.basename(annotation.filename),
  )
