"""Describes a data set: boxes, images and labeled images of each class, sizes, irregularities."""

import collections
import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ssd_tf.config.reader_classes import ReaderClasses
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError, listed
from ssd_tf.groundtruth import text
from ssd_tf.groundtruth.reading import read_sources, read_table
from ssd_tf.groundtruth.table import GroundtruthTable

# Of sqrt(box area / image area), and of width / height in pixels; what lies beyond counts in the
# bin at the end.
SIZE_EDGES = np.linspace(0, 1, 21)
ASPECT_EDGES = 2.0 ** np.arange(-3, 3.5, 0.5)
# COCO's, in pixels of area; an area at a limit counts above.
_COCO_LIMITS = {'small': 0.0, 'medium': 32.0**2, 'large': 96.0**2}
_MAX_PLACES = 3
_MAX_NAMES = 10


@dataclasses.dataclass(frozen=True)
class DatasetDescription:
  """What was found in records.

  Attributes:
    names: the label map, id to name, K of them.
    boxes: number of boxes by class id.
    images: number of images with a box of the class, by class id.
    label_sets: number of images by the set of class ids that they are labeled for.
    size_counts: i64[20], boxes by sqrt(box area / image area), edges SIZE_EDGES.
    coco_sizes: boxes by 'small', 'medium' and 'large', of the annotated area if there is one.
    aspect_counts: i64[12], boxes by width / height, edges ASPECT_EDGES.
    boxes_per_image: number of images by their number of boxes.
    image_sizes: number of images by (width, height).
    box_sources: number of boxes by who made them, where records say so.
    oddities: what a warning says -> (how often, the first places).
  """

  names: Mapping[int, str]
  num_images: int
  boxes: collections.Counter
  images: collections.Counter
  label_sets: collections.Counter
  size_counts: np.ndarray
  coco_sizes: Mapping[str, int]
  aspect_counts: np.ndarray
  boxes_per_image: collections.Counter
  image_sizes: collections.Counter
  box_sources: collections.Counter
  oddities: Mapping[str, tuple[int, Sequence[str]]]

  @property
  def num_boxes(self) -> int:
    """Of all classes."""
    return self.boxes.total()

  def co_labeled(self) -> np.ndarray:
    """Counts the images labeled for two classes at once.

    Returns:
      i64[K,K], in the order of `names`; the diagonal has the images labeled for each class.
    """
    row_of = {class_id: row for row, class_id in enumerate(self.names)}
    counts = np.zeros([len(row_of)] * 2, np.int64)
    for label_set, num_images in self.label_sets.items():
      rows = [row_of[class_id] for class_id in label_set]
      counts[np.ix_(rows, rows)] += num_images
    return counts

  def warnings(self) -> list[str]:
    """What training should not meet unseen: a sentence each, with the first places."""
    labeled = frozenset().union(*self.label_sets)
    found = []
    if unlabeled := [name for class_id, name in self.names.items() if class_id not in labeled]:
      found.append(
        f'classes labeled in no image: {listed(unlabeled, _MAX_NAMES)}; a detector '
        'gets no negatives for it'
      )
    if absent := [name for class_id, name in self.names.items() if not self.boxes[class_id]]:
      found.append(f'classes without a box: {listed(absent, _MAX_NAMES)}')
    for sentence, (count, places) in self.oddities.items():
      found.append(f'{count} {sentence}; first places: {"; ".join(places)}')
    return found

  def as_dict(self) -> dict[str, Any]:
    """Everything, for a JSON file."""
    matrix = self.co_labeled()
    return {
      'num_images': self.num_images,
      'num_boxes': self.num_boxes,
      'classes': {
        name: {
          'id': class_id,
          'boxes': self.boxes[class_id],
          'images': self.images[class_id],
          'labeled_images': int(matrix[row, row]),
        }
        for row, (class_id, name) in enumerate(self.names.items())
      },
      'label_sets': [
        {
          'classes': [name for class_id, name in self.names.items() if class_id in label_set],
          'num_images': num_images,
        }
        for label_set, num_images in self.label_sets.most_common()
      ],
      'co_labeled': {'classes': [*self.names.values()], 'num_images': matrix.tolist()},
      'box_sizes': {'edges': SIZE_EDGES.tolist(), 'boxes': self.size_counts.tolist()},
      'coco_sizes': dict(self.coco_sizes),
      'aspect_ratios': {'edges': ASPECT_EDGES.tolist(), 'boxes': self.aspect_counts.tolist()},
      'boxes_per_image': dict(sorted(self.boxes_per_image.items())),
      'image_sizes': [
        {'width': width, 'height': height, 'num_images': num_images}
        for (width, height), num_images in self.image_sizes.most_common()
      ],
      'box_sources': dict(sorted(self.box_sources.items())),
      'warnings': self.warnings(),
    }

  def __str__(self):
    return text.describe(self.as_dict())


def describe_records(
  paths: Sequence[str],
  names: Mapping[int, str],
  labeled_by_default: Collection[int] | None = None,
) -> DatasetDescription:
  """Describes records.

  Args:
    paths: TFRecord files.
    names: the label map, id to name.
    labeled_by_default: ids of the classes labeled in an image whose record does not say; None: all
      of the label map.

  Raises:
    InputError: there is no record, or one is damaged or no annotated image.
  """
  labeled = names.keys() if labeled_by_default is None else labeled_by_default
  classes = ReaderClasses(max(names, default=0), names, frozenset(labeled), table=None)
  table = read_table(paths, classes)
  if not table.num_images:
    raise InputError(f'{", ".join(paths)}: no record in there; expected at least one')
  return describe_table(table, names)


def describe_sources(sources: Sequence[Source]) -> DatasetDescription:
  """Describes data sets of any format, such as the parts of one; see `reading.read_sources`.

  Raises:
    InputError: there is no image, or one is broken.
  """
  table = read_sources(sources)
  if not table.num_images:
    raise InputError('the data set has no image; expected at least one')
  return describe_table(table, sources[0].names)


def describe_table(table: GroundtruthTable, names: Mapping[int, str]) -> DatasetDescription:
  """Describes at least one image by the ids of its records, dropped classes included."""
  is_measured = table.has_area & table.sizes.all(axis=1)[table.image_index]
  sides = table.sides[is_measured]
  pixels = sides * table.sizes[table.image_index[is_measured]]
  per_image = np.diff(table.image_starts)
  return DatasetDescription(
    names=dict(names),
    num_images=table.num_images,
    boxes=collections.Counter(table.class_ids.tolist()),
    images=_images_of_classes(table),
    label_sets=_label_sets(table, names),
    size_counts=_histogram(np.round(np.sqrt(sides.prod(axis=1)), 6), SIZE_EDGES),
    coco_sizes={name: int(m.sum()) for name, m in coco_sizes(table.areas[is_measured]).items()},
    aspect_counts=_histogram(np.round(pixels[:, 1] / pixels[:, 0], 6), ASPECT_EDGES),
    boxes_per_image=collections.Counter(per_image.tolist()),
    image_sizes=collections.Counter((width, height) for height, width in table.sizes.tolist()),
    box_sources=collections.Counter(filter(None, table.box_sources)),
    oddities=_oddities(table, names),
  )


def coco_sizes(areas: np.ndarray) -> dict[str, np.ndarray]:
  """Which areas f64[n], px^2, are 'small', 'medium' and 'large' as COCO has it: bool[n] of each."""
  # Rounded, because boxes of whole pixels are float32 fractions here.
  sizes = np.searchsorted([*_COCO_LIMITS.values()], np.round(areas, 2), side='right') - 1
  return {name: sizes == i for i, name in enumerate(_COCO_LIMITS)}


def _images_of_classes(table) -> collections.Counter:
  class_ids, columns = np.unique(table.class_ids, return_inverse=True)
  pairs = np.unique(columns * table.num_images + table.image_index)
  counts = np.bincount(pairs // table.num_images, minlength=len(class_ids))
  return collections.Counter(dict(zip(class_ids.tolist(), counts.tolist(), strict=True)))


def _label_sets(table, names) -> collections.Counter:
  known, found = frozenset(names), collections.Counter()
  for labeled, num_images in collections.Counter(table.labeled).items():
    found[labeled & known] += num_images
  return found


def _oddities(table, names) -> dict[str, tuple[int, list[str]]]:
  """Sentence -> (how often, the first places), in the order of the images."""
  found = sorted(
    [*_odd_labels(table, names), *_odd_boxes(table, names), *_odd_sizes(table)],
    key=lambda item: item[0],
  )
  counts, places = collections.Counter(), collections.defaultdict(list)
  for image, sentence, detail in found:
    counts[sentence] += 1
    path, number, source_id = table.place(image)
    record = '' if number is None else f', record {number}'
    place = f'{path}{record}, source_id {source_id}{detail}'
    if len(places[sentence]) < _MAX_PLACES and place not in places[sentence]:
      places[sentence].append(place)
  return {sentence: (count, places[sentence]) for sentence, count in counts.items()}


def _odd_labels(table, names) -> Iterator[tuple[int, str, str]]:
  """(image, sentence, more of the place) of each; so do the next two."""
  unknown = {labeled: sorted(labeled - names.keys()) for labeled in set(table.labeled)}
  for image, labeled in enumerate(table.labeled):
    for class_id in unknown[labeled]:
      sentence = f'images are labeled for class id {class_id}, which is not in the label map'
      yield image, sentence, ''


def _odd_boxes(table, names):
  for image, class_id in zip(table.image_index.tolist(), table.class_ids.tolist(), strict=True):
    if class_id not in names:
      yield image, f'boxes have class id {class_id}, which is not in the label map', ''
    elif class_id not in table.labeled[image]:
      yield (
        image,
        'boxes are of a class that their image is not labeled for',
        f': class {class_id} {names[class_id]!r}',
      )


def _odd_sizes(table):
  is_known = table.sizes.all(axis=1)
  for image in np.flatnonzero(~is_known).tolist():
    yield image, 'images have no known size; their boxes are not measured', ''
  flat = ~table.has_area & is_known[table.image_index]
  for image in table.image_index[flat].tolist():
    yield image, 'boxes have no area, or are inverted or not finite; they are not measured', ''


def _histogram(values, edges):
  return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
