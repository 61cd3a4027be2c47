"""Defines the flags of the commands that take a trained model, and resolves them."""

import os

from absl import flags

from ssd_tf.commands import shared_flags
from ssd_tf.errors import InputError

flags.disclaim_key_flags()  # Each is a flag of the command that asks for it, also in its --help.


def define() -> None:
  """Defines the flags."""
  flags.DEFINE_string('model', None, 'The folder of a training, such as runs/mine.')
  flags.DEFINE_string('checkpoint', None, 'One of its checkpoints, by its prefix or file.')
  flags.DEFINE_string('config', None, "The config; default: pipeline.config in the model's folder.")
  shared_flags.config_override()


def load_pipeline():
  """Reads the config of the model that is asked for.

  Returns:
    The `Pipeline`.

  Raises:
    InputError: no model is given, or it has no config.
  """
  from ssd_tf.config.pipeline import Pipeline

  values = flags.FLAGS
  if not values.model:
    raise InputError('give --model, the folder of a training, such as runs/mine')
  path = values.config or os.path.join(values.model, 'pipeline.config')
  if not os.path.isfile(path):
    raise InputError(f'{path}: no such file; expected the config of the model, or give --config')
  return Pipeline.load(path, values.config_override)
