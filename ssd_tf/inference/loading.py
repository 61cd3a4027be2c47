"""Loads an exported SavedModel to detect with."""

import os
from collections.abc import Callable

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.errors import InputError

_OUTPUTS = (fields.DETECTION_BOXES, fields.DETECTION_SCORES, fields.DETECTION_CLASSES)


def load_detect_fn(saved_model_dir: str) -> Callable[..., dict[str, tf.Tensor]]:
  """Loads a SavedModel that takes the pixels of one image.

  Args:
    saved_model_dir: the folder that holds saved_model.pb.

  Returns:
    (input_tensor=u8[1,h,w,3]) -> the detections.

  Raises:
    InputError: the folder holds no SavedModel, an incomplete or damaged one, one of something else
      than a detector, or one that takes something else.
  """
  if not os.path.exists(os.path.join(saved_model_dir, 'saved_model.pb')):
    raise InputError(
      f'{saved_model_dir}: no SavedModel of a detector; give the folder that holds saved_model.pb'
    )
  try:
    signatures = tf.saved_model.load(saved_model_dir).signatures
  except Exception as error:  # What TensorFlow raises depends on the byte that is missing or wrong.
    reason = str(error).partition('\n')[0] or type(error).__name__
    raise InputError(
      f'{saved_model_dir}: is incomplete or damaged ({reason}); copy it again with its folder '
      'variables, or export it again'
    ) from error
  detect = signatures.get('serving_default')
  if detect is None or not set(_OUTPUTS) <= set(detect.structured_outputs):
    raise InputError(
      f'{saved_model_dir}: is no detector, whose signature serving_default has the outputs '
      f'{", ".join(_OUTPUTS)}; export one with tools/exporter_main_v2.py'
    )
  spec = detect.structured_input_signature[1].get('input_tensor')
  if spec is None or spec.dtype != tf.uint8:
    raise InputError(
      f'{saved_model_dir}: takes {spec}; expected the pixels of images: export with '
      '--input_type=image_tensor'
    )
  if spec.shape[0] not in (None, 1):
    raise InputError(
      f'{saved_model_dir}: takes {spec.shape[0]} images at once, but images of different sizes come'
      ' one at a time: export with --input_type=image_tensor and without --batch_size'
    )
  return detect
