"""Determines the parts of a data set from the flags of the converters of COCO and LVIS."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ssd_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class SetFlags:
  """The flags of one part.

  Attributes:
    image_dir: name of the flag with the folder of the images.
    annotations_file: name of the flag with the JSON file.
    name: the record file below --output_dir; None: the file is --output_path.
    num_shards: of the record file, by default.
  """

  image_dir: str
  annotations_file: str
  name: str | None
  num_shards: int


@dataclasses.dataclass(frozen=True)
class RecordSet:
  """One part to convert: the folder of its images, its JSON file, its record file and shards."""

  image_dir: str
  annotations_file: str
  output_path: str
  num_shards: int


def given_sets(sets: Sequence[SetFlags], flags: Mapping[str, Any]) -> list[RecordSet]:
  """Lists the parts of which a flag is given.

  Args:
    flags: values by name: those of `sets`, output_dir, output_path, and num_shards, which holds
      for every part; None: each its own.

  Raises:
    InputError: of a part some flags are given and others are missing, or nothing is given.
  """
  given = []
  for each in sets:
    names = [each.image_dir, each.annotations_file]
    if not any(flags[name] for name in names):
      continue
    names.append('output_dir' if each.name else 'output_path')
    for name in names:
      if not flags[name]:
        first, second, third = (f'--{name}' for name in names)
        raise InputError(f'--{name} is missing: give {first}, {second} and {third} together')
    image_dir, annotations_file, output = (flags[name] for name in names)
    output_path = os.path.join(output, each.name) if each.name else output
    num_shards = flags['num_shards'] or each.num_shards
    given.append(RecordSet(image_dir, annotations_file, output_path, num_shards))
  if not given:
    raise InputError(
      'nothing to convert: give --image_dir, --annotations_file and --output_path, or '
      '--train_image_dir, --train_annotations_file and --output_dir; see --help'
    )
  return given
