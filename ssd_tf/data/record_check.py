"""Checks TFRecords before the first step for what would otherwise end in NaN or an mAP of 0."""

import collections
import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from google.protobuf import message

from ssd_tf.data import record_files, record_schema, tf_example
from ssd_tf.data.annotation import IMAGE_CLASSES, Annotation
from ssd_tf.errors import InputError

# How JPEG, PNG, GIF and BMP files begin.
_IMAGE_STARTS = (b'\xff\xd8\xff', b'\x89PNG', b'GIF8', b'BM')
MAX_RECORDS = 20_000
_MAX_PLACES = 3
# What rounding to float32 may add to a box that ends at the image's border.
_TOLERANCE = 1e-6

Place = tuple[str, int, str]


@dataclasses.dataclass(frozen=True)
class Problem:
  """What makes a record useless, which reads on after a number of `kind`, and what to do."""

  kind: str
  what: str
  remedy: str

  def __str__(self):
    return f'{self.what}: {self.remedy}'


_NO_EXAMPLE = Problem('records', 'records are no tf.train.Example', 'convert them again')
_DISORDERED = Problem('boxes', 'boxes with min > max, or not finite', 'drop or fix them')
_OUTSIDE = Problem(
  'boxes',
  'boxes reach outside the image, [0, 1] of its height and width',
  "clip them, or divide pixels by the image's size",
)


@dataclasses.dataclass
class RecordSummary:
  """What was seen in a data set's records.

  Attributes:
    num_images_cut: images with more boxes than max_num_boxes.
    num_boxes_without_area: of no height or width; the loss counts them like any other.
    labeled_sets: a set of class ids to the number of images labeled for just these.
    num_partial: images not labeled for some class.
    warnings: sentences about what can be trained on, but should be looked at.
    problems: what cannot be trained on -> (path, number of the record in its file, source_id) of
      each time.
  """

  num_files: int
  num_records: int = 0
  is_complete: bool = True
  num_boxes: int = 0
  class_counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  num_images_without_boxes: int = 0
  num_images_cut: int = 0
  num_boxes_without_area: int = 0
  max_boxes: int = 0
  labeled_sets: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  num_partial: int = 0
  warnings: list[str] = dataclasses.field(default_factory=list)
  problems: dict[Problem, list[Place]] = dataclasses.field(default_factory=dict)

  def __str__(self):
    cut = f', {self.num_images_cut} images have more than are used' if self.num_images_cut else ''
    flat = f', {self.num_boxes_without_area} without area' if self.num_boxes_without_area else ''
    return (
      f'{self.num_records} records checked ({"all" if self.is_complete else "a part"} of '
      f'{self.num_files} files): {self.num_boxes} boxes{flat}, at most {self.max_boxes} in an '
      f'image{cut}; {self.num_images_without_boxes} images without boxes; '
      f'boxes of each class id: {dict(sorted(self.class_counts.items()))}{self._partial()}'
    )

  def count(self, annotation: Annotation, max_num_boxes: int | None) -> None:
    """Counts the boxes of a record."""
    class_ids, boxes = annotation.class_ids.tolist(), annotation.boxes
    self.num_boxes += len(class_ids)
    self.max_boxes = max(self.max_boxes, len(class_ids))
    self.num_images_without_boxes += not class_ids
    self.num_images_cut += max_num_boxes is not None and len(class_ids) > max_num_boxes
    self.class_counts.update(class_ids)
    self.num_boxes_without_area += int((boxes[:, :2] == boxes[:, 2:]).any(axis=1).sum())

  def _partial(self):
    if not self.num_partial:
      return ''
    counts = collections.Counter()
    for class_ids, count in self.labeled_sets.items():
      counts.update(dict.fromkeys(class_ids, count))
    return (
      f'; {self.num_partial} images are labeled for some classes only; images labeled for each '
      f'class id: {dict(sorted(counts.items()))}'
    )


def check_records(
  paths: Sequence[str], num_classes: int, label_names: Mapping[int, str], **options: Any
) -> RecordSummary:
  """Does as `survey_records`, and raises an InputError with all problems of records at once."""
  summary = survey_records(paths, num_classes, label_names, **options)
  refuse_problems(summary)
  return summary


def refuse_problems(summary: RecordSummary) -> None:
  """Raises an InputError with all problems of a summary, if there is any."""
  if summary.problems:
    found = '; '.join(
      f'{len(places)} {problem} ({describe_places(places)})'
      for problem, places in summary.problems.items()
    )
    raise InputError(f'{summary.num_records} records checked: {found}')


def survey_records(
  paths: Sequence[str],
  num_classes: int,
  label_names: Mapping[int, str],
  *,
  max_num_boxes: int | None = None,
  max_records: int = MAX_RECORDS,
  labeled_by_default: Collection[int] | None = None,
) -> RecordSummary:
  """Reads records, without decoding pixels, and notes those that training could not use.

  Args:
    paths: TFRecord files.
    num_classes: K; class ids are 1..K.
    label_names: the label map, id to name, or empty; names classes in the error, and gives the ids
      of records that hold class texts only.
    max_num_boxes: boxes of an image that training uses; None if all are.
    max_records: limit of the records read, the first of each file, as many of each.
    labeled_by_default: ids of the classes labeled in an image whose record does not say; None: all.

  Returns:
    The summary. Boxes without area are no problem: the original's converters write them.

  Raises:
    InputError: a file is damaged, or there is no record.
  """
  max_per_file = max(1, max_records // len(paths))
  summary = RecordSummary(num_files=len(paths))
  problems, oddities = collections.defaultdict(list), collections.defaultdict(list)
  if labeled_by_default is None:
    labeled_by_default = range(1, num_classes + 1)
  for path, number, record in record_files.read_records(paths, max_per_file + 1):
    if number == max_per_file:
      summary.is_complete = False
      continue
    summary.num_records += 1
    try:
      features = tf.train.Example.FromString(record).features.feature
    except message.DecodeError:
      problems[_NO_EXAMPLE].append((path, number, ''))
      continue
    place = (path, number, record_files.source_id(features))
    found = [*_image_problems(features), *_feature_problems(features)]
    if not any(problem.kind == 'records' for problem in found):
      annotation = tf_example.annotation_of(features).with_class_ids(label_names)
      found += _box_problems(annotation, num_classes, label_names)
      summary.count(annotation, max_num_boxes)
      for oddity in _label_oddities(annotation, summary, label_names, labeled_by_default):
        oddities[oddity].append(place)
    for problem in found:
      problems[problem].append(place)
  if not summary.num_records:
    raise InputError(f'{", ".join(paths)}: no record in there; expected at least one')
  summary.problems = dict(problems)
  summary.warnings = [
    f'{len(places)} {oddity} ({describe_places(places)})' for oddity, places in oddities.items()
  ]
  return summary


def _image_problems(features):
  encoded = features['image/encoded'].bytes_list.value
  if not encoded or not encoded[0]:
    yield Problem('images', 'images of zero bytes', 'remove them or convert them again')
  elif not encoded[0].startswith(_IMAGE_STARTS):
    yield Problem('images', 'images that are no JPEG, PNG, GIF or BMP', 'convert them again')


def _feature_problems(features):
  faults = list(record_schema.faults(features))
  for fault in faults:
    yield Problem(
      'records', f'records whose {fault.found}', f'expected {fault.expected}; write them again'
    )
  has_boxes = record_schema.values(features, 'image/object/bbox/ymin')
  labels = ('image/object/class/label', 'image/object/class/text')
  if not faults and has_boxes and not any(record_schema.values(features, key) for key in labels):
    yield Problem('records', 'records have boxes without classes', 'give each box its class')


def _label_oddities(annotation, summary, label_names, labeled_by_default) -> Iterator[str]:
  """Counts an image's labeled classes into the summary and yields their irregularities."""
  labeled = annotation.labeled_class_ids(labeled_by_default)
  summary.labeled_sets[frozenset(labeled)] += 1
  summary.num_partial += bool(set(label_names) - labeled)
  if annotation.verified_present or annotation.verified_absent:
    return  # There, that is usual.
  for class_id in sorted(set(annotation.class_ids.tolist()) - labeled):
    name = label_names.get(class_id, 'no name')
    yield (
      f'images have boxes of class {class_id} ({name}), but are not labeled for it: the boxes '
      'train, but its other instances there are not taken for background; is the list of labeled '
      'classes right?'
    )


def _box_problems(annotation, num_classes, label_names) -> Iterator[Problem]:
  """Yields a problem for each box and class that cannot be trained on."""
  known = label_names or range(1, num_classes + 1)
  for row, class_id in enumerate(annotation.class_ids.tolist()):
    if not 1 <= class_id <= num_classes or class_id not in known:
      text = annotation.class_names[row] if annotation.class_names else ''
      yield _class_problem(class_id, text or label_names.get(class_id, 'no name'), num_classes)
  for name, key in IMAGE_CLASSES.items():
    for class_id in getattr(annotation, name) or ():
      if class_id not in known:
        yield Problem(
          'class ids',
          f'images have class id {class_id} in {key}, which is not in the label map, or outside '
          f'1..{num_classes}',
          'correct the ids and write the records again',
        )
  boxes = annotation.boxes
  # NaN fails every comparison.
  is_ordered = (boxes[:, :2] <= boxes[:, 2:]).all(axis=1)
  is_inside = ((boxes >= -_TOLERANCE) & (boxes <= 1 + _TOLERANCE)).all(axis=1)
  yield from [_DISORDERED] * int((~is_ordered).sum())
  yield from [_OUTSIDE] * int((is_ordered & ~is_inside).sum())


def _class_problem(class_id, name, num_classes):
  boxes = f'boxes of class id {class_id} ({name})'
  if class_id == 0:
    what = f'boxes of class {name!r} have id 0, which is background, or no id at all'
    remedy = (
      'give the class one from 1 in the label map, and convert again if the records hold the 0'
    )
  elif 1 <= class_id <= num_classes:
    what = f'{boxes} have no name in the label map, and an evaluation would leave them out'
    remedy = 'add the class there, or convert again'
  elif class_id < 0:
    what = f'{boxes} lie outside 1..{num_classes}'
    remedy = 'correct the id in the label map and convert again'
  else:
    what = f'{boxes} lie outside 1..{num_classes}'
    remedy = (
      f'raise num_classes to {class_id} or more, or map the class to one of the model: '
      'label_map_path at the top of the config has the names and ids to train, class_map of the '
      'reader renames or drops those of the records'
    )
  return Problem('class ids', what, remedy)


def describe_places(places: Sequence[Place]) -> str:
  """Says where, the first times, e.g. 'train.record, record 3, source_id cat.jpg; and 2 more'."""
  first = [
    f'{path}, record {number}' + (f', source_id {source_id}' if source_id else '')
    for path, number, source_id in dict.fromkeys(places)
  ]
  more = f'; and {len(first) - _MAX_PLACES} more' if len(first) > _MAX_PLACES else ''
  return f'{"; ".join(first[:_MAX_PLACES])}{more}'
