"""Computes statistics of each class's boxes: number, size, shape."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from ssd_tf.groundtruth.table import GroundtruthTable


@dataclasses.dataclass(frozen=True)
class ClassStatistics:
  """Figures by class, [K] each, column i for class i + 1; nan where a class has no box.

  Attributes:
    num_images: of the data set.
    boxes: i64, annotations, without crowds and boxes of no area.
    images: i64, images with such a box.
    size: f64, mean of sqrt(width * height), pixels of the original image.
    area_ratio: f64, mean of box area / image area.
    aspect_ratio: f64, geometric mean of width / height in pixels, so that 2 and 1/2 make 1.
  """

  num_images: int
  boxes: np.ndarray
  images: np.ndarray
  size: np.ndarray
  area_ratio: np.ndarray
  aspect_ratio: np.ndarray


def measure_classes(
  tables: Iterable[tuple[GroundtruthTable, int]], num_classes: int
) -> ClassStatistics:
  """Measures the groundtruth of a data set, by the sizes that its images decode to.

  Args:
    tables: of each reader the table and its sample_1_of_n_examples.
    num_classes: K.
  """
  num_images = 0
  boxes, images = np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
  sums = np.zeros((3, num_classes))  # Of sizes, area ratios, logarithms of aspect ratios.
  for table, sample_1_of_n in tables:
    sampled = table.sampled(sample_1_of_n)
    num_images += int(sampled.sum())
    kept = table.usable & ~table.is_crowd & sampled[table.image_index]
    image_index, columns = table.image_index[kept], table.model_class_ids[kept] - 1
    boxes += np.bincount(columns, minlength=num_classes)
    pairs = np.unique(image_index.astype(np.int64) * num_classes + columns)
    images += np.bincount(pairs % num_classes, minlength=num_classes)
    height, width = table.sides[kept].T
    # A record may say another size than its image has.
    sizes = np.where(table.header_sizes > 0, table.header_sizes, table.sizes)
    pixels = table.sides[kept] * sizes[image_index]
    aspects = np.log(pixels[:, 1] / pixels[:, 0])
    for row, values in zip(
      sums, (np.sqrt(pixels.prod(axis=1)), height * width, aspects), strict=True
    ):
      row += np.bincount(columns, values, minlength=num_classes)
  with np.errstate(invalid='ignore'):
    size, area_ratio, log_aspect = sums / boxes
  return ClassStatistics(num_images, boxes, images, size, area_ratio, np.exp(log_aspect))
