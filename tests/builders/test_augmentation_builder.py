"""Every geometric augmentation option of the Object Detection API, from a config's text."""

import ast
import dataclasses
import inspect
import json
import pathlib

import numpy as np
import pytest
from google.protobuf import text_format

from ssd_tf import fields
from ssd_tf.builders.augmentation import STEPS, build_augmentation
from ssd_tf.config.checks import by_schema
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.data.augmentation import crop_padding, crops
from ssd_tf.errors import InputError
from ssd_tf.protos import preprocessor_pb2, train_pb2

TESTDATA = pathlib.Path(__file__).parents[1] / 'testdata'
DEFAULTS = json.loads((TESTDATA / 'odapi/f_preprocess.json').read_text())
# Their empty bodies ask for an image of 0 pixels; the test of faults has them.
NEED_A_SIZE = ('random_resize_method', 'resize_image')
GEOMETRIC = (
  *('random_horizontal_flip', 'random_vertical_flip', 'random_rotation90'),
  *('random_self_concat_image', 'random_jitter_boxes'),
  *('random_crop_image', 'random_crop_to_aspect_ratio', 'random_crop_pad_image'),
  *('ssd_random_crop', 'ssd_random_crop_fixed_aspect_ratio'),
  *('ssd_random_crop_pad', 'ssd_random_crop_pad_fixed_aspect_ratio'),
  *('random_pad_image', 'random_absolute_pad_image'),
  *('random_image_scale', 'random_downscale_to_target_pixels'),
  *('random_square_crop_by_scale', 'random_scale_crop_and_pad_to_square'),
)
# Of the original's functions; what its images and machinery need.
NOT_OURS = (
  *('image', 'boxes', 'labels', 'label_weights', 'label_confidences', 'multiclass_scores'),
  *('masks', 'mask_weights', 'keypoints', 'keypoint_visibilities', 'keypoint_depths'),
  *('keypoint_depth_weights', 'keypoint_flip_permutation', 'keypoint_rot_permutation'),
  *('densepose_num_points', 'densepose_part_ids', 'densepose_surface_coords'),
  *('seed', 'preprocess_vars_cache', 'center_crop', 'center_pad', 'resize_method'),
)


def build(*steps):
  text = ''.join(f'data_augmentation_options {{ {step} }}' for step in steps)
  return build_augmentation(text_format.Parse(text, train_pb2.TrainConfig()))


def arguments_of(operation):
  """By name, those of a case too; of several cases, a tuple of the values of each."""
  signature = inspect.signature(operation.func)
  arguments = {
    name: parameter.default
    for name, parameter in signature.parameters.items()
    if parameter.default is not inspect.Parameter.empty
  } | operation.keywords
  flat = {}
  for name, value in arguments.items():
    if name == 'case':
      flat |= fields_of(value)
    elif name == 'operations':
      cases = [fields_of(case) for case in value]
      flat |= {key: tuple(case[key] for case in cases) for key in cases[0]}
    else:
      flat[name] = value
  return flat


def fields_of(case):
  values = {field.name: getattr(case, field.name) for field in dataclasses.fields(case)}
  return (fields_of(values.pop('crop')) if 'crop' in values else {}) | values


def original_arguments(name):
  """Those of the original's function for an empty body."""
  signature = DEFAULTS['preprocessor_signatures'][name]
  given = DEFAULTS['builder_kwargs_for_empty_proto'][name]['kwargs']
  values = {key: value for key, value in {**signature, **given}.items() if key not in NOT_OURS}
  # The file has them as Python writes them.
  return {key: ast.literal_eval(value) for key, value in values.items()}


@pytest.mark.parametrize('name', GEOMETRIC)
def test_an_empty_body_has_the_originals_defaults(name):
  ((built, operation),) = build(f'{name} {{ }}')
  assert built == name == operation.func.__name__
  ours, original = arguments_of(operation), original_arguments(name)
  if name == 'ssd_random_crop_fixed_aspect_ratio':
    del ours['aspect_ratio_range']  # Not looked at.
  # The original's is fixed.
  assert set(np.ravel(ours.pop('max_attempts', 100))) == {100}
  assert set(ours) == set(original)
  for key, value in original.items():
    if value is None or isinstance(value, str) or None in np.ravel(np.array(value, object)):
      assert ours[key] == value, key
    else:
      np.testing.assert_allclose(ours[key], value, rtol=1e-6, err_msg=key)


@pytest.mark.parametrize(
  ('step', 'arguments'),
  [
    ('random_horizontal_flip { probability: 0.25 }', {'probability': 0.25}),
    ('random_vertical_flip { probability: 0.25 }', {'probability': 0.25}),
    ('random_rotation90 { probability: 0.25 }', {'probability': 0.25}),
    (
      'random_self_concat_image { concat_vertical_probability: 0.5 '
      'concat_horizontal_probability: 0.25 }',
      {'concat_vertical_probability': 0.5, 'concat_horizontal_probability': 0.25},
    ),
    (
      'random_jitter_boxes { ratio: 0.5 jitter_mode: SHRINK }',
      {'ratio': 0.5, 'jitter_mode': 'shrink'},
    ),
    (
      'random_crop_to_aspect_ratio { aspect_ratio: 2 overlap_thresh: 0.5 clip_boxes: false }',
      {'aspect_ratio': 2, 'overlap_thresh': 0.5, 'clip_boxes': False},
    ),
    (
      'random_pad_image { min_image_height: 1 min_image_width: 2 max_image_height: 3 '
      'max_image_width: 4 pad_color: [5, 6, 7] }',
      {'min_image_size': (1, 2), 'max_image_size': (3, 4), 'pad_color': (5, 6, 7)},
    ),
    (
      'random_absolute_pad_image { max_height_padding: 3 max_width_padding: 4 '
      'pad_color: [5, 6, 7] }',
      {'max_height_padding': 3, 'max_width_padding': 4, 'pad_color': (5, 6, 7)},
    ),
    (
      'random_image_scale { min_scale_ratio: 0.25 max_scale_ratio: 4 }',
      {'min_scale_ratio': 0.25, 'max_scale_ratio': 4},
    ),
    (
      'random_resize_method { target_height: 3 target_width: 4 }',
      {'target_height': 3, 'target_width': 4},
    ),
    (
      'resize_image { new_height: 3 new_width: 4 method: NEAREST_NEIGHBOR }',
      {'new_height': 3, 'new_width': 4, 'method': 'nearest_neighbor'},
    ),
    (
      'random_downscale_to_target_pixels { random_coef: 0.5 min_target_pixels: 10 '
      'max_target_pixels: 20 }',
      {'random_coef': 0.5, 'min_target_pixels': 10, 'max_target_pixels': 20},
    ),
    (
      'random_square_crop_by_scale { max_border: 3 scale_min: 0.25 scale_max: 0.5 num_scales: 4 }',
      {'max_border': 3, 'scale_min': 0.25, 'scale_max': 0.5, 'num_scales': 4},
    ),
    (
      'random_scale_crop_and_pad_to_square { output_size: 96 scale_min: 0.25 scale_max: 0.5 }',
      {'output_size': 96, 'scale_min': 0.25, 'scale_max': 0.5},
    ),
  ],
)
def test_every_field_reaches_its_operation(step, arguments):
  ((_, operation),) = build(step)
  assert operation.keywords == arguments


WINDOW = (
  'min_object_covered: 0.25 min_area: 0.125 max_area: 0.75 overlap_thresh: 0.5 random_coef: 0.625 '
  'clip_boxes: false'
)
RATIOS = 'min_aspect_ratio: 0.5 max_aspect_ratio: 1.5'
SIZES = 'min_padded_size_ratio: [1, 1.5] max_padded_size_ratio: [2, 2.5]'
CASE = crops.CropCase(0.25, 0.5, (0.5, 1.5), (0.125, 0.75), clip_boxes=False, random_coef=0.625)


@pytest.mark.parametrize(
  ('step', 'arguments'),
  [
    (f'random_crop_image {{ {WINDOW} {RATIOS} }}', {'case': CASE}),
    (
      f'ssd_random_crop {{ operations {{ {WINDOW} {RATIOS} }} '
      f'operations {{ {RATIOS} {WINDOW} }} }}',
      {'operations': (CASE, CASE)},
    ),
    (
      f'ssd_random_crop_fixed_aspect_ratio {{ operations {{ {WINDOW} }} aspect_ratio: 2 }}',
      {
        'operations': (dataclasses.replace(CASE, aspect_ratio_range=(0.5, 2.0)),),
        'aspect_ratio': 2,
      },
    ),
    (
      f'random_crop_pad_image {{ {WINDOW} {RATIOS} {SIZES} pad_color: [5, 6, 7] }}',
      {'case': crop_padding.CropPadCase(CASE, (1, 1.5), (2, 2.5), (5, 6, 7))},
    ),
    (
      f'ssd_random_crop_pad {{ operations {{ {WINDOW} {RATIOS} {SIZES} pad_color_r: 5 '
      'pad_color_g: 6 pad_color_b: 7 } }',
      {'operations': (crop_padding.CropPadCase(CASE, (1, 1.5), (2, 2.5), (5, 6, 7)),)},
    ),
    (  # A color that is not set is black, as in the original.
      f'ssd_random_crop_pad {{ operations {{ {WINDOW} {RATIOS} }} }}',
      {'operations': (crop_padding.CropPadCase(CASE, (1, 1), (2, 2), (0, 0, 0)),)},
    ),
    (
      f'ssd_random_crop_pad_fixed_aspect_ratio {{ operations {{ {WINDOW} {RATIOS} }} '
      f'aspect_ratio: 2 {SIZES} }}',
      {
        'operations': (CASE,),
        'aspect_ratio': 2,
        'min_padded_size_ratio': (1, 1.5),
        'max_padded_size_ratio': (2, 2.5),
      },
    ),
  ],
)
def test_every_field_of_a_crop_reaches_its_operation(step, arguments):
  ((_, operation),) = build(step)
  assert operation.keywords == arguments


@pytest.mark.parametrize(
  ('step', 'faults'),
  [
    ('random_vertical_flip { probability: 2 }', ['probability: is 2; expected 0 to 1']),
    ('random_rotation90 { probability: -1 }', ['probability: is -1; expected 0 to 1']),
    (
      'random_crop_image { min_area: 0.5 max_area: 0.25 }',
      ['max_area: is 0.25; expected min_area, 0.5, or more'],
    ),
    ('random_crop_image { max_area: 2 }', ['max_area: is 2; expected more than 0 and at most 1']),
    (
      'random_crop_image { min_aspect_ratio: 2 }',
      ['max_aspect_ratio: is 1.33; expected min_aspect_ratio, 2, or more'],
    ),
    (
      'ssd_random_crop { operations { max_area: 1 max_aspect_ratio: 1 } }',
      [
        'operations[0].min_aspect_ratio: is 0; expected more than 0',
        'operations[0].min_area: is 0; expected more than 0',
      ],
    ),
    (
      f'ssd_random_crop_fixed_aspect_ratio {{ aspect_ratio: 0 operations {{ {WINDOW} }} '
      'operations { min_area: 0.5 max_area: 1 overlap_thresh: 3 } }',
      [
        'operations[1].overlap_thresh: is 3; expected 0 to 1',
        'aspect_ratio: is 0; expected more than 0',
      ],
    ),
    (
      f'ssd_random_crop_pad {{ operations {{ {WINDOW} {RATIOS} min_padded_size_ratio: 1 '
      'max_padded_size_ratio: [0.5, 3] } }',
      [
        'operations[0].min_padded_size_ratio: is 1.0; expected nothing, or two',
        'operations[0].max_padded_size_ratio: is 0.5, 3.0; expected nothing, or two',
      ],
    ),
    (
      f'ssd_random_crop_pad {{ operations {{ {WINDOW} {RATIOS} pad_color_g: 256 }} }}',
      ['operations[0].pad_color_g: is 256; expected 0 to 255'],
    ),
    (
      'random_crop_pad_image { max_padded_size_ratio: [0.5, 3] pad_color: [1, 2] }',
      [
        'max_padded_size_ratio: is 0.5, 3.0; expected nothing, or two',
        'pad_color: is 1.0, 2.0; expected nothing, or red, green and blue',
      ],
    ),
    ('random_pad_image { pad_color: [1, 256, 3] }', ['pad_color[1]: is 256; expected 0 to 255']),
    ('random_crop_to_aspect_ratio { aspect_ratio: -1 }', ['aspect_ratio: is -1; expected more']),
    (
      'random_pad_image { min_image_height: 5 max_image_height: 4 max_image_width: 4 }',
      [
        'min_image_width: is 0; expected set together with min_image_height',
        'max_image_height: is 4; expected min_image_height or more',
      ],
    ),
    ('random_absolute_pad_image { max_height_padding: -1 }', ['max_height_padding: is -1']),
    (
      'random_image_scale { min_scale_ratio: 3 }',
      ['max_scale_ratio: is 2; expected min_scale_ratio, 3, or more'],
    ),
    (
      'random_resize_method { }',
      ['target_height: is 0; expected 1 to', 'target_width: is 0; expected 1 to'],
    ),
    ('resize_image { new_width: 3 }', ['new_height: is 0; expected 1 to']),
    (
      'random_downscale_to_target_pixels { min_target_pixels: 900000 }',
      ['min_target_pixels: is 900000; expected less than max_target_pixels'],
    ),
    (
      'random_square_crop_by_scale { max_border: 0 num_scales: 0 }',
      ['max_border: is 0', 'num_scales: is 0'],
    ),
    (
      'random_square_crop_by_scale { scale_min: 2 }',
      ['scale_max: is 1.3; expected scale_min, 2, or more'],
    ),
    ('random_scale_crop_and_pad_to_square { output_size: 0 }', ['output_size: is 0']),
    ('random_jitter_boxes { ratio: -1 }', ['ratio: is -1; expected 0 to']),
    ('random_jitter_boxes { ratio: -1.5 }', ['ratio: is -1.5; expected 0 to']),
  ],
)
def test_values_that_contradict_each_other_are_refused(step, faults):
  with pytest.raises(InputError) as caught:
    build('random_vertical_flip { }', step)
  lines = str(caught.value).splitlines()
  assert len(lines) == len(faults), lines
  for line, fault in zip(lines, faults, strict=True):
    prefix = f'train_config.data_augmentation_options[1].{step.split(" ")[0]}.'
    assert line.startswith(prefix + fault), line


def test_boxes_stay_normalized_and_the_log_says_so():
  text = 'scale_boxes_to_pixel_coordinates { }'
  ((_, operation),) = build(text)
  example = {fields.GROUNDTRUTH_BOXES: np.ones([1, 4], np.float32)}
  assert operation(example, [1, 2]) is example
  step = text_format.Parse(text, preprocessor_pb2.PreprocessingStep())
  assert by_schema.ineffective_fields(step) == ['scale_boxes_to_pixel_coordinates']


@pytest.mark.parametrize(
  ('step', 'field'),
  [
    ('random_horizontal_flip', 'keypoint_flip_permutation'),
    ('random_vertical_flip', 'keypoint_flip_permutation'),
    ('random_rotation90', 'keypoint_rot_permutation'),
  ],
)
def test_permutations_of_keypoints_have_no_effect_and_say_so(step, field):
  text = f'{step} {{ {field}: [1, 0] }}'
  ((_, operation),) = build(text)
  assert operation.keywords == {'probability': 0.5}
  message = text_format.Parse(text, preprocessor_pb2.PreprocessingStep())
  assert by_schema.ineffective_fields(message) == [f'{step}.{field}']


def test_a_step_without_an_operation_is_refused():
  with pytest.raises(InputError, match=r'data_augmentation_options\[0\]: is not set; expected one'):
    build('')


def test_every_option_of_the_api_has_a_step():
  names = {
    field.name
    for field in preprocessor_pb2.PreprocessingStep.DESCRIPTOR.fields
    if field.number < 1000
  }
  assert names <= set(STEPS)
  assert set(DEFAULTS['builder_kwargs_for_empty_proto']) <= set(STEPS)
  assert set(GEOMETRIC) | set(NEED_A_SIZE) <= set(STEPS)


@pytest.mark.parametrize(
  'path', sorted((TESTDATA / 'odapi_configs').glob('*.config')), ids=lambda path: path.stem
)
def test_the_apis_configs_build_their_augmentation(path):
  train_config = Pipeline.load(path).config.train_config
  built = build_augmentation(train_config)
  options = train_config.data_augmentation_options
  assert [name for name, _ in built] == [o.WhichOneof('preprocessing_step') for o in options]
  assert len(built) == 2
