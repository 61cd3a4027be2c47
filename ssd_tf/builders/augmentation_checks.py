"""Which values of an augmentation step do not go together: found before a training starts."""

from collections.abc import Callable

from google.protobuf.message import Message

from ssd_tf.data.augmentation.autoaugment_policies import POLICIES
from ssd_tf.errors import InputError

# (field of a message, what it is to be, whether it is so).
_Expected = tuple[str, str, Callable[[Message], bool]]


def _not_below(field: str, other: str) -> _Expected:
  return (
    field,
    f'{other} or more',
    lambda values: getattr(values, field) >= getattr(values, other),
  )


def _numbers(field: str, count: int, expected: str) -> _Expected:
  return field, f'nothing, or {expected}', lambda values: len(getattr(values, field)) in (0, count)


_AREA = (_not_below('max_area', 'min_area'),)
_ASPECT_RATIO = (_not_below('max_aspect_ratio', 'min_aspect_ratio'),)
_WINDOW = (*_AREA, *_ASPECT_RATIO)
_SCALE = (_not_below('scale_max', 'scale_min'),)
_PAD_COLOR = _numbers('pad_color', 3, 'red, green and blue')
_PADDED_SIZE = (
  _numbers('min_padded_size_ratio', 2, 'two, for height and width'),
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
  'random_crop_image': _WINDOW,
  'random_crop_pad_image': (*_WINDOW, *_PADDED_SIZE, _PAD_COLOR),
  'ssd_random_crop_pad_fixed_aspect_ratio': _PADDED_SIZE,
  'random_pad_image': (
    _both_or_none('min'),
    _both_or_none('max'),
    _max_padded('height'),
    _max_padded('width'),
    _PAD_COLOR,
  ),
  'random_absolute_pad_image': (_PAD_COLOR,),
  'random_image_scale': (_not_below('max_scale_ratio', 'min_scale_ratio'),),
  'random_downscale_to_target_pixels': (
    (
      'min_target_pixels',
      'less than max_target_pixels, which is 800000 if not set',
      lambda values: (
        values.min_target_pixels
        < (values.max_target_pixels if values.HasField('max_target_pixels') else 800000)
      ),
    ),
  ),
  'random_square_crop_by_scale': _SCALE,
  'random_scale_crop_and_pad_to_square': _SCALE,
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
  'random_pixel_value_scale': (_not_below('maxval', 'minval'),),
  'random_adjust_contrast': (_not_below('max_delta', 'min_delta'),),
  'random_adjust_saturation': (_not_below('max_delta', 'min_delta'),),
  'random_jpeg_quality': (
    (
      'max_jpeg_quality',
      'more than min_jpeg_quality',
      lambda v: v.min_jpeg_quality < v.max_jpeg_quality,
    ),
  ),
  'random_patch_gaussian': (
    ('max_patch_size', 'more than min_patch_size', lambda v: v.max_patch_size > v.min_patch_size),
    _not_below('max_gaussian_stddev', 'min_gaussian_stddev'),
  ),
  'autoaugment_image': (
    ('policy_name', f'one of {", ".join(POLICIES)}', lambda v: v.policy_name in POLICIES),
  ),
  'ssd_photometric_distortion': (
    _not_below('max_contrast', 'min_contrast'),
    _not_below('max_saturation', 'min_saturation'),
  ),
  'ssd_expand': (
    _not_below('max_scale', 'min_scale'),
    _numbers('color', 3, 'red, green and blue'),
  ),
  'ssd_patch_crop': (_not_below('max_scale', 'min_scale'), *_ASPECT_RATIO),
  'ssd_tensorflow_crop': _WINDOW,
}
# The same, of each message in its field `operations`.
_EXPECTED_OF_OPERATIONS: dict[str, tuple[_Expected, ...]] = {
  'ssd_random_crop': _WINDOW,
  'ssd_random_crop_fixed_aspect_ratio': _AREA,
  'ssd_random_crop_pad': (*_WINDOW, *_PADDED_SIZE),
  'ssd_random_crop_pad_fixed_aspect_ratio': _WINDOW,
}
# Field of PreprocessingStep -> fields of its message that hold ids of classes.
_CLASS_IDS = {
  'drop_label_probabilistically': ('label',),
  'remap_labels': ('original_labels', 'new_label'),
}


def check_step(kind: str, values: Message, path: str, num_classes: int | None = None) -> None:
  """Refuses values of an augmentation step that do not go together.

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
