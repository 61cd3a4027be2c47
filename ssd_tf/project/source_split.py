"""Splits a data set without parts by what its images show."""

import collections
import concurrent.futures
import dataclasses
import hashlib

import numpy as np
import tqdm

from ssd_tf.data import box_validation
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError
from ssd_tf.project import split as splitting


def split(place: str, source: Source, share: float, seed: int) -> dict[str, Source]:
  """Splits a data set by `split.split`, images of equal bytes together.

  Args:
    place: the folder or file, for the error.
    source: the data set.
    share: of the images that validate.
    seed: of the choice.

  Returns:
    'train' and 'val'. What cannot be read trains, and the writer of the records reports it.

  Raises:
    InputError: fewer than two different images can be read; says why the first cannot.
  """
  rows, images, errors = [], [], []
  with concurrent.futures.ThreadPoolExecutor() as executor:
    looks = executor.map(lambda item: _look_at(source, item), source.items)
    # disable=None: no bar in a log file.
    bar = tqdm.tqdm(looks, 'split', len(source.items), unit='image', disable=None)
    for row, image in enumerate(bar):
      if isinstance(image, InputError):
        errors.append(image)
      else:
        rows.append(row)
        images.append(image)
  num_different = len({group for group, _ in images})
  if num_different < 2:
    why = f'; {len(errors)} cannot be read, the first: {errors[0]}' if errors else ''
    raise InputError(
      f'{place}: found {num_different} different images that can be read; expected at least 2, one '
      f'to train on and one to validate{why}'
    )
  validates = np.zeros(len(source.items), bool)
  validates[rows] = splitting.split(images, share, seed)

  def chosen(mask):
    return [item for item, is_chosen in zip(source.items, mask, strict=True) if is_chosen]

  return {
    'train': dataclasses.replace(source, items=chosen(~validates)),
    'val': dataclasses.replace(source, items=chosen(validates), remarks=()),
  }


def _look_at(source, item):
  """The digest of an image's bytes, by which equal ones are known, and its boxes of each class."""
  try:
    annotation, _ = box_validation.validate_boxes(source.read(item))
  except InputError as error:
    return error
  digest = hashlib.sha256(annotation.encoded).digest()
  return digest, collections.Counter(annotation.class_ids.tolist())
