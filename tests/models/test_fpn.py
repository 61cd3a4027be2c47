"""Feature pyramids: the original's numbers, and NumPy's on maps small enough to follow."""

import keras
import numpy as np
import odapi_goldens
import pytest
from google.protobuf import text_format

from ssd_tf import builders
from ssd_tf.errors import InputError
from ssd_tf.models.conv_block import ConvHyperparams
from ssd_tf.models.fpn import feature_pyramid

FPNLITE = 'ssd_mobilenet_v2_fpnlite_320'


def test_fpnlite_equals_the_original(tmp_path):
  golden = odapi_goldens.load(FPNLITE, tmp_path)
  theirs = odapi_goldens.arrays(f'g_{FPNLITE}_outputs')
  odapi_goldens.check_outputs(golden, theirs)
  layers = [f'feature_map_{level}_smoothing_activation' for level in (3, 4)]
  layers += ['feature_map_5_projection']
  layers += [f'feature_map_{level}_coarse_activation' for level in (6, 7)]
  odapi_goldens.check_feature_maps(golden, theirs, layers)


def test_an_image_that_is_not_square():
  config = odapi_goldens.model_config(FPNLITE)
  config.ssd.image_resizer.fixed_shape_resizer.height = 160
  config.ssd.feature_extractor.depth_multiplier = 0.25
  model = builders.build_model(config, is_training=False)
  assert model.feature_map_sizes == [(20, 40), (10, 20), (5, 10), (3, 5), (2, 3)]
  anchors = builders.generate_anchors(config.ssd, model.feature_map_sizes)
  golden = odapi_goldens.arrays('a_anchors')['ssd_mobilenet_v2_fpnlite_nonsquare_h160_w320']
  assert len(anchors) == 6426
  np.testing.assert_array_equal(anchors[::37], golden)
  for batch_size in (1, 3):
    outputs = model(np.zeros([batch_size, 160, 320, 3], np.float32))
    assert outputs['class_logits'].shape == (batch_size, 6426, 4)


def numpy_pyramid(maps, pass_smoothed):
  """With kernels that do nothing but to double in smoothing, and to halve on the coarse level.

  The last row and column of an enlarged map that is too large are cut off.
  """

  def relu6(x):
    return np.clip(x, 0, 6)

  top = maps[5]
  # 2x4 -> 1x2: SAME with stride 2 pads only below, so the centers are row 1 and columns 1 and 3.
  levels = {5: top, 6: relu6(0.5 * top[:, 1::2, 1::2])}
  inner = top
  for level in (4, 3):
    height, width = maps[level].shape[1:3]
    enlarged = inner.repeat(2, 1).repeat(2, 2)[:, :height, :width]
    inner = enlarged + maps[level]
    levels[level] = relu6(2 * inner)
    if pass_smoothed:
      inner = levels[level]
  return [levels[level] for level in (3, 4, 5, 6)]


@pytest.mark.parametrize('pass_smoothed', [True, False])
def test_levels_against_numpy(pass_smoothed):
  # Level 4 has odd sides: the 2x4 above become 4x8, of which 3x7 are used.
  shapes = {2: (12, 28), 3: (6, 14), 4: (3, 7), 5: (2, 4)}
  rng = np.random.default_rng(0)
  maps = {level: rng.normal(0, 2, (2, *s, 2)).astype(np.float32) for level, s in shapes.items()}
  inputs = [keras.Input([*shape, 2]) for shape in shapes.values()]
  hyperparams = ConvHyperparams(keras.initializers.Zeros, batch_norm=None)
  outputs = feature_pyramid(
    inputs, hyperparams, min_level=3, max_level=6, depth=2, pass_smoothed=pass_smoothed
  )
  model = keras.Model(inputs, outputs)
  for layer in model.layers:
    if layer.weights:
      kernel = np.zeros(layer.kernel.shape)
      factor = 2 if 'smoothing' in layer.name else 0.5 if 'coarse' in layer.name else 1
      middle = kernel.shape[0] // 2
      kernel[middle, middle] = factor * np.eye(2)
      layer.kernel.assign(kernel)
  found = model([maps[level] for level in shapes])
  expected = numpy_pyramid(maps, pass_smoothed)
  for ours, theirs in zip(found, expected, strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_types_of_tf1_pass_what_is_not_smoothed():
  config = odapi_goldens.model_config(FPNLITE)
  config.ssd.feature_extractor.depth_multiplier = 0.25
  sources = {}
  for suffix in ('', '_keras'):
    config.ssd.feature_extractor.type = f'ssd_mobilenet_v2_fpn{suffix}'
    model = builders.build_model(config, is_training=False)
    assert model.name == 'ssd_mobilenet_v2_fpn'
    enlarge = model.get_layer('feature_map_3_enlarge')
    sources[suffix] = enlarge.input._keras_history.operation.name
  assert sources == {'': 'feature_map_4_add', '_keras': 'feature_map_4_smoothing_activation'}


def small(text):
  config = odapi_goldens.tiny_model_config()
  config.ssd.feature_extractor.type = 'ssd_mobilenet_v1_fpn_keras'
  config.ssd.ClearField('anchor_generator')
  text_format.Merge(text, config.ssd)
  return config


@pytest.mark.parametrize(
  ('levels', 'sizes'),
  [
    ((3, 7), [(8, 12), (4, 6), (2, 3), (1, 2), (1, 1)]),
    ((2, 5), [(16, 24), (8, 12), (4, 6), (2, 3)]),
    ((3, 4), [(8, 12), (4, 6)]),  # The last blocks of the backbone are not needed.
    ((5, 6), [(2, 3), (1, 2)]),
  ],
)
def test_levels_depth_and_anchors(levels, sizes):
  options = f'min_level: {levels[0]} max_level: {levels[1]}'
  config = small(
    f'feature_extractor {{ fpn {{ {options} additional_layer_depth: 100 }} }} '
    f'anchor_generator {{ multiscale_anchor_generator {{ {options} aspect_ratios: [1, 2] }} }}'
  )
  model = builders.build_model(config, is_training=True)
  assert model.feature_map_sizes == sizes
  # 100 * 0.25, the tiny model's depth_multiplier.
  assert model.get_layer(f'feature_map_{levels[0]}_projection').filters == 25
  anchors = builders.generate_anchors(config.ssd, model.feature_map_sizes)
  # 2 aspect ratios, 2 scales an octave.
  assert len(anchors) == sum(4 * h * w for h, w in sizes) == model.output['class_logits'].shape[1]
  # The first: 4 strides on a side, around half a stride.
  stride = 2 ** levels[0]
  expected = np.array([-1.5, -1.5, 2.5, 2.5]) * stride / [64, 96, 64, 96]
  np.testing.assert_allclose(anchors[0], expected, rtol=1e-6)
  if levels == (3, 4):
    assert not any('block_13' in layer.name for layer in model.layers)


def test_depth_is_at_least_min_depth():
  config = small(
    'feature_extractor { min_depth: 48 fpn {} } '
    'anchor_generator { multiscale_anchor_generator { aspect_ratios: 1 } }'
  )
  config.ssd.feature_extractor.fpn.additional_layer_depth = 64
  model = builders.build_model(config, is_training=True)
  assert model.get_layer('feature_map_6_coarse').filters == 48


MULTISCALE = 'anchor_generator { multiscale_anchor_generator { aspect_ratios: 1'


@pytest.mark.parametrize(
  ('text', 'fault'),
  [
    (
      f'feature_extractor {{ fpn {{ max_level: 6 }} }} {MULTISCALE} }} }}',
      r'multiscale_anchor_generator: has min_level 3 and max_level 7, but '
      r'model.ssd.feature_extractor.fpn has 3 and 6',
    ),
    (
      f'feature_extractor {{ fpn {{ min_level: 6 }} }} {MULTISCALE} }} }}',
      'fpn: has min_level 6 and max_level 7; expected 2 to 5 for min_level',
    ),
    (
      f'{MULTISCALE} normalize_coordinates: false }} }}',
      'normalize_coordinates: is false; expected true',
    ),
    (f'{MULTISCALE} scales_per_octave: 0 }} }}', 'scales_per_octave: is 0; expected 1 to 100'),
    ('anchor_generator { multiscale_anchor_generator {} }', 'aspect_ratios: is empty'),
    (
      'anchor_generator { ssd_anchor_generator { aspect_ratios: 1 } }',
      'num_layers: is 6, but model.ssd.feature_extractor.fpn has levels for 5',
    ),
    (
      f'feature_extractor {{ type: "ssd_mobilenet_v1" fpn {{}} }} {MULTISCALE} }} }}',
      'feature_extractor.fpn: is set, but ssd_mobilenet_v1 has none',
    ),
    (
      f'feature_extractor {{ type: "ssd_mobilenet_v1" }} {MULTISCALE} }} }}',
      'has levels 3 to 7, but model.ssd.feature_extractor.num_layers is 3',
    ),
  ],
)
def test_what_does_not_fit_is_named(text, fault):
  with pytest.raises(InputError, match=fault):
    builders.build_model(small(text), is_training=False)
