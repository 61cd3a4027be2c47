"""An exported SavedModel as a detector of images."""

import os

import numpy as np
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.errors import InputError
from ssd_tf.inference.detections import Detections

_OUTPUTS = (fields.DETECTION_BOXES, fields.DETECTION_SCORES, fields.DETECTION_CLASSES)


class ExportedDetector:
  """A detector that was exported to take the pixels of images."""

  def __init__(self, saved_model_dir: str):
    """Loads the SavedModel.

    Raises:
      InputError: the folder holds no SavedModel, an incomplete or damaged one, one of something
        else than a detector, or one that takes something else.
    """
    self._detect = _load_signature(saved_model_dir)
    spec = self._detect.structured_input_signature[1].get('input_tensor')
    if spec is None or spec.dtype != tf.uint8:
      raise InputError(
        f'{saved_model_dir}: takes {spec}; expected the pixels of images: export with '
        '--input_type=image_tensor'
      )
    if spec.shape[0] not in (None, 1):
      raise InputError(
        f'{saved_model_dir}: takes {spec.shape[0]} images at once, but images of different sizes '
        'come one at a time: export with --input_type=image_tensor and without --batch_size'
      )

  def __call__(self, pixels: np.ndarray) -> Detections:
    """Detects on one image, u8[h,w,3]."""
    outputs = self._detect(input_tensor=tf.constant(pixels[np.newaxis]))
    boxes, scores, classes = (outputs[name][0].numpy() for name in _OUTPUTS)
    real = classes > 0  # All else is padding.
    height, width = pixels.shape[:2]
    return Detections(
      boxes[real] * [height, width, height, width],
      classes[real].astype(np.int64),
      scores[real],
      (height, width),
    )


def _load_signature(folder):
  """The function of a detector's default signature."""
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
  if detect is None or not set(_OUTPUTS) <= set(detect.structured_outputs):
    raise InputError(
      f'{folder}: is no detector, whose signature serving_default has the outputs '
      f'{", ".join(_OUTPUTS)}; export one with tools/exporter_main_v2.py'
    )
  return detect
