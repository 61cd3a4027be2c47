"""Reads the groundtruth of records into a table, once, and without decoding an image.

A run that asks for the same files and classes again gets the same table, unless a file has changed.
"""

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tqdm

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.config.reader_classes import ReaderClasses
from ssd_tf.data import box_validation, image_files, labeled_classes, record_files, tf_example
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError
from ssd_tf.groundtruth.table import GroundtruthTable

_MAX_TABLES = 4  # That are kept for the next who asks.
_tables: dict[tuple, GroundtruthTable] = {}

_IMAGE_TYPES = {
  'record_numbers': np.int64,
  'positions': np.int64,
  'image_hashes': np.int64,
  'sizes': np.int64,
  'header_sizes': np.int64,
  'says_labeled': bool,
}
_BOX_TYPES = {
  'image_index': np.int32,
  'class_ids': np.int64,
  'boxes': np.float32,
  'annotated_areas': np.float32,
  'is_crowd': bool,
  'group_of': bool,
  'difficult': bool,
  'weights': np.float32,
}


def read_table(
  paths: Sequence[str],
  classes: ReaderClasses,
  *,
  max_records: int | None = None,
  skips_faulty: bool = False,
) -> GroundtruthTable:
  """Reads records, without decoding pixels; shows progress on a terminal.

  Args:
    classes: what the records' class ids mean.
    max_records: limit of the records taken, evenly spread over all of them; None: all.
    skips_faulty: leave out what is no annotated image, and what follows a damage in a file, since
      `record_check` tells of it.

  Raises:
    InputError: a record is damaged or no annotated image, unless they are skipped.
  """
  key = (
    tuple((path, os.stat(path).st_mtime_ns, os.path.getsize(path)) for path in paths),
    (classes.num_classes, tuple(classes.id_to_name.items()), classes.labeled_ids),
    (classes.table and tuple(classes.table.items()), classes.unused_ids),
    (max_records, skips_faulty),
  )
  if key not in _tables:
    _tables[key] = _read_records(paths, classes, max_records, skips_faulty)
  table = _tables[key] = _tables.pop(key)  # The last of those in use.
  for unused in list(_tables)[:-_MAX_TABLES]:
    del _tables[unused]
  return table


def _read_records(paths, classes, max_records, skips_faulty):
  def skipping_faults():
    return contextlib.suppress(*([InputError] if skips_faulty else []))

  def count(path):
    with skipping_faults():
      return record_files.count_records(path)
    return 0

  def read():
    with skipping_faults():
      yield from record_files.read_records(paths)

  reading, total = _Reading(classes), sum(map(count, paths))
  name_to_id = {name: class_id for class_id, name in classes.id_to_name.items()}
  # disable=None: no bar in a log file.
  records = tqdm.tqdm(read(), 'records', total, unit='image', disable=None)
  for position, path, number, record in _evenly_spread(records, total, max_records):
    place = f'{path}, record {number} (counted from 0)'
    with skipping_faults():
      reading.add(_parse(record, place, name_to_id), path, number, position)
  is_complete = max_records is None or total <= max_records
  return reading.finish(total, is_complete)


def read_reader_table(pipeline: Pipeline, field: str, **options) -> GroundtruthTable:
  """Reads the table of an input reader's records, by the classes of the model.

  Args:
    field: the reader's, such as 'train_input_reader[1]'.
    **options: of `read_table`.

  Returns:
    The table, of all records, whatever sample_1_of_n_examples says; see `GroundtruthTable.sampled`.

  Raises:
    InputError: the reader's label map or files are at fault; as `read_table`; or, unless faulty
      records are skipped, a box has an id that the label map lacks or an image without known size.
  """
  classes = pipeline.classes(field)
  paths = pipeline.input_files(pipeline.readers[field].tf_record_input_reader.input_path)
  table = read_table(paths, classes, **options)
  if not options.get('skips_faulty'):
    _refuse_unknown(table, classes)
  return table


def _refuse_unknown(table, classes):
  known = classes.table or range(1, classes.num_classes + 1)
  has_size = table.sizes.all(axis=1)[table.image_index]
  for box in np.flatnonzero(~has_size | ~np.isin(table.class_ids, list(known)))[:1]:
    path, number, _ = table.place(table.image_index[box])
    place = f'{path}, record {number} (counted from 0)'
    if not has_size[box]:
      raise InputError(f'{place}: its image has no known size; convert it again')
    raise InputError(
      f'{place}: has a box of class id {table.class_ids[box]}; expected one of {sorted(known)}; '
      'look at model.ssd.num_classes and the label map'
    )


def read_sources(sources: Sequence[Source]) -> GroundtruthTable:
  """Reads the annotations of data sets of any format, boxes as a conversion would write them.

  Args:
    sources: with the same classes, such as the parts of one data set.

  Returns:
    The table; its paths are the names of the images' items, as a message has them.

  Raises:
    InputError: an image or its annotation is broken.
  """
  names = sources[0].names
  classes = ReaderClasses(max(names, default=0), names, frozenset(names), table=None)
  reading = _Reading(classes)
  items = [(source, item) for source in sources for item in source.items]
  for position, (source, item) in enumerate(tqdm.tqdm(items, unit='image', disable=None)):
    annotation, _ = box_validation.validate_boxes(source.read(item))
    reading.add(annotation, str(item), 0, position)
  return dataclasses.replace(reading.finish(len(items)), is_of_records=False)


class _Columns:
  """Rows so far; typed, because an array for each image would fill the memory."""

  def __init__(self, types: Mapping[str, type]):
    self._types = types
    self._values = {name: bytearray() for name in types}

  def add(self, **columns) -> None:
    """Adds to each column one row or more."""
    for name, values in columns.items():
      self._values[name] += np.asarray(values, self._types[name]).tobytes()

  def finish(self) -> dict[str, np.ndarray]:
    """The columns; sizes and boxes by row."""
    columns = {
      name: np.frombuffer(values, self._types[name]) for name, values in self._values.items()
    }
    for name, width in (('sizes', 2), ('header_sizes', 2), ('boxes', 4)):
      if name in columns:
        columns[name] = columns[name].reshape(-1, width)
    for column in columns.values():
      column.flags.writeable = False  # A table may be another's, too.
    return columns


class _Reading:
  """What was read so far."""

  def __init__(self, classes: ReaderClasses):
    self._classes = classes
    # Of equal texts and sets one is kept.
    self._same: dict = {}
    self._labeled_of: dict[frozenset, frozenset] = {}
    self._images, self._boxes = _Columns(_IMAGE_TYPES), _Columns(_BOX_TYPES)
    self._paths, self._source_ids, self._labeled = [], [], []
    self._texts, self._sources = [], []

  def finish(self, num_records: int, is_complete: bool = True) -> GroundtruthTable:
    """The table of what was read, of so many records in all."""
    boxes = self._boxes.finish()
    boxes['model_class_ids'] = self._model_class_ids(boxes['class_ids'])
    return GroundtruthTable(
      num_records=num_records,
      is_complete=is_complete,
      paths=self._paths,
      source_ids=self._source_ids,
      labeled=self._labeled,
      class_texts=self._texts,
      box_sources=self._sources,
      **self._images.finish(),
      **boxes,
    )

  def add(self, annotation: Annotation, path: str, number: int, position: int) -> None:
    """Adds an image, its record the `number`th of its file and the `position`th of all."""
    header_size = image_files.header_size(annotation.encoded) or (0, 0)
    stated = (annotation.height, annotation.width)
    says = (annotation.labeled_classes, annotation.verified_present, annotation.verified_absent)
    self._images.add(
      record_numbers=number,
      positions=position,
      image_hashes=hash(annotation.encoded),
      sizes=stated if all(stated) else header_size,
      header_sizes=header_size,
      says_labeled=any(value is not None for value in says),
    )
    self._labeled.append(self._labeled_ids(annotation))
    self._paths.append(self._one(path))
    self._source_ids.append(annotation.source_id or annotation.filename)
    n = len(annotation.boxes)
    if not n:
      return
    self._boxes.add(
      image_index=np.full(n, len(self._paths) - 1),
      class_ids=annotation.class_ids,
      boxes=annotation.boxes,
      annotated_areas=_or(annotation.area, n, np.nan),
      is_crowd=_or(annotation.is_crowd, n, False),
      group_of=_or(annotation.group_of, n, False),
      difficult=_or(annotation.difficult, n, False),
      weights=_or(annotation.weights, n, 1.0),
    )
    self._texts += map(self._one, annotation.class_names or [''] * n)
    self._sources += map(self._one, annotation.sources or [''] * n)

  def _one(self, value):
    return self._same.setdefault(value, value)

  def _labeled_ids(self, annotation):
    ids = frozenset(annotation.labeled_class_ids(self._classes.labeled_ids))
    if ids not in self._labeled_of:
      table = self._classes.table
      mapped = ids if table is None else labeled_classes.map_labeled_ids(ids, table)
      self._labeled_of[ids] = self._one(frozenset(mapped | self._classes.unused_ids))
    return self._labeled_of[ids]

  def _model_class_ids(self, class_ids):
    table = self._classes.table
    if table is None:
      is_known = (class_ids >= 1) & (class_ids <= self._classes.num_classes)
      return np.where(is_known, class_ids, 0).astype(np.int32)
    different, rows = np.unique(class_ids, return_inverse=True)
    return np.array([table.get(i, 0) for i in different.tolist()], np.int32)[rows]


def _parse(record, place, name_to_id) -> Annotation:
  """A record without its pixels; with as many class ids as boxes, 0 for a name of no id."""
  annotation = tf_example.parse_example(record, place)
  n = len(annotation.boxes)
  if n and annotation.class_names and not len(annotation.class_ids):
    # Some writers leave the ids out.
    ids = [name_to_id.get(name, 0) for name in annotation.class_names]
    annotation = dataclasses.replace(annotation, class_ids=np.array(ids, np.int64))
  if len(annotation.class_ids) != n:
    raise InputError(f'{place}: 0 class ids for {n} boxes; convert it again')
  return annotation


def _or(values, n, default):
  return np.full(n, default) if values is None else values


def _evenly_spread(records, total, limit):
  """(number among all, path, number in the file, record) of as many records as the limit."""
  numbered = ((i, *record) for i, record in enumerate(records))
  if limit is not None and total > limit:
    # Of any `total` records that follow each other so many pass, at distances that differ by 1.
    numbered = (row for row in numbered if row[0] * limit % total < limit)
  return itertools.islice(numbered, limit)
