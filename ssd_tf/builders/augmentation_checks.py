"""Which values of an augmentation step make no sense: found before a training starts."""

from collections.abc import Callable

from google.protobuf.message import Message

from ssd_tf.data.augmentation.autoaugment_policies import POLICIES
from ssd_tf.errors import InputError

# Field of PreprocessingStep -> (field of its message, what it is to be, whether it is so).
_EXPECTED: dict[str, tuple[tuple[str, str, Callable[[Message], bool]], ...]] = {
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
  'random_pixel_value_scale': (
    ('minval', '0 or more', lambda v: v.minval >= 0),
    ('maxval', 'minval or more', lambda v: v.maxval >= v.minval),
  ),
  'random_adjust_brightness': (('max_delta', '0 or more', lambda v: v.max_delta >= 0),),
  'random_adjust_contrast': (
    ('min_delta', '0 or more', lambda v: v.min_delta >= 0),
    ('max_delta', 'min_delta or more', lambda v: v.max_delta >= v.min_delta),
  ),
  'random_adjust_hue': (('max_delta', '0 to 1', lambda v: 0 <= v.max_delta <= 1),),
  'random_adjust_saturation': (
    ('min_delta', '0 or more', lambda v: v.min_delta >= 0),
    ('max_delta', 'min_delta or more', lambda v: v.max_delta >= v.min_delta),
  ),
  'random_distort_color': (('color_ordering', '0 or 1', lambda v: v.color_ordering in (0, 1)),),
  'adjust_gamma': (('gamma', '0 or more', lambda v: v.gamma >= 0),),
  'random_jpeg_quality': (
    ('min_jpeg_quality', '0 or more', lambda v: v.min_jpeg_quality >= 0),
    (
      'max_jpeg_quality',
      'more than min_jpeg_quality, at most 100',
      lambda v: v.min_jpeg_quality < v.max_jpeg_quality <= 100,
    ),
  ),
  'random_patch_gaussian': (
    ('min_patch_size', '1 or more', lambda v: v.min_patch_size >= 1),
    ('max_patch_size', 'more than min_patch_size', lambda v: v.max_patch_size > v.min_patch_size),
    ('min_gaussian_stddev', '0 or more', lambda v: v.min_gaussian_stddev >= 0),
    (
      'max_gaussian_stddev',
      'min_gaussian_stddev or more',
      lambda v: v.max_gaussian_stddev >= v.min_gaussian_stddev,
    ),
  ),
  'random_black_patches': (
    ('max_black_patches', '0 or more', lambda v: v.max_black_patches >= 0),
    ('size_to_image_ratio', '0 to 1', lambda v: 0 <= v.size_to_image_ratio <= 1),
  ),
  'drop_label_probabilistically': (('label', 'the id of a class', lambda v: v.label >= 1),),
  'remap_labels': (
    ('original_labels', 'ids of classes', lambda v: min(v.original_labels, default=0) >= 1),
    ('new_label', 'the id of a class', lambda v: v.new_label >= 1),
  ),
  'autoaugment_image': (
    ('policy_name', f'one of {", ".join(POLICIES)}', lambda v: v.policy_name in POLICIES),
  ),
}


def check_step(kind: str, values: Message, path: str) -> None:
  """Refuses values of an augmentation step that make no sense.

  Args:
    kind: the field of PreprocessingStep.
    values: the message in it.
    path: of that message in the config.

  Raises:
    InputError: lists all of them, a line for each.
  """
  faults = []
  for field, expected, is_so in _EXPECTED.get(kind, ()):
    if not is_so(values):
      value = getattr(values, field)
      found = ', '.join(map(str, value)) if hasattr(value, 'append') else str(value)
      faults.append(f'{path}.{field}: is {found or "empty"}; expected {expected}')
  if faults:
    raise InputError('\n'.join(faults))
