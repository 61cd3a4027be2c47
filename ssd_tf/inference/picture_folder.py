"""Writes a folder of pictures with detections, and one JSON file of all detections."""

import itertools
import os
from collections.abc import Iterator

import PIL.Image
from tqdm import tqdm

from ssd_tf import fields
from ssd_tf.errors import InputError
from ssd_tf.evaluation import drawing
from ssd_tf.files import json_file
from ssd_tf.files.failed_writes import writing
from ssd_tf.inference.detector import Detector
from ssd_tf.inference.input_images import NamedImage


def detect_images(
  detector: Detector,
  images: Iterator[NamedImage],
  output_dir: str,
  *,
  score_threshold: float = 0.5,
  max_images: int | None = None,
) -> str:
  """Detects on images; writes a picture of each and one JSON with all detections.

  Args:
    images: what to detect on. One with groundtruth is drawn beside it.
    output_dir: gets NAME.png for each image, and detections.json.

  Returns:
    The path of the JSON: a list of {image, picture, ...}, the rest as `Detections.as_dict` has it.

  Raises:
    InputError: no image can be read.
  """
  results, used = [], set()
  some = itertools.islice(images, max_images)
  for image in tqdm(some, unit='image', total=max_images, mininterval=1):
    os.makedirs(output_dir, exist_ok=True)
    found = detector(image.pixels).above(score_threshold)
    picture = f'{_unused(os.path.splitext(image.name)[0] or "image", used)}.png'
    with writing(path := os.path.join(output_dir, picture)):
      _draw(image, found, score_threshold).save(path)
    results.append({'image': image.name, 'picture': picture, **found.as_dict()})
  if not results:
    raise InputError('none of the images can be read')
  path = os.path.join(output_dir, 'detections.json')
  json_file.write(path, results)
  return path


def _unused(stem, used):
  """A file name of its own for images that share theirs."""
  name, count = stem, 1
  while name in used:
    count += 1
    name = f'{stem}_{count}'
  used.add(name)
  return name


def _draw(image, found, score_threshold):
  if image.groundtruth is None:
    return found.draw()
  detections = {
    fields.DETECTION_BOXES: found.normalized_boxes,
    fields.DETECTION_CLASSES: found.class_ids,
    fields.DETECTION_SCORES: found.scores,
    fields.NUM_DETECTIONS: len(found),
  }
  drawn = drawing.side_by_side(
    image.pixels,
    detections,
    image.groundtruth,
    found.class_names,
    score_threshold=score_threshold,
  )
  return PIL.Image.fromarray(drawn)
