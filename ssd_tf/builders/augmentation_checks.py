"""Which values of an augmentation step make no sense: found before a training starts."""

from collections.abc import Callable

from google.protobuf.message import Message

from ssd_tf.data.augmentation.autoaugment_policies import POLICIES
from ssd_tf.errors import InputError

# (field of a message, what it is to be, whether it is so).
_Expected = tuple[str, str, Callable[[Message], bool]]


def _share(field: str) -> _Expected:
  return field, '0 to 1', lambda values: 0 <= getattr(values, field) <= 1


def _at_least(field: str, least: float) -> _Expected:
  return field, f'{least} or more', lambda values: getattr(values, field) >= least


def _positive(field: str) -> _Expected:
  return field, 'more than 0', lambda values: getattr(values, field) > 0


def _not_below(field: str, other: str) -> _Expected:
  return (
    field,
    f'{other} or more',
    lambda values: getattr(values, field) >= getattr(values, other),
  )


def _numbers(field: str, count: int, expected: str, least: float, most: float) -> _Expected:
  def is_so(values):
    numbers = getattr(values, field)
    return len(numbers) in (0, count) and all(least <= number <= most for number in numbers)

  return field, f'nothing, or {expected}', is_so


_COVERED_AREA = (
  _share('min_object_covered'),
  _positive('min_area'),
  (
    'max_area',
    'min_area or more, at most 1',
    lambda values: values.min_area <= values.max_area <= 1,
  ),
  _share('overlap_thresh'),
)
_ASPECT_RATIO = (
  _positive('min_aspect_ratio'),
  _not_below('max_aspect_ratio', 'min_aspect_ratio'),
)
_AREA = (*_COVERED_AREA, _share('random_coef'))
_WINDOW = (*_AREA, *_ASPECT_RATIO)
_PAD_COLOR = _numbers('pad_color', 3, 'red, green and blue, of 0 to 255', 0, 255)
_PADDED_SIZE = (
  _numbers('min_padded_size_ratio', 2, 'two, for height and width, 0 or more', 0, float('inf')),
  (
    'max_padded_size_ratio',
    'nothing, or two, for height and width, min_padded_size_ratio (1 if empty) or more',
    lambda values: (
      not values.max_padded_size_ratio
      or len(values.max_padded_size_ratio) == 2
      and all(
        low <= high
        for low, high in zip(
          values.min_padded_size_ratio or (1, 1), values.max_padded_size_ratio, strict=False
        )
      )
    ),
  ),
)


def _both_or_none(limit: str) -> _Expected:
  height, width = f'{limit}_image_height', f'{limit}_image_width'
  return (
    width,
    f'set together with {height}',
    lambda values: values.HasField(height) == values.HasField(width),
  )


def _max_padded(side: str) -> _Expected:
  low, high = f'min_image_{side}', f'max_image_{side}'
  return (
    high,
    f'{low} or more',
    lambda values: not values.HasField(high) or getattr(values, high) >= getattr(values, low),
  )


# Field of PreprocessingStep -> what is expected of its message.
_EXPECTED: dict[str, tuple[_Expected, ...]] = {
  'random_horizontal_flip': (_share('probability'),),
  'random_vertical_flip': (_share('probability'),),
  'random_rotation90': (_share('probability'),),
  'random_self_concat_image': (
    _share('concat_vertical_probability'),
    _share('concat_horizontal_probability'),
  ),
  'random_crop_image': _WINDOW,
  'random_crop_pad_image': (*_WINDOW, *_PADDED_SIZE, _PAD_COLOR),
  'random_crop_to_aspect_ratio': (_positive('aspect_ratio'), _share('overlap_thresh')),
  'ssd_random_crop_fixed_aspect_ratio': (_positive('aspect_ratio'),),
  'ssd_random_crop_pad_fixed_aspect_ratio': (_positive('aspect_ratio'), *_PADDED_SIZE),
  'random_pad_image': (
    _both_or_none('min'),
    _both_or_none('max'),
    _max_padded('height'),
    _max_padded('width'),
    _PAD_COLOR,
  ),
  'random_absolute_pad_image': (
    _at_least('max_height_padding', 0),
    _at_least('max_width_padding', 0),
    _PAD_COLOR,
  ),
  'random_image_scale': (
    _positive('min_scale_ratio'),
    _not_below('max_scale_ratio', 'min_scale_ratio'),
  ),
  'random_resize_method': (_at_least('target_height', 1), _at_least('target_width', 1)),
  'resize_image': (_at_least('new_height', 1), _at_least('new_width', 1)),
  'random_downscale_to_target_pixels': (
    _share('random_coef'),
    (
      'min_target_pixels',
      '1 or more, and less than max_target_pixels, which is 800000 if not set',
      lambda values: (
        1
        <= values.min_target_pixels
        < (values.max_target_pixels if values.HasField('max_target_pixels') else 800000)
      ),
    ),
  ),
  'random_square_crop_by_scale': (
    _at_least('max_border', 1),
    _positive('scale_min'),
    _not_below('scale_max', 'scale_min'),
    _at_least('num_scales', 1),
  ),
  'random_scale_crop_and_pad_to_square': (
    _at_least('output_size', 1),
    _positive('scale_min'),
    _not_below('scale_max', 'scale_min'),
  ),
  'random_jitter_boxes': (_at_least('ratio', 0),),
  'normalize_image': (
    (
      'original_maxval',
      'more than original_minval, for 8-bit images 255',
      lambda v: v.original_maxval > v.original_minval,
    ),
  ),
  'subtract_channel_mean': (
    ('means', 'three, for red, green and blue', lambda v: len(v.means) == 3),
  ),
  'random_pixel_value_scale': (_at_least('minval', 0), _not_below('maxval', 'minval')),
  'random_adjust_brightness': (_at_least('max_delta', 0),),
  'random_adjust_contrast': (_at_least('min_delta', 0), _not_below('max_delta', 'min_delta')),
  'random_adjust_hue': (_share('max_delta'),),
  'random_adjust_saturation': (_at_least('min_delta', 0), _not_below('max_delta', 'min_delta')),
  'random_distort_color': (('color_ordering', '0 or 1', lambda v: v.color_ordering in (0, 1)),),
  'random_rgb_to_gray': (_share('probability'),),
  'adjust_gamma': (_at_least('gamma', 0),),
  'random_jpeg_quality': (
    _share('random_coef'),
    _at_least('min_jpeg_quality', 0),
    (
      'max_jpeg_quality',
      'more than min_jpeg_quality, at most 100',
      lambda v: v.min_jpeg_quality < v.max_jpeg_quality <= 100,
    ),
  ),
  'random_patch_gaussian': (
    _share('random_coef'),
    _at_least('min_patch_size', 1),
    ('max_patch_size', 'more than min_patch_size', lambda v: v.max_patch_size > v.min_patch_size),
    _at_least('min_gaussian_stddev', 0),
    _not_below('max_gaussian_stddev', 'min_gaussian_stddev'),
  ),
  'random_black_patches': (
    _at_least('max_black_patches', 0),
    _share('probability'),
    _share('size_to_image_ratio'),
  ),
  'drop_label_probabilistically': (_share('drop_probability'),),
  'autoaugment_image': (
    ('policy_name', f'one of {", ".join(POLICIES)}', lambda v: v.policy_name in POLICIES),
  ),
  'ssd_photometric_distortion': (
    _at_least('brightness_delta', 0),
    _at_least('min_contrast', 0),
    _not_below('max_contrast', 'min_contrast'),
    _at_least('min_saturation', 0),
    _not_below('max_saturation', 'min_saturation'),
    ('hue_delta', '0 to 180', lambda v: 0 <= v.hue_delta <= 180),
    _share('probability'),
    _share('channel_swap_probability'),
  ),
  'ssd_expand': (
    _share('probability'),
    _at_least('min_scale', 1),
    _not_below('max_scale', 'min_scale'),
    _numbers('color', 3, 'red, green and blue, of 0 to 255', 0, 255),
  ),
  'ssd_patch_crop': (
    ('min_iou', 'numbers of 0 to 1', lambda v: all(0 <= bound <= 1 for bound in v.min_iou)),
    _share('keep_probability'),
    _positive('min_scale'),
    ('max_scale', 'min_scale or more, at most 1', lambda v: v.min_scale <= v.max_scale <= 1),
    *_ASPECT_RATIO,
    _at_least('max_trials', 1),
  ),
  'resize_random_interpolation': (_at_least('height', 1), _at_least('width', 1)),
  'ssd_tensorflow_crop': (*_COVERED_AREA, *_ASPECT_RATIO, _at_least('max_attempts', 1)),
}
# The same, of each message in its field `operations`.
_EXPECTED_OF_OPERATIONS: dict[str, tuple[_Expected, ...]] = {
  'ssd_random_crop': _WINDOW,
  'ssd_random_crop_fixed_aspect_ratio': _AREA,
  'ssd_random_crop_pad': (
    *_WINDOW,
    *_PADDED_SIZE,
    *(
      (
        f'pad_color_{c}',
        '0 to 255',
        lambda values, c=c: 0 <= getattr(values, f'pad_color_{c}') <= 255,
      )
      for c in 'rgb'
    ),
  ),
  'ssd_random_crop_pad_fixed_aspect_ratio': _WINDOW,
}
# Field of PreprocessingStep -> fields of its message that hold ids of classes.
_CLASS_IDS = {
  'drop_label_probabilistically': ('label',),
  'remap_labels': ('original_labels', 'new_label'),
}


def check_step(kind: str, values: Message, path: str, num_classes: int | None = None) -> None:
  """Refuses values of an augmentation step that make no sense.

  Args:
    kind: the field of PreprocessingStep.
    values: the message in it.
    path: of that message in the config.
    num_classes: the model's; None: not known.

  Raises:
    InputError: lists all of them, a line for each.
  """
  class_ids = (_class_ids(field, num_classes) for field in _CLASS_IDS.get(kind, ()))
  faults = _faults((*_EXPECTED.get(kind, ()), *class_ids), values, path)
  for i, operation in enumerate(getattr(values, 'operations', ())):
    faults += _faults(_EXPECTED_OF_OPERATIONS[kind], operation, f'{path}.operations[{i}]')
  if faults:
    raise InputError('\n'.join(faults))


def _faults(expectations, values, path):
  faults = []
  for field, expected, is_so in expectations:
    if not is_so(values):
      found = ', '.join(map(str, _items(getattr(values, field))))
      faults.append(f'{path}.{field}: is {found or "empty"}; expected {expected}')
  return faults


def _class_ids(field, num_classes) -> _Expected:
  def is_so(values):
    ids = _items(getattr(values, field))
    return bool(ids) and all(1 <= i <= (num_classes or i) for i in ids)

  return field, f'ids of classes, from 1{f" to {num_classes}" if num_classes else ""}', is_so


def _items(value):
  return list(value) if hasattr(value, 'append') else [value]
