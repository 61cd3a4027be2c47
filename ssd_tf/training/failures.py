"""Faults of the user's input that show up deep inside, said in the user's words."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from ssd_tf import builders
from ssd_tf import config as config_lib
from ssd_tf.errors import InputError
from ssd_tf.training import trainer


@contextlib.contextmanager
def naming(config_path: str) -> Iterator[None]:
  """Puts the config's path before messages that name a field."""
  try:
    yield
  except InputError as error:
    message = str(error)
    raise InputError(
      message if message.startswith(config_path) else f'{config_path}: {message}'
    ) from error


@contextlib.contextmanager
def explaining_failures(
  config: config_lib.PipelineConfig,
  config_path: str,
  *,
  training: bool = True,
  evaluation: bool = False,
) -> Iterator[None]:
  """Turns the errors of a running graph that mean bad input into one line that says so.

  Args:
    config: the whole config.
    config_path: where it is from.
    training: whether the graph reads the training records.
    evaluation: whether it reads the evaluation's.

  Raises:
    InputError: what the graph failed of, or the loss was not finite.
  """
  with builders.explained_record_errors(
    config, config_path, training=training, evaluation=evaluation
  ):
    try:
      yield
    except tf.errors.InvalidArgumentError as error:
      if trainer.NON_FINITE not in error.message:
        raise
      # TensorFlow puts each value of an assertion into brackets.
      shown = error.message[error.message.index(trainer.NON_FINITE) :].split('\n\t')[0]
      shown = ' '.join(shown.replace('] [', ' ').rstrip(']').split())
      raise InputError(
        f'{shown}. Training stopped before this update; the last checkpoint is '
        'good. Lower the learning rate (is it made for this batch size?), lengthen the warm-up, '
        'set gradient_clipping_by_norm, or look at the boxes of these images.'
      ) from error
