"""Builds augmentation steps from the config's `train_config.data_augmentation_options`."""

import functools
from collections.abc import Callable

from google.protobuf.message import Message

from ssd_tf.builders.message_fields import chosen
from ssd_tf.config.checks.augmentation import step_faults
from ssd_tf.config.checks.by_schema import require_supported
from ssd_tf.config.checks.fault import explained, refuse
from ssd_tf.data import augmentation
from ssd_tf.data.augmentation import (
  autoaugment,
  boxes,
  color,
  crop_padding,
  crops,
  geometry,
  labels,
  padding,
  pixels,
  resizing,
  square_crops,
  ssd_chain,
  ssd_tensorflow,
)
from ssd_tf.data.augmentation.autoaugment_policies import POLICIES
from ssd_tf.protos import train_pb2

_OF_KEYPOINTS = ('keypoint_flip_permutation', 'keypoint_rot_permutation')


def build_augmentation(
  train_config: train_pb2.TrainConfig, num_classes: int | None = None
) -> list[tuple[str, augmentation.Operation]]:
  """Builds the augmentation steps, in their order.

  Args:
    num_classes: the model's, to check ids of classes against; None: not known.

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
    path, values = f'{path}.{kind}', getattr(step, kind)
    refuse(step_faults(values, path, num_classes))
    with explained(path):
      operations.append((kind, STEPS[kind](values)))
  return operations


def _random_crop_image(values):
  return functools.partial(crops.random_crop_image, case=_crop_case(values))


def _ssd_random_crop(values):
  return functools.partial(crops.ssd_random_crop, operations=_crop_cases(values))


def _ssd_random_crop_fixed_aspect_ratio(values):
  return functools.partial(
    crops.ssd_random_crop_fixed_aspect_ratio,
    operations=_crop_cases(values),
    # The original passes it on only together with operations, and takes 1 without.
    aspect_ratio=values.aspect_ratio,
  )


def _random_crop_pad_image(values):
  case = crop_padding.CropPadCase(
    _crop_case(values), **_padded_size_ratios(values), pad_color=tuple(values.pad_color) or None
  )
  return functools.partial(crop_padding.random_crop_pad_image, case=case)


def _ssd_random_crop_pad(values):
  cases = tuple(
    crop_padding.CropPadCase(
      _crop_case(case),
      **_padded_size_ratios(case),
      # Black if not set, as in the original: a case has no mean color.
      pad_color=(case.pad_color_r, case.pad_color_g, case.pad_color_b),
    )
    for case in values.operations
  )
  return functools.partial(
    crop_padding.ssd_random_crop_pad, operations=cases or crop_padding.SSD_CROP_PAD_CASES
  )


def _ssd_random_crop_pad_fixed_aspect_ratio(values):
  return functools.partial(
    crop_padding.ssd_random_crop_pad_fixed_aspect_ratio,
    operations=_crop_cases(values),
    aspect_ratio=values.aspect_ratio,
    **_padded_size_ratios(values),
  )


def _crop_cases(values):
  return tuple(_crop_case(case) for case in values.operations) or crops.SSD_CROP_CASES


def _crop_case(case):
  ratios = {}
  if 'min_aspect_ratio' in case.DESCRIPTOR.fields_by_name:
    ratios['aspect_ratio_range'] = (case.min_aspect_ratio, case.max_aspect_ratio)
  return crops.CropCase(
    min_object_covered=case.min_object_covered,
    overlap_thresh=case.overlap_thresh,
    **ratios,
    area_range=(case.min_area, case.max_area),
    clip_boxes=case.clip_boxes,
    random_coef=case.random_coef,
  )


def _padded_size_ratios(values):
  """Those that are set."""
  names = ('min_padded_size_ratio', 'max_padded_size_ratio')
  return {name: tuple(getattr(values, name)) for name in names if getattr(values, name)}


def _random_pad_image(values):
  sizes = {
    f'{limit}_image_size': (
      getattr(values, f'{limit}_image_height'),
      getattr(values, f'{limit}_image_width'),
    )
    for limit in ('min', 'max')
    if values.HasField(f'{limit}_image_height')
  }
  color = tuple(values.pad_color) or None
  return functools.partial(padding.random_pad_image, **sizes, pad_color=color)


def _random_absolute_pad_image(values):
  return functools.partial(
    padding.random_absolute_pad_image,
    max_height_padding=values.max_height_padding or 1,
    max_width_padding=values.max_width_padding or 1,
    pad_color=tuple(values.pad_color) or None,
  )


def _random_downscale_to_target_pixels(values):
  # max_target_pixels, if it is not set, is 800,000: the original never reads its message's default.
  given = {field.name: value for field, value in values.ListFields()}
  return functools.partial(resizing.random_downscale_to_target_pixels, **given)


def _autoaugment_image(values):
  if values.policy_name not in POLICIES:
    known = ', '.join(POLICIES)
    raise ValueError(f'policy_name: is {values.policy_name}; expected one of {known}')
  return _by_names(autoaugment.autoaugment_image)(values)


def _by_names(operation):
  """Passes the fields of a message to the operation's arguments of the same names.

  A repeated field that is empty leaves the operation's own default; of a value of an enumeration,
  the name goes, in lower case.
  """

  def build(values):
    arguments = {}
    for field in values.DESCRIPTOR.fields:
      value = getattr(values, field.name)
      if field.name in _OF_KEYPOINTS:
        continue
      if field.enum_type:
        value = field.enum_type.values_by_number[value].name.lower()
      if not _is_repeated(value):
        arguments[field.name] = value
      elif value:
        arguments[field.name] = tuple(value)  # A repeated field would change with the config.
    return functools.partial(operation, **arguments)

  return build


def _is_repeated(value):
  return hasattr(value, 'append')


def _without_effect(values):
  """Scores of all classes do not exist here, and boxes stay normalized, as the model takes them."""
  del values
  return lambda example, seed: example


# Field of PreprocessingStep -> what builds its operation from the message in that field.
STEPS: dict[str, Callable[[Message], augmentation.Operation]] = {
  'random_horizontal_flip': _by_names(geometry.random_horizontal_flip),
  'random_vertical_flip': _by_names(geometry.random_vertical_flip),
  'random_rotation90': _by_names(geometry.random_rotation90),
  'random_self_concat_image': _by_names(geometry.random_self_concat_image),
  'random_crop_image': _random_crop_image,
  'random_crop_to_aspect_ratio': _by_names(crops.random_crop_to_aspect_ratio),
  'ssd_random_crop': _ssd_random_crop,
  'ssd_random_crop_fixed_aspect_ratio': _ssd_random_crop_fixed_aspect_ratio,
  'random_crop_pad_image': _random_crop_pad_image,
  'ssd_random_crop_pad': _ssd_random_crop_pad,
  'ssd_random_crop_pad_fixed_aspect_ratio': _ssd_random_crop_pad_fixed_aspect_ratio,
  'random_pad_image': _random_pad_image,
  'random_absolute_pad_image': _random_absolute_pad_image,
  'random_image_scale': _by_names(resizing.random_image_scale),
  'random_resize_method': _by_names(resizing.random_resize_method),
  'random_downscale_to_target_pixels': _random_downscale_to_target_pixels,
  'resize_image': _by_names(resizing.resize_image),
  'random_square_crop_by_scale': _by_names(square_crops.random_square_crop_by_scale),
  'random_scale_crop_and_pad_to_square': _by_names(
    square_crops.random_scale_crop_and_pad_to_square
  ),
  'random_jitter_boxes': _by_names(boxes.random_jitter_boxes),
  'scale_boxes_to_pixel_coordinates': _without_effect,
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
  'autoaugment_image': _autoaugment_image,
  'convert_class_logits_to_softmax': _without_effect,
  'ssd_photometric_distortion': _by_names(ssd_chain.ssd_photometric_distortion),
  'ssd_expand': _by_names(ssd_chain.ssd_expand),
  'ssd_patch_crop': _by_names(ssd_chain.ssd_patch_crop),
  'resize_random_interpolation': _by_names(ssd_chain.resize_random_interpolation),
  'ssd_tensorflow_crop': _by_names(ssd_tensorflow.ssd_tensorflow_crop),
  'ssd_tensorflow_color': _by_names(ssd_tensorflow.ssd_tensorflow_color),
}
