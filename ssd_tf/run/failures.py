"""Explains errors of a running graph in terms of the input that caused them."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.training import trainer
from ssd_tf.training.non_finite_batch import NonFiniteBatch
from ssd_tf.training.precision import MIXED_FLOAT16

# The second begins as the third does.
_FAULTS = (trainer.NON_FINITE, trainer.NON_FINITE_AT_LEAST_SCALE, trainer.NON_FINITE_GRADIENT)


@contextlib.contextmanager
def explaining_failures(
  pipeline: Pipeline,
  *,
  training: bool = True,
  evaluation: bool = False,
  failed_batch: NonFiniteBatch | None = None,
  model_dir: str = '',
) -> Iterator[None]:
  """Turns the errors of a running graph that mean bad input into one line that says so.

  Where the loss or its gradient was not finite, the trainer's failed batch is saved in model_dir.
  """
  with builders.explained_record_errors(pipeline, training=training, evaluation=evaluation):
    try:
      yield
    except tf.errors.InvalidArgumentError as error:
      what = next((fault for fault in _FAULTS if fault in error.message), None)
      if what is None:
        raise
      shown = _assertion(error, what)
      if failed_batch and failed_batch.message():
        shown = f'{what} {failed_batch.message()}; {_saved(failed_batch, model_dir)}'
      raise InputError(
        f'{shown}. Training stopped before this update; the last checkpoint is good. '
        f'{_advice(pipeline.config)}'
      ) from error


def _saved(failed_batch, model_dir):
  try:
    return f'the batch is in {failed_batch.save(model_dir)}'
  except OSError as error:
    return f'the batch could not be saved: {error}'


def _assertion(error, beginning):
  """What an assertion says; TensorFlow puts each value of it into brackets."""
  shown = error.message[error.message.index(beginning) :].split('\n\t')[0]
  return ' '.join(shown.replace('] [', ' ').rstrip(']').split())


def _advice(config):
  advice = (
    'Lower the learning rate (is it made for this batch size?), lengthen the warm-up, set '
    'gradient_clipping_by_norm, or look at the boxes of these images'
  )
  if builders.precision_of(config.train_config) == MIXED_FLOAT16:
    advice += '; or take train_config.precision: MIXED_BFLOAT16, which ends at 3e38, not 65,504'
  return f'{advice}.'
