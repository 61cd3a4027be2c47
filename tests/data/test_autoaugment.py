import functools

import numpy as np
import pytest
import tensorflow as tf
from example_draws import eager_and_mapped, make_example, many_draws, noise, rows_of
from PIL import Image, ImageEnhance, ImageOps

from ssd_tf import fields
from ssd_tf.data.augmentation import autoaugment
from ssd_tf.data.augmentation.autoaugment_policies import POLICIES

HEIGHT, WIDTH = 60, 96


@pytest.fixture
def one_step(monkeypatch):
  """Returns a function: steps -> the operation that makes these, always."""

  def make(*steps):
    monkeypatch.setitem(POLICIES, 'tested', (steps,))
    return functools.partial(autoaugment.autoaugment_image, policy_name='tested')

  return make


def photo():
  """Colors of a middling range, so that every change shows."""
  y, x = np.mgrid[:HEIGHT, :WIDTH]
  waves = [120 + 60 * np.sin(y / 9 + k) * np.cos(x / 13 - k) for k in range(3)]
  return (np.stack(waves, -1) + noise(HEIGHT, WIDTH) / 16).astype(np.uint8)


def test_policies_are_the_published_ones():
  from official.vision.ops import augment

  v0 = augment.AutoAugment.detection_policy_v0()
  assert [list(steps) for steps in POLICIES['v0']] == v0
  assert POLICIES['v1'][:5] == POLICIES['v0']
  sizes = {name: (len(policy), max(map(len, policy))) for name, policy in POLICIES.items()}
  assert sizes == {'v0': (5, 2), 'v1': (20, 2), 'v2': (15, 3), 'v3': (15, 2), 'test': (1, 2)}
  for policy in POLICIES.values():
    for steps in policy:
      assert all(0 <= p <= 1 and 0 <= level <= 10 for _, p, level in steps)


# Pillow rounds where the library cuts off: a level apart.
@pytest.mark.parametrize(
  ('name', 'level', 'reference', 'tolerance'),
  [
    ('AutoContrast', 0, ImageOps.autocontrast, 1),
    ('Equalize', 10, ImageOps.equalize, 0),
    ('Posterize', 10, lambda image: ImageOps.posterize(image, 4), 0),
    ('Solarize', 5, lambda image: ImageOps.solarize(image, 128), 0),
    ('Color', 10, lambda image: ImageEnhance.Color(image).enhance(1.9), 2),
    ('Color', 2, lambda image: ImageEnhance.Color(image).enhance(0.46), 2),
    ('Brightness', 8, lambda image: ImageEnhance.Brightness(image).enhance(1.54), 1),
    ('Sharpness', 10, lambda image: ImageEnhance.Sharpness(image).enhance(1.9), 1),
  ],
)
def test_pixels_are_those_of_pillow(one_step, name, level, reference, tolerance):
  example = make_example(photo())
  changed = eager_and_mapped(one_step((name, 1.0, level)), example)
  expected = np.asarray(reference(Image.fromarray(example[fields.IMAGE])), int)
  assert np.abs(changed[fields.IMAGE] - expected).max() <= tolerance
  assert np.abs(changed[fields.IMAGE] - example[fields.IMAGE].astype(int)).max() > 3
  assert rows_of(changed) == [0, 1, 2]
  np.testing.assert_array_equal(
    changed[fields.GROUNDTRUTH_BOXES], example[fields.GROUNDTRUTH_BOXES]
  )


def test_contrast_and_added_solarization(one_step):
  image = photo()
  # Level 10: factor 1.9 around each channel's mean.
  mean = image.mean(axis=(0, 1))
  changed = eager_and_mapped(one_step(('Contrast', 1.0, 10)), make_example(image))[fields.IMAGE]
  assert np.abs(changed - np.clip(mean + 1.9 * (image - mean), 0, 255)).max() <= 1
  # Level 2: 22 more where there is less than 128.
  changed = eager_and_mapped(one_step(('SolarizeAdd', 1.0, 2)), make_example(image))[fields.IMAGE]
  np.testing.assert_array_equal(changed, np.where(image < 128, image + 22, image))


def rectangle(y0, x0, y1, x1):
  """White on black, and its box."""
  image = np.zeros([HEIGHT, WIDTH, 3])
  image[y0:y1, x0:x1] = 255
  return make_example(image, [[y0 / HEIGHT, x0 / WIDTH, y1 / HEIGHT, x1 / WIDTH]])


def pixels_of_box(example):
  return example[fields.GROUNDTRUTH_BOXES][0] * [HEIGHT, WIDTH, HEIGHT, WIDTH]


@pytest.mark.parametrize(
  ('name', 'shift'),
  # Level 1 of 10: 25 of 250 pixels.
  [('TranslateX_BBox', (0, 25)), ('TranslateY_BBox', (25, 0))],
)
def test_shifts(one_step, name, shift):
  example = rectangle(26, 30, 32, 44)
  eager_and_mapped(one_step((name, 1.0, 1)), example)
  signs = []
  for draw in many_draws(one_step((name, 1.0, 1)), example, 200):
    box = pixels_of_box(draw)
    sign = np.sign(box.sum() - (26 + 30 + 32 + 44))
    dy, dx = (int(sign * s) for s in shift)
    np.testing.assert_allclose(box, [26 + dy, 30 + dx, 32 + dy, 44 + dx], atol=1e-3)
    expected = np.zeros([HEIGHT, WIDTH, 3])
    expected[26 + dy : 32 + dy, 30 + dx : 44 + dx] = 255
    # Nothing, not a mirror image, comes in from the side: gray.
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    outside = (y < dy) | (y >= HEIGHT + dy) | (x < dx) | (x >= WIDTH + dx)
    expected[outside] = 128
    np.testing.assert_array_equal(draw[fields.IMAGE], expected)
    signs.append(sign)
  assert abs(np.mean(signs)) < 4 / np.sqrt(200)


def test_boxes_that_leave_the_image_are_cut_or_dropped(one_step):
  boxes = [
    [0.2, 0.0, 0.4, 0.25],  # columns 0 to 24: gone after 25 to the left
    [0.0, 0.5, 1.0, 1.0],  # the border
    [0.5, 0.2, 0.6, 0.3],  # columns 19.2 to 28.8: 3.8 of them are left
  ]
  example = make_example(np.zeros([HEIGHT, WIDTH, 3]), boxes)
  draws = many_draws(one_step(('TranslateX_BBox', 1.0, 1)), example, 40)
  left = [draw for draw in draws if rows_of(draw) == [1, 2]]
  right = [draw for draw in draws if rows_of(draw) == [0, 1, 2]]
  assert left and right and len(left) + len(right) == 40
  np.testing.assert_allclose(
    left[0][fields.GROUNDTRUTH_BOXES] * WIDTH,
    [[0, 23, 96, 71], [48, 0, 57.6, 3.8]],
    atol=1e-3,
  )
  np.testing.assert_allclose(right[0][fields.GROUNDTRUTH_BOXES][1], [0, 73 / 96, 1, 1], atol=1e-5)


@pytest.mark.parametrize('name', ['ShearX_BBox', 'ShearY_BBox', 'Rotate_BBox'])
def test_moved_boxes_hold_the_moved_pixels(one_step, name):
  operation = one_step((name, 1.0, 8))
  example = rectangle(24, 36, 36, 60)
  eager_and_mapped(operation, example)
  shapes = set()
  for draw in many_draws(operation, example, 30):
    white = (draw[fields.IMAGE] == 255).all(-1)
    rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
    found = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
    # Pixels are the nearest ones: up to one off on each side; and a turned corner is thin.
    np.testing.assert_allclose(pixels_of_box(draw), found, atol=1.5)
    assert abs(white.sum() / (12 * 24) - 1) < 0.1
    shapes.add(draw[fields.IMAGE].tobytes())
  assert len(shapes) == 2  # To either side.


@pytest.mark.parametrize('sign', [1.0, -1.0])
def test_moved_boxes_are_those_of_the_library_but_for_its_rounding(sign):
  from official.vision.ops import augment

  rng = np.random.RandomState(0)
  low = rng.uniform(0.3, 0.5, [20, 2])
  boxes = np.concatenate([low, low + rng.uniform(0.05, 0.15, [20, 2])], 1).astype(np.float32)
  image, size = tf.zeros([600, 960, 3], tf.uint8), tf.constant([600, 960])
  gray = [128] * 3
  for kind, share, library in (
    ('Rotate', 0.6, lambda: augment.rotate_with_bboxes(image, boxes, sign * 18.0, gray)),
    ('ShearX', 0.5, lambda: augment.shear_with_bboxes(image, boxes, sign * 0.15, gray, True)),
    ('ShearY', 0.5, lambda: augment.shear_with_bboxes(image, boxes, sign * 0.15, gray, False)),
    ('TranslateX', 0.2, lambda: augment.translate_bbox(image, boxes, sign * 50.0, gray, True)),
    ('TranslateY', 0.2, lambda: augment.translate_bbox(image, boxes, sign * 50.0, gray, False)),
  ):
    matrix = autoaugment._matrix(kind, sign * share, 250.0, tf.shape(image))
    moved = autoaugment.move_boxes(tf.constant(boxes), matrix, size)
    np.testing.assert_allclose(
      moved * [600, 960, 600, 960], library()[1] * [600, 960, 600, 960], atol=2.5
    )


def test_cutouts_are_gray_squares(one_step):
  # Level 1: from 10 pixels before a pixel of the image to 10 after it.
  example = make_example(np.zeros([HEIGHT, WIDTH, 3]))
  areas = []
  for draw in many_draws(one_step(('Cutout', 1.0, 1)), example, 200):
    gray = (draw[fields.IMAGE] == 128).all(-1)
    rows, columns = np.flatnonzero(gray.any(1)), np.flatnonzero(gray.any(0))
    assert gray[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert 10 <= len(rows) <= 20 and 10 <= len(columns) <= 20
    assert (draw[fields.IMAGE][~gray] == 0).all()
    areas.append(gray.sum())
  # Cut by a border with a chance of 20 in 60 and 20 in 96; then 15 of 20 are left on average.
  expected = 400 * (1 - 20 / 60 / 4) * (1 - 20 / 96 / 4)
  assert abs(np.mean(areas) - expected) < 25


def test_cutouts_of_a_box_stay_around_it(one_step):
  # Level 4: .3 of the box, which is 20 x 40: 6 x 12, its middle within the box.
  example = rectangle(20, 30, 40, 70)
  draws = many_draws(one_step(('BBox_Cutout', 1.0, 4)), example, 200)
  for draw in draws:
    gray = (draw[fields.IMAGE] == 128).all(-1)
    rows, columns = np.flatnonzero(gray.any(1)), np.flatnonzero(gray.any(0))
    assert (len(rows), len(columns), gray.sum()) == (6, 12, 72)
    assert 20 <= rows[0] + 3 < 41 and 30 <= columns[0] + 6 < 71
  without = make_example(photo(), boxes=[])
  changed = eager_and_mapped(one_step(('BBox_Cutout', 1.0, 4)), without)
  np.testing.assert_array_equal(changed[fields.IMAGE], without[fields.IMAGE])


def test_changes_inside_boxes_stay_inside_and_come_one_time_in_three(one_step):
  boxes = [[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.95, 0.95, 1.0, 1.0]]
  example = make_example(photo(), boxes)
  inside = np.zeros([3, HEIGHT, WIDTH], bool)
  for i, (ymin, xmin, ymax, xmax) in enumerate(np.array(boxes, np.float32)):
    inside[
      i,
      int(HEIGHT * ymin) : min(int(HEIGHT * ymax), HEIGHT - 1) + 1,
      int(WIDTH * xmin) : min(int(WIDTH * xmax), WIDTH - 1) + 1,
    ] = True
  operation = one_step(('Equalize_Only_BBoxes', 0.9, 8))
  changes = []
  for draw in many_draws(operation, example, 300):
    changed = (draw[fields.IMAGE] != example[fields.IMAGE]).any(-1)
    assert not changed[~inside.any(0)].any()
    np.testing.assert_array_equal(draw[fields.GROUNDTRUTH_BOXES], np.array(boxes, np.float32))
    changes.append([changed[mask].any() for mask in inside])
    # What is in a box is equalized by itself.
    if changes[-1][0]:
      content = Image.fromarray(example[fields.IMAGE][6:25, 9:39])
      np.testing.assert_array_equal(draw[fields.IMAGE][6:25, 9:39], ImageOps.equalize(content))
  np.testing.assert_allclose(np.mean(changes, 0)[:2], 0.3, atol=0.11)


@pytest.mark.parametrize(
  'name',
  ['TranslateY_Only_BBoxes', 'ShearX_Only_BBoxes', 'Cutout_Only_BBoxes', 'Flip_Only_BBoxes'],
)
def test_each_kind_of_change_inside_boxes(one_step, name):
  operation = one_step((name, 1.0, 4))
  example = make_example(noise(HEIGHT, WIDTH), [[0.1, 0.2, 0.9, 0.8]])
  y, x = slice(6, 55), slice(19, 77)  # int(.1 * 60) to int(.9 * 60), int(.2 * 96) to int(.8 * 96).
  images = {draw[fields.IMAGE].tobytes() for draw in many_draws(operation, example, 40)}
  images = [np.frombuffer(i, np.uint8).reshape(HEIGHT, WIDTH, 3) for i in images]
  changed = [i for i in images if not np.array_equal(i, example[fields.IMAGE])]
  for image in changed:
    outside = np.ones([HEIGHT, WIDTH], bool)
    outside[y, x] = False
    np.testing.assert_array_equal(image[outside], example[fields.IMAGE][outside])
  content = example[fields.IMAGE][y, x]
  if name == 'Flip_Only_BBoxes':
    np.testing.assert_array_equal(changed[0][y, x], content[:, ::-1])
    assert len(changed) == 1
  elif name == 'TranslateY_Only_BBoxes':  # .4 * 120: 48 of the 49 rows go, either way.
    rows = sorted(tuple(np.flatnonzero((i[y, x] != 128).any((1, 2)))) for i in changed)
    assert rows == [(0,), (48,)]
  else:
    gray = [(i[y, x] == 128).all(-1).mean() for i in changed]
    assert all(0.01 < share < 0.9 for share in gray)


# Traced is what has its time: the larger ones, whose operations others have too, run eagerly.
@pytest.mark.parametrize(
  ('policy_name', 'traced'),
  [('v0', True), ('v1', False), ('v2', False), ('v3', False), ('test', True)],
)
def test_policies_run_and_are_functions_of_the_seed(policy_name, traced):
  operation = functools.partial(autoaugment.autoaugment_image, policy_name=policy_name)
  # Once, for all sizes and numbers of boxes, as in a data set.
  specs = {
    key: tf.TensorSpec([None] * count + list(value.shape[count:]), value.dtype)
    for key, value in make_example(photo()).items()
    for count in [2 if key == fields.IMAGE else int(key in fields.PER_BOX)]
    if key != fields.SOURCE_ID
  }
  signature = [specs, tf.TensorSpec([2], tf.int32)]
  run = operation
  if traced:
    run = tf.function(operation, autograph=False, input_signature=signature)
  for boxes in ([], [[0.1, 0.2, 0.6, 0.7], [0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.505, 0.502]]):
    example = make_example(photo(), boxes)
    example = {key: tf.constant(example[key]) for key in specs}
    images = set()
    for i in range(25):
      one = {k: v.numpy() for k, v in run(example, tf.constant([11, i])).items()}
      assert one[fields.IMAGE].shape == (HEIGHT, WIDTH, 3)
      assert set(rows_of(one)) <= set(range(len(boxes)))
      kept = one[fields.GROUNDTRUTH_BOXES]
      assert ((kept >= 0) & (kept <= 1)).all()
      assert (kept[:, 2:] > kept[:, :2]).all()
      images.add(one[fields.IMAGE].tobytes())
    tf.random.set_seed(5)  # Has no say.
    again = run(example, tf.constant([11, 24]))
    for key, value in one.items():
      np.testing.assert_array_equal(value, again[key].numpy(), err_msg=key)
    # A shift by 100 pixels leaves nothing of this image: that of 'test' is gray.
    assert len(images) == 1 if policy_name == 'test' else len(images) >= 8


def test_a_policy_eagerly_and_in_a_data_set():
  example = make_example(photo())
  first, second = (
    eager_and_mapped(autoaugment.autoaugment_image, example, seed)[fields.IMAGE]
    for seed in ((0, 7), (5, 7))
  )
  # By another seed another sub-policy, which changes the image in another way.
  assert first.shape == second.shape == example[fields.IMAGE].shape
  assert not np.array_equal(first, second)


def test_sub_policies_and_steps_have_their_chances(monkeypatch):
  steps = [(('Solarize', 1.0, 0),), (('Brightness', 0.25, 10),), (('Sharpness', 0.0, 8),)]
  monkeypatch.setitem(POLICIES, 'tested', tuple(steps))
  operation = functools.partial(autoaugment.autoaugment_image, policy_name='tested')
  example = make_example(np.full([4, 6, 3], 100), boxes=[])
  values = [draw[fields.IMAGE][0, 0, 0] for draw in many_draws(operation, example, 600)]
  # 255 - 100 for one draw of three; 100 * 1.9 for one of three, of which a quarter.
  assert abs(values.count(155) / 600 - 1 / 3) < 0.08
  assert abs(values.count(190) / 600 - 1 / 12) < 0.045
  assert values.count(155) + values.count(190) + values.count(100) == 600


def test_a_float_image_stays_float():
  example = make_example(photo(), dtype=np.float32)
  changed = eager_and_mapped(autoaugment.autoaugment_image, example)
  assert changed[fields.IMAGE].dtype == np.float32
