"""Exports a config and a checkpoint as a folder that can be deployed."""

import os

import tensorflow as tf
from absl import logging

from ssd_tf.config import label_map
from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.exporting import folder_exchange
from ssd_tf.exporting.saved_model import export_saved_model
from ssd_tf.run import checkpoints
from ssd_tf.run.start import build_restored


def export(
  pipeline: Pipeline,
  checkpoint_dir: str,
  output_dir: str,
  *,
  input_type: str = 'image_tensor',
  batch_size: int | None = None,
) -> str:
  """Exports a checkpoint, and returns the path of the SavedModel.

  Args:
    checkpoint_dir: a folder with checkpoints, or the prefix of one; our own or one of the Object
      Detection API.
    output_dir: gets saved_model/, checkpoint/ckpt-0, pipeline.config and, where the config names
      one that is there, label_map.pbtxt; all of them atomically, see `folder_exchange`. Other
      files in there stay.

  Raises:
    InputError: there is no checkpoint, or it does not fit the config; or output_dir holds a
      training.
  """
  path = find_checkpoint(checkpoint_dir)
  _refuse_model_dir(output_dir)
  detector = build_restored(pipeline, path)
  with folder_exchange.replacing(output_dir) as folder:
    export_saved_model(detector, folder, input_type=input_type, batch_size=batch_size)
    checkpoint = checkpoints.model_checkpoint(detector.model)
    tf.train.CheckpointManager(checkpoint, os.path.join(folder, 'checkpoint'), max_to_keep=1).save(
      checkpoint_number=0
    )
    pipeline.moved_to(output_dir).save(folder)
    _save_label_map(pipeline, folder, output_dir)
  return os.path.join(output_dir, 'saved_model')


def _refuse_model_dir(folder):
  if os.path.isfile(os.path.join(folder, 'checkpoint')):
    raise InputError(
      f'{folder}: holds checkpoints of a training, and an export has a folder named checkpoint; '
      f'give another folder, as {os.path.join(folder, "exported")}'
    )


def _save_label_map(pipeline, folder, output_dir):
  """Keeps the names beside the numbers; an export without data at hand goes without."""
  path = os.path.join(output_dir, 'label_map.pbtxt')
  kept = f'; {path}, which was there, stays: is it of this model?' if os.path.exists(path) else ''
  try:
    classes = pipeline.model_classes
  except InputError as error:
    logging.warning('No label map beside the export: %s%s', error, kept)
    return
  if classes is not None:
    label_map.save(classes, os.path.join(folder, 'label_map.pbtxt'))
  elif kept:
    logging.warning('The config names no label map%s', kept)
