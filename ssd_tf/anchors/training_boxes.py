"""The groundtruth boxes of a config's training records, as the model will see them."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import tensorflow as tf
import tqdm

from ssd_tf import builders
from ssd_tf.builders import resizers
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.data import record_files
from ssd_tf.errors import InputError
from ssd_tf.groundtruth.dataset_description import image_size, parse_record


@dataclasses.dataclass(frozen=True)
class TrainingBoxes:
  """Boxes that anchors are matched with, n of them.

  Attributes:
    boxes: f32[n, 4], normalized to the model's input, padding included; before augmentation.
    classes: i64[n], ids of the model.
    areas: f64[n], in the original image, px^2: what COCO's sizes go by.
    input_size: (height, width) of the model's input, pixels.
    names: of the model's classes, by id.
    num_images: read.
    left_out: number of other boxes, by why they are not among these.
  """

  boxes: np.ndarray
  classes: np.ndarray
  areas: np.ndarray
  input_size: tuple[int, int]
  names: Mapping[int, str]
  num_images: int
  left_out: Mapping[str, int]

  @property
  def sizes(self) -> np.ndarray:
    """f64[n, 2], (height, width) in pixels of the model's input."""
    boxes = self.boxes.astype(np.float64)
    return (boxes[:, 2:] - boxes[:, :2]) * self.input_size


def read_training_boxes(pipeline: Pipeline, *, min_size: float = 0.0) -> TrainingBoxes:
  """Reads the boxes of every train_input_reader, without decoding images.

  As in training: classes by class_map, the first max_number_of_boxes of an image, one of
  sample_1_of_n_examples records; boxes of classes that their image is not labeled for and difficult
  ones count, those of weight 0 do not, nor crowds unless the model trains on them. Augmentation and
  the readers' sampling weights are left out.

  Args:
    pipeline: the config.
    min_size: boxes whose shorter side is less, in pixels of the model's input, are left out.

  Returns:
    The boxes.

  Raises:
    InputError: records cannot be trained on, see `builders.check_records`, or no box is left.
  """
  builders.check_records(pipeline, is_training=True)
  found = _Found(pipeline.config.model.ssd, min_size)
  for class_table, annotations in _annotated_images(pipeline):
    for annotation in annotations:
      found.add(annotation, class_table)
  boxes = found.finish(pipeline.class_names)
  if not len(boxes.boxes):
    others = ', '.join(f'{count} {why}' for why, count in boxes.left_out.items() if count)
    raise InputError(
      f'train_input_reader: there is no box to fit anchors to in {boxes.num_images} images'
      f'{f"; left out: {others}" if others else ""}; are these the annotated records?'
    )
  return boxes


def trained_rows(
  boxes: np.ndarray,
  classes: np.ndarray,
  *,
  weights: np.ndarray | None,
  crowd_flags: Iterable[np.ndarray | None],
  max_num_boxes: int,
  train_on_crowds: bool,
) -> tuple[np.ndarray, dict[str, int]]:
  """Which boxes of an image anchors are matched with.

  Args:
    boxes: f[n, 4].
    classes: i64[n], of the model; 0: dropped.
    weights: f[n]; None: 1.
    crowd_flags: bool[n] each, of boxes that stand for many objects; None: there is none.
    max_num_boxes: that a training reads of an image.
    train_on_crowds: whether crowds count like other boxes.

  Returns:
    bool[n], and the number of the others by why they are not among them.
  """
  used, left_out = np.ones(len(boxes), bool), {}

  def keep(wanted, why):
    nonlocal used
    left_out[why] = left_out.get(why, 0) + int(np.count_nonzero(used & ~wanted))
    used = used & wanted

  keep(classes > 0, 'of classes that class_map drops')
  # Dropped classes go before boxes are cut to their number, as in training.
  keep(np.cumsum(used) <= max_num_boxes, 'past max_number_of_boxes')
  if weights is not None:
    keep(weights > 0, 'of weight 0')
  for flags in () if train_on_crowds else crowd_flags:
    if flags is not None:
      keep(~flags, 'crowds')
  keep((boxes[:, 2:] > boxes[:, :2]).all(axis=1), 'without area')  # False for NaN.
  return used, left_out


def boxes_in_input(ssd, boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
  """Puts boxes on the scale of the network's input, padding included.

  Args:
    ssd: the config's `model.ssd`.
    boxes: f[n, 4], normalized to their images.
    sizes: i64[n, 2], (height, width) of the images, pixels.

  Returns:
    f64[n, 4].

  Raises:
    InputError: the image_resizer is at fault.
  """
  share = resizers.build_true_size(ssd)(tf.constant(sizes)).numpy()
  share = share / np.array(resizers.image_size(ssd))
  return boxes.astype(np.float64) * np.tile(share, 2)


def max_number_of_boxes(config: PipelineConfig) -> int:
  """That a training reads of an image, whichever the reader."""
  return max(reader.max_number_of_boxes for reader in config.train_input_reader)


def _annotated_images(pipeline) -> Iterator:
  """Yields, for each training reader, {its class id: the model's} and its annotations."""
  max_num_boxes = max_number_of_boxes(pipeline.config)
  for field, reader in pipeline.used_readers(is_training=True).items():
    classes = pipeline.classes(field)
    table = classes.table or {i: i for i in range(1, classes.num_classes + 1)}
    paths = pipeline.input_files(reader.tf_record_input_reader.input_path)
    name_to_id = {name: class_id for class_id, name in classes.id_to_name.items()}
    yield table, _annotations(paths, name_to_id, reader.sample_1_of_n_examples, max_num_boxes)


def _annotations(paths, name_to_id, sample_1_of_n, max_num_boxes):
  total = sum(map(record_files.count_records, paths))
  records = record_files.read_records(paths)
  # disable=None: no bar in a log file.
  progress = tqdm.tqdm(records, 'records', total, unit='image', disable=None)
  for i, (path, number, record) in enumerate(progress):
    if i % sample_1_of_n == 0:
      place = f'{path}, record {number} (counted from 0)'
      yield place, parse_record(record, place, name_to_id), max_num_boxes


class _Found:
  """What was found so far."""

  def __init__(self, ssd, min_size):
    self._ssd = ssd
    self._input_size = resizers.image_size(ssd)
    self._min_size = min_size
    self._parts = []  # Boxes, classes, areas and original size of each image.
    self._left_out = collections.Counter()
    self._num_images = 0

  def add(self, item, class_table):
    """Takes an image's boxes that train."""
    place, annotation, max_num_boxes = item
    self._num_images += 1
    n = len(annotation.boxes)
    if not n:
      return
    width, height = image_size(annotation)
    if not width or not height:
      raise InputError(f'{place}: its image has no known size; convert it again')
    classes = self._classes(annotation, class_table, place)
    boxes = annotation.boxes.astype(np.float64)
    area = annotation.area
    if area is None:
      area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * height * width
    used, left_out = trained_rows(
      boxes,
      classes,
      weights=annotation.weights,
      crowd_flags=(annotation.is_crowd, annotation.group_of),
      max_num_boxes=max_num_boxes,
      train_on_crowds=self._ssd.train_on_crowds,
    )
    self._left_out.update(left_out)
    size = np.full([n, 2], (height, width))
    self._parts.append([array[used] for array in (boxes, classes, area, size)])

  def _classes(self, annotation, class_table, place):
    classes = annotation.class_ids
    for class_id in {*classes.tolist()} - class_table.keys():
      raise InputError(
        f'{place}: has a box of class id {class_id}; expected one of {sorted(class_table)}; look '
        'at model.ssd.num_classes and the label map'
      )
    return np.array([class_table[i] for i in classes.tolist()], np.int64)

  def finish(self, names):
    """The TrainingBoxes."""
    empty = [np.zeros([0, 4]), np.zeros(0, np.int64), np.zeros(0), np.zeros([0, 2], np.int64)]
    columns = zip(empty, *self._parts, strict=True)
    boxes, classes, areas, sizes = map(np.concatenate, columns)
    boxes = boxes_in_input(self._ssd, boxes, sizes)
    sides = (boxes[:, 2:] - boxes[:, :2]) * self._input_size
    why = f'with a side below min_size, {self._min_size:g} pixels'
    used = sides.min(axis=1, initial=1e9) >= self._min_size
    self._left_out[why] += int(np.count_nonzero(~used))
    return TrainingBoxes(
      boxes=boxes[used].astype(np.float32),
      classes=classes[used],
      areas=areas[used].astype(np.float64),
      input_size=self._input_size,
      names=names,
      num_images=self._num_images,
      left_out={why: count for why, count in self._left_out.items() if count},
    )
