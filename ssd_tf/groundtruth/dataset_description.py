"""What is in a data set: boxes, images and labeled images of each class, sizes, oddities."""

import collections
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from ssd_tf.data import image_files, record_files, tf_example
from ssd_tf.data.annotation import Annotation
from ssd_tf.errors import InputError
from ssd_tf.groundtruth.dataset_text import describe

# Of sqrt(box area / image area), and of width / height in pixels; what lies beyond counts in the
# bin at the end.
SIZE_EDGES = np.linspace(0, 1, 21)
ASPECT_EDGES = 2.0 ** np.arange(-3, 3.5, 0.5)
# COCO's, in pixels of area; an area at a limit counts above.
COCO_LIMITS = {'small': 0.0, 'medium': 32.0**2, 'large': 96.0**2}
_MAX_PLACES = 3
_MAX_NAMES = 10


@dataclasses.dataclass
class DatasetDescription:
  """What was found in records.

  Attributes:
    names: the label map, id to name, K of them.
    num_images: read.
    boxes: number of boxes by class id.
    images: number of images with a box of the class, by class id.
    label_sets: number of images by the set of class ids that they are labeled for.
    size_counts: i64[20], boxes by sqrt(box area / image area), edges SIZE_EDGES.
    coco_sizes: boxes by 'small', 'medium' and 'large', of the annotated area if there is one.
    aspect_counts: i64[12], boxes by width / height, edges ASPECT_EDGES.
    boxes_per_image: number of images by their number of boxes.
    image_sizes: number of images by (width, height).
    box_sources: number of boxes by who made them, where records say so.
    oddities: what a warning says -> [how often, the first places].
  """

  names: Mapping[int, str]
  num_images: int = 0
  boxes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  images: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  label_sets: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  size_counts: np.ndarray = dataclasses.field(
    default_factory=lambda: np.zeros(len(SIZE_EDGES) - 1, np.int64)
  )
  coco_sizes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  aspect_counts: np.ndarray = dataclasses.field(
    default_factory=lambda: np.zeros(len(ASPECT_EDGES) - 1, np.int64)
  )
  boxes_per_image: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  image_sizes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  box_sources: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  oddities: dict[str, list] = dataclasses.field(default_factory=dict)

  @property
  def num_boxes(self) -> int:
    """Of all classes."""
    return self.boxes.total()

  def co_labeled(self) -> np.ndarray:
    """Counts the images labeled for two classes at once.

    Returns:
      i64[K,K], rows and columns in the order of `names`; the diagonal has the images labeled for
      each class.
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
        f'classes labeled in no image: {_some(unlabeled)}; nothing tells a detector what is not one'
      )
    if absent := [name for class_id, name in self.names.items() if not self.boxes[class_id]]:
      found.append(f'classes without a box: {_some(absent)}')
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
        {'classes': self.sorted_names(label_set), 'num_images': num_images}
        for label_set, num_images in self.label_sets.most_common()
      ],
      'co_labeled': {'classes': [*self.names.values()], 'num_images': matrix.tolist()},
      'box_sizes': {'edges': SIZE_EDGES.tolist(), 'boxes': self.size_counts.tolist()},
      'coco_sizes': {name: self.coco_sizes[name] for name in COCO_LIMITS},
      'aspect_ratios': {'edges': ASPECT_EDGES.tolist(), 'boxes': self.aspect_counts.tolist()},
      'boxes_per_image': dict(sorted(self.boxes_per_image.items())),
      'image_sizes': [
        {'width': width, 'height': height, 'num_images': num_images}
        for (width, height), num_images in self.image_sizes.most_common()
      ],
      'box_sources': dict(sorted(self.box_sources.items())),
      'warnings': self.warnings(),
    }

  def sorted_names(self, class_ids: Collection[int]) -> list[str]:
    """The names of classes, in the order of the label map."""
    return [name for class_id, name in self.names.items() if class_id in class_ids]

  def __str__(self):
    return describe(self)

  def add(self, annotation: Annotation, default: Collection[int], place: str) -> None:
    """Counts one image.

    Args:
      annotation: boxes as they are in the record, with a class id each.
      default: ids of the classes labeled where the record does not say.
      place: file, record and source_id, for warnings.
    """
    class_ids = annotation.class_ids.tolist()
    self.num_images += 1
    self.boxes_per_image[len(class_ids)] += 1
    self.boxes.update(class_ids)
    self.images.update(set(class_ids))
    self.box_sources.update(annotation.sources or ())
    labeled = annotation.labeled_class_ids(default)
    self.label_sets[frozenset(labeled & self.names.keys())] += 1
    for class_id in sorted(labeled - self.names.keys()):
      self._note(
        f'images are labeled for class id {class_id}, which is not in the label map', place
      )
    for class_id in class_ids:
      if class_id not in self.names:
        self._note(f'boxes have class id {class_id}, which is not in the label map', place)
      elif class_id not in labeled:
        self._note(
          'boxes are of a class that their image is not labeled for',
          f'{place}: class {class_id} {self.names[class_id]!r}',
        )
    self._measure(annotation, place)

  def _measure(self, annotation, place):
    width, height = image_size(annotation)
    self.image_sizes[width, height] += 1
    if not width or not height:
      self._note('images have no known size; their boxes are not measured', place)
      return
    boxes = np.asarray(annotation.boxes, np.float64).reshape(-1, 4)
    h, w = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    usable = np.isfinite(boxes).all(axis=1) & (h > 0) & (w > 0)
    for _ in range(np.count_nonzero(~usable)):
      self._note('boxes have no area, or are inverted or not finite; they are not measured', place)
    h, w = h[usable], w[usable]
    area = h * w * height * width if annotation.area is None else annotation.area[usable]
    # Rounded, because boxes of whole pixels are float32 fractions here.
    area = np.round(area, 2)
    self.size_counts += _histogram(np.round(np.sqrt(h * w), 6), SIZE_EDGES)
    self.aspect_counts += _histogram(np.round(w * width / (h * height), 6), ASPECT_EDGES)
    sizes = np.searchsorted([*COCO_LIMITS.values()], area, side='right') - 1
    self.coco_sizes.update([*COCO_LIMITS][i] for i in sizes)

  def _note(self, sentence, place):
    entry = self.oddities.setdefault(sentence, [0, []])
    entry[0] += 1
    if place not in entry[1] and len(entry[1]) < _MAX_PLACES:
      entry[1].append(place)


def describe_records(
  paths: Sequence[str],
  names: Mapping[int, str],
  labeled_by_default: Collection[int] | None = None,
) -> DatasetDescription:
  """Reads records once, without decoding pixels, and counts.

  Args:
    paths: TFRecord files.
    names: the label map, id to name.
    labeled_by_default: ids of the classes labeled in an image whose record does not say; None: all
      of the label map.

  Returns:
    The description; `str()` of it is text.

  Raises:
    InputError: there is no record, or one is damaged or no annotated image.
  """
  default = names.keys() if labeled_by_default is None else labeled_by_default
  name_to_id = {name: class_id for class_id, name in names.items()}
  found = DatasetDescription(dict(names))
  total = sum(map(record_files.count_records, paths))
  records = record_files.read_records(paths)
  # disable=None: no bar in a log file.
  for path, number, record in tqdm.tqdm(records, 'records', total, unit='image', disable=None):
    place = f'{path}, record {number} (counted from 0)'
    annotation = parse_record(record, place, name_to_id)
    source_id = annotation.source_id or annotation.filename
    found.add(annotation, default, f'{path}, record {number}, source_id {source_id}')
  if not found.num_images:
    raise InputError(f'{", ".join(paths)}: no record in there; expected at least one')
  return found


def parse_record(record: bytes, place: str, name_to_id: Mapping[str, int]) -> Annotation:
  """Reads a record without decoding its image.

  Args:
    record: a tf.train.Example.
    place: file and record, for the error.
    name_to_id: of the label map; for records that hold class texts only. A name that it lacks gets
      the id 0.

  Returns:
    The annotation; as many class ids as boxes.

  Raises:
    InputError: it is no annotated image.
  """
  annotation = tf_example.parse_example(record, place)
  n = len(annotation.boxes)
  if n and annotation.class_names and not len(annotation.class_ids):
    # Some writers leave the ids out; 0 is reported.
    ids = [name_to_id.get(name, 0) for name in annotation.class_names]
    annotation = dataclasses.replace(annotation, class_ids=np.array(ids, np.int64))
  if len(annotation.class_ids) != n:
    raise InputError(f'{place}: 0 class ids for {n} boxes; convert it again')
  return annotation


def image_size(annotation: Annotation) -> tuple[int, int]:
  """(width, height) by the record, else by the decoded image; zeros where neither tells."""
  if annotation.width and annotation.height:
    return annotation.width, annotation.height
  return (image_files.decoded_size(annotation.encoded) or (0, 0))[::-1]


def _histogram(values, edges):
  return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]


def _some(names):
  more = f' and {len(names) - _MAX_NAMES} more' if len(names) > _MAX_NAMES else ''
  return f'{", ".join(names[:_MAX_NAMES])}{more}'
