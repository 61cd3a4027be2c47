"""Draws the images with the worst errors beside their groundtruth."""

import collections
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image

from ssd_tf import fields
from ssd_tf.evaluation import drawing
from ssd_tf.evaluation.error_analysis import JudgedImage
from ssd_tf.files.failed_writes import writing

_LONGER_SIDE = 480  # Of each of the two pictures, pixels.
_JPEG_QUALITY = 82
_MAX_NAMED = 6


@dataclasses.dataclass(frozen=True)
class Picture:
  """One image of the gallery.

  Attributes:
    path: of the JPEG file.
    source_id: of the record.
    cost: of its errors, see `error_cost`.
    missed: what was missed, such as 'cat, dog (3)'; '' for nothing.
    wrong: the false positives, such as 'cat 0.91 (background)', by falling score.
  """

  path: str
  source_id: str
  cost: float
  missed: str
  wrong: Sequence[str]


def error_cost(image: JudgedImage) -> float:
  """The sum of the scores of an image's false positives, and 1 for each object missed."""
  return float(image.result.scores[image.wrong].sum()) + int(image.missed.sum())


def worst_images(images: Sequence[JudgedImage], max_images: int) -> list[int]:
  """Finds the positions of the images whose errors cost most, the worst first.

  Of equal ones the first is first; images without an error are left out.
  """
  costs = np.array([error_cost(image) for image in images])
  order = np.argsort(-costs, kind='stable')[:max_images]
  return [int(i) for i in order if costs[i] > 0]


def draw_gallery(
  examples: Iterable[Mapping[str, np.ndarray]],
  images: Sequence[JudgedImage],
  names: Mapping[int, str],
  output_dir: str,
  *,
  score_threshold: float,
  max_images: int,
) -> list[Picture]:
  """Draws the worst images, detections on the left and groundtruth on the right.

  Args:
    examples: image u8[h,w,3] of each of `images`, in their order; read as far as needed.
    images: judged at the score threshold.
    names: class id -> name.
    output_dir: an existing folder, which gets worst_01.jpg, ...
    score_threshold: of the detections drawn.

  Returns:
    The pictures, the worst first.
  """
  chosen = worst_images(images, max_images)
  drawn = {}
  if chosen:
    for position, example in enumerate(examples):
      if position in chosen:
        path = os.path.join(output_dir, f'worst_{chosen.index(position) + 1:02d}.jpg')
        picture = _draw(example[fields.IMAGE], images[position].result, names, score_threshold)
        with writing(path):
          Image.fromarray(picture).save(path, quality=_JPEG_QUALITY, optimize=True)
        drawn[position] = path
      if len(drawn) == len(chosen):
        break
  return [
    Picture(
      path=drawn[position],
      source_id=images[position].result.source_id,
      cost=error_cost(images[position]),
      missed=_missed(images[position], names),
      wrong=_wrong(images[position], names),
    )
    for position in chosen
  ]


def _draw(image, result, names, score_threshold):
  shown = Image.fromarray(image)
  shown.thumbnail((_LONGER_SIDE, _LONGER_SIDE))  # Before drawing, so that letters stay sharp.
  detections = {
    fields.DETECTION_BOXES: result.boxes,
    fields.DETECTION_SCORES: result.scores,
    fields.DETECTION_CLASSES: result.classes,
    fields.NUM_DETECTIONS: len(result.boxes),
  }
  groundtruth = {
    fields.GROUNDTRUTH_BOXES: result.groundtruth_boxes,
    fields.GROUNDTRUTH_CLASSES: result.groundtruth_classes,
  }
  return drawing.side_by_side(
    np.asarray(shown), detections, groundtruth, names, score_threshold=score_threshold
  )


def _missed(image, names):
  counts = collections.Counter(image.result.groundtruth_classes[image.missed].tolist())
  return ', '.join(
    names.get(i, str(i)) + f' ({count})' * (count > 1) for i, count in sorted(counts.items())
  )


def _wrong(image, names):
  result = image.result
  order = [i for i in np.argsort(-result.scores, kind='stable') if image.wrong[i]]
  shown = [
    f'{names.get(int(result.classes[i]), str(result.classes[i]))} {result.scores[i]:.2f} '
    f'({image.kinds[i]})'
    for i in order[:_MAX_NAMED]
  ]
  if len(order) > _MAX_NAMED:
    shown.append(f'{len(order) - _MAX_NAMED} more')
  return shown
