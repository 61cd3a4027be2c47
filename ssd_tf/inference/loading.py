"""Loads a detector from a path: a training, a checkpoint, an export or a SavedModel."""

import os
from collections.abc import Mapping

import tensorflow as tf
from absl import logging

from ssd_tf.config import label_map as label_maps
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.detector import SsdDetector
from ssd_tf.errors import InputError
from ssd_tf.inference.detector import OUTPUTS, DetectBatch, Detector
from ssd_tf.inference.exported import detect_by_saved_model
from ssd_tf.run import best_checkpoint
from ssd_tf.run.start import build_restored


def load(
  path: str | os.PathLike,
  *,
  config: str | os.PathLike | None = None,
  label_map: str | os.PathLike | None = None,
) -> Detector:
  """Loads what detects on images. Its `path` tells which checkpoint or SavedModel that is.

  Args:
    path: a model_dir, of which the best checkpoint is taken if the training keeps one, else the
      newest; one checkpoint, by its prefix or file; the folder of an export; or a SavedModel, also
      one of the Object Detection API.
    config: the pipeline.config; None: that in the checkpoint's folder, or in the one above.
    label_map: names the classes; None: that of the export, else what the config names.

  Raises:
    InputError: there is none, it is damaged, or does not fit the config.
  """
  path = os.path.expanduser(path)
  for folder in (path, os.path.join(path, 'saved_model')):
    if os.path.isfile(os.path.join(folder, 'saved_model.pb')):
      return load_saved_model(folder, config=config, label_map=label_map)
  checkpoint = best_checkpoint.best_or_newest(path)
  pipeline = Pipeline.load(config or _find_config(checkpoint))
  detector = build_restored(pipeline, checkpoint)
  names = _class_names(os.path.dirname(pipeline.path), pipeline, label_map)
  return Detector(_detect_by_network(detector), checkpoint, names, detector.model)


def load_saved_model(
  folder: str | os.PathLike,
  *,
  config: str | os.PathLike | None = None,
  label_map: str | os.PathLike | None = None,
) -> Detector:
  """As `load`, of the folder that holds saved_model.pb."""
  folder = os.fspath(folder)
  detect_batch = detect_by_saved_model(folder)
  export = os.path.dirname(os.path.abspath(folder))
  config = config or os.path.join(export, 'pipeline.config')
  pipeline = Pipeline.load(config) if os.path.isfile(config) else None
  return Detector(detect_batch, folder, _class_names(export, pipeline, label_map))


def _find_config(checkpoint):
  """The config of a checkpoint of a model_dir, of its folder best, or of an export."""
  folder = os.path.dirname(os.path.abspath(checkpoint))
  paths = [os.path.join(f, 'pipeline.config') for f in (folder, os.path.dirname(folder))]
  for path in paths:
    if os.path.isfile(path):
      return path
  raise InputError(
    f'{checkpoint}: no pipeline.config beside it, which tells what network it is of; looked for '
    f'{" and ".join(paths)}; give another by config'
  )


def _class_names(folder, pipeline, label_map) -> Mapping[int, str]:
  """The names by id, of the label map given, else that of an export, else what the config names."""
  of_export = os.path.join(folder, 'label_map.pbtxt')
  if not label_map and os.path.isdir(os.path.join(folder, 'saved_model')):
    label_map = of_export if os.path.isfile(of_export) else None
  if label_map:
    return label_maps.load(label_map).display_name_by_id
  try:
    return pipeline.class_names if pipeline else {}
  except InputError as error:
    logging.warning('The classes have no names: %s', error)
    return {}


def _detect_by_network(detector: SsdDetector) -> DetectBatch:
  image = tf.TensorSpec([None, None, 3], tf.uint8)
  preprocess = tf.function(detector.preprocess_image, input_signature=[image])

  def detect(images, true_sizes):
    return detector.postprocess(detector.model(images, training=False), true_sizes)

  images = tf.TensorSpec([None, *detector.model.input_shape[1:]], tf.float32)
  detect = tf.function(detect, input_signature=[images, tf.TensorSpec([None, 2], tf.int32)])

  def detect_batch(batch):
    images, true_sizes = zip(*map(preprocess, batch), strict=True)
    found = detect(tf.stack(images), tf.stack(true_sizes))
    return zip(*(found[name].numpy() for name in OUTPUTS), strict=True)

  return detect_batch
