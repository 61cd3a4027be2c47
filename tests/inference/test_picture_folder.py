"""Pictures and JSON of a SavedModel's detections, by a model that always detects the same."""

import json
import logging

import numpy as np
import pytest
import tensorflow as tf
import tiny_project
from PIL import Image

from ssd_tf.config import label_map
from ssd_tf.data import image_files, tf_example
from ssd_tf.errors import InputError
from ssd_tf.evaluation import drawing
from ssd_tf.inference import input_images, picture_folder
from ssd_tf.inference.loading import load_saved_model

NAMES = {1: 'cat', 2: 'dog'}
# ymin, xmin, ymax, xmax of the image; the last row is padding.
BOXES = [[0.25, 0.5, 0.75, 0.625], [0.0, 0.0, 1.0, 1.0], [0.5, 0.0, 0.75, 0.25], [0.0] * 4]
SCORES = [0.9, 0.5, 0.375, 0.0]
CLASSES = [2.0, 1.0, 3.0, 0.0]


def write_model(folder, shape=(1, None, None, 3), dtype=tf.uint8):
  class Fixed(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec(shape, dtype, 'input_tensor')])
    def detect(self, input_tensor):
      del input_tensor
      return {
        'detection_boxes': tf.constant([BOXES]),
        'detection_scores': tf.constant([SCORES]),
        'detection_classes': tf.constant([CLASSES]),
        'num_detections': tf.constant([3.0]),
      }

  module = Fixed()
  path = str(folder / 'saved_model')
  tf.saved_model.save(module, path, signatures={'serving_default': module.detect})
  return path


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  return write_model(tmp_path_factory.mktemp('model'))


def black(path, height, width):
  path.parent.mkdir(exist_ok=True)
  Image.fromarray(np.zeros([height, width, 3], np.uint8)).save(path)
  return str(path)


def run(model, images, tmp_path, **options):
  label_map.save(label_map.of_names(NAMES), tmp_path / 'names.pbtxt')
  detector = load_saved_model(model, label_map=tmp_path / 'names.pbtxt')
  path = picture_folder.detect_images(detector, images, str(tmp_path / 'out'), **options)
  assert path == str(tmp_path / 'out/detections.json')
  with open(path, encoding='utf-8') as file:
    return json.load(file)


def test_boxes_are_in_pixels_and_the_threshold_counts(model, tmp_path):
  image = black(tmp_path / 'in/a.png', 40, 80)
  [result] = run(model, input_images.from_files([image], str(tmp_path / 'out')), tmp_path)
  assert result == {
    'image': 'a.png',
    'picture': 'a.png',
    'height': 40,
    'width': 80,
    'detections': [
      # .25 * 40, .5 * 80, .75 * 40, .625 * 80.
      {'class_id': 2, 'class_name': 'dog', 'score': pytest.approx(0.9), 'box': [10, 40, 30, 50]},
      # A score equal to the threshold is enough.
      {'class_id': 1, 'class_name': 'cat', 'score': 0.5, 'box': [0, 0, 40, 80]},
    ],
  }
  drawn = np.asarray(Image.open(tmp_path / 'out/a.png'))
  assert drawn.shape == (40, 80, 3)
  # The left edge of the dog's box, between the labels; nothing of the box below the threshold.
  assert tuple(drawn[20, 40]) == drawing.class_color(2)
  assert tuple(drawn[20, 10]) == (0, 0, 0)


def test_a_class_without_a_name_shows_its_id_and_padding_is_no_detection(model, tmp_path):
  image = black(tmp_path / 'in/a.png', 40, 80)
  images = input_images.from_files([image], str(tmp_path / 'out'))
  [result] = run(model, images, tmp_path, score_threshold=0.0)
  assert [found['class_name'] for found in result['detections']] == ['dog', 'cat', '3']


def test_files_of_one_name_get_pictures_of_their_own(model, tmp_path):
  for i, name in enumerate(('x/a.png', 'y/a.jpg', 'y/b.png', 'z/a.png', 'z/a_2.png')):
    black(tmp_path / name, 20 + i, 30)
  (tmp_path / 'y/notes.txt').write_text('no image')
  folders = [str(tmp_path / folder) for folder in 'xyz']
  results = run(model, input_images.from_files(folders, str(tmp_path / 'out')), tmp_path)
  assert [(r['image'], r['picture'], r['height']) for r in results] == [
    ('a.png', 'a.png', 20),
    ('a.jpg', 'a_2.png', 21),
    ('b.png', 'b.png', 22),
    ('a.png', 'a_3.png', 23),
    ('a_2.png', 'a_2_2.png', 24),
  ]
  for result in results:
    assert Image.open(tmp_path / 'out' / result['picture']).size == (30, result['height'])
  assert len(list((tmp_path / 'out').iterdir())) == 6


def test_records_are_drawn_beside_their_groundtruth(model, tmp_path):
  images = tiny_project.annotations(3, seed=0)
  images[2].source_id, images[2].filename = 'only an id', ''
  tiny_project.write_records(tmp_path / 'a.record', images)
  images = input_images.from_records([str(tmp_path / 'a.record')])
  results = run(model, images, tmp_path, max_images=3)
  assert [r['image'] for r in results] == ['image_0.png', 'image_1.png', 'only an id']
  assert all((r['height'], r['width']) == (48, 80) for r in results)
  # 80 pixels are enlarged until they pass 400, five times, and stand twice in a row.
  width, height = Image.open(tmp_path / 'out/image_1.png').size
  assert width > 2 * 5 * 80 and height > 5 * 48


def test_a_broken_image_is_named_and_passed_over(model, tmp_path, caplog):
  for name in ('a.png', 'c.png'):
    black(tmp_path / 'in' / name, 20, 30)
  whole = (tmp_path / 'in/a.png').read_bytes()
  (tmp_path / 'in/b.png').write_bytes(whole[: len(whole) // 2])
  (tmp_path / 'in/d.jpg').write_bytes(b'')
  images = input_images.from_files([str(tmp_path / 'in')], str(tmp_path / 'out'))
  with caplog.at_level(logging.ERROR, logger='absl'):
    results = run(model, images, tmp_path)
  assert [r['image'] for r in results] == ['a.png', 'c.png']
  assert [line.split(': ')[0] for line in caplog.messages] == [
    str(tmp_path / 'in/b.png'),
    str(tmp_path / 'in/d.jpg'),
  ]


def test_a_broken_record_is_named_and_passed_over(model, tmp_path, caplog):
  good, empty, longer = tiny_project.annotations(3, seed=0)
  empty.encoded = b''
  longer = tf.train.Example.FromString(tf_example.encode_example(longer))
  del longer.features.feature['image/object/bbox/ymin'].float_list.value[0]
  path = str(tmp_path / 'a.record')
  with tf.io.TFRecordWriter(path) as writer:
    for record in (good, empty):
      writer.write(tf_example.encode_example(record))
    writer.write(longer.SerializeToString())
    writer.write(b'no protocol buffer')
  with caplog.at_level(logging.ERROR, logger='absl'):
    results = run(model, input_images.from_records([path]), tmp_path)
  assert [r['image'] for r in results] == ['image_0.png']
  assert [line.split(': ')[0] for line in caplog.messages] == [
    f'{path}, record {i}' for i in ('1, source_id image 1', '2, source_id image 2', '3')
  ]


def test_a_record_without_class_ids_is_drawn(model, tmp_path):
  example = tf.train.Example.FromString(
    tf_example.encode_example(tiny_project.annotations(2, seed=0)[1])
  )
  del example.features.feature['image/object/class/label']
  path = str(tmp_path / 'a.record')
  with tf.io.TFRecordWriter(path) as writer:
    writer.write(example.SerializeToString())
  assert len(run(model, input_images.from_records([path]), tmp_path)) == 1


def test_pictures_never_go_over_the_images(model, tmp_path):
  image = black(tmp_path / 'out/a.png', 20, 30)
  before = (tmp_path / 'out/a.png').read_bytes()
  with pytest.raises(InputError, match=r'a\.png: lies in .*out.* write them to another folder'):
    run(model, input_images.from_files([image], str(tmp_path / 'out')), tmp_path)
  assert (tmp_path / 'out/a.png').read_bytes() == before


@pytest.mark.parametrize(
  ('paths', 'expected'),
  [
    (['in/a.png', 'gone.png'], r'gone\.png: no such image or folder'),
    (['empty'], r'empty: no image in there \(\.jpg'),
    (['broken'], 'none of the images can be read'),
  ],
)
def test_images_that_are_not_there(paths, expected, model, tmp_path):
  black(tmp_path / 'in/a.png', 20, 30)
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'broken').mkdir()
  (tmp_path / 'broken/a.png').write_bytes(b'\x89PNG')
  with pytest.raises(InputError, match=expected):
    paths = [str(tmp_path / path) for path in paths]
    run(model, input_images.from_files(paths, str(tmp_path / 'out')), tmp_path)
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  ('shape', 'dtype'), [([1], tf.string), ([4, None, None, 3], tf.uint8)], ids=['encoded', 'four']
)
def test_a_model_that_takes_something_else_is_refused(shape, dtype, tmp_path):
  model = write_model(tmp_path, shape, dtype)
  image = black(tmp_path / 'in/a.png', 20, 30)
  with pytest.raises(InputError, match='saved_model: takes .*: export with --input_type=image_te'):
    run(model, input_images.from_files([image], str(tmp_path / 'out')), tmp_path)


def test_every_extension_of_the_converters_is_found_and_read_as_they_read_it(model, tmp_path):
  (tmp_path / 'in').mkdir()
  gray = (np.arange(20 * 30).reshape(20, 30) * 100).astype(np.uint16)
  exif = Image.Exif()
  exif[0x0112] = 6  # Stored 30 wide, seen 20 wide.
  for extension in image_files.EXTENSIONS:
    name = f'{extension[1:]}{extension.upper()}'
    Image.fromarray((gray // 256).astype(np.uint8)).convert('RGB').save(tmp_path / 'in' / name)
  Image.fromarray(gray).save(tmp_path / 'in/gray16.png')
  Image.fromarray(gray).save(tmp_path / 'in/gray16.tif')
  Image.fromarray((gray // 256).astype(np.uint8)).save(tmp_path / 'in/turned.png', exif=exif)
  images = [*input_images.from_files([str(tmp_path / 'in')], str(tmp_path / 'out'))]
  assert len(images) == len(image_files.EXTENSIONS) + 3
  by_name = {image.name: image.pixels for image in images}
  for image in by_name:
    expected = gray // 256
    expected = np.rot90(expected, -1) if image == 'turned.png' else expected
    tolerance = 4 if image[:3] in ('jpg', 'jpe', 'web') else 0
    assert by_name[image].shape == (*expected.shape, 3)
    np.testing.assert_allclose(by_name[image][..., 1].astype(int), expected, atol=tolerance)
