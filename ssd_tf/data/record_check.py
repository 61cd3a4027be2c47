"""Looks through TFRecords before the first step, for what would otherwise end in NaN or mAP 0."""

import collections
import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from google.protobuf import message

from ssd_tf.data import labeled_classes, record_features, record_files
from ssd_tf.data.annotation import BOX_SIDES, IMAGE_CLASSES
from ssd_tf.data.ssd_tensorflow_keys import per_box_feature
from ssd_tf.errors import InputError

# How JPEG, PNG, GIF and BMP files begin.
_IMAGE_STARTS = (b'\xff\xd8\xff', b'\x89PNG', b'GIF8', b'BM')
MAX_RECORDS = 20_000
_MAX_PLACES = 3
_LABELED_CLASSES = IMAGE_CLASSES['labeled_classes']
# What rounding to float32 may add to a box that ends at the image's border.
_TOLERANCE = 1e-6

Place = tuple[str, int, str]


@dataclasses.dataclass(frozen=True)
class Problem:
  """What makes a record useless.

  Attributes:
    kind: 'records', 'images', 'boxes' or 'class ids'.
    what: is wrong; reads on after a number.
    remedy: what to do.
  """

  kind: str
  what: str
  remedy: str

  def __str__(self):
    return f'{self.what}: {self.remedy}'


_NO_EXAMPLE = Problem('records', 'records are no tf.train.Example', 'convert them again')


@dataclasses.dataclass
class RecordSummary:
  """What was seen in a data set's records.

  Attributes:
    num_images_without_boxes: images that hold background only.
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
  """Reads records, without decoding pixels, and refuses those that training could not use.

  Returns:
    The summary; `str()` of it is one line for the log.

  Raises:
    InputError: all problems at once, each with its count and the first places.
  """
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
    label_names: the label map, id to name, or empty; names classes in the error, and gives the ids
      of records that hold class texts only.
    max_num_boxes: boxes of an image that training uses; None if all are.
    max_records: limit of the records read, the first of each file, as many of each.
    labeled_by_default: ids of the classes labeled in an image whose record does not say; None: all.

  Returns:
    The summary. Problems are class ids, of boxes or labeled, outside 1..K or not in the label map,
    boxes outside the image, inverted or not finite (those without area pass: the original's
    converters write them), records that do not parse, those with `record_features.faults`, images
    of no bytes or of an unknown format.

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
    classes = _class_ids(features, label_names)
    for problem in _problems_of(
      features, classes, summary, num_classes, label_names, max_num_boxes
    ):
      problems[problem].append((path, number, record_files.source_id(features)))
    for oddity in _label_oddities(features, classes, summary, label_names, labeled_by_default):
      oddities[oddity].append((path, number, record_files.source_id(features)))
  if not summary.num_records:
    raise InputError(f'{", ".join(paths)}: no record in there; expected at least one')
  summary.problems = dict(problems)
  summary.warnings = [
    f'{len(places)} {oddity} ({describe_places(places)})' for oddity, places in oddities.items()
  ]
  return summary


def _class_ids(features, label_names):
  """The classes of the boxes; where a record has texts only, 0 for one that the map lacks."""
  classes = list(per_box_feature(features, 'image/object/class/label').int64_list.value)
  texts = per_box_feature(features, 'image/object/class/text').bytes_list.value
  if texts and not classes:
    ids = {name.encode(): class_id for class_id, name in label_names.items()}
    classes = [ids.get(text, 0) for text in texts]
  return classes


def _label_oddities(features, classes, summary, label_names, labeled_by_default) -> Iterator[str]:
  """Counts an image's labeled classes into the summary and yields what is odd about them."""

  def ids(key):
    return list(features[key].int64_list.value)

  verified = ids('image/class/label') + ids('image/neg_category_ids')
  boxes = set(classes)
  group_of = zip(classes, ids('image/object/group_of'), strict=False)
  labeled = labeled_classes.labeled_class_ids(
    explicit=ids(_LABELED_CLASSES) or None,
    verified=verified or None,
    not_exhaustive=ids('image/not_exhaustive_category_ids'),
    group_of=[class_id for class_id, flag in group_of if flag],
    boxes=boxes,
    default=labeled_by_default,
  )
  labeled.discard(0)
  summary.labeled_sets[frozenset(labeled)] += 1
  summary.num_partial += bool(set(label_names) - labeled)
  if not verified:  # There, that is usual.
    for class_id in sorted(boxes - labeled):
      name = label_names.get(class_id, 'no name')
      yield (
        f'images have boxes of class {class_id} ({name}), but are not labeled for it: the boxes '
        'train, but its other instances there are not taken for background; is the list of labeled '
        'classes right?'
      )


def _problems_of(
  features, classes, summary, num_classes, label_names, max_num_boxes
) -> Iterator[Problem]:
  """Counts one record into the summary and yields a problem for each thing wrong with it."""
  yield from _image_problems(features)
  is_sound = True
  for fault in record_features.faults(features):
    is_sound = False
    yield Problem(
      'records', f'records whose {fault.found}', f'expected {fault.expected}; write them again'
    )
  sides = [features[f'image/object/bbox/{side}'].float_list.value for side in BOX_SIDES]
  if is_sound and len(classes) != len(sides[0]):
    yield Problem('records', 'records have boxes without classes', 'give each box its class')
    is_sound = False
  if not is_sound:
    return
  summary.num_boxes += len(classes)
  summary.max_boxes = max(summary.max_boxes, len(classes))
  summary.num_images_without_boxes += not classes
  summary.num_images_cut += max_num_boxes is not None and len(classes) > max_num_boxes
  summary.class_counts.update(classes)
  for row, class_id in enumerate(classes):
    if not 1 <= class_id <= num_classes or (label_names and class_id not in label_names):
      texts = per_box_feature(features, 'image/object/class/text').bytes_list.value
      text = texts[row].decode('utf-8', 'replace') if row < len(texts) else ''
      yield _class_problem(class_id, text or label_names.get(class_id, 'no name'), num_classes)
  for key in IMAGE_CLASSES.values():
    for class_id in features[key].int64_list.value:
      if class_id not in {0, *(label_names or range(1, num_classes + 1))}:
        yield Problem(
          'class ids',
          f'images have class id {class_id} in {key}, which is not in the label map, or outside '
          f'1..{num_classes}',
          'correct the ids and write the records again',
        )
  for box in zip(*sides, strict=True):
    ymin, xmin, ymax, xmax = box
    summary.num_boxes_without_area += ymin == ymax or xmin == xmax
    # NaN fails every comparison.
    if not (ymin <= ymax and xmin <= xmax):
      yield Problem('boxes', 'boxes with min > max, or not finite', 'drop or fix them')
    elif not (min(box) >= -_TOLERANCE and max(box) <= 1 + _TOLERANCE):
      yield Problem(
        'boxes',
        'boxes reach outside the image, [0, 1] of its height and width',
        "clip them, or divide pixels by the image's size",
      )


def _image_problems(features):
  encoded = features['image/encoded'].bytes_list.value
  if not encoded or not encoded[0]:
    yield Problem('images', 'images of zero bytes', 'remove them or convert them again')
  elif not encoded[0].startswith(_IMAGE_STARTS):
    yield Problem('images', 'images that are no JPEG, PNG, GIF or BMP', 'convert them again')


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
