"""Describes a checkpoint in lines of text; with a config, what of it would load."""

import math
import os
from collections.abc import Iterator

from ssd_tf import builders
from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.pretrained import checkpoint_kind
from ssd_tf.pretrained.checkpoint_description import describe, slots_of, step_of, times_saved
from ssd_tf.pretrained.checkpoint_formats import open_checkpoint
from ssd_tf.run.fine_tuning import load_fine_tune_checkpoint


def inspect(
  checkpoint: str,
  pipeline_config_path: str | None = None,
  *,
  overrides: tuple[str, ...] = (),
  show_variables: bool = False,
) -> Iterator[str]:
  """Tells, in lines, what a checkpoint is; every tensor is read, so that a damaged file is found.

  Args:
    checkpoint: see `input_paths.find_checkpoint`.
    pipeline_config_path: None, or a config: says what its training would load from this checkpoint,
      by its fine_tune_checkpoint_type.

  Raises:
    InputError: it is no checkpoint, is damaged, or is one of another model than the config's.
  """
  file = open_checkpoint(find_checkpoint(checkpoint))
  for name in file.shapes:
    file.read(name)
  kind = checkpoint_kind.identify(file.shapes, file.path)
  slots = slots_of(file.shapes)
  yield f'checkpoint  {file.path}'
  yield f'written by  {kind}{", a training" if slots else ""}'
  yield f'model       {describe(file.shapes, kind).model()}'
  yield f'step        {_or_none(step_of(file))}; times saved: {_or_none(times_saved(file))}'
  counts = ', '.join(f'{name} of {count} variables' for name, count in sorted(slots.items()))
  yield f'optimizer   {counts or "not in it"}'
  own = [name for name in file.shapes if not checkpoint_kind.is_bookkeeping(name)]
  values = sum(math.prod(file.shapes[name]) for name in own)
  others = len(file.shapes) - len(own)
  yield f'variables   {len(own)} with {values:,} values, besides {others} others'
  if show_variables:
    for name, shape in sorted(file.shapes.items()):
      yield f'  {name} {list(shape)}'
  if pipeline_config_path:
    yield from _would_load(file.path, pipeline_config_path, overrides)


def _or_none(number):
  return 'not in it' if number is None else number


def _would_load(path, pipeline_config_path, overrides):
  pipeline = Pipeline.load(pipeline_config_path, overrides)
  builders.require_supported(pipeline.config)
  config = pipeline.copy_config()
  config.train_config.fine_tune_checkpoint = os.path.abspath(path)
  model = builders.build_model(config.model, is_training=True)
  report = load_fine_tune_checkpoint(pipeline.with_config(config), model)
  yield f'with {pipeline.path}: {report.table()}'
