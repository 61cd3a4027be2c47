"""The data sets of a merge, opened: their classes, and their images one by one in any order."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ssd_tf.data import record_files, tf_example
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.sources import coco, merge_plan, pascal_voc, voc_files
from ssd_tf.errors import InputError

# What stands before and after the bytes of a record in its file: length and checksum, checksum.
_HEADER_BYTES = 12
_FOOTER_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Source:
  """A data set whose images can be read.

  Attributes:
    plan: what the merge makes of it.
    names: the source's classes: its own ids to its own names, in its own order.
    items: one for each image, small: what `read` takes; `str()` of one names it.
    read: item -> annotation, class ids by `names`; called in threads. Raises InputError.
    files: that it reads and that must not be overwritten meanwhile.
    remarks: what was found odd so far.
  """

  plan: merge_plan.SourcePlan
  names: Mapping[int, str]
  items: Sequence[Any]
  read: Callable[[Any], Annotation]
  files: Sequence[str] = ()
  remarks: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class RecordPlace:
  """Where a record lies: `length` bytes from `offset` of a file, its `number` there from 0."""

  path: str
  number: int
  offset: int
  length: int

  def __str__(self):
    return f'{self.path}, record {self.number} (counted from 0)'


def open_source(plan: merge_plan.SourcePlan, names: Mapping[int, str] | None = None) -> Source:
  """Lists a source's images and classes.

  Args:
    plan: paths as they exist; input_path is a list of files.
    names: the label map at label_map_path, id to name. A tfrecord source needs one; a pascal_voc
      source without has the classes that occur in its XML files; a coco source has its own.

  Returns:
    The source.

  Raises:
    InputError: it has no image, or is broken; labeled_class, rename or drop of the plan names a
      class that it has not. Names the plan and the source.
  """
  openers = {'coco': _open_coco, 'pascal_voc': _open_pascal_voc, 'tfrecord': _open_records}
  try:
    source = openers[plan.type](plan, names)
  except InputError as error:
    raise InputError(f'{plan.place}: {error}') from error
  if not source.items:
    raise InputError(f'{plan.place}: the source has no image')
  plan.check_class_names([*source.names.values()])
  return source


def _open_coco(plan, _):
  path = plan.options['annotations_file']
  annotations = coco.load_annotations(path)
  coco.require_pixels(annotations)
  names = dict(sorted((class_id, name) for name, class_id in annotations.name_to_id.items()))
  return Source(
    plan,
    names,
    annotations.images,
    functools.partial(coco.read_annotation, image_dir=plan.options['image_dir'], id_to_name=names),
    files=[path],
    remarks=[f'{file}: {remark}' for file, remark in annotations.remarks],
  )


def _open_pascal_voc(plan, names):
  options = plan.options
  files = voc_files.list_files(
    options['data_dir'],
    options['set'],
    year=options['year'],
    annotations_dir=options['annotations_dir'],
  )
  if names is None:
    names = dict(enumerate(pascal_voc.list_class_names(files), start=1))
    name_to_id = {name: class_id for class_id, name in names.items()}
  else:
    name_to_id = {name: class_id for class_id, name in names.items()}
    pascal_voc.check_class_names(files, name_to_id)
  read = functools.partial(pascal_voc.read_annotation, name_to_id=name_to_id)
  return Source(plan, names, files, read)


def _open_records(plan, names):
  """Reads every record once, for its checksum and its place."""
  paths = plan.options['input_path']
  places, end = [], 0
  for path, number, record in record_files.read_records(paths):
    offset = (end if number else 0) + _HEADER_BYTES
    places.append(RecordPlace(path, number, offset, len(record)))
    end = offset + len(record) + _FOOTER_BYTES
  return Source(plan, names, places, functools.partial(_read_record, names=names), files=paths)


def _read_record(place: RecordPlace, names: Mapping[int, str]) -> Annotation:
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
