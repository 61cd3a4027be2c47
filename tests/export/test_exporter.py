"""What an export holds, and that it detects as the checkpoint does."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf
import tiny_project
from PIL import Image

from ssd_tf import builders, config, fields, label_map
from ssd_tf.errors import InputError
from ssd_tf.export import detection, exporter
from ssd_tf.training.starting import restore


def test_an_export_is_complete_and_detects_as_its_checkpoint(tiny):
  trained = tiny_project.write_checkpoint(tiny)
  loaded = config.load(tiny / 'tiny.config')
  output_dir = tiny / 'exported'
  saved_model_dir = exporter.export(
    loaded, str(tiny / 'tiny.config'), str(tiny / 'model'), str(output_dir)
  )
  assert sorted(os.listdir(output_dir)) == [
    'checkpoint',
    'label_map.pbtxt',
    'pipeline.config',
    'saved_model',
  ]
  assert config.load(output_dir / 'pipeline.config') == loaded
  assert label_map.load(output_dir / 'label_map.pbtxt').names == tiny_project.NAMES

  image = np.random.default_rng(0).integers(0, 256, [48, 80, 3]).astype(np.uint8)
  Image.fromarray(image).save(tiny / 'a.png')
  path = detection.detect_images(
    saved_model_dir,
    detection.images_from_files([str(tiny / 'a.png')], str(tiny / 'out')),
    str(tiny / 'out'),
    names={1: 'a', 2: 'b', 3: 'c'},
    score_threshold=0.05,
  )
  [result] = json.loads((tiny / 'out/detections.json').read_text())
  assert path == str(tiny / 'out/detections.json')

  batch, size = trained.preprocess_image(tf.constant(image[np.newaxis]))
  expected = trained.postprocess(trained.model(batch, training=False), size)
  scores = expected[fields.DETECTION_SCORES][0].numpy()
  count = int((scores >= 0.05).sum())
  found = result['detections']
  assert 3 < count < len(scores) and len(found) == count
  assert np.diff(scores[: count + 1]).max() < -1e-5  # So that rounding cannot change their order.
  np.testing.assert_allclose([f['score'] for f in found], scores[:count], atol=1e-5)
  boxes = np.array([f['box'] for f in found])
  pixels = expected[fields.DETECTION_BOXES][0].numpy() * [48, 80, 48, 80]
  np.testing.assert_allclose(boxes, pixels[:count], atol=1e-3)
  assert boxes.min() >= 0 and (boxes <= [48, 80, 48, 80]).all()
  classes = expected[fields.DETECTION_CLASSES][0].numpy()[:count]
  assert [f['class_name'] for f in found] == [' abc'[int(i)] for i in classes]

  again = builders.build_detector(loaded.model, is_training=False)
  restore(again.model, str(output_dir / 'checkpoint/ckpt-0'))
  outputs = again.model(batch, training=False)
  for key, value in trained.model(batch, training=False).items():
    np.testing.assert_array_equal(outputs[key], value)


def test_an_export_without_a_checkpoint_leaves_nothing(tiny):
  loaded = config.load(tiny / 'tiny.config')
  with pytest.raises(InputError, match='no such file or folder'):
    exporter.export(loaded, 'tiny.config', str(tiny / 'gone'), str(tiny / 'exported'))
  assert not (tiny / 'exported').exists()
