"""What no number among SSD-Tensorflow's flags may be, whatever the config would have it."""

import math
from collections.abc import Mapping
from typing import Any

from ssd_tf.errors import InputError

_MOST = 2**31 - 1  # A config has no larger numbers.


def check_numbers(flags: Mapping[str, Any]) -> None:
  """Refuses numbers that cannot be computed with, before a config is made of them.

  Args:
    flags: value of each flag of a script.

  Raises:
    InputError: one is not finite, or too large.
  """
  for name, value in flags.items():
    if isinstance(value, float) and not math.isfinite(value):
      raise InputError(f'--{name}={value:g}: expected a finite number')
    if isinstance(value, int) and value > _MOST:
      raise InputError(f'--{name}={value}: expected {_MOST} at most')
