"""Checks that the values of each augmentation step fit each other, before a training starts."""

from collections.abc import Callable, Iterator

from google.protobuf.message import Message

from ssd_tf.config.checks.fault import Fault

# (field of a message, what it is to be, whether it is so).
_Expected = tuple[str, str, Callable[[Message], bool]]


def _count(field: str, count: int, expected: str) -> _Expected:
  return field, f'nothing, or {expected}', lambda values: len(getattr(values, field)) in (0, count)


def _more(field: str, other: str, unit: str = '') -> _Expected:
  return (
    field,
    f'more than {other}{unit}',
    lambda values: getattr(values, field) > getattr(values, other),
  )


def _both_or_none(field: str, other: str) -> _Expected:
  return (
    field,
    f'set together with {other}',
    lambda values: values.HasField(field) == values.HasField(other),
  )


def _not_below_if_set(field: str, other: str) -> _Expected:
  return (
    field,
    f'{other} or more',
    lambda values: not values.HasField(field) or getattr(values, field) >= getattr(values, other),
  )


def _is_padding(values):
  low, high = values.min_padded_size_ratio or (1, 1), values.max_padded_size_ratio
  return not high or (len(high) == 2 and all(a <= b for a, b in zip(low, high, strict=False)))


def _pixels_in_order(values):
  # The original never reads its message's default.
  is_set = values.HasField('max_target_pixels')
  return values.min_target_pixels < (values.max_target_pixels if is_set else 800_000)


_PAD_COLOR = _count('pad_color', 3, 'red, green and blue')
_PADDED_SIZE = (
  _count('min_padded_size_ratio', 2, 'two, for height and width'),
  (
    'max_padded_size_ratio',
    'nothing, or two, for height and width, min_padded_size_ratio (1 if empty) or more',
    _is_padding,
  ),
)
# Message -> what is expected of it besides what the schema says.
_EXPECTED: dict[str, tuple[_Expected, ...]] = {
  'RandomCropPadImage': (*_PADDED_SIZE, _PAD_COLOR),
  'SSDRandomCropPadOperation': _PADDED_SIZE,
  'SSDRandomCropPadFixedAspectRatio': _PADDED_SIZE,
  'RandomPadImage': (
    _both_or_none('min_image_width', 'min_image_height'),
    _both_or_none('max_image_width', 'max_image_height'),
    _not_below_if_set('max_image_height', 'min_image_height'),
    _not_below_if_set('max_image_width', 'min_image_width'),
    _PAD_COLOR,
  ),
  'RandomAbsolutePadImage': (_PAD_COLOR,),
  'RandomDownscaleToTargetPixels': (
    (
      'min_target_pixels',
      'less than max_target_pixels, which is 800000 if not set',
      _pixels_in_order,
    ),
  ),
  'NormalizeImage': (_more('original_maxval', 'original_minval', ', for 8-bit images 255'),),
  'SubtractChannelMean': (
    ('means', 'three, for red, green and blue', lambda values: len(values.means) == 3),
  ),
  'RandomJpegQuality': (_more('max_jpeg_quality', 'min_jpeg_quality'),),
  'RandomPatchGaussian': (_more('max_patch_size', 'min_patch_size'),),
  'SsdExpand': (_count('color', 3, 'red, green and blue'),),
}
# Message -> its fields that hold ids of classes.
_CLASS_IDS = {
  'DropLabelProbabilistically': ('label',),
  'RemapLabels': ('original_labels', 'new_label'),
}


def step_faults(values: Message, path: str, num_classes: int | None = None) -> Iterator[Fault]:
  """Finds values of an augmentation step that contradict each other; num_classes may be unknown."""
  kind = values.DESCRIPTOR.name
  class_ids = (_class_ids(field, num_classes) for field in _CLASS_IDS.get(kind, ()))
  for field, expected, is_so in (*_EXPECTED.get(kind, ()), *class_ids):
    if not is_so(values):
      found = ', '.join(map(str, _items(getattr(values, field))))
      yield Fault(f'{path}.{field}', f'is {found or "empty"}; expected {expected}')
  for i, operation in enumerate(getattr(values, 'operations', ())):
    yield from step_faults(operation, f'{path}.operations[{i}]')


def _class_ids(field, num_classes) -> _Expected:
  def is_so(values):
    ids = _items(getattr(values, field))
    return bool(ids) and all(1 <= i <= (num_classes or i) for i in ids)

  return field, f'ids of classes, from 1{f" to {num_classes}" if num_classes else ""}', is_so


def _items(value):
  return list(value) if hasattr(value, 'append') else [value]
