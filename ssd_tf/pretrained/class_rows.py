"""Carries rows of a class head from a checkpoint's classes to a model's."""

from collections.abc import Mapping

import numpy as np

from ssd_tf.errors import InputError


def remap_class_rows(
  source: np.ndarray,
  initial: np.ndarray,
  class_ids: Mapping[int, int],
  *,
  num_anchors: int,
  num_classes: int,
) -> np.ndarray:
  """Copies the rows of the background and of the mapped classes, for every anchor.

  With C = classes + 1 columns for each anchor: result[..., a * C + to] = source[..., a * C' + from]
  for every to: from, and for background, 0: 0; all others are initial[...].

  Args:
    source: the checkpoint's kernel f[..., A*(K'+1)], or bias f[A*(K'+1)].
    initial: the model's own, f[..., A*(K+1)].
    class_ids: id in the model, 1..K -> id in the checkpoint, 1..K'.
    num_classes: K, of the model. Where initial has only K columns for each anchor, neither head
      predicts background, and column 0 is class 1.

  Returns:
    The new value, as `initial` in shape.

  Raises:
    InputError: the checkpoint has no class of an id.
    ValueError: the shapes differ in more than the number of classes.
  """
  num_columns = initial.shape[-1] // num_anchors
  first_id = num_classes + 1 - num_columns
  if source.shape[:-1] != initial.shape[:-1] or source.shape[-1] % num_anchors:
    raise ValueError(
      f'{list(source.shape)} in the checkpoint, {list(initial.shape)} here for {num_anchors} '
      f'anchors of {num_classes} classes'
    )
  num_source_columns = source.shape[-1] // num_anchors
  num_source_classes = num_source_columns + first_id - 1
  beyond = sorted(class_id for class_id in class_ids.values() if class_id > num_source_classes)
  if beyond:
    raise InputError(
      f'fine_tune_class_map: id {beyond[0]} is to be carried over, but the checkpoint has '
      f'{num_source_classes} classes'
    )
  by_class = source.reshape(*source.shape[:-1], num_anchors, num_source_columns)
  result = initial.reshape(*initial.shape[:-1], num_anchors, num_columns).copy()
  background = {0: 0} if first_id == 0 else {}
  for target, source_id in {**background, **class_ids}.items():
    result[..., target - first_id] = by_class[..., source_id - first_id]
  return result.reshape(initial.shape)
