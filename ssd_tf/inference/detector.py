"""Detects on images of any size, from files or memory, one or many."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import overload

import keras
import numpy as np
import PIL.Image

from ssd_tf import fields
from ssd_tf.data import image_files
from ssd_tf.errors import InputError
from ssd_tf.inference.detections import Detections

# A file, u8[h,w,3] in RGB order, or a picture of Pillow's.
Image = str | os.PathLike | np.ndarray | PIL.Image.Image
# Of each image: boxes f32[D,4], normalized; scores f32[D]; classes [D], of which 0 is padding.
OUTPUTS = (fields.DETECTION_BOXES, fields.DETECTION_SCORES, fields.DETECTION_CLASSES)
# From images u8[h,w,3] to the outputs of each.
DetectBatch = Callable[[Sequence[np.ndarray]], Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]]


class Detector:
  """Detects on images; `load` makes one. Several threads may call it at once.

    detector = ssd_tf.load('runs/mine')
    for detection in detector('photo.jpg').above(0.5):
      print(detection.name, detection.score, detection.box)

  Attributes:
    path: what was loaded: the prefix of a checkpoint, or the folder of a SavedModel.
    class_names: class id -> name; empty where nothing tells the names.
  """

  def __init__(
    self,
    detect_batch: DetectBatch,
    path: str,
    class_names: Mapping[int, str],
    model: keras.Model | None = None,
  ):
    self.path = path
    self.class_names = class_names
    self._detect_batch = detect_batch
    self._model = model

  @property
  def model(self) -> keras.Model:
    """The network of a checkpoint, on preprocessed images.

    f32[B,H,W,C] -> {'class_logits': f32[B,A,K+1], 'box_encodings': f32[B,A,4]}.

    Raises:
      InputError: what was loaded is a SavedModel, which has none.
    """
    if self._model is None:
      raise InputError(
        f'{self.path}: a SavedModel holds no Keras model; load the checkpoint that it was exported '
        'from, which an export has beside it in the folder checkpoint'
      )
    return self._model

  @overload
  def __call__(self, images: Image, *, batch_size: int = 8) -> Detections: ...

  @overload
  def __call__(self, images: Iterable[Image], *, batch_size: int = 8) -> list[Detections]: ...

  def __call__(self, images, *, batch_size=8):
    """Detects on one image, or on several, whose sizes may differ.

    Args:
      images: a file, an array u8[h,w,3] in RGB order or a picture of Pillow's; or any iterable of
        them, such as an array u8[n,h,w,3]. Files and pictures are turned upright by their EXIF
        orientation.
      batch_size: images in the network at a time; an exported model takes them one by one.

    Returns:
      The detections on the one image, or a list of those on each.

    Raises:
      InputError: a file cannot be read as an image.
      ValueError: an array is no such image.
    """
    is_array = getattr(images, 'ndim', 0) in (2, 3)
    if is_array or isinstance(images, str | os.PathLike | PIL.Image.Image):
      return next(self.detect_each([images]))
    return list(self.detect_each(images, batch_size=batch_size))

  def detect_each(self, images: Iterable[Image], *, batch_size: int = 8) -> Iterator[Detections]:
    """Detects on each image, holding no more than a batch of them in memory."""
    images = iter(images)
    while batch := [_pixels_of(image) for image in itertools.islice(images, batch_size)]:
      for pixels, found in zip(batch, self._detect_batch(batch), strict=True):
        yield self._detections(pixels, *found)

  def _detections(self, pixels, boxes, scores, classes):
    real = classes > 0
    sides = [*pixels.shape[:2]] * 2
    class_ids = classes[real].astype(np.int64)
    return Detections(pixels, boxes[real] * sides, scores[real], class_ids, self.class_names)


def _pixels_of(image) -> np.ndarray:
  if isinstance(image, str | os.PathLike):
    return image_files.read_pixels(image)
  if isinstance(image, PIL.Image.Image):
    return image_files.pixels_of_picture(image)
  pixels = np.asarray(image)
  if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
    raise ValueError(
      f'image: expected uint8 [height, width, 3] in RGB order, from 0 to 255; received '
      f'{pixels.dtype} {list(pixels.shape)}'
    )
  return pixels
