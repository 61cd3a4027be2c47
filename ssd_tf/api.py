"""Trains, evaluates and exports for the Python API, with the functions that the commands call."""

import json
import os
from collections.abc import Mapping
from typing import Any

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.evaluation import log_format
from ssd_tf.exporting import exporter
from ssd_tf.project import training
from ssd_tf.run import best_checkpoint
from ssd_tf.run.evaluate import evaluate_checkpoints
from ssd_tf.run.evaluator import Options
from ssd_tf.run.strategy import make_strategy


def train(
  config: str | os.PathLike,
  model_dir: str | os.PathLike,
  *,
  evaluate: bool = True,
  checkpoint_every_n: int | None = None,
  log_every_n: int | None = None,
  verbose: bool = True,
  **overrides: Any,
) -> str:
  """Trains, going on from the newest checkpoint in model_dir.

    ssd_tf.train('mydata/pipeline.config', 'runs/mine', num_steps=500, batch_size=8,
                 **{'eval_config.batch_size': 4})

  Args:
    config: a pipeline.config, or a folder that holds one.
    model_dir: gets checkpoints, curves and pipeline.config.
    evaluate: at each checkpoint, and keep the best.
    checkpoint_every_n: steps; None: a tenth of the training.
    log_every_n: steps; None: a fortieth of the training, at most 100.
    verbose: show the progress on stderr, in short lines; False: leave logging as it is.
    **overrides: other values of the config, by the whole path of a field, or by its name alone for
      a field of train_config. A message is given by its text.

  Returns:
    The prefix of the best checkpoint, or of the last one where none was evaluated; `load` takes it.

  Raises:
    InputError: config or data are at fault, a loss is not finite, or the disk is full.
  """
  pipeline = _load(config, overrides, verbose)
  return training.train(
    pipeline,
    os.fspath(model_dir),
    checkpoint_every_n=checkpoint_every_n,
    log_every_n=log_every_n,
    evaluate=evaluate,
    export=False,
  ).checkpoint


def evaluate(
  config: str | os.PathLike,
  checkpoint: str | os.PathLike | None = None,
  *,
  model_dir: str | os.PathLike | None = None,
  on_train_data: bool = False,
  sample_1_of_n: int = 1,
  verbose: bool = True,
  **overrides: Any,
) -> dict[str, float]:
  """Evaluates a checkpoint on the data of eval_input_reader.

    ssd_tf.evaluate('runs/mine')['DetectionBoxes_Precision/mAP']

  Args:
    config: a model_dir, or a pipeline.config.
    checkpoint: its prefix, or a folder, of which the newest is taken; None: the folder of config.
    model_dir: gets the folder eval, with metrics.jsonl and event files; None: the folder of the
      checkpoint.
    on_train_data: on that of train_input_reader instead.
    sample_1_of_n: on every n-th image.
    verbose: see `train`, as for overrides.

  Returns:
    The metrics by name, as TensorBoard shows them.

  Raises:
    InputError: config, data or checkpoint are at fault, or there is no checkpoint.
  """
  pipeline = _load(config, overrides, verbose)
  checkpoint = os.fspath(checkpoint or os.path.dirname(pipeline.path) or '.')
  folder = checkpoint if os.path.isdir(checkpoint) else os.path.dirname(checkpoint)
  return evaluate_checkpoints(
    pipeline,
    os.fspath(model_dir or folder),
    checkpoint,
    strategy=make_strategy(),
    options=Options(sample_1_of_n=sample_1_of_n, on_train_data=on_train_data),
  )


def export(
  config: str | os.PathLike,
  checkpoint: str | os.PathLike | None = None,
  output: str | os.PathLike | None = None,
  *,
  input_type: str = 'image_tensor',
  batch_size: int | None = None,
  **overrides: Any,
) -> str:
  """Exports a checkpoint as a SavedModel with the signature of the Object Detection API's.

    ssd_tf.export('runs/mine')

  Args:
    config: a model_dir, or a pipeline.config.
    checkpoint: its prefix, or a model_dir, of which the best is taken if it keeps one, else the
      newest; None: the folder of config.
    output: gets saved_model, checkpoint, pipeline.config and label_map.pbtxt; None: the folder
      exported in that of config.
    input_type: see `saved_model.ExportedDetector`.
    batch_size: images of a call; None: any number of them.
    **overrides: see `train`.

  Returns:
    The folder of the SavedModel; `load` takes it.

  Raises:
    InputError: there is no checkpoint, or it does not fit the config; or output holds a training.
  """
  pipeline = _load(config, overrides)
  folder = os.path.dirname(pipeline.path) or '.'
  return exporter.export(
    pipeline,
    best_checkpoint.best_or_newest(os.fspath(checkpoint or folder)),
    os.fspath(output or os.path.join(folder, 'exported')),
    input_type=input_type,
    batch_size=batch_size,
  )


def _load(config, overrides: Mapping[str, Any], verbose=False) -> Pipeline:
  if verbose:
    log_format.setup_logging(log_format.SHORT)
  return Pipeline.load(config, [_change(*override) for override in overrides.items()])


def _change(field, value) -> str:
  """One override as text; see `config.overrides`, which puts strings into quotes itself."""
  path = field if '.' in field else f'train_config.{field}'
  if isinstance(value, os.PathLike):
    value = os.fspath(value)
  return f'{path}={value if isinstance(value, str) else json.dumps(value)}'
