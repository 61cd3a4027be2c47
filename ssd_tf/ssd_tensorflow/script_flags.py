"""Translates the flags that SSD-Tensorflow's two scripts share."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from absl import logging

from ssd_tf.errors import InputError
from ssd_tf.ssd_tensorflow.model_text import MODELS

_MOST = 2**31 - 1  # A config has no larger numbers.
# As they stand in notes of trainings; TensorFlow 1 dropped flags that it did not know.
MISSPELLED = {
  'dataset_splict_name': 'dataset_split_name',
  'gpu_momory_fraction': 'gpu_memory_fraction',
}
_OF_A_FORK = ('feature_extractor', 'model', 'anchor_offset')


def understand(
  flags: Mapping[str, Any], given: Collection[str], without_effect: Mapping[str, str]
) -> dict[str, Any]:
  """The flags as they are meant, after a line for each that is not what it seems, or an error."""
  _check_numbers(flags)
  flags = dict(flags)
  for name, meant in MISSPELLED.items():
    if name in given:
      logging.warning('--%s: taken for --%s, which is how it is spelled.', name, meant)
      if meant not in given:
        flags[meant], given = flags[name], {*given, meant}
  for name, why in without_effect.items():
    if name in given:
      logging.info('--%s: accepted, without effect: %s.', name, why)
  for name in _OF_A_FORK:
    if name in given:
      raise InputError(
        f'--{name}: is for the modular networks of a fork of SSD-Tensorflow, which are not here; '
        f'give --model_name, one of {", ".join(MODELS)}, instead'
      )
  if flags['preprocessing_name'] not in (None, *MODELS):
    raise InputError(
      f'--preprocessing_name={flags["preprocessing_name"]}: there is one preprocessing, that of '
      f'{" or ".join(MODELS[:2])}; leave it out'
    )
  return flags


def _check_numbers(flags):
  """Refuses numbers that cannot be computed with, before a config is made of them."""
  for name, value in flags.items():
    if isinstance(value, float) and not math.isfinite(value):
      raise InputError(f'--{name}={value:g}: expected a finite number')
    if isinstance(value, int) and value > _MOST:
      raise InputError(f'--{name}={value}: expected {_MOST} at most')
