"""Anchors against the original's own."""

import numpy as np
import odapi_goldens
import pytest

from ssd_tf.ops import anchors

GOLDENS = odapi_goldens.arrays('a_anchors')


def as_parsed(value):
  """What a float field of a proto holds: the float32 nearest to what the text says."""
  return float(np.float32(value))


SSD = {
  'num_layers': 6,
  'min_scale': as_parsed(0.2),
  'max_scale': as_parsed(0.95),
  'scales': [],
  'aspect_ratios': [1.0, 2.0, 0.5, 3.0, as_parsed(0.3333)],
  'interpolated_scale_aspect_ratio': 1.0,
  'base_anchor_height': 1.0,
  'base_anchor_width': 1.0,
  'reduce_boxes_in_lowest_layer': True,
  'height_stride': [],
  'width_stride': [],
  'height_offset': [],
  'width_offset': [],
}
MULTISCALE = {
  'min_level': 3,
  'max_level': 7,
  'anchor_scale': 4.0,
  'aspect_ratios': [1.0, 2.0, 0.5],
  'scales_per_octave': 2,
  'normalize_coordinates': True,
}
SQUARE_300 = [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]


def per_location(options):
  names = ('num_layers', 'aspect_ratios', 'interpolated_scale_aspect_ratio')
  names += ('reduce_boxes_in_lowest_layer',)
  return anchors.anchors_per_location(**{name: options[name] for name in names})


@pytest.mark.parametrize(
  ('name', 'sizes', 'image_size', 'changes'),
  [
    ('ssd_mobilenet_v2_320', SQUARE_300, (300, 300), {}),
    (
      'ssd_mobilenet_v2_320_nonsquare_h160_w300',
      [(10, 19), (5, 10), (3, 5), (2, 3), (1, 2), (1, 1)],
      (160, 300),
      {},
    ),
    (
      'variant_strides_offsets',
      [(4, 4), (2, 2)],
      (64, 64),
      {
        'num_layers': 2,
        'aspect_ratios': [1.0, 2.0],
        'height_stride': [16, 32],
        'width_stride': [16, 32],
        'height_offset': [8, 16],
        'width_offset': [8, 16],
        'reduce_boxes_in_lowest_layer': False,
      },
    ),
    (
      'variant_scales_nointerp',
      [(4, 4), (2, 2), (1, 1)],
      (64, 64),
      {
        'num_layers': 3,
        'scales': [as_parsed(0.1), as_parsed(0.4), as_parsed(0.8)],
        'aspect_ratios': [1.0, 0.5],
        'interpolated_scale_aspect_ratio': 0.0,
        'base_anchor_height': 0.5,
      },
    ),
  ],
)
def test_ssd_anchors_equal_the_original(name, sizes, image_size, changes):
  options = {**SSD, **changes}
  generated = anchors.generate_ssd_anchors(sizes, image_size, **options)
  assert generated.dtype == np.float32
  np.testing.assert_array_equal(generated, GOLDENS[name])
  counts = [h * w * k for (h, w), k in zip(sizes, per_location(options), strict=True)]
  assert sum(counts) == len(generated)


@pytest.mark.parametrize(
  ('name', 'image_size', 'count', 'changes'),
  [
    ('ssd_mobilenet_v2_fpnlite_320', (320, 320), 12804, {}),
    ('ssd_mobilenet_v1_fpn_640', (640, 640), 51150, {}),
    ('ssd_mobilenet_v2_fpnlite_nonsquare_h160_w320', (160, 320), 6426, {}),
    (
      'variant_multiscale_absolute',
      (64, 64),
      756,
      {'max_level': 5, 'anchor_scale': 3.0, 'scales_per_octave': 3, 'normalize_coordinates': False},
    ),
  ],
)
def test_multiscale_anchors_equal_the_original(name, image_size, count, changes):
  options = {**MULTISCALE, **changes}
  levels = range(options['min_level'], options['max_level'] + 1)
  sizes = [tuple(-(-side // 2**level) for side in image_size) for level in levels]
  generated = anchors.generate_multiscale_anchors(sizes, image_size, **options)
  assert len(generated) == count
  # Of those with thousands, every 37th was kept.
  kept = generated[::37] if count > 5000 else generated
  np.testing.assert_array_equal(kept, GOLDENS[name])


def test_anchor_of_ratio_1_is_square_in_pixels_on_an_image_that_is_not():
  options = {**SSD, 'num_layers': 1, 'scales': [0.5], 'aspect_ratios': [1.0, 4.0]}
  options.update(reduce_boxes_in_lowest_layer=False, interpolated_scale_aspect_ratio=1.0)
  generated = anchors.generate_ssd_anchors([(1, 2)], (100, 200), **options)
  # Sides of .5 * 100 px; ratio 4: 25 x 100 px; last: sqrt(.5 * 1) * 100 = 70.71 px.
  # Centers in pixels: (50, 50), (50, 150).
  half = np.sqrt(0.5) * 50
  expected = [[25, 25, 75, 75], [37.5, 0, 62.5, 100], [50 - half] * 2 + [50 + half] * 2]
  expected = np.array(expected) / [100, 200, 100, 200]
  np.testing.assert_allclose(generated[:3], expected, atol=1e-6)
  np.testing.assert_allclose(generated[3:], expected + [0, 0.5, 0, 0.5], atol=1e-6)


def test_anchors_per_location():
  assert per_location(SSD) == [3, 6, 6, 6, 6, 6]
  whole = {**SSD, 'reduce_boxes_in_lowest_layer': False, 'interpolated_scale_aspect_ratio': 0.0}
  assert per_location(whole) == [5] * 6


def test_wrong_number_of_layers_is_named():
  with pytest.raises(ValueError, match='feature_map_sizes: expected 6 entries.*received 5'):
    anchors.generate_ssd_anchors(SQUARE_300[:5], (300, 300), **SSD)
  with pytest.raises(ValueError, match='height_stride: expected 6 entries.*received 2'):
    anchors.generate_ssd_anchors(SQUARE_300, (300, 300), **{**SSD, 'height_stride': [16, 32]})
  with pytest.raises(ValueError, match='expected 5 entries.*received 6'):
    anchors.generate_multiscale_anchors(SQUARE_300, (300, 300), **MULTISCALE)
