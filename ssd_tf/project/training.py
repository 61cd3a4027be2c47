"""Runs a first training to its end: trains, evaluates, exports and draws."""

import dataclasses
import itertools
import os

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.exporting import exporter
from ssd_tf.inference import input_images, picture_folder
from ssd_tf.inference.loading import load_saved_model
from ssd_tf.run import best_checkpoint
from ssd_tf.run.strategy import make_strategy
from ssd_tf.run.train import train as run_training

_MAX_PICTURES = 12


@dataclasses.dataclass(frozen=True)
class Trained:
  """What a training left behind.

  Attributes:
    checkpoint: prefix of the best checkpoint, or of the last where none was evaluated.
    saved_model: folder of the SavedModel; None: not exported.
    pictures: folder of detections on validation images; None: none were drawn.
  """

  checkpoint: str
  saved_model: str | None = None
  pictures: str | None = None


def train(
  pipeline: Pipeline,
  output: str,
  *,
  checkpoint_every_n: int | None = None,
  log_every_n: int | None = None,
  evaluate: bool = True,
  export: bool = True,
) -> Trained:
  """Trains, then exports the best checkpoint and draws what it detects.

  Args:
    output: model_dir of the training; the export goes into exported, pictures into pictures.
    checkpoint_every_n: steps; None: a tenth of the training.
    log_every_n: steps; None: a fortieth of it, at most 100.

  Raises:
    InputError: as `run.train.train`.
  """
  num_steps = pipeline.config.train_config.num_steps
  run_training(
    pipeline,
    output,
    strategy=make_strategy(),
    checkpoint_every_n=checkpoint_every_n or max(1, num_steps // 10),
    log_every_n=log_every_n or max(1, min(100, num_steps // 40)),
    evaluate=evaluate,
  )
  checkpoint = best_checkpoint.best_or_newest(output)
  if not export:
    return Trained(checkpoint)
  saved_model = exporter.export(pipeline, checkpoint, os.path.join(output, 'exported'))
  return Trained(checkpoint, saved_model, _draw(pipeline, saved_model, output))


def _draw(pipeline, saved_model, output) -> str | None:
  reader = next(iter(pipeline.used_readers(is_training=False).values()), None)
  if reader is None:
    return None
  files = pipeline.input_files(reader.tf_record_input_reader.input_path)
  folder = os.path.join(output, 'pictures')
  images = itertools.islice(input_images.from_records(files), _MAX_PICTURES)
  picture_folder.detect_images(load_saved_model(saved_model), images, folder)
  return folder
