"""Holds boxes as tables with COCO's columns, and evaluates two such tables by pycocotools."""

import contextlib
import io
from collections.abc import Mapping, Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

# One row per box, its columns named as the keys of a COCO annotation; bbox is [x, y, w, h], pixels.
_ANNOTATION = [
  ('image_id', np.int64),
  ('category_id', np.int64),
  ('bbox', np.float64, (4,)),
  ('area', np.float64),
  ('iscrowd', np.int64),
]
GROUNDTRUTH = np.dtype(_ANNOTATION)
DETECTION = np.dtype([*_ANNOTATION, ('score', np.float64)])


def make_table(
  dtype: np.dtype, image: Mapping[str, int], boxes: np.ndarray, classes: np.ndarray
) -> np.ndarray:
  """Puts the boxes of one image into a table of dtype GROUNDTRUTH or DETECTION.

  Args:
    image: its 'id', 'height' and 'width' in pixels.
    boxes: [n,4], normalized [ymin, xmin, ymax, xmax].
    classes: [n], category ids.

  Returns:
    dtype[n]; the columns besides the four of boxes and classes are 0.
  """
  ymin, xmin, ymax, xmax = np.asarray(boxes, np.float64).T
  table = np.zeros(len(boxes), dtype)
  table['image_id'] = image['id']
  table['category_id'] = classes
  table['bbox'] = np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=-1) * np.array(
    [image['width'], image['height'], image['width'], image['height']]
  )
  table['area'] = table['bbox'][:, 2] * table['bbox'][:, 3]
  return table


def evaluate(
  images: Sequence[Mapping[str, int]],
  categories: Mapping[int, str],
  groundtruth: np.ndarray,
  detections: np.ndarray,
) -> tuple[COCOeval, str]:
  """Matches detections to groundtruth, image by image and class by class.

  Returns what pycocotools has accumulated, and what it prints meanwhile.
  """
  with contextlib.redirect_stdout(io.StringIO()) as printed:
    tables = [_coco(images, categories, table) for table in (groundtruth, detections)]
    coco_eval = COCOeval(*tables, iouType='bbox')
    coco_eval.evaluate()
    coco_eval.accumulate()
  return coco_eval, printed.getvalue().removesuffix('\n')


def _coco(images, categories, table):
  columns = [table[name].tolist() for name in table.dtype.names]
  coco = COCO()
  coco.dataset = {
    'images': images,
    'categories': [{'id': id_, 'name': name} for id_, name in categories.items()],
    # Ids start at 1: to COCOeval a match with id 0 is no match.
    'annotations': [
      {'id': i, **dict(zip(table.dtype.names, row, strict=True))}
      for i, row in enumerate(zip(*columns, strict=True), start=1)
    ],
  }
  coco.createIndex()
  return coco
