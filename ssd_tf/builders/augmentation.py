"""Augmentation steps, from the config's `train_config.data_augmentation_options`."""

import functools
from collections.abc import Callable

from google.protobuf.message import Message

from ssd_tf.builders.support import chosen, require_supported
from ssd_tf.data import augmentation
from ssd_tf.protos import train_pb2


def build_augmentation(
  train_config: train_pb2.TrainConfig,
) -> list[tuple[str, augmentation.Operation]]:
  """Builds the augmentation steps, in their order.

  Args:
    train_config: the config's.

  Returns:
    (name, operation on an example and a seed) of each.

  Raises:
    InputError: a step is not supported.
  """
  operations = []
  for i, step in enumerate(train_config.data_augmentation_options):
    path = f'train_config.data_augmentation_options[{i}]'
    require_supported(step, path)
    kind = chosen(step, 'preprocessing_step', path, tuple(STEPS))
    operations.append((kind, STEPS[kind](getattr(step, kind))))
  return operations


def _random_horizontal_flip(values):
  return functools.partial(augmentation.random_horizontal_flip, probability=values.probability)


def _ssd_random_crop(values):
  cases = tuple(_crop_case(case) for case in values.operations)
  return functools.partial(
    augmentation.ssd_random_crop, operations=cases or augmentation.SSD_CROP_CASES
  )


def _crop_case(case):
  return augmentation.CropCase(
    min_object_covered=case.min_object_covered,
    overlap_thresh=case.overlap_thresh,
    aspect_ratio_range=(case.min_aspect_ratio, case.max_aspect_ratio),
    area_range=(case.min_area, case.max_area),
    clip_boxes=case.clip_boxes,
    random_coef=case.random_coef,
  )


# Field of PreprocessingStep -> what builds its operation from the message in that field.
STEPS: dict[str, Callable[[Message], augmentation.Operation]] = {
  'random_horizontal_flip': _random_horizontal_flip,
  'ssd_random_crop': _ssd_random_crop,
}
