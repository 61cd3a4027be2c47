"""Converts values of flags to the text of train_config fields."""

import json
from collections.abc import Sequence

from ssd_tf.errors import InputError


def class_mappings(values: Sequence[str]) -> str:
  """The text of fine_tune_class_map.

  Args:
    values: of --class_map, such as ['a=b,c=d'].

  Returns:
    '[{name: "a" to: "b"}, {name: "c" to: "d"}]'.

  Raises:
    InputError: one is not old=new.
  """
  items = []
  for pair in ','.join(values).split(','):
    old, separator, new = (part.strip() for part in pair.partition('='))
    if not (old and separator and new):
      raise InputError(f'--class_map: {pair!r}: expected old=new')
    items.append(f'{{name: {json.dumps(old)} to: {json.dumps(new)}}}')
  return f'[{", ".join(items)}]'


def scale_sizes(values: Sequence[str]) -> str:
  """The text of multi_scale.size.

  Args:
    values: of --multi_scale, such as ['320', '384x512'].

  Returns:
    '[{height: 320}, {height: 384 width: 512}]'.

  Raises:
    InputError: one is not pixels or height x width.
  """
  items = []
  for value in values:
    sides = value.strip().split('x')
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
      raise InputError(
        f'--multi_scale: {value!r}: expected pixels, as 320, or height x width, as 384x512'
      )
    items.append(' '.join(f'{n}: {s}' for n, s in zip(('height', 'width'), sides, strict=False)))
  return f'[{", ".join(f"{{{item}}}" for item in items)}]'
