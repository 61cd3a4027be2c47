"""Detects with an exported SavedModel."""

import os

import numpy as np
import tensorflow as tf

from ssd_tf.errors import InputError
from ssd_tf.inference.detector import OUTPUTS, DetectBatch


def detect_by_saved_model(folder: str) -> DetectBatch:
  """Loads a detector that was exported to take the pixels of images, one at a time.

  Raises:
    InputError: the folder holds no SavedModel, an incomplete or damaged one, one of something
      else than a detector, or one that takes something else.
  """
  signature = _load_signature(folder)

  def detect_batch(batch):
    for pixels in batch:
      found = signature(input_tensor=tf.constant(pixels[np.newaxis]))
      yield tuple(found[name][0].numpy() for name in OUTPUTS)

  return detect_batch


def _load_signature(folder):
  """The function of a detector's default signature, which takes the pixels of one image."""
  if not os.path.exists(os.path.join(folder, 'saved_model.pb')):
    raise InputError(
      f'{folder}: no SavedModel of a detector; give the folder that holds saved_model.pb'
    )
  try:
    signatures = tf.saved_model.load(folder).signatures
  except Exception as error:  # What TensorFlow raises depends on the byte that is missing or wrong.
    reason = str(error).partition('\n')[0] or type(error).__name__
    raise InputError(
      f'{folder}: is incomplete or damaged ({reason}); copy it again with its folder variables, or '
      'export it again'
    ) from error
  detect = signatures.get('serving_default')
  if detect is None or not set(OUTPUTS) <= set(detect.structured_outputs):
    raise InputError(
      f'{folder}: is no detector, whose signature serving_default has the outputs '
      f'{", ".join(OUTPUTS)}; export one with tools/exporter_main_v2.py'
    )
  _require_pixels(folder, detect.structured_input_signature[1].get('input_tensor'))
  return detect


def _require_pixels(folder, spec):
  if spec is None or spec.dtype != tf.uint8:
    raise InputError(
      f'{folder}: takes {spec}; expected the pixels of images: export with '
      '--input_type=image_tensor'
    )
  if spec.shape[0] not in (None, 1):
    raise InputError(
      f'{folder}: takes {spec.shape[0]} images at once, but images of different sizes come one at '
      'a time: export with --input_type=image_tensor and without --batch_size'
    )
