"""What the boxes of each class are like: how many, how large, of which shape."""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from ssd_tf import fields

READ = (
  fields.GROUNDTRUTH_BOXES,
  fields.GROUNDTRUTH_CLASSES,
  fields.GROUNDTRUTH_IS_CROWD,
  fields.ORIGINAL_SIZE,
)


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
  examples: Iterable[Mapping[str, np.ndarray]], num_classes: int
) -> ClassStatistics:
  """Measures the groundtruth of a data set.

  Args:
    examples: of each image groundtruth_boxes f32[n,4] normalized, groundtruth_classes i32[n],
      groundtruth_is_crowd bool[n], original_size i32[2].
    num_classes: K.

  Returns:
    The figures.
  """
  num_images = 0
  boxes, images = np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
  sums = np.zeros((3, num_classes))  # Of sizes, area ratios, logarithms of aspect ratios.
  for example in examples:
    num_images += 1
    height, width = (float(side) for side in example[fields.ORIGINAL_SIZE])
    sides = np.asarray(example[fields.GROUNDTRUTH_BOXES], np.float64).reshape(-1, 4)
    h, w = sides[:, 2] - sides[:, 0], sides[:, 3] - sides[:, 1]
    kept = (h > 0) & (w > 0) & ~np.asarray(example[fields.GROUNDTRUTH_IS_CROWD], bool)
    h, w = h[kept], w[kept]
    columns = np.asarray(example[fields.GROUNDTRUTH_CLASSES])[kept] - 1
    np.add.at(boxes, columns, 1)
    images[np.unique(columns)] += 1
    figures = (np.sqrt(h * height * w * width), h * w, np.log(w * width / (h * height)))
    for row, values in zip(sums, figures, strict=True):
      np.add.at(row, columns, values)
  with np.errstate(invalid='ignore'):
    size, area_ratio, log_aspect = sums / boxes
  return ClassStatistics(num_images, boxes, images, size, area_ratio, np.exp(log_aspect))
