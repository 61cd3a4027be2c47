"""Which variables train: freeze_variables and update_trainable_variables of a config."""

import re
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from absl import logging

from ssd_tf.errors import InputError


def select_trainable(
  model: keras.Model,
  *,
  update_trainable_variables: Sequence[str] = (),
  freeze_variables: Sequence[str] = (),
  api_names: Mapping[str, str] | None = None,
) -> None:
  """Freezes the variables that a config leaves out, and logs how many train.

  A pattern may match anywhere in a name (`re.search`). It is read over the original's names: of an
  SSD with VGG-16 those of SSD-Tensorflow, such as ssd_300_vgg/block8/conv3x3/weights, else those of
  the Object Detection API, such as FeatureExtractor/MobilenetV2/Conv_1/weights. It is read over
  those of the model's own variables, such as mobilenet_v2_conv_1/kernel, if it matches none there.

  A frozen variable gets no update and is not regularized. A layer all of whose trainable variables
  are frozen stays in inference mode, so that a batch norm keeps its moving statistics.

  Args:
    model: its variables' `trainable` is set.
    update_trainable_variables: patterns of those that train; none: all.
    freeze_variables: patterns of those that do not, among them.
    api_names: path of a variable -> the original's name for it.

  Raises:
    InputError: a pattern matches nothing, or nothing is left to train.

  Source: the Object Detection API's model_main, which first includes and then excludes by
  `re.search`. (Its older train.py takes `re.match`; patterns that begin with a name's beginning
  mean the same to both.) Its TF2 scripts ignore both fields.
  """
  everything = list(model.trainable_variables)
  kept = {v.path for v in everything}
  choices = {v.path: (api_names or {}).get(v.path, v.path) for v in everything}
  if update_trainable_variables:
    kept = _matching(update_trainable_variables, choices, 'update_trainable_variables')
  kept -= _matching(freeze_variables, choices, 'freeze_variables')
  if not kept:
    raise InputError(
      'train_config.freeze_variables, update_trainable_variables: leave no variable to train'
    )
  for layer in model.layers:
    variables = layer.trainable_variables
    if variables and not any(variable.path in kept for variable in variables):
      layer.trainable = False  # Also says that a batch norm is to use its moving statistics.
    for variable in variables:
      variable.trainable = variable.path in kept
  logging.info(
    'Training %d of %d variables, %s of %s parameters.',
    len(kept),
    len(everything),
    *(
      f'{sum(int(np.prod(v.shape)) for v in vs):,}'
      for vs in (model.trainable_variables, everything)
    ),
  )


def _matching(patterns, choices, field):
  """The paths that any of the patterns matches."""
  found = set()
  for i, pattern in enumerate(patterns):
    matching = {path for path, name in choices.items() if re.search(pattern, name)}
    matching = matching or {path for path in choices if re.search(pattern, path)}
    if not matching:
      every = max(1, len(choices) // 4)
      some = [f'{name} (here {path})' for path, name in list(choices.items())[::every]]
      scopes = dict.fromkeys('/'.join(name.split('/')[:2]) for name in choices.values())
      raise InputError(
        f'train_config.{field}[{i}]: {pattern!r} matches no trainable variable; names are '
        f'{", ".join(some)}; they begin with {", ".join(scopes)}'
      )
    logging.info('train_config.%s: variables that %r matches: %d.', field, pattern, len(matching))
    found |= matching
  return found
