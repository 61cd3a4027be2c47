"""Augmentation steps, from the config's `train_config.data_augmentation_options`."""

import functools
from collections.abc import Callable

from google.protobuf.message import Message

from ssd_tf.builders.augmentation_checks import check_step
from ssd_tf.builders.support import chosen, require_supported
from ssd_tf.data import augmentation
from ssd_tf.data.augmentation import autoaugment, color, labels, pixels
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
    InputError: a step is not supported, or a value of it makes no sense.
  """
  operations = []
  for i, step in enumerate(train_config.data_augmentation_options):
    path = f'train_config.data_augmentation_options[{i}]'
    require_supported(step, path)
    kind = chosen(step, 'preprocessing_step', path, tuple(STEPS))
    check_step(kind, getattr(step, kind), f'{path}.{kind}')
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


def _by_names(operation):
  """Passes the fields of a message to the operation's arguments of the same names."""

  def build(values):
    arguments = {field.name: getattr(values, field.name) for field in values.DESCRIPTOR.fields}
    return functools.partial(
      operation,
      # A repeated field would change with the config.
      **{name: tuple(v) if hasattr(v, 'append') else v for name, v in arguments.items()},
    )

  return build


def _convert_class_logits_to_softmax(values):
  del values  # It converts scores of all classes, which examples here do not have.
  return lambda example, seed: example


# Field of PreprocessingStep -> what builds its operation from the message in that field.
STEPS: dict[str, Callable[[Message], augmentation.Operation]] = {
  'random_horizontal_flip': _random_horizontal_flip,
  'ssd_random_crop': _ssd_random_crop,
  'normalize_image': _by_names(pixels.normalize_image),
  'subtract_channel_mean': _by_names(pixels.subtract_channel_mean),
  'random_pixel_value_scale': _by_names(pixels.random_pixel_value_scale),
  'random_jpeg_quality': _by_names(pixels.random_jpeg_quality),
  'random_patch_gaussian': _by_names(pixels.random_patch_gaussian),
  'random_black_patches': _by_names(pixels.random_black_patches),
  'random_adjust_brightness': _by_names(color.random_adjust_brightness),
  'random_adjust_contrast': _by_names(color.random_adjust_contrast),
  'random_adjust_hue': _by_names(color.random_adjust_hue),
  'random_adjust_saturation': _by_names(color.random_adjust_saturation),
  'random_distort_color': _by_names(color.random_distort_color),
  'random_rgb_to_gray': _by_names(color.random_rgb_to_gray),
  'rgb_to_gray': _by_names(color.rgb_to_gray),
  'adjust_gamma': _by_names(color.adjust_gamma),
  'drop_label_probabilistically': _by_names(labels.drop_label_probabilistically),
  'remap_labels': _by_names(labels.remap_labels),
  'autoaugment_image': _by_names(autoaugment.autoaugment_image),
  'convert_class_logits_to_softmax': _convert_class_logits_to_softmax,
}
