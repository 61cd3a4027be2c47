import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools.coco import COCO

from ssd_tf.data import tf_example
from ssd_tf.data.sources import seven_segment
from ssd_tf.errors import InputError


def read(path):
  records = tf.data.TFRecordDataset(str(path))
  return [tf_example.parse_example(record.numpy()) for record in records]


def lit_segments(ink):
  """Which of a to g are lit, by looking at seven places of a digit's upright tile."""
  height, width = ink.shape
  half = round(0.07 * height)
  places = {
    'a': (half, width // 2),
    'b': (height // 4, width - 1 - half),
    'c': (3 * height // 4, width - 1 - half),
    'd': (height - 1 - half, width // 2),
    'e': (3 * height // 4, half),
    'f': (height // 4, half),
    'g': (height // 2, width // 2),
  }
  return ''.join(name for name, place in places.items() if ink[place])


def test_every_digit_lights_its_segments():
  # What a seven-segment display shows, as the usual decoder tables have it.
  expected = ['abcdef', 'bc', 'abdeg', 'abcdg', 'bcfg', 'acdfg', 'acdefg', 'abc', 'abcdefg']
  expected.append('abcdfg')
  for digit, segments in enumerate(expected):
    tile = np.asarray(seven_segment._glyph(digit, 60, 0.0, 0.14))
    assert lit_segments(tile > 128) == segments, digit


@pytest.mark.parametrize(
  'style',
  [
    seven_segment.DigitStyle(),
    seven_segment.DigitStyle(height=96, width=400, slant=0.15),
    # The longest string fills the canvas, so that boxes lie on its border.
    seven_segment.DigitStyle(
      height=40, width=128, min_digits=4, max_digits=4, min_glyph_height=40, max_glyph_height=40
    ),
    seven_segment.DigitStyle(slant=-0.2, stroke=0.1, foreground=(9, 200, 9), background=(0, 0, 0)),
  ],
)
def test_boxes_are_the_least_that_hold_all_ink(style):
  for seed in range(5):
    image, digits, boxes = seven_segment.draw_string(np.random.default_rng(seed), style)
    assert image.shape == (style.height, style.width, 3)
    assert style.min_digits <= len(digits) == len(boxes) <= style.max_digits
    ink = (image != np.array(style.background)).any(axis=-1)
    outside = ink.copy()
    for ymin, xmin, ymax, xmax in boxes:
      outside[ymin:ymax, xmin:xmax] = False
      # Each side of the box has ink on it.
      inside = ink[ymin:ymax, xmin:xmax]
      assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
    assert not outside.any()
    assert boxes.min() >= 0 and (boxes[:, 2:] <= [style.height, style.width]).all()
    assert (boxes[1:, 1] > boxes[:-1, 1]).all()
    if not style.slant:
      assert (boxes[1:, 1] > boxes[:-1, 3]).all()


def test_the_longest_string_touches_both_sides():
  style = seven_segment.DigitStyle(
    height=40, width=112, min_digits=4, max_digits=4, min_glyph_height=40, max_glyph_height=40
  )
  # (4 - 1) * 40 * (.55 + .2) + 40 * .55 = 112.
  image, _, boxes = seven_segment.draw_string(np.random.default_rng(0), style)
  assert boxes[0, 0] == 0 and boxes[0, 2] == 40
  assert 108 <= boxes[-1, 3] <= 112


def test_a_one_has_the_box_of_its_two_segments():
  left, top, right, bottom = seven_segment._glyph(1, 30, 0.0, 0.14).getbbox()
  # Width: the stroke, .14 * 30 = 4.2, on the pixels it touches. Height: 30 less the stroke's half
  # and the gap at both ends, 30 - 2 * (2.1 + .6) = 24.6.
  assert right - left in (5, 6)
  assert 24 <= bottom - top <= 26
  # The full width is .55 * 30 = 16.5, and the segments are at its right.
  assert right in (16, 17)


def test_glyph_heights_and_lengths_span_their_ranges():
  heights, lengths = set(), set()
  for seed in range(200):
    annotation = seven_segment.generate_annotation(seed, 'train', 0)
    lengths.add(len(annotation.boxes))
    for name, box in zip(annotation.class_names, annotation.boxes, strict=True):
      if name == '8':
        heights.add(round(float(box[2] - box[0]) * 512))
  assert lengths == set(range(5, 15))
  assert heights == set(range(25, 34))


def test_same_seed_same_bytes_and_splits_differ():
  first = seven_segment.generate_annotation(3, 'train', 7)
  again = seven_segment.generate_annotation(3, 'train', 7)
  assert first.encoded == again.encoded
  np.testing.assert_array_equal(first.boxes, again.boxes)
  for index, split, seed in ((4, 'train', 7), (3, 'eval', 7), (3, 'train', 8)):
    assert seven_segment.generate_annotation(index, split, seed).encoded != first.encoded


def test_colors_and_noise():
  style = seven_segment.DigitStyle(
    height=64, width=384, foreground=(250, 10, 20), background=(0, 100, 200)
  )
  image, _, _ = seven_segment.draw_string(np.random.default_rng(0), style)
  colors = {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}
  assert {(250, 10, 20), (0, 100, 200)} <= colors
  noisy = seven_segment.DigitStyle(noise=8, background=(128, 128, 128), foreground=(128, 128, 128))
  image, _, _ = seven_segment.draw_string(np.random.default_rng(0), noisy)
  assert abs(image.astype(float).mean() - 128) < 0.1
  assert abs(image.astype(float).std() - 8) < 0.1


def test_data_set_with_voc_and_coco(tmp_path):
  style = seven_segment.DigitStyle(height=64, width=384)
  options = {'num_train': 3, 'num_eval': 2, 'seed': 5, 'style': style}
  reports = seven_segment.write_data_set(str(tmp_path), write_voc=True, write_coco=True, **options)
  train = read(tmp_path / 'digits_train.record')
  assert [a.filename for a in train] == [f'train_{i:05d}.png' for i in range(3)]
  assert reports['train'].num_images == 3 and reports['eval'].num_images == 2
  assert reports['train'].num_boxes == sum(len(a.boxes) for a in train)
  for annotation in train:
    assert Image.open(io.BytesIO(annotation.encoded)).size == (384, 64)
    np.testing.assert_array_equal(
      annotation.class_ids, [int(name) + 1 for name in annotation.class_names]
    )

  voc = tmp_path / 'voc'
  assert (voc / 'ImageSets/Main/eval.txt').read_text() == 'eval_00000\neval_00001\n'
  assert (voc / 'JPEGImages/train_00001.png').read_bytes() == train[1].encoded

  coco = COCO(str(tmp_path / 'coco/instances_train.json'))
  assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == list('0123456789')
  instances = coco.loadAnns(coco.getAnnIds(imgIds=[2]))
  assert [i['category_id'] for i in instances] == train[1].class_ids.tolist()
  expected = train[1].boxes * np.float32([64, 384, 64, 384])
  xywh = np.array([i['bbox'] for i in instances])
  np.testing.assert_allclose(xywh[:, :2], expected[:, 1::-1], atol=1e-3)
  np.testing.assert_allclose(xywh[:, :2] + xywh[:, 2:], expected[:, :1:-1], atol=1e-3)
  np.testing.assert_allclose([i['area'] for i in instances], xywh[:, 2] * xywh[:, 3], atol=1e-3)

  again = tmp_path / 'again'
  seven_segment.write_data_set(str(again), num_workers=1, **options)
  for name in ('digits_train.record', 'digits_eval.record'):
    assert (again / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
  'style,words',
  [
    ({'width': 300}, 'need 341 x 33'),
    ({'min_digits': 6, 'max_digits': 5}, 'expected 1 <= min <= max'),
    ({'stroke': 0.5}, 'stroke 0.5'),
    ({'foreground': (1, 2)}, 'three levels'),
    ({'noise': -1, 'slant': 2}, 'slant 2.*noise -1'),
  ],
)
def test_impossible_styles_are_refused(style, words):
  # 13 * 33 * .75 = 321.75 -> 322, and 33 * .55 = 18.15 -> 19: 341 in all.
  with pytest.raises(InputError, match=words):
    seven_segment.DigitStyle(**style)
