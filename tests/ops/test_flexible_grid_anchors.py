"""Flexible grid anchors against those of SSD-Tensorflow and ssd_keras, and by hand."""

import pathlib

import numpy as np
import pytest
from google.protobuf import text_format

from ssd_tf.builders import anchors as anchor_builder
from ssd_tf.config.checks.by_schema import require_supported
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.ops import anchors
from ssd_tf.protos import ssd_pb2

CONFIGS = pathlib.Path(__file__).parents[2] / 'ssd_tf/configs'
SIDES_300 = (38, 19, 10, 5, 3, 1)
SIDES_512 = (64, 32, 16, 8, 4, 2, 1)


def corners(centers_and_sizes):
  """[A,4] cy, cx, h, w -> ymin, xmin, ymax, xmax."""
  centers, sizes = np.split(np.asarray(centers_and_sizes, np.float64), 2, axis=1)
  return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)


def ssd_with(snippet, side):
  """A `model.ssd` with a snippet of ssd_tf/configs/anchors."""
  ssd = ssd_pb2.Ssd()
  text_format.Parse((CONFIGS / f'anchors/{snippet}.pbtxt').read_text(), ssd)
  ssd.image_resizer.fixed_shape_resizer.height = side
  ssd.image_resizer.fixed_shape_resizer.width = side
  ssd.feature_extractor.type = f'ssd_{side}_vgg'
  return ssd


def generate(ssd):
  sides = SIDES_300 if ssd.feature_extractor.type == 'ssd_300_vgg' else SIDES_512
  return anchor_builder.generate_anchors(ssd, [(side, side) for side in sides])


@pytest.mark.parametrize('side', [300, 512])
def test_anchors_of_ssd_tensorflow(side, golden_file):
  golden = np.load(golden_file(f'balancap/anchors_ssd_{side}_vgg.npz'))
  ssd = ssd_with(f'ssd{side}_coco', side)
  assert anchor_builder.count_anchors_per_location(ssd) == golden['n_per_cell'].tolist()
  np.testing.assert_allclose(generate(ssd), corners(golden['anchors_yxhw']), rtol=0, atol=5e-7)


# Of COCO's anchors every 37th was kept.
@pytest.mark.parametrize(
  ('name', 'count', 'step'),
  [
    ('ssd300_voc', 8732, 1),
    ('ssd300_coco', 8732, 37),
    ('ssd512_voc', 24564, 1),
    ('ssd512_coco', 24564, 37),
  ],
)
def test_anchors_of_ssd_keras(name, count, step, golden_file):
  golden = np.load(golden_file(f'ssd_keras/anchors_{name}.npz'))['corners_xyxy'][:, [1, 0, 3, 2]]
  found = generate(ssd_with(name, int(name[3:6])))
  assert len(found) == count
  np.testing.assert_allclose(found[::step], golden, rtol=0, atol=5e-7)


@pytest.mark.parametrize('side', [300, 512])
def test_the_voc_configs_have_the_anchors_of_voc(side):
  ssd = Pipeline.load(CONFIGS / f'ssd{side}_vgg_voc0712.config').config.model.ssd
  assert ssd.anchor_generator == ssd_with(f'ssd{side}_voc', side).anchor_generator


def ssd_7(**grid):
  """SSD7's `model.ssd`, at 300x480: sides double from 24 on, ratios 1/2, 1, 1, 2; no strides."""
  ssd = ssd_pb2.Ssd()
  ssd.image_resizer.fixed_shape_resizer.height = 300
  ssd.image_resizer.fixed_shape_resizer.width = 480
  ssd.feature_extractor.type = 'ssd_7'
  scales = np.array([0.08, 0.16, 0.32, 0.64, 0.96]) * 300
  for s, following in zip(scales, scales[1:], strict=False):
    ssd.anchor_generator.flexible_grid_anchor_generator.anchor_grid.add(
      base_sizes=[s, s, np.sqrt(s * following), s], aspect_ratios=[0.5, 1, 1, 2], **grid
    )
  return ssd


def test_anchors_of_ssd7_on_a_non_square_image_are_spread_evenly(golden_file):
  golden = np.load(golden_file('ssd_keras/anchors_ssd7.npz'))
  found = anchor_builder.generate_anchors(ssd_7(), [(37, 60), (18, 30), (9, 15), (4, 7)])
  np.testing.assert_allclose(found, golden['corners_xyxy'][:, [1, 0, 3, 2]], rtol=0, atol=5e-7)


def test_strides_offsets_and_pairs_by_hand():
  # 100x200 pixels. Map 1: rows at 10, 60, columns at 0, 80; a box of 16x16, then one of 10x40.
  # Map 2: one location in the middle; 30x30.
  found = anchors.generate_flexible_grid_anchors(
    [(2, 2), (1, 1)],
    (100, 200),
    base_sizes=[[16, 20], [30]],
    aspect_ratios=[[1, 4], [1]],
    strides=[(50, 80), (None, None)],
    offsets=[(10, 0), (None, None)],
  )
  pixels = [
    *([2, -8, 18, 8], [5, -20, 15, 20], [2, 72, 18, 88], [5, 60, 15, 100]),
    *([52, -8, 68, 8], [55, -20, 65, 20], [52, 72, 68, 88], [55, 60, 65, 100]),
    [35, 85, 65, 115],
  ]
  np.testing.assert_allclose(found, np.array(pixels) / [100, 200, 100, 200], atol=1e-7)


@pytest.mark.parametrize(
  ('grid', 'first_center'),
  [
    # The first map is 2x3, so that it is spread by 150 rows and 160 columns.
    ({}, (75, 80)),
    ({'height_stride': 0, 'width_stride': 0}, (75, 80)),
    ({'height_stride': 8, 'width_stride': 8}, (0, 0)),  # As the Object Detection API.
    ({'height_stride': 8, 'height_offset': 3}, (3, 80)),
    ({'width_offset': 0}, (75, 0)),
  ],
)
def test_what_an_unset_stride_or_offset_means(grid, first_center):
  found = anchor_builder.generate_anchors(ssd_7(**grid), [(2, 3), (1, 1), (1, 1), (1, 1)])
  center = (found[0, :2] + found[0, 2:]) / 2 * [300, 480]
  np.testing.assert_allclose(center, first_center, atol=1e-4)


@pytest.mark.parametrize(
  ('spoil', 'message'),
  [
    (lambda g: g.anchor_grid.pop(), r'anchor_grid: there are 3, but ssd_7 has 4 feature maps'),
    (lambda g: g.anchor_grid[2].base_sizes.pop(), r'anchor_grid\[2\]: has 3 base_sizes and 4'),
    (lambda g: g.anchor_grid[0].Clear(), r'anchor_grid\[0\]: has 0 base_sizes and 0'),
    (lambda g: g.anchor_grid[1].base_sizes.insert(0, 0.0), r'anchor_grid\[1\]: has 5 base_sizes'),
    (
      lambda g: setattr(g, 'normalize_coordinates', False),
      'normalize_coordinates: is false; expected true',
    ),
  ],
)
def test_grids_that_do_not_fit_are_refused(spoil, message):
  ssd = ssd_7()
  spoil(ssd.anchor_generator.flexible_grid_anchor_generator)
  with pytest.raises(InputError, match=f'flexible_grid_anchor_generator.{message}'):
    anchor_builder.count_anchors_per_location(ssd)


def test_a_base_size_of_0_is_refused_with_all_numbers_out_of_range():
  ssd = ssd_7()
  ssd.anchor_generator.flexible_grid_anchor_generator.anchor_grid[3].base_sizes[0] = 0
  place = r'flexible_grid_anchor_generator\.anchor_grid\[3\]\.base_sizes\[0\]'
  with pytest.raises(InputError, match=f'{place}: is 0; expected more than 0'):
    require_supported(ssd, 'model.ssd')
