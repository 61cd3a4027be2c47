"""The groundtruth of an input reader's records as columns, without decoding an image."""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import tqdm

from ssd_tf.config.reader_classes import ReaderClasses
from ssd_tf.data import labeled_classes, record_files
from ssd_tf.errors import InputError
from ssd_tf.groundtruth.dataset_description import image_size, parse_record

_DIGEST_BYTES = 16


@dataclasses.dataclass(frozen=True)
class GroundtruthTable:
  """I images with n boxes of records, in the records' order; a record that does not parse is left
  out, since `record_check` tells of it.

  Attributes:
    num_records: of all files, read or not.
    is_complete: whether all of them were read.
    paths: I file names.
    record_numbers: i64[I], of the record in its file, from 0.
    positions: i64[I], of the record among those of all files, from 0.
    source_ids: I of them, as `record_files.source_id` gives them; '' where there is none.
    digests: S16[I], a hash of the encoded image.
    sizes: i64[I,2], (height, width) of the image by the record, else by the image's header; zeros
      where neither tells.
    labeled: I sets of model's class ids that the image is labeled for.
    says_labeled: bool[I], whether the record itself says what it is labeled for.
    image_index: i64[n], row of the box's image.
    class_ids: i64[n], of the records; 0 where they have a text only that the label map lacks.
    class_texts: n of them; '' where the records have none.
    model_class_ids: i64[n], of the model; 0 for a dropped class and for an id that has none there.
    boxes: f32[n,4], normalized, as in the records.
    areas: f64[n], px^2, as annotated, else of the box.
    is_crowd: bool[n].
    group_of: bool[n].
    difficult: bool[n].
    weights: f32[n].
  """

  num_records: int
  is_complete: bool
  paths: Sequence[str]
  record_numbers: np.ndarray
  positions: np.ndarray
  source_ids: Sequence[str]
  digests: np.ndarray
  sizes: np.ndarray
  labeled: Sequence[frozenset[int]]
  says_labeled: np.ndarray
  image_index: np.ndarray
  class_ids: np.ndarray
  class_texts: Sequence[str]
  model_class_ids: np.ndarray
  boxes: np.ndarray
  areas: np.ndarray
  is_crowd: np.ndarray
  group_of: np.ndarray
  difficult: np.ndarray
  weights: np.ndarray

  @property
  def num_images(self) -> int:
    """I."""
    return len(self.paths)

  @functools.cached_property
  def image_starts(self) -> np.ndarray:
    """i64[I+1]; the boxes of image i are the rows image_starts[i] to image_starts[i + 1] - 1."""
    counts = np.bincount(self.image_index, minlength=self.num_images)
    return np.concatenate([[0], np.cumsum(counts)])

  @functools.cached_property
  def usable(self) -> np.ndarray:
    """bool[n], of finite boxes that have an area and a class of the model."""
    height, width = (self.boxes[:, 2:] - self.boxes[:, :2]).T
    finite = np.isfinite(self.boxes).all(axis=1)
    return finite & (height > 0) & (width > 0) & (self.model_class_ids > 0)

  @property
  def part(self) -> str:
    """What a sentence about its images adds: nothing where all records were read."""
    return '' if self.is_complete else ' looked at'


def read_table(
  paths: Sequence[str], classes: ReaderClasses, num_classes: int, max_records: int
) -> GroundtruthTable:
  """Reads records, without decoding pixels.

  Args:
    paths: TFRecord files.
    classes: of the reader.
    num_classes: K of the model.
    max_records: limit of the records taken, evenly spread over all of them.

  Returns:
    The table; after a damage, which `record_check` tells of, there is nothing more in it.
  """
  name_to_id = {name: class_id for class_id, name in classes.id_to_name.items()}
  images, box_columns = [], []
  total = sum(_count(path) for path in paths)
  records = _until_damage(record_files.read_records(paths))
  progress = tqdm.tqdm(records, 'records', total, disable=None)
  for position, path, number, record in _evenly_spread(progress, total, max_records):
    parsed = _parse(record, name_to_id)
    if parsed is not None:
      images.append((path, number, position, *_image_columns(parsed, classes)))
      box_columns.append(_box_columns(parsed, images[-1][5]))
  columns = [list(column) for column in zip(*images, strict=True)] or [[] for _ in range(8)]
  names, numbers, positions, source_ids, digests, sizes, labeled, says_labeled = columns
  per_box = {
    name: np.concatenate([row[name] for row in box_columns])
    for name in (box_columns[0] if box_columns else {})
  } or _box_columns(_parse(b'', {}), (0, 0))
  lengths = [len(row['class_ids']) for row in box_columns]
  return GroundtruthTable(
    num_records=total,
    is_complete=total <= max_records,
    paths=names,
    record_numbers=np.array(numbers, np.int64),
    positions=np.array(positions, np.int64),
    source_ids=source_ids,
    digests=np.array(digests, f'S{_DIGEST_BYTES}'),
    sizes=np.array(sizes, np.int64).reshape(-1, 2),
    labeled=labeled,
    says_labeled=np.array(says_labeled, bool),
    image_index=np.repeat(np.arange(len(names)), lengths),
    model_class_ids=_model_class_ids(per_box['class_ids'], classes, num_classes),
    **per_box,
  )


def _count(path):
  try:
    return record_files.count_records(path)
  except InputError:
    return 0


def _evenly_spread(records, total, limit):
  """(number among all, path, number in the file, record) of as many records as the limit."""
  numbered = ((i, *record) for i, record in enumerate(records))
  # Of any `total` records that follow each other so many pass, at distances that differ by 1.
  chosen = numbered if total <= limit else (r for r in numbered if r[0] * limit % total < limit)
  return itertools.islice(chosen, limit)


def _until_damage(records):
  try:
    yield from records
  except InputError:
    return


def _parse(record, name_to_id):
  """The annotation, with a class id for each box; None where the record cannot be read as one."""
  try:
    annotation = parse_record(record, '', name_to_id)
  except InputError:
    return None
  flags = (annotation.is_crowd, annotation.group_of, annotation.difficult)
  n = len(annotation.boxes)
  complete = len(annotation.class_ids) == n and all(v is None or len(v) == n for v in flags)
  return annotation if complete else None


def _image_columns(annotation, classes):
  digest = hashlib.blake2b(annotation.encoded, digest_size=_DIGEST_BYTES).digest()
  labeled = annotation.labeled_class_ids(classes.labeled_ids)
  if classes.table is not None:
    labeled = labeled_classes.map_labeled_ids(labeled, classes.table)
  says = (annotation.labeled_classes, annotation.verified_present, annotation.verified_absent)
  return (
    annotation.source_id or annotation.filename,
    digest,
    image_size(annotation)[::-1],
    frozenset(labeled | classes.unused_ids),
    any(value is not None for value in says),
  )


def _box_columns(annotation, size):
  n = len(annotation.boxes)
  boxes = annotation.boxes.astype(np.float32).reshape(-1, 4)
  sides = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64) * size
  texts = list(annotation.class_names)

  def flags(values):
    return np.zeros(n, bool) if values is None else values

  return {
    'class_ids': annotation.class_ids,
    'class_texts': np.array(texts if len(texts) == n else [''] * n, object),
    'boxes': boxes,
    'areas': sides.prod(axis=1) if annotation.area is None else annotation.area.astype(np.float64),
    'is_crowd': flags(annotation.is_crowd),
    'group_of': flags(annotation.group_of),
    'difficult': flags(annotation.difficult),
    'weights': np.ones(n, np.float32) if annotation.weights is None else annotation.weights,
  }


def _model_class_ids(class_ids, classes: ReaderClasses, num_classes):
  table: Mapping[int, int] = classes.table
  if table is None:
    table = {class_id: class_id for class_id in range(1, num_classes + 1)}
  return np.array([table.get(class_id, 0) for class_id in class_ids.tolist()], np.int64)
