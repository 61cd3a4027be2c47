"""Runs an exported SavedModel on images: numbers and pictures."""

import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import PIL.Image
import tensorflow as tf
from absl import logging
from tqdm import tqdm

from ssd_tf import fields
from ssd_tf.data import image_files, record_files, tf_example
from ssd_tf.errors import InputError
from ssd_tf.evaluation import drawing
from ssd_tf.files.failed_writes import open_for_writing, writing
from ssd_tf.inference.loading import load_detect_fn


@dataclasses.dataclass
class NamedImage:
  """An image to detect on.

  Attributes:
    name: for the files written; without folder.
    pixels: u8[h,w,3].
    groundtruth: boxes and classes under the keys of `fields`, or None.
  """

  name: str
  pixels: np.ndarray
  groundtruth: dict[str, np.ndarray] | None = None


def images_from_files(paths: list[str], output_dir: str) -> Iterator[NamedImage]:
  """Reads images; a folder stands for the images in it. A broken one is named and passed over.

  They are turned upright by their EXIF orientation, and otherwise are read as for a conversion.

  Args:
    paths: files and folders.
    output_dir: where pictures will be written, so none of the images may lie there.

  Returns:
    Images, in the order of the paths.

  Raises:
    InputError: there is no such file, or no image at all; or one lies in output_dir.
  """
  files = []
  for path in map(pathlib.Path, paths):
    if path.is_dir():
      files += sorted(p for p in path.iterdir() if p.suffix.lower() in image_files.EXTENSIONS)
    elif path.exists():
      files.append(path)
    else:
      raise InputError(f'{path}: no such image or folder')
  if not files:
    raise InputError(f'{", ".join(paths)}: no image in there ({", ".join(image_files.EXTENSIONS)})')
  for file in files:
    if file.parent.resolve() == pathlib.Path(output_dir).resolve():
      raise InputError(
        f'{file}: lies in {output_dir}, where pictures are to be written, perhaps over it; write '
        'them to another folder'
      )
  return _read_files(files)


def _read_files(files):
  for file in files:
    try:
      yield NamedImage(file.name, image_files.read_pixels(file))
    except InputError as error:
      logging.error('%s; passed over', error)


def images_from_records(paths: list[str]) -> Iterator[NamedImage]:
  """Reads images with their groundtruth from TFRecords. A broken one is named and passed over.

  Args:
    paths: TFRecord files.

  Yields:
    Images, in the files' order.

  Raises:
    InputError: a file is damaged; names the record.
  """
  for path, number, record in record_files.read_records(paths):
    place = f'{path}, record {number}'
    try:
      annotation = tf_example.parse_example(record, place)
    except InputError as error:
      logging.error('%s; passed over', error)
      continue
    try:
      pixels = image_files.decode_image(annotation.encoded).numpy()
    except (ValueError, tf.errors.OpError) as error:
      logging.error(
        '%s, source_id %s: cannot be read (%s); passed over', place, annotation.source_id, error
      )
      continue
    classes = np.zeros(len(annotation.boxes), np.int64)  # Of a record without ids.
    classes[: len(annotation.class_ids)] = annotation.class_ids
    groundtruth = {
      fields.GROUNDTRUTH_BOXES: np.asarray(annotation.boxes, np.float32),
      fields.GROUNDTRUTH_CLASSES: classes,
    }
    name = annotation.filename or annotation.source_id
    yield NamedImage(os.path.basename(name), pixels, groundtruth)


def detect_images(
  saved_model_dir: str,
  images: Iterator[NamedImage],
  output_dir: str,
  *,
  names: dict[int, str],
  score_threshold: float = 0.5,
  max_images: int | None = None,
) -> str:
  """Detects on images; writes a picture of each and one JSON with all detections.

  Args:
    saved_model_dir: exported with the input type image_tensor.
    images: what to detect on. One with groundtruth is drawn beside it.
    output_dir: gets NAME.png for each image, and detections.json.
    names: class id -> name.
    score_threshold: of the detections written and drawn.
    max_images: stop after so many; None for all.

  Returns:
    The path of the JSON: a list of {image, picture, height, width, detections: [{class_id,
    class_name, score, box: [ymin, xmin, ymax, xmax] in pixels}]}.

  Raises:
    InputError: the SavedModel cannot be loaded, see `load_detect_fn`; no image can be read.
  """
  detect = load_detect_fn(saved_model_dir)
  results, used = [], set()
  some = itertools.islice(images, max_images)
  for image in tqdm(some, unit='image', total=max_images, mininterval=1):
    os.makedirs(output_dir, exist_ok=True)
    found = detect(input_tensor=tf.constant(image.pixels[np.newaxis]))
    found = {key: value[0].numpy() for key, value in found.items()}
    picture = f'{_unused(os.path.splitext(image.name)[0] or "image", used)}.png'
    _draw(image, found, names, score_threshold, os.path.join(output_dir, picture))
    detections = _as_json(image, found, names, score_threshold)
    results.append({'image': image.name, 'picture': picture, **detections})
  if not results:
    raise InputError('none of the images can be read')
  path = os.path.join(output_dir, 'detections.json')
  with open_for_writing(path) as file:
    json.dump(results, file, indent=1, ensure_ascii=False)
  return path


def _unused(stem, used):
  """A file name of its own for images that share theirs."""
  name, count = stem, 1
  while name in used:
    count += 1
    name = f'{stem}_{count}'
  used.add(name)
  return name


def _draw(image, found, names, score_threshold, path):
  if image.groundtruth is not None:
    drawn = drawing.side_by_side(
      image.pixels, found, image.groundtruth, names, score_threshold=score_threshold
    )
  else:
    shown = found[fields.DETECTION_SCORES] >= score_threshold
    drawn = drawing.draw_detections(
      image.pixels,
      found[fields.DETECTION_BOXES][shown],
      found[fields.DETECTION_CLASSES][shown].astype(int),
      found[fields.DETECTION_SCORES][shown],
      names,
    )
  with writing(path):
    PIL.Image.fromarray(drawn).save(path)


def _as_json(image, found, names, score_threshold):
  height, width = image.pixels.shape[:2]
  detections = []
  for box, class_id, score in zip(
    found[fields.DETECTION_BOXES],
    found[fields.DETECTION_CLASSES].astype(int).tolist(),
    found[fields.DETECTION_SCORES].tolist(),
    strict=True,
  ):
    if class_id and score >= score_threshold:
      detections.append(
        {
          'class_id': class_id,
          'class_name': names.get(class_id, str(class_id)),
          'score': score,
          'box': (box * [height, width, height, width]).tolist(),
        }
      )
  return {'height': height, 'width': width, 'detections': detections}
