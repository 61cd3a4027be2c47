"""Every augmentation step of colors, pixels and labels, from a config's text to a batch."""

import numpy as np
import pytest
from google.protobuf import text_format

from ssd_tf import builders, fields
from ssd_tf.builders.augmentation import build_augmentation
from ssd_tf.config.checks import by_schema
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.protos import train_pb2

# Each step with all of its fields away from their defaults, and what its operation is then given.
STEPS = {
  'normalize_image { original_minval: 1 original_maxval: 200 '
  'target_minval: -1 target_maxval: 2 }': {
    'original_minval': 1,
    'original_maxval': 200,
    'target_minval': -1,
    'target_maxval': 2,
  },
  'subtract_channel_mean { means: [1, 2, 3] }': {'means': (1, 2, 3)},
  'random_pixel_value_scale { minval: 0.5 maxval: 2 }': {'minval': 0.5, 'maxval': 2},
  'random_jpeg_quality { random_coef: 0.5 min_jpeg_quality: 20 max_jpeg_quality: 90 }': {
    'random_coef': 0.5,
    'min_jpeg_quality': 20,
    'max_jpeg_quality': 90,
  },
  'random_patch_gaussian { random_coef: 0.5 min_patch_size: 2 max_patch_size: 9 '
  'min_gaussian_stddev: 0.25 max_gaussian_stddev: 0.5 }': {
    'random_coef': 0.5,
    'min_patch_size': 2,
    'max_patch_size': 9,
    'min_gaussian_stddev': 0.25,
    'max_gaussian_stddev': 0.5,
  },
  'random_black_patches { max_black_patches: 3 probability: 0.25 size_to_image_ratio: 0.5 }': {
    'max_black_patches': 3,
    'probability': 0.25,
    'size_to_image_ratio': 0.5,
  },
  'random_adjust_brightness { max_delta: 0.5 }': {'max_delta': 0.5},
  'random_adjust_contrast { min_delta: 0.5 max_delta: 2 }': {'min_delta': 0.5, 'max_delta': 2},
  'random_adjust_hue { max_delta: 0.5 }': {'max_delta': 0.5},
  'random_adjust_saturation { min_delta: 0.5 max_delta: 2 }': {'min_delta': 0.5, 'max_delta': 2},
  'random_distort_color { color_ordering: 1 }': {'color_ordering': 1},
  'random_rgb_to_gray { probability: 0.5 }': {'probability': 0.5},
  'rgb_to_gray { }': {},
  'adjust_gamma { gamma: 2 gain: 0.5 }': {'gamma': 2, 'gain': 0.5},
  'drop_label_probabilistically { label: 2 drop_probability: 0.5 }': {
    'label': 2,
    'drop_probability': 0.5,
  },
  'remap_labels { original_labels: [1, 2] new_label: 3 }': {
    'original_labels': (1, 2),
    'new_label': 3,
  },
  'autoaugment_image { policy_name: "test" }': {'policy_name': 'test'},
  'ssd_photometric_distortion { brightness_delta: 8 min_contrast: 0.25 max_contrast: 2 '
  'min_saturation: 0.75 max_saturation: 4 hue_delta: 9 probability: 0.25 '
  'channel_swap_probability: 0.125 }': {
    'brightness_delta': 8,
    'min_contrast': 0.25,
    'max_contrast': 2,
    'min_saturation': 0.75,
    'max_saturation': 4,
    'hue_delta': 9,
    'probability': 0.25,
    'channel_swap_probability': 0.125,
  },
  'ssd_expand { probability: 0.25 min_scale: 1.5 max_scale: 2 color: [1, 2, 3] }': {
    'probability': 0.25,
    'min_scale': 1.5,
    'max_scale': 2,
    'color': (1, 2, 3),
  },
  'ssd_patch_crop { min_iou: [0.25, 0.5] keep_probability: 0.25 min_scale: 0.5 max_scale: 0.75 '
  'min_aspect_ratio: 0.25 max_aspect_ratio: 4 max_trials: 7 }': {
    'min_iou': (0.25, 0.5),
    'keep_probability': 0.25,
    'min_scale': 0.5,
    'max_scale': 0.75,
    'min_aspect_ratio': 0.25,
    'max_aspect_ratio': 4,
    'max_trials': 7,
  },
  'resize_random_interpolation { height: 20 width: 30 }': {'height': 20, 'width': 30},
  'ssd_tensorflow_crop { min_object_covered: 0.5 min_aspect_ratio: 0.25 max_aspect_ratio: 4 '
  'min_area: 0.25 max_area: 0.75 overlap_thresh: 0.25 max_attempts: 9 }': {
    'min_object_covered': 0.5,
    'min_aspect_ratio': 0.25,
    'max_aspect_ratio': 4,
    'min_area': 0.25,
    'max_area': 0.75,
    'overlap_thresh': 0.25,
    'max_attempts': 9,
  },
  'ssd_tensorflow_color { }': {},
}
# The original's defaults: f_preprocess.json, preprocessor_signatures, and of its proto messages.
DEFAULTS = {
  'random_pixel_value_scale': {'minval': 0.9, 'maxval': 1.1},
  'random_jpeg_quality': {'random_coef': 0, 'min_jpeg_quality': 0, 'max_jpeg_quality': 100},
  'random_patch_gaussian': {
    'random_coef': 0,
    'min_patch_size': 1,
    'max_patch_size': 250,
    'min_gaussian_stddev': 0,
    'max_gaussian_stddev': 1,
  },
  'random_black_patches': {
    'max_black_patches': 10,
    'probability': 0.5,
    'size_to_image_ratio': 0.1,
  },
  'random_adjust_brightness': {'max_delta': 0.2},
  'random_adjust_contrast': {'min_delta': 0.8, 'max_delta': 1.25},
  'random_adjust_hue': {'max_delta': 0.02},
  'random_adjust_saturation': {'min_delta': 0.8, 'max_delta': 1.25},
  'random_distort_color': {'color_ordering': 0},
  'random_rgb_to_gray': {'probability': 0.1},
  'rgb_to_gray': {},
  'adjust_gamma': {'gamma': 1, 'gain': 1},
  'autoaugment_image': {'policy_name': 'v0'},
  # The originals' chains; a list that is empty is left to the operation.
  'ssd_photometric_distortion': {
    'brightness_delta': 32,
    'min_contrast': 0.5,
    'max_contrast': 1.5,
    'min_saturation': 0.5,
    'max_saturation': 1.5,
    'hue_delta': 18,
    'probability': 0.5,
    'channel_swap_probability': 0,
  },
  'ssd_expand': {'probability': 0.5, 'min_scale': 1, 'max_scale': 4},
  'ssd_patch_crop': {
    'keep_probability': 0.143,
    'min_scale': 0.3,
    'max_scale': 1,
    'min_aspect_ratio': 0.5,
    'max_aspect_ratio': 2,
    'max_trials': 50,
  },
  'resize_random_interpolation': {'height': 300, 'width': 300},
  'ssd_tensorflow_crop': {
    'min_object_covered': 0.25,
    'min_aspect_ratio': 0.6,
    'max_aspect_ratio': 1.67,
    'min_area': 0.1,
    'max_area': 1,
    'overlap_thresh': 0.5,
    'max_attempts': 200,
  },
}


def train_config(*steps):
  text = ''.join(f'data_augmentation_options {{ {step} }}' for step in steps)
  return text_format.Parse(text, train_pb2.TrainConfig())


def rounded(values):
  """Protos hold float32."""
  return {k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()}


@pytest.mark.parametrize('step', STEPS)
def test_every_field_of_a_step_reaches_its_operation(step):
  ((name, operation),) = build_augmentation(train_config(step))
  assert name == operation.func.__name__ == step.split(' ')[0]
  assert operation.keywords == STEPS[step]
  message = train_config(step).data_augmentation_options[0]
  assert by_schema.ineffective_fields(message) == []


@pytest.mark.parametrize('name', DEFAULTS)
def test_an_empty_step_has_the_originals_defaults(name):
  ((_, operation),) = build_augmentation(train_config(f'{name} {{ }}'))
  assert rounded(operation.keywords) == DEFAULTS[name]


def test_a_step_on_scores_of_all_classes_has_no_effect_and_says_so():
  options = train_config('convert_class_logits_to_softmax { temperature: 2 }')
  ((_, operation),) = build_augmentation(options)
  example = {fields.IMAGE: np.zeros([2, 3, 3], np.uint8)}
  assert operation(example, [1, 2]) is example
  assert by_schema.ineffective_fields(options.data_augmentation_options[0]) == [
    'convert_class_logits_to_softmax'
  ]


@pytest.mark.parametrize(
  ('step', 'faults'),
  [
    ('normalize_image { }', ['original_maxval: is 0']),
    ('subtract_channel_mean { }', ['means: is empty']),
    ('subtract_channel_mean { means: [1, 2] }', ['means: is 1.0, 2']),
    ('random_pixel_value_scale { minval: 2 }', ['maxval: is 1.1']),
    ('random_adjust_brightness { max_delta: -1 }', ['max_delta: is -1']),
    ('random_adjust_contrast { max_delta: 0.5 }', ['max_delta: is 0.5']),
    ('random_adjust_hue { max_delta: 20 }', ['max_delta: is 20']),
    (
      'random_adjust_saturation { min_delta: -2 max_delta: -3 }',
      ['min_delta: is -2', 'max_delta: is -3; expected 0', 'max_delta: is -3; expected min_delta'],
    ),
    ('random_distort_color { color_ordering: 2 }', ['color_ordering: is 2']),
    ('adjust_gamma { gamma: -1 }', ['gamma: is -1']),
    ('random_jpeg_quality { min_jpeg_quality: 100 }', ['max_jpeg_quality: is 100']),
    ('random_jpeg_quality { max_jpeg_quality: 101 }', ['max_jpeg_quality: is 101']),
    ('random_patch_gaussian { min_patch_size: 0 }', ['min_patch_size: is 0']),
    ('random_patch_gaussian { min_patch_size: 300 }', ['max_patch_size: is 250']),
    ('random_black_patches { size_to_image_ratio: 2 }', ['size_to_image_ratio: is 2']),
    ('drop_label_probabilistically { }', ['label: is 0']),
    ('drop_label_probabilistically { label: 4 }', ['label: is 4']),
    (
      'remap_labels { original_labels: [2, 5] new_label: 9 }',
      ['original_labels: is 2, 5; expected', 'new_label: is 9'],
    ),
    ('remap_labels { }', ['original_labels: is empty', 'new_label: is 0']),
    ('autoaugment_image { policy_name: "v9" }', ['policy_name: is v9']),
    (
      'ssd_photometric_distortion { brightness_delta: -1 hue_delta: 200 }',
      ['brightness_delta: is -1', 'hue_delta: is 200'],
    ),
    ('ssd_photometric_distortion { max_contrast: 0.25 }', ['max_contrast: is 0.25']),
    ('ssd_expand { min_scale: 0.5 }', ['min_scale: is 0.5']),
    ('ssd_expand { color: [1, 2] }', ['color: is 1']),
    (
      'ssd_patch_crop { min_iou: [0.5, 2] max_trials: 0 }',
      ['min_iou[1]: is 2', 'max_trials: is 0'],
    ),
    ('ssd_patch_crop { max_scale: 0.25 }', ['max_scale: is 0.25']),
    ('resize_random_interpolation { width: 0 }', ['width: is 0']),
    (
      'ssd_tensorflow_crop { min_area: 0 max_attempts: 0 }',
      ['min_area: is 0', 'max_attempts: is 0'],
    ),
  ],
)
def test_values_that_make_no_sense_are_refused(step, faults):
  with pytest.raises(InputError) as caught:
    build_augmentation(train_config('rgb_to_gray { }', step), num_classes=3)
  lines = str(caught.value).splitlines()
  assert len(lines) == len(faults)
  for line, fault in zip(lines, faults, strict=True):
    assert line.startswith(
      f'train_config.data_augmentation_options[1].{step.split(" ")[0]}.{fault}'
    )


@pytest.mark.slow
def test_batches_of_all_steps_are_the_same_whenever_they_are_asked_for(tiny):
  path = str(tiny / 'tiny.config')
  pipeline = Pipeline.load(path).config
  del pipeline.train_config.data_augmentation_options[:]
  # What leaves the range of 0 to 255 comes last.
  last = [step for step in STEPS if step.startswith(('normalize', 'subtract'))]
  steps = [step for step in STEPS if step not in last] + last
  pipeline.train_config.MergeFrom(train_config(*steps))
  detector = builders.build_detector(pipeline.model, is_training=True)

  def batches(start_step):
    data = builders.build_train_dataset(Pipeline(pipeline, path), detector, start_step=start_step)
    return list(data.take(2).as_numpy_iterator())

  first, second = batches(0)
  (again, _) = batches(1)
  assert first[fields.IMAGE].dtype == np.float32
  for key, value in second.items():
    np.testing.assert_array_equal(value, again[key], err_msg=key)
  # Remapped: 1 and 2 to 3; padding is 0.
  assert set(np.unique(first[fields.GROUNDTRUTH_CLASSES])) <= {0, 3}
  # (x - 1) * 3 / 199 - 1, of 0 to 255, less 1 to 3, by (2 / 255) x - 1.
  low, high = (-1 * 3 / 199 - 1 - 3) * 2 / 255 - 1, (254 * 3 / 199 - 1 - 1) * 2 / 255 - 1
  assert low - 1e-5 <= first[fields.IMAGE].min() < first[fields.IMAGE].max() <= high + 1e-5
