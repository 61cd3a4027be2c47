"""The input's size drawn every few steps: draws, batches, detectors, steps, and what is refused."""

import collections
import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf
import tiny_project

from ssd_tf import builders, fields
from ssd_tf.commands.flag_values import scale_sizes
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.experiments import event_scalars
from ssd_tf.ops.size_draws import SizeDraws
from ssd_tf.training import optimizers, trainer
from ssd_tf.training.label_curves import LabelCurves

BASE, LARGE, WIDE = (64, 96), (96, 96), (64, 128)
SIZES = '[{height: 64 width: 96}, {height: 96}, {height: 64 width: 128}]'
# Seven convolutions are traced in a second; maps of strides 8, 16, 32 and 64.
SSD_7 = (
  'model.ssd.feature_extractor={type: "ssd_7" depth_multiplier: 0.25 conv_hyperparams '
  '{initializer {truncated_normal_initializer {}} regularizer {l2_regularizer {}} batch_norm {}}}',
  'model.ssd.anchor_generator.ssd_anchor_generator.num_layers=4',
  'train_config.data_augmentation_options=[{random_horizontal_flip {}}]',
)


def load(*overrides, sizes=SIZES, steps_per_size=1, network=SSD_7):
  return Pipeline.load(
    tiny_project.ROOT / 'tests/testdata/tiny.config',
    [
      *network,
      f'train_config.multi_scale.size={sizes}',
      f'train_config.multi_scale.steps_per_size={steps_per_size}',
      *overrides,
    ],
  ).config


def at_size(loaded, size):
  """The config of a training at one size."""
  single = type(loaded)()
  single.CopyFrom(loaded)
  resizer = single.model.ssd.image_resizer.fixed_shape_resizer
  resizer.height, resizer.width = size
  single.train_config.ClearField('multi_scale')
  return single


@pytest.fixture(scope='module')
def built():
  """(config, detector at the base size, MultiScale), with weights that tell layers apart."""
  loaded = load()
  detector = builders.build_detector(loaded.model, is_training=True)
  multi_scale = builders.build_multi_scale(loaded, detector)
  tiny_project.randomize(detector.model, seed=1)
  return loaded, detector, multi_scale


def test_draws_are_a_function_of_seed_and_step():
  draws = SizeDraws((BASE, LARGE, WIDE), 4, seed=7)
  # Measured once: TensorFlow keeps the numbers of its stateless ops.
  assert [draws.sizes.index(draws.size(step)) for step in range(0, 40, 4)] == [
    *(2, 0, 1, 1, 1, 1, 0, 2, 0, 2),
  ]
  in_graph = tf.data.Dataset.range(40).map(draws.index)
  for step, index in enumerate(in_graph.as_numpy_iterator()):
    seed = tf.constant([7, -1 - step // 4], tf.int64)
    independent = tf.random.stateless_uniform([], seed, 0, 3, tf.int32, alg='philox')
    assert index == int(independent)
  counts = collections.Counter(
    int(i) for i in tf.data.Dataset.range(0, 12000, 4).map(draws.index).as_numpy_iterator()
  )
  # Of 3,000 draws a third each: a deviation of sqrt(3000 * 1/3 * 2/3) = 26.
  assert all(abs(counts[i] - 1000) < 4 * 26 for i in range(3))
  other = SizeDraws(draws.sizes, 4, seed=8)
  same = sum(draws.size(step) == other.size(step) for step in range(0, 400, 4))
  assert 15 < same < 52  # Of 100, a third: 33, with a deviation of 4.7.


def test_batches_are_those_of_a_pipeline_of_the_drawn_size(built, tiny):
  loaded, detector, multi_scale = built
  path, start = str(tiny / 'tiny.config'), 7  # As a training that goes on.
  dataset = builders.build_train_dataset(Pipeline(loaded, path), detector, start, multi_scale)
  batches = list(dataset.take(4))
  sizes = [tuple(batch[fields.IMAGE].shape[1:3]) for batch in batches]
  assert sizes == [multi_scale.draws.size(step) for step in range(start, start + 4)]
  assert sizes == [BASE, WIDE, LARGE, BASE]
  for i, size in enumerate((BASE, WIDE)):
    sized = multi_scale.detectors[size]
    single = builders.build_train_dataset(Pipeline(at_size(loaded, size), path), sized, start + i)
    expected = next(iter(single))
    assert batches[i].keys() == expected.keys()
    for key, value in expected.items():  # The original image is resized, once.
      np.testing.assert_array_equal(batches[i][key], value, err_msg=key)


def test_batches_that_make_one_step_have_one_size(built, tiny):
  loaded = load('train_config.gradient_accumulation_steps=3', sizes='[{height: 64 width: 96}]')
  assert builders.build_multi_scale(loaded, built[1]).batches_per_step == 3
  detector, draws = built[1], SizeDraws((BASE, LARGE, WIDE), 2, seed=0)
  multi_scale = dataclasses.replace(built[2], draws=draws, batches_per_step=3)
  path = str(tiny / 'tiny.config')
  dataset = builders.build_train_dataset(Pipeline(loaded, path), detector, 0, multi_scale)
  sizes = [tuple(batch[fields.IMAGE].shape[1:3]) for batch in dataset.take(18)]
  assert sizes == [draws.size(batch // 3) for batch in range(18)]
  assert sizes[0] == sizes[5] and len(set(sizes)) > 1


def in_pixels(detector):
  anchors = detector.anchors.numpy().reshape(-1, 2, 2) * detector.image_size
  return anchors.mean(axis=1), anchors[:, 1] - anchors[:, 0]


def test_each_size_has_its_grid_of_anchors_and_the_outputs_of_a_detector_of_that_size(built):
  loaded, detector, multi_scale = built
  assert multi_scale.detectors[BASE] is detector
  for size in (LARGE, WIDE):
    ours = multi_scale.detectors[size]
    alone = builders.build_detector(at_size(loaded, size).model, is_training=True)
    centers, sides = in_pixels(ours)
    alone_centers, alone_sides = in_pixels(alone)
    np.testing.assert_allclose(centers, alone_centers, atol=1e-4)
    # A share of the shorter side by itself: here it is that of the base.
    np.testing.assert_allclose(sides / min(BASE), alone_sides / min(size), rtol=1e-5)
    assert ours.image_size == size
    pairs = zip(ours.model.variables, detector.model.variables, strict=True)
    assert all(one is other for one, other in pairs)
    alone.model.set_weights(detector.model.get_weights())
    images = tf.random.stateless_uniform([2, *size, 3], [1, 2], -1, 1)
    expected, outputs = alone.model(images), ours.model(images)
    for key, value in expected.items():
      assert value.shape[1] == ours.anchors.shape[0]
      np.testing.assert_allclose(outputs[key], value, atol=1e-6)


def test_a_pyramid_crops_and_pads_by_the_size():
  # 160 x 96 gives 10x6 and 5x3 cells of strides 16 and 32: the finer map is twice the coarser. At
  # 144 x 80 there are 9x5 of stride 16, so that what is enlarged from 5x3 has to be cropped.
  loaded = load(
    'model.ssd.feature_extractor={type: "ssd_mobilenet_v1_fpn_keras" depth_multiplier: 0.25 '
    'min_depth: 8 conv_hyperparams {initializer {truncated_normal_initializer {}} '
    'regularizer {l2_regularizer {}} batch_norm {}} fpn {min_level: 4 max_level: 6}}',
    'model.ssd.anchor_generator={multiscale_anchor_generator {min_level: 4 max_level: 6 '
    'anchor_scale: 4 aspect_ratios: [1.0, 2.0, 0.5] scales_per_octave: 1}}',
    'model.ssd.image_resizer={fixed_shape_resizer {height: 160 width: 96}}',
    sizes='[{height: 144 width: 80}]',
    network=(),
  )
  detector = builders.build_detector(loaded.model, is_training=True)
  ours = builders.build_multi_scale(loaded, detector).detectors[144, 80]
  alone = builders.build_detector(at_size(loaded, (144, 80)).model, is_training=True)
  # 3 anchors at each of 9 * 5 + 5 * 3 + 3 * 2 locations; sides of 4 * 16 pixels stay that.
  assert ours.anchors.shape == (3 * 66, 4)
  np.testing.assert_array_equal(ours.anchors, alone.anchors)
  top, _, bottom, _ = ours.anchors[0].numpy()
  assert (bottom - top) * 144 == pytest.approx(64)
  tiny_project.randomize(detector.model, seed=3)
  alone.model.set_weights(detector.model.get_weights())
  images = tf.random.stateless_uniform([1, 144, 80, 3], [1, 2], -1, 1)
  expected, outputs = alone.model(images), ours.model(images)
  for key, value in expected.items():
    np.testing.assert_allclose(outputs[key], value, atol=1e-6)


def make_trainer(detector, dataset, multi_scale=None):
  """A trainer with plain gradient descent."""
  strategy = tf.distribute.get_strategy()
  settings = {'detectors': {detector.image_size: detector}}
  if multi_scale:
    settings = {'detectors': multi_scale.detectors, 'draws': multi_scale.draws}
  return trainer.Trainer(
    optimizer=optimizers.Momentum(1e-3, momentum=0.0),
    dataset=strategy.experimental_distribute_dataset(dataset),
    strategy=strategy,
    label_curves=LabelCurves(
      class_names={1: 'a', 2: 'b', 3: 'c'},
      interval=1,
    ),
    **settings,
  )


def noting(detector, traced):
  """The same detector, which adds the shape of the images to a list when it is traced."""

  def assign(batch, anchors):
    traced.append(batch[fields.IMAGE].shape)
    return detector.target_assigner(batch, anchors)

  return dataclasses.replace(detector, target_assigner=assign)


@pytest.mark.slow
def test_steps_are_those_of_trainings_at_the_drawn_sizes(built, tiny, tmp_path):
  _, detector, multi_scale = built
  loaded = load(sizes='[{height: 64 width: 96}, {height: 64 width: 128}]')
  draws = SizeDraws((BASE, WIDE), 1, seed=0)
  multi_scale = dataclasses.replace(multi_scale, draws=draws)
  path = str(tiny / 'tiny.config')
  start = next(s for s in range(99) if [draws.size(s), draws.size(s + 1)] == [BASE, WIDE])
  traced = []
  dataset = builders.build_train_dataset(Pipeline(loaded, path), detector, start, multi_scale)
  ours = make_trainer(detector, dataset, multi_scale)
  ours.detectors = {size: noting(multi_scale.detectors[size], traced) for size in (BASE, WIDE)}
  ours.global_step.assign(start)  # As a training that goes on.
  for step, size in ((start, BASE), (start + 1, WIDE)):
    before = detector.model.get_weights()
    ours.train(tf.constant(1))
    weights = detector.model.get_weights()
    single = at_size(loaded, size)
    alone = builders.build_detector(single.model, is_training=True)
    alone.model.set_weights(before)
    plain = make_trainer(alone, builders.build_train_dataset(Pipeline(single, path), alone, step))
    plain.train_step(iter(plain.train_dataset))  # Not compiled, which would take longer.
    losses = [ours.measured[tag] for tag in fields.LOSSES]
    np.testing.assert_allclose(losses, plain._last_losses, rtol=1e-6)
    for one, other in zip(weights, alone.model.get_weights(), strict=True):
      np.testing.assert_allclose(one, other, atol=1e-6)
    assert max(np.abs(one - old).max() for one, old in zip(weights, before, strict=True)) > 1e-3
  # Further steps trace nothing; their sizes make a curve.
  with tf.summary.create_file_writer(str(tmp_path)).as_default():
    for _ in range(4):
      ours.train(tf.constant(2))
  assert traced == [(4, *BASE, 3), (4, *WIDE, 3)]
  steps, heights = event_scalars.read_scalars(str(tmp_path))['input_height'][:2]
  assert list(steps) == [start + 4, start + 6, start + 8, start + 10]
  assert list(heights) == [draws.size(step - 1)[0] for step in steps]
  # A data set of other steps than those that are trained does not pass.
  other = next(s for s in range(99) if draws.size(s) != draws.size(start + 10))
  ours.train_dataset = builders.build_train_dataset(
    Pipeline(loaded, path), detector, other, multi_scale
  )
  with pytest.raises(tf.errors.InvalidArgumentError, match='Shape of tensor'):
    ours.train(tf.constant(1))


STRIDES = (
  'model.ssd.anchor_generator.ssd_anchor_generator.{0}_stride=[8, 16, 32, {1}]',
  'model.ssd.anchor_generator.ssd_anchor_generator.{0}_offset=[4, 8, 16, {2}]',
)
GRID = 'anchor_grid {{base_sizes: [20] aspect_ratios: [1] {}}} '


def flexible(*grids):
  text = ' '.join(GRID.format(grid) for grid in grids)
  return f'model.ssd.anchor_generator={{flexible_grid_anchor_generator {{{text}}}}}'


@pytest.mark.parametrize(
  ('overrides', 'sizes', 'steps', 'message'),
  [
    (
      (),
      '[]',
      0,
      'train_config.multi_scale.size: is empty; expected one or more, such as size {height: 320}\n'
      'train_config.multi_scale.steps_per_size: is 0; expected 1 or more',
    ),
    ((), '[{width: 64}]', 1, 'train_config.multi_scale.size[0].height: is 0; expected 1 to 8192'),
    (
      ('model.ssd.feature_extractor.pad_to_multiple=32',),
      '[{height: 64}, {height: 80 width: 96}]',
      1,
      'train_config.multi_scale.size[1]: is 80x96 (height x width); expected multiples of '
      'model.ssd.feature_extractor.pad_to_multiple, 32: else anchors would be spread over the '
      'image, and cells over the padding too',
    ),
    (
      (
        'model.ssd.image_resizer={keep_aspect_ratio_resizer {min_dimension: 64 max_dimension: 96}}',
      ),
      '[{height: 64 width: 96}]',
      1,
      'train_config.multi_scale.size[0]: is 64x96 (height x width), but '
      'model.ssd.image_resizer.keep_aspect_ratio_resizer pads images to a square; expected a '
      'height and no width, or take fixed_shape_resizer',
    ),
    (
      ('model.ssd.feature_extractor={type: "ssd_mobilenet_v1" num_layers: 4}',),
      '[{height: 16 width: 96}, {height: 64 width: 96}, {height: 8}]',
      1,
      'train_config.multi_scale.size[0]: 16x96 (height x width): the finest feature map has 1x6 '
      'cells; expected 2 a side or more; take a larger size\n'
      'train_config.multi_scale.size[2]: 8x8 (height x width): the finest feature map has 1x1 '
      'cells; expected 2 a side or more; take a larger size',
    ),
    (
      (),
      '[{height: 64 width: 96}, {height: 60}]',
      1,
      'train_config.multi_scale.size[1]: 60x60 (height x width): model.ssd.image_resizer: gives '
      'images of 60x60; expected at least 64 pixels a side for ssd_7',
    ),
    (
      # Of the last map, rows are 64 pixels high as the network's are, and at 192 there are three.
      # Its column is as wide as the base size: at 320, the last of five is at 48 + 4 * 96 = 432.
      (
        *(text.format('height', 64, 32) for text in STRIDES),
        *(text.format('width', 96, 48) for text in STRIDES),
      ),
      '[{height: 64 width: 96}, {height: 192 width: 320}]',
      1,
      'train_config.multi_scale.size[1]: 192x320 (height x width): model.ssd.anchor_generator.'
      'ssd_anchor_generator.width_stride[3]: with 5 cells, 96 pixels apart, from 48 on, the '
      'anchors do not cover the 320 pixels of width; remove strides and offsets (then they are '
      'spread evenly), or leave this size out',
    ),
    (
      # The network's stride is 8 there; the other grids follow from the image.
      (flexible('height_stride: 4 height_offset: 2 width_stride: 8 width_offset: 4', '', '', ''),),
      '[{height: 96}]',
      1,
      'train_config.multi_scale.size[0]: 96x96 (height x width): model.ssd.anchor_generator.'
      'flexible_grid_anchor_generator.anchor_grid[0]: with 12 cells, 4 pixels apart, from 2 on, '
      'the anchors do not cover the 96 pixels of height; remove strides and offsets (then they '
      'are spread evenly), or leave this size out',
    ),
  ],
)
def test_sizes_that_do_not_fit_are_refused(overrides, sizes, steps, message):
  loaded = load(*overrides, sizes=sizes, steps_per_size=steps)
  with pytest.raises(InputError) as error:
    builders.build_multi_scale(loaded, types.SimpleNamespace(image_size=BASE))
  assert str(error.value) == message


def test_grids_that_follow_from_the_image_and_a_padding_resizer_take_any_size(caplog):
  caplog.set_level('INFO', logger='absl')
  loaded = load(
    flexible('', 'height_stride: 16 height_offset: 8 width_stride: 16 width_offset: 8', '', ''),
    'model.ssd.image_resizer={keep_aspect_ratio_resizer {min_dimension: 64 max_dimension: 96}}',
    sizes='[{height: 160}]',
    steps_per_size=5,
  )
  detector = builders.build_detector(loaded.model, is_training=True)
  caplog.clear()
  multi_scale = builders.build_multi_scale(loaded, detector)
  anchors = multi_scale.detectors[160, 160].anchors.numpy()
  # 20 pixels a side; 20 cells 8 pixels apart, 10 are 16, 5 are 32, and 2 are 80 apart.
  first, second, last = anchors[[0, 400, -1]] * 160
  np.testing.assert_allclose(first, [-6, -6, 14, 14], atol=1e-4)
  np.testing.assert_allclose(second, [-2, -2, 18, 18], atol=1e-4)
  np.testing.assert_allclose(last, [110, 110, 130, 130], atol=1e-4)
  # 96 / 64 = 160 / 107: a wide image becomes 160 wide.
  image, true_size = multi_scale.detectors[160, 160].preprocess_image(tf.zeros([48, 80, 3]))
  assert image.shape == (160, 160, 3) and true_size.numpy().tolist() == [96, 160]
  assert caplog.messages == [
    'Input sizes (height x width), drawn every 5 steps: 160x160 (529 anchors); evaluation and '
    'export at 96x96. Anchors keep their pixels.'
  ]


def test_nothing_is_drawn_without_sizes():
  loaded = Pipeline.load(tiny_project.ROOT / 'tests/testdata/tiny.config').config
  assert builders.build_multi_scale(loaded, detector=None) is None


def test_the_flag_says_sizes_as_height_by_width():
  text = scale_sizes(['256', ' 320', '384x512'])
  sizes = load(sizes=text).train_config.multi_scale.size
  assert [(size.height, size.width) for size in sizes] == [(256, 0), (320, 0), (384, 512)]


@pytest.mark.parametrize('value', ['', '0', '3x4x5', '320x', '-1', '3.5', 'x'])
def test_the_flag_refuses_what_is_no_size(value):
  with pytest.raises(InputError) as error:
    scale_sizes(['320', value])
  assert str(error.value) == (
    f'--multi_scale: {value!r}: expected pixels, as 320, or height x width, as 384x512'
  )
