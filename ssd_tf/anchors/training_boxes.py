"""Reads the groundtruth boxes of a config's training records as the model will see them."""

import collections
import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from ssd_tf import builders
from ssd_tf.builders import resizers
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.groundtruth.reading import read_reader_table
from ssd_tf.groundtruth.table import GroundtruthTable


@dataclasses.dataclass(frozen=True)
class TrainingBoxes:
  """Boxes that anchors are matched with, n of them.

  Attributes:
    boxes: f32[n, 4], normalized to the model's input, padding included; before augmentation.
    classes: i64[n], ids of the model.
    areas: f64[n], in the original image, px^2: what COCO's sizes go by.
    input_size: (height, width) of the model's input, pixels.
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
  """Reads the boxes of every train_input_reader, without decoding images; see `select`.

  Raises:
    InputError: records cannot be trained on, see `builders.check_records`, or no box is left.
  """
  builders.check_records(pipeline, is_training=True)
  fields = pipeline.used_readers(is_training=True)
  tables = {field: read_reader_table(pipeline, field) for field in fields}
  boxes = select(tables, pipeline, min_size=min_size)
  if not len(boxes.boxes):
    others = ', '.join(f'{count} {why}' for why, count in boxes.left_out.items())
    raise InputError(
      f'train_input_reader: there is no box to fit anchors to in {boxes.num_images} images'
      f'{f"; left out: {others}" if others else ""}; are these the annotated records?'
    )
  return boxes


def select(
  tables: Mapping[str, GroundtruthTable], pipeline: Pipeline, *, min_size: float = 0.0
) -> TrainingBoxes:
  """Selects the boxes that train.

  As in training: classes by class_map, the first max_number_of_boxes of an image, one of
  sample_1_of_n_examples records; boxes of classes that their image is not labeled for and difficult
  ones count, those of weight 0 do not, nor crowds unless the model trains on them. Augmentation and
  the readers' sampling weights are left out.

  Args:
    tables: by field of the train_input_reader.
    min_size: boxes whose shorter side is less, in pixels of the model's input, are left out.

  Returns:
    The boxes; those of images whose size is not known are not among them.

  Raises:
    InputError: the image_resizer is at fault.
  """
  ssd, left_out, num_images, parts = pipeline.config.model.ssd, collections.Counter(), 0, []
  # What a training reads of an image, whichever the reader.
  max_num_boxes = max(reader.max_number_of_boxes for reader in pipeline.config.train_input_reader)
  for field, table in tables.items():
    sampled = table.sampled(pipeline.readers[field].sample_1_of_n_examples)
    num_images += int(sampled.sum())
    used = _trained_boxes(table, sampled, max_num_boxes, ssd.train_on_crowds, left_out)
    parts.append((_in_input(table, used, ssd), table.model_class_ids[used], table.areas[used]))
  boxes, classes, areas = map(np.concatenate, zip(*parts, strict=True))
  input_size = resizers.image_size(ssd)
  used = ((boxes[:, 2:] - boxes[:, :2]) * input_size >= min_size).all(axis=1)
  left_out[f'with a side below min_size, {min_size:g} pixels'] += int((~used).sum())
  return TrainingBoxes(
    boxes=boxes[used].astype(np.float32),
    classes=classes[used].astype(np.int64),
    areas=areas[used],
    input_size=input_size,
    names=pipeline.class_names,
    num_images=num_images,
    left_out={why: count for why, count in left_out.items() if count},
  )


def _trained_boxes(table, sampled, max_num_boxes, train_on_crowds, left_out):
  """bool[n], the boxes of the sampled images that train; counts the others by why."""
  used = sampled[table.image_index]

  def keep(wanted, why):
    nonlocal used
    left_out[why] += int(np.count_nonzero(used & ~wanted))
    used = used & wanted

  keep(table.model_class_ids > 0, 'of classes that class_map drops')
  # Dropped classes go before boxes are cut to their number, as in training.
  before = np.concatenate([[0], np.cumsum(used)])
  number_in_image = before[1:] - before[table.image_starts[table.image_index]]
  keep(number_in_image <= max_num_boxes, 'past max_number_of_boxes')
  keep(table.weights > 0, 'of weight 0')
  if not train_on_crowds:
    keep(~(table.is_crowd | table.group_of), 'crowds')
  keep(table.has_area, 'without area')
  return used & table.sizes.all(axis=1)[table.image_index]


def _in_input(table, rows, ssd):
  """f64[m, 4], the boxes of these rows on the scale of the model's input, padding included."""
  sizes = table.sizes[table.image_index[rows]]
  share = resizers.build_true_size(ssd)(tf.constant(sizes)).numpy()
  share = share / np.array(resizers.image_size(ssd))
  return table.boxes[rows].astype(np.float64) * np.tile(share, 2)
