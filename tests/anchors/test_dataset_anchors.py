"""Anchors for a data set: the boxes that train, overlaps by brute force, the block built."""

import dataclasses
import types
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import tensorflow as tf
import tiny_project
from google.protobuf import text_format

from ssd_tf import builders, fields
from ssd_tf.anchors.block import with_anchors, write_block
from ssd_tf.anchors.dataset import DatasetAnchors, check_output, find_anchors, save_config
from ssd_tf.anchors.layout import Layout, cell_fits, choose_maps, find_layout, lay_out
from ssd_tf.anchors.plot import draw
from ssd_tf.anchors.text import describe
from ssd_tf.anchors.tiling import best_ious, center_distances, shape_ious, tile
from ssd_tf.anchors.training_boxes import TrainingBoxes, read_training_boxes
from ssd_tf.builders import resizers
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.ops import boxes as box_ops

MAPS = [(4, 6), (2, 3), (1, 2)]  # Of tiny.config: 64x96 pixels, strides of 16, 32 and 64 or 48.


def load(folder, *overrides):
  path = str(folder / 'tiny.config')
  return Pipeline.load(path, overrides).config, path


def record(name, height, width, boxes, class_ids, **changes):
  """An image of no pixels that can be read, and boxes [ymin, xmin, ymax, xmax] in pixels."""
  boxes = np.float32(np.array(boxes).reshape(-1, 4) / ([height, width] * 2))
  return tiny_project.tf_example.Annotation(
    encoded=b'\x89PNG\r\n\x1a\nnot decoded', format='png', height=height, width=width,
    filename=name, source_id=name, boxes=boxes, class_ids=np.array(class_ids, np.int64),
    class_names=[tiny_project.NAMES[i - 1] for i in class_ids], **changes,
  )  # fmt: skip


def brute_force(boxes, tiling):
  return box_ops.pairwise_iou(boxes, tiling.anchors).numpy().max(axis=1)


def some_boxes(n, seed=0):
  """f32[n, 4] of all sizes; the first fills the image, the second is a dot at its border."""
  rng = np.random.default_rng(seed)
  centers, sizes = rng.uniform(0, 1, [n, 2]), np.exp(rng.uniform(-3.5, 0, [n, 2]))
  boxes = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1).clip(0, 1)
  boxes[:2] = [[0, 0, 1, 1], [0.99, 0.995, 1, 1]]
  return boxes.astype(np.float32)


# What the readers give.


def test_boxes_as_a_fixed_shape_model_sees_them(tiny):
  images = [
    # 32 x 64 (high x wide) pixels to 64 x 96: heights double, widths grow by half.
    record('a', 32, 64, [[4, 8, 20, 48], [0, 0, 32, 64]], [1, 2]),
    record('b', 64, 96, [[10, 10, 20, 30]], [3], area=np.float32([50])),
    record('empty', 64, 96, [], []),
  ]
  tiny_project.write_records(tiny / 'train.record', images)
  found = read_training_boxes(Pipeline(*load(tiny)))
  np.testing.assert_allclose(found.sizes, [[32, 60], [64, 96], [10, 20]], rtol=1e-6)
  assert found.classes.tolist() == [1, 2, 3]
  # Of the originals, 16 * 40 and 32 * 64, and as annotated.
  np.testing.assert_allclose(found.areas, [640, 2048, 50], rtol=1e-6)
  assert (found.num_images, found.left_out, found.input_size) == (3, {}, (64, 96))


def test_boxes_as_a_model_that_keeps_the_aspect_ratio_sees_them(tiny):
  # 30 x 60 pixels: the shorter side to 64 would make the longer one 128, so 96 and 48; padded to
  # 96 x 96. 40 x 40: to 64 x 64.
  resizer = 'keep_aspect_ratio_resizer { min_dimension: 64 max_dimension: 96 }'
  overrides = [f'model.ssd.image_resizer={{ {resizer} pad_to_max_dimension: true }}']
  overrides[0] = overrides[0].replace('} pad', ' pad').replace('true }', 'true } }')
  images = [record('a', 30, 60, [[5, 10, 15, 50]], [1]), record('b', 40, 40, [[0, 0, 20, 40]], [1])]
  tiny_project.write_records(tiny / 'train.record', images)
  found = read_training_boxes(Pipeline(*load(tiny, *overrides)))
  np.testing.assert_allclose(found.sizes, [[16, 64], [32, 64]], rtol=1e-5)
  np.testing.assert_allclose(found.boxes[0] * 96, [8, 16, 24, 80], rtol=1e-5)


def test_the_same_boxes_as_the_training_pipeline_gives(tiny):
  overrides = ['train_input_reader.shuffle=false', 'train_config.batch_size=10']
  resizer = 'keep_aspect_ratio_resizer { min_dimension: 64 max_dimension: 96'
  overrides.append(f'model.ssd.image_resizer={{ {resizer} pad_to_max_dimension: true }} }}')
  loaded, path = load(tiny, *overrides)
  del loaded.train_config.data_augmentation_options[:]
  # All that a data set takes of a detector.
  preprocess = resizers.build_preprocess_image(loaded.model.ssd)
  detector = types.SimpleNamespace(preprocess_image=preprocess)
  batch = next(iter(builders.build_train_dataset(Pipeline(loaded, path), detector)))
  mask = batch[fields.GROUNDTRUTH_MASK].numpy()
  found = read_training_boxes(Pipeline(loaded, path))
  np.testing.assert_allclose(
    found.boxes, batch[fields.GROUNDTRUTH_BOXES].numpy()[mask], rtol=0, atol=1e-6
  )
  assert found.classes.tolist() == batch[fields.GROUNDTRUTH_CLASSES].numpy()[mask].tolist()


def odd_records(folder):
  box = [8, 8, 24, 40]
  flags = np.array([True, False])
  tiny_project.write_records(
    folder / 'train.record',
    [
      record('crowd', 64, 96, [box, [0, 0, 10, 10]], [1, 1], is_crowd=flags),
      record('group', 64, 96, [box, [0, 0, 11, 11]], [1, 1], group_of=flags),
      record('no weight', 64, 96, [box, [0, 0, 12, 12]], [1, 2], weights=np.float32([0, 0.5])),
      record('difficult', 64, 96, [[0, 0, 13, 13]], [2], difficult=np.array([True])),
      record('flat', 64, 96, [[8, 8, 8, 40], [0, 0, 14, 14]], [1, 2]),
      # Not labeled for its boxes' class: they train all the same.
      record('partial', 64, 96, [[0, 0, 15, 15]], [3], labeled_classes=[1]),
      record('many', 64, 96, [[0, 0, 16, 16], [0, 0, 17, 17], box], [2, 2, 1]),
    ],
  )


def test_boxes_that_do_not_train_are_counted_and_left_out(tiny):
  odd_records(tiny)
  found = read_training_boxes(Pipeline(*load(tiny, 'train_input_reader.max_number_of_boxes=2')))
  np.testing.assert_allclose(found.sizes[:, 0], range(10, 18), rtol=1e-5)
  assert found.left_out == {
    'crowds': 2, 'of weight 0': 1, 'without area': 1, 'past max_number_of_boxes': 1,
  }  # fmt: skip


def test_crowds_sampled_records_dropped_classes_and_small_boxes(tiny):
  odd_records(tiny)
  with_crowds = read_training_boxes(Pipeline(*load(tiny, 'model.ssd.train_on_crowds=true')))
  assert len(with_crowds.boxes) == 8 + 2 + 1
  # Records 0, 3 and 6; the first one's crowd is left out.
  sampled = read_training_boxes(
    Pipeline(*load(tiny, 'train_input_reader.sample_1_of_n_examples=3'))
  )
  np.testing.assert_allclose(sampled.sizes[:, 0], [10, 13, 16, 17, 16], rtol=1e-5)
  loaded, path = load(tiny)
  loaded.train_input_reader[0].class_map.add(name='b', drop=True)
  loaded.label_map_path = loaded.train_input_reader[0].label_map_path
  dropped = read_training_boxes(Pipeline(loaded, path))
  assert set(dropped.classes.tolist()) == {1, 3}
  assert dropped.left_out['of classes that class_map drops'] == 5
  large = read_training_boxes(Pipeline(*load(tiny)), min_size=15.5)
  np.testing.assert_allclose(large.sizes[:, 0], [16, 17, 16], rtol=1e-5)
  assert large.left_out['with a side below min_size, 15.5 pixels'] == 6


def test_records_without_boxes(tiny):
  images = [record(str(i), 64, 96, [], []) for i in range(3)]
  crowd = record('crowd', 64, 96, [[0, 0, 9, 9]], [1], is_crowd=np.array([True]))
  tiny_project.write_records(tiny / 'train.record', [*images, crowd])
  with pytest.raises(InputError) as error:
    read_training_boxes(Pipeline(*load(tiny)))
  assert str(error.value) == (
    'train_input_reader: there is no box to fit anchors to in 4 images; left out: 1 crowds; are '
    'these the annotated records?'
  )


# How anchors overlap boxes.


def stock_tiling(folder, *overrides):
  return tile(load(folder, *overrides)[0], MAPS)


MULTISCALE = (
  'model.ssd.anchor_generator={multiscale_anchor_generator { min_level: 4 max_level: 6 '
  'anchor_scale: 2 aspect_ratios: [1, 2] scales_per_octave: 2 }}'
)
STRIDES = 'model.ssd.anchor_generator.ssd_anchor_generator.'
SPREAD = [
  f'{STRIDES}{name}={values}'
  for name, values in (
    ('height_stride', '[16, 32, 64]'), ('width_stride', '[15, 30, 60]'),
    ('height_offset', '[4, 8, 16]'), ('width_offset', '[0, 8, 16]'),
  )
]  # fmt: skip


@pytest.mark.parametrize('overrides', [[], [MULTISCALE], SPREAD])
def test_best_ious_are_those_of_all_anchors(tiny, overrides):
  tiling = stock_tiling(tiny, *overrides)
  boxes = some_boxes(500)
  found, expected = best_ious(boxes, tiling), brute_force(boxes, tiling)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_distances_are_those_to_the_nearest_centers(tiny):
  tiling = stock_tiling(tiny, *SPREAD)
  boxes = some_boxes(50)
  centers = (boxes[:, :2] + boxes[:, 2:]) / 2 * [64, 96]
  found = center_distances(boxes, tiling)
  for level, (strides, offsets) in enumerate(
    [((16, 15), (4, 0)), ((32, 30), (8, 8)), ((64, 60), (16, 16))]
  ):
    for axis in (0, 1):
      lines = offsets[axis] + strides[axis] * np.arange(MAPS[level][axis])
      expected = np.abs(centers[:, axis, np.newaxis] - lines).min(axis=1)
      np.testing.assert_allclose(found[:, level, axis], expected, atol=1e-4)


def test_recall_and_means_of_known_anchors_by_hand(tiny):
  # One anchor of 16x16 at each of 4 x 6 locations, 16 pixels apart from (8, 8) on; one of 64x96 in
  # the middle, and the same at (32, 24) and (32, 72).
  sizes = {0: [[16, 16]], 1: [[32, 32]], 2: [[64, 96]]}
  layout = Layout(
    np.concatenate([*sizes.values()]).astype(float), np.arange(3), np.zeros(3, bool), 0.5
  )
  images = [
    record('a', 64, 96, [
      [0, 0, 16, 16],  # On an anchor: 1; shape 1.
      [0, 0, 16, 32],  # Of 16x32: 256 / 512; so by shape.
      [8, 0, 24, 16],  # Half off: 128 / 384; shape 1. 32x32 has less.
    ], [1, 1, 2]),
    record('b', 128, 192, [[0, 0, 128, 192]], [3]),  # 48 off along x: 64 * 72 of 6144; shape 1.
  ]  # fmt: skip
  tiny_project.write_records(tiny / 'train.record', images)
  loaded, path = load(tiny)
  boxes, stock = read_training_boxes(Pipeline(loaded, path)), stock_tiling(tiny)
  changed = with_anchors(loaded, layout, stock)
  tiling = tile(changed, MAPS)
  # Map 3 is 1 x 2, so its anchors are centered at 24 and 72: 64 * (96 - 24) = 4608 of 6144 + 6144
  # - 4608 = 7680: .6.
  ious = [1, 0.5, 1 / 3, 0.6]
  np.testing.assert_allclose(best_ious(boxes.boxes, tiling), ious, rtol=1e-5)
  shapes = [1, 0.5, 1, 1]
  np.testing.assert_allclose(shape_ious(boxes.boxes, tiling), shapes, rtol=1e-5)
  anchors = DatasetAnchors(
    boxes=boxes, stock=stock, layout=layout, found=tiling, config=changed, threshold=0.55, notes=()
  )
  rows = {row.name: (row.num_boxes, row.found) for row in anchors.rows()}
  # Areas of the originals: 256, 512, 256: small; 24576: large. No medium one, so no row.
  assert list(rows) == ['all', 'a', 'b', 'c', 'small (COCO)', 'large (COCO)']
  for name, members in {
    'all': [0, 1, 2, 3], 'a': [0, 1], 'b': [2], 'c': [3], 'small (COCO)': [0, 1, 2],
    'large (COCO)': [3],
  }.items():  # fmt: skip
    num_boxes, overlaps = rows[name]
    best = np.take(ious, members)
    assert num_boxes == len(members)
    assert overlaps.mean_iou == pytest.approx(best.mean(), rel=1e-5)
    assert overlaps.recall == pytest.approx((best >= 0.55).mean())
    assert overlaps.shape_iou == pytest.approx(np.take(shapes, members).mean(), rel=1e-5)
  expected = brute_force(boxes.boxes, stock)
  assert anchors.rows()[0].stock.mean_iou == pytest.approx(expected.mean(), rel=1e-6)
  assert anchors.rows()[0].stock.recall == pytest.approx((expected >= 0.55).mean())


# Where sizes go.


def test_how_well_cells_fit_by_drawing_boxes():
  sizes = np.array([[30.0, 12.0], [60.0, 90.0]])
  strides = np.array([[16.0, 16.0], [64.0, 48.0]])
  found = cell_fits(sizes, strides, (64, 96))
  rng = np.random.default_rng(0)
  for i, (height, width) in enumerate(sizes):
    for j, stride in enumerate(strides):
      # Half a stride off at most, and no more than the image leaves room for.
      reach = np.minimum(stride, [64 - height, 96 - width]) / 2
      off = rng.uniform(0, 1, [200_000, 2]) * reach
      shared = np.maximum(height - off[:, 0], 0) * np.maximum(width - off[:, 1], 0)
      mean = (shared / (2 * height * width - shared)).mean()
      assert found[i, j] == pytest.approx(mean, abs=3e-3)


def test_the_coarsest_map_that_fits():
  fits = np.array([[0.8, 0.75, 0.6], [0.5, 0.3, 0.1], [0.9, 0.9, 0.9], [0.6, 0.71, 0.2]])
  assert choose_maps(fits, 0.7).tolist() == [1, 0, 2, 1]


def test_a_map_that_no_size_fits_repeats_the_nearest(tiny):
  # 64x96 pixels, cells of 16, 32 and 64x48. Both are small: the maps above repeat the larger.
  layout = lay_out(np.array([[12.0, 8.0], [20.0, 24.0]]), stock_tiling(tiny), 0.6)
  assert layout.maps.tolist() == [0, 0, 1, 2]
  assert layout.repeated_mask.tolist() == [False, False, True, True]
  np.testing.assert_array_equal(layout.sizes, [[12, 8], [20, 24], [20, 24], [20, 24]])
  assert layout.num_anchors(stock_tiling(tiny)) == 2 * 24 + 6 + 2
  # All are large: the maps below repeat the smaller, of 60x60.
  layout = lay_out(np.array([[60.0, 60.0], [64.0, 96.0]]), stock_tiling(tiny), 0.9)
  assert layout.maps[~layout.repeated_mask].tolist() == [0, 2]


def write_many(folder):
  """40 images, not square, with 3 boxes each: wide, high, and large ones."""
  rng = np.random.default_rng(3)
  images = []
  for i in range(40):
    h, w = [10, 20, 48] * rng.uniform(0.8, 1.2, 3), [24, 9, 70] * rng.uniform(0.8, 1.2, 3)
    y, x = rng.uniform(0, 64 - h), rng.uniform(0, 96 - w)
    images.append(record(str(i), 64, 96, np.stack([y, x, y + h, x + w], 1), [1, 2, 3]))
  tiny_project.write_records(folder / 'train.record', images)


def test_found_anchors_are_better_and_no_more_and_build(tiny):
  write_many(tiny)
  loaded, path = load(tiny)
  found = find_anchors(Pipeline(loaded, path))
  assert len(found.found.anchors) <= len(found.stock.anchors)
  everything = found.rows()[0]
  assert everything.num_boxes == 120
  assert everything.found.recall > everything.stock.recall + 0.1
  assert everything.found.mean_iou > everything.stock.mean_iou + 0.05
  assert everything.found.mean_iou == pytest.approx(
    brute_force(found.boxes.boxes, found.found).mean(), rel=1e-6
  )
  assert set(found.layout.maps.tolist()) == {0, 1, 2}
  # With the sizes of the clusters alone it is no better.
  plain = find_layout(found.boxes, found.stock, is_shared=False, fit_positions=False)
  changed = with_anchors(loaded, plain, found.stock)
  plain_ious = best_ious(found.boxes.boxes, tile(changed, MAPS))
  assert plain_ious.mean() <= everything.found.mean_iou + 1e-4
  saved = save_config(found, str(tiny / 'new' / 'anchors.config'))
  written = Pipeline.load(saved).config
  detector = builders.build_detector(written.model, is_training=True)
  np.testing.assert_array_equal(detector.anchors, found.found.anchors)
  # One step: every head gets a gradient from these anchors, and as many rows match as a matcher
  # by hand says: an IoU of .5, or the best anchor of a box.
  boxes = found.boxes.boxes[:3]
  batch = {
    fields.GROUNDTRUTH_BOXES: tf.constant(boxes[np.newaxis]),
    fields.GROUNDTRUTH_CLASSES: tf.constant([[1, 2, 3]]),
    fields.GROUNDTRUTH_WEIGHTS: tf.ones([1, 3]),
    fields.GROUNDTRUTH_MASK: tf.ones([1, 3], tf.bool),
    fields.EXAMPLE_MASK: tf.constant([True]),
    fields.LABELED_CLASSES: tf.ones([1, 3], tf.bool),
  }
  ious = box_ops.pairwise_iou(boxes, found.found.anchors).numpy()
  matched = set(np.flatnonzero(ious.max(axis=0) >= 0.5)) | set(ious.argmax(axis=1))
  positive = detector.assign_targets(batch).positive_mask.numpy()[0]
  assert set(np.flatnonzero(positive)) == matched
  with tf.GradientTape() as tape:
    outputs = detector.model(tf.random.stateless_uniform([1, 64, 96, 3], [0, 1]), training=True)
    losses = detector.compute_losses(outputs, detector.assign_targets(batch), batch)
    loss = tf.add_n(list(losses.values()))
  heads = [v for v in detector.model.trainable_variables if 'class_head' in v.path]
  gradients = tape.gradient(loss, [v.value for v in heads])
  assert heads and all(np.abs(gradient).max() > 0 for gradient in gradients)
  # All else is as it was.
  written.model.ssd.anchor_generator.CopyFrom(loaded.model.ssd.anchor_generator)
  assert written == loaded


def test_anchors_of_the_block_have_their_sizes_at_their_cells(tiny):
  # Map by map; positions of SPREAD, whose strides and offsets the block has to keep.
  sizes = np.array([[7.0, 20.0], [30.5, 11.25], [40.0, 60.0], [64.0, 96.0]])
  maps = np.array([0, 0, 1, 2])
  layout = Layout(sizes, maps, np.zeros(4, bool), 0.5)
  loaded, _ = load(tiny, *SPREAD)
  changed = with_anchors(loaded, layout, stock_tiling(tiny, *SPREAD))
  anchors = builders.build_detector(changed.model, is_training=True).anchors.numpy()
  expected = []
  for level, (strides, offsets) in enumerate(
    [((16, 15), (4, 0)), ((32, 30), (8, 8)), ((64, 60), (16, 16))]
  ):
    for row, column in np.ndindex(*MAPS[level]):
      center = np.array(offsets) + np.array(strides) * [row, column]
      expected += [[*(center - s / 2), *(center + s / 2)] for s in sizes[maps == level]]
  np.testing.assert_allclose(anchors * [64, 96, 64, 96], expected, rtol=0, atol=2e-5)


def test_the_block_goes_into_a_config_as_an_override(tiny):
  layout = Layout(np.full([3, 2], 30.0), np.arange(3), np.zeros(3, bool), 0.5)
  loaded, path = load(tiny)
  changed = with_anchors(loaded, layout, stock_tiling(tiny))
  write_block(changed, str(tiny / 'block.pbtxt'), ['a remark'])
  text = (tiny / 'block.pbtxt').read_text()
  assert text.startswith('# a remark\nanchor_generator {\n')
  value = text.replace('anchor_generator {', '{', 1)  # As the tool's sed does.
  assert Pipeline.load(path, [f'model.ssd.anchor_generator={value}']).config == changed
  pasted = type(loaded.model.ssd)()
  text_format.Parse(text, pasted)
  assert pasted.anchor_generator == changed.model.ssd.anchor_generator


def test_positions_at_fractions_of_a_pixel_are_refused(tiny):
  layout = Layout(np.full([3, 2], 30.0), np.arange(3), np.zeros(3, bool), 0.5)
  # Without offsets, half of 15.
  overrides = [f'{STRIDES}width_stride=[15, 30, 60]']
  with pytest.raises(InputError) as error:
    with_anchors(load(tiny)[0], layout, stock_tiling(tiny, *overrides))
  assert str(error.value) == (
    'model.ssd.anchor_generator: feature map 1 has a width offset of 7.5 pixels, which '
    'flexible_grid_anchor_generator, made of whole pixels, cannot keep; set its strides and '
    'offsets to whole pixels'
  )


SHARED = (
  'model.ssd.box_predictor={weight_shared_convolutional_box_predictor { depth: 8 kernel_size: 3 '
  'num_layers_before_predictor: 1 box_code_size: 4 conv_hyperparams { regularizer { l2_regularizer '
  '{ weight: 1e-5 } } initializer { random_normal_initializer { stddev: 0.01 } } batch_norm {} } }}'
)


def test_maps_that_share_a_head_get_the_same_sizes_in_their_cells(tiny):
  write_many(tiny)
  loaded, path = load(tiny, SHARED, MULTISCALE)
  found = find_anchors(Pipeline(loaded, path))
  assert list(found.found.per_location) == [4, 4, 4]
  assert len(found.found.anchors) == len(found.stock.anchors)
  in_cells = [
    shapes / strides
    for shapes, strides in zip(found.found.shapes, found.stock.strides, strict=True)
  ]
  np.testing.assert_allclose(in_cells[1], in_cells[0], rtol=1e-4)
  np.testing.assert_allclose(in_cells[2], in_cells[0], rtol=1e-4)
  rows = found.rows()
  assert rows[0].found.mean_iou > rows[0].stock.mean_iou
  builders.build_detector(found.config.model, is_training=True)
  fewer = find_layout(found.boxes, found.stock, is_shared=True, num_anchors=6)
  assert fewer.maps.tolist() == [0, 0, 1, 1, 2, 2]
  with pytest.raises(InputError) as error:
    find_layout(found.boxes, found.stock, is_shared=True, num_anchors=7)
  assert str(error.value) == (
    'num_anchors: is 7; expected a multiple of 3, as many for each feature map, since all feature '
    'maps share a head'
  )


@pytest.mark.parametrize('num_anchors', [None, 18])
def test_rare_sizes_that_a_draw_misses(tiny, num_anchors):
  # 6 common sizes and 12 of one box each: the 4,000 that a search draws have not all of them.
  common = np.array([[8, 8], [12, 6], [16, 20], [24, 18], [40, 30], [56, 80]])
  rare = np.stack([np.linspace(5, 60, 12), np.linspace(90, 10, 12)], axis=1)
  sizes = np.concatenate([np.repeat(common, 1000, axis=0), rare]) / [64, 96]
  found = training_boxes(np.concatenate([np.zeros([len(sizes), 2]), sizes], axis=1))
  layout = find_layout(
    found, many_per_location(tiny), is_shared=False, num_anchors=num_anchors, fit_positions=False
  )
  assert 1 <= np.sum(~layout.repeated_mask) <= 18
  if num_anchors:
    sizes = np.unique(np.round(layout.sizes[~layout.repeated_mask], 2), axis=0)
    np.testing.assert_allclose(sizes, np.unique(np.round(found.sizes, 2), axis=0), atol=0.02)


def test_fewer_sizes_than_a_shared_head_has(tiny):
  # Two sizes; the config has 18 on each map, and nobody gave a number.
  boxes = np.tile([[0, 0, 0.25, 0.25], [0, 0, 0.5, 0.75]], [10, 1])
  layout = find_layout(
    training_boxes(boxes), many_per_location(tiny), is_shared=True, fit_positions=False
  )
  assert np.bincount(layout.maps).tolist() in ([1, 1, 1], [2, 2, 2])
  with pytest.raises(InputError, match='^num_anchors: 4 sizes are to be found, but the 20 boxes'):
    find_layout(training_boxes(boxes), many_per_location(tiny), is_shared=True, num_anchors=12)


def training_boxes(boxes):
  """f[n, 4], normalized, of one class."""
  boxes = np.float32(boxes)
  classes, areas = np.ones(len(boxes), np.int64), np.ones(len(boxes))
  return TrainingBoxes(boxes, classes, areas, (64, 96), {1: 'a'}, 1, {})


def many_per_location(folder):
  """The stock's maps, as if each had 18 shapes."""
  stock = stock_tiling(folder)
  grids = [np.tile(grid[:, :, :1], [1, 1, 18, 1]).reshape(-1, 4) for grid in stock.grids]
  return dataclasses.replace(stock, anchors=np.concatenate(grids), per_location=[18] * 3)


def test_notes(tiny):
  write_many(tiny)
  overrides = ['train_config.fine_tune_checkpoint=somewhere']
  overrides.append('train_config.fine_tune_checkpoint_type=full')
  loaded, path = load(tiny, *overrides)
  found = find_anchors(Pipeline(loaded, path), num_anchors=20, fit_positions=False)
  notes = '\n'.join(found.notes)
  assert len(found.found.anchors) > len(found.stock.anchors)
  assert (
    f'num_anchors: makes {len(found.found.anchors)} anchors, more than the '
    f'{len(found.stock.anchors)} of the config; training and detection take longer.'
  ) in notes
  assert 'train_config.fine_tune_checkpoint: box and class heads of another number' in notes
  assert 'fine_tune_checkpoint_type "full" refuses that, set it to "fine_tune".' in notes
  with pytest.raises(InputError, match='num_anchors: 200 sizes are to be found, but the 120 boxes'):
    find_layout(found.boxes, found.stock, is_shared=False, num_anchors=200)


def test_text_and_plot(tiny):
  write_many(tiny)
  loaded, path = load(tiny)
  found = find_anchors(Pipeline(loaded, path), num_anchors=4)
  text = describe(found)
  lines = text.splitlines()
  assert lines[0] == '120 boxes in 40 training images, at 96x64 pixels (width x height)'
  row = found.rows()[0]
  values = [
    getattr(side, name)
    for name in ('mean_iou', 'recall', 'shape_iou')
    for side in (row.stock, row.found)
  ]
  (printed,) = [line for line in lines if line.startswith('all ')]
  assert printed.split() == ['all', '120', *(f'{value:.3f}' for value in values)]
  height, width = found.layout.sizes[0]
  assert f'6 x 4      3      {found.found.per_location[0]}  {width:.1f}x{height:.1f}' in text
  draw(found, str(tiny / 'plots' / 'anchors.svg'))
  svg = (tiny / 'plots' / 'anchors.svg').read_text()
  ElementTree.fromstring(svg)
  for words in (
    f'stock: {len(found.stock.anchors)} anchors', f'found: {len(found.found.anchors)} anchors',
    '6 x 4', '2 x 1', f'found: recall {row.found.recall:.3f}, mean IoU {row.found.mean_iou:.3f}',
  ):  # fmt: skip
    assert words in svg
  with pytest.raises(InputError, match='expected a file name that ends in .svg'):
    draw(found, str(tiny / 'anchors.png'))


def test_the_config_that_is_read_is_not_written_over(tiny):
  pipeline = Pipeline.load(str(tiny / 'tiny.config'))
  check_output(pipeline, None)
  check_output(pipeline, str(tiny / 'new.config'))
  with pytest.raises(InputError, match='output_config_path: is the config that is read'):
    check_output(pipeline, str(tiny / '.' / 'tiny.config'))


def test_the_tool(tiny, run_tool):
  write_many(tiny)
  outputs = [
    '--output_path=block.pbtxt',
    '--output_config_path=out/new.config',
    '--plot_path=a.svg',
  ]
  flags = ('--pipeline_config_path=tiny.config', '--num_anchors=5', *outputs)
  code, output = run_tool(tiny, 'cluster_anchors.py', *flags)
  assert code == 0, output
  assert 'recall at IoU 0.5' in output
  block = (tiny / 'block.pbtxt').read_text()
  assert block.startswith('# Anchors for 120 boxes at 96x64 pixels (width x height), by')
  written = Pipeline.load(tiny / 'out/new.config').config.model.ssd
  pasted = type(written)()
  text_format.Parse(block, pasted)
  assert pasted.anchor_generator == written.anchor_generator
  assert (tiny / 'a.svg').exists()


def test_the_tool_with_a_bad_flag(tiny, run_tool):
  flags = ('--pipeline_config_path=tiny.config', '--plot_path=a.png')
  code, output = run_tool(tiny, 'cluster_anchors.py', *flags)
  assert code == 1
  assert 'flag --plot_path=a.png: expected a name that ends in .svg' in output
  assert 'Traceback' not in output
