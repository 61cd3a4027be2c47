"""What an export holds, and that it detects as the checkpoint does."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny_project
from PIL import Image

from ssd_tf import builders, fields
from ssd_tf.config import label_map
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.exporting import exporter
from ssd_tf.inference import input_images, picture_folder
from ssd_tf.inference.loading import load_saved_model
from ssd_tf.run.start import restore

LIMIT = 'model.ssd.post_processing.batch_non_max_suppression.max_total_detections'


def test_an_export_is_complete_and_detects_as_its_checkpoint(tiny):
  trained = tiny_project.write_checkpoint(tiny)
  loaded = Pipeline.load(tiny / 'tiny.config').config
  output_dir = tiny / 'exported'
  saved_model_dir = exporter.export(
    Pipeline(loaded, str(tiny / 'tiny.config')), str(tiny / 'model'), str(output_dir)
  )
  assert sorted(os.listdir(output_dir)) == [
    'checkpoint',
    'label_map.pbtxt',
    'pipeline.config',
    'saved_model',
  ]
  exported = Pipeline.load(output_dir)
  [reader] = exported.config.eval_input_reader
  assert list(reader.tf_record_input_reader.input_path) == ['../eval.record']
  assert exported.moved_to(tiny).config == Pipeline.load(tiny / 'tiny.config').moved_to(tiny).config
  assert label_map.load(output_dir / 'label_map.pbtxt').names == tiny_project.NAMES

  image = np.random.default_rng(0).integers(0, 256, [48, 80, 3]).astype(np.uint8)
  Image.fromarray(image).save(tiny / 'a.png')
  path = picture_folder.detect_images(
    load_saved_model(saved_model_dir),
    input_images.from_files([str(tiny / 'a.png')], str(tiny / 'out')),
    str(tiny / 'out'),
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
  loaded = Pipeline.load(tiny / 'tiny.config').config
  with pytest.raises(InputError, match='no such file or folder'):
    exporter.export(Pipeline(loaded, 'tiny.config'), str(tiny / 'gone'), str(tiny / 'exported'))
  assert not (tiny / 'exported').exists()


def test_another_export_takes_its_place_and_leaves_what_is_not_of_an_export(tiny, caplog):
  tiny_project.write_checkpoint(tiny)
  output_dir = tiny / 'model/exported'
  notes = output_dir / 'notes.txt', output_dir / 'saved_model/assets.extra/warmup_requests'
  arguments = str(tiny / 'model'), str(output_dir)
  exporter.export(Pipeline.load(tiny / 'tiny.config'), *arguments, batch_size=2)
  for note in notes:
    note.parent.mkdir(exist_ok=True)
    note.write_text('of the user')
  changed = Pipeline.load(tiny / 'tiny.config', [f'{LIMIT}=7'])
  (tiny / 'label_map.pbtxt').unlink()
  caplog.clear()
  path = exporter.export(changed, *arguments)
  assert path == str(output_dir / 'saved_model')
  detect = tf.saved_model.load(path).signatures['serving_default']
  assert detect.structured_input_signature[1]['input_tensor'].shape[0] is None
  assert detect.structured_outputs['detection_scores'].shape[1] == 7
  assert Pipeline.load(output_dir).config == changed.moved_to(output_dir).config
  assert [note.read_text() for note in notes] == ['of the user'] * 2
  # The old label map may be of the user or of another model: it stays, and is named.
  assert label_map.load(output_dir / 'label_map.pbtxt').names == tiny_project.NAMES
  assert f'{output_dir / "label_map.pbtxt"}, which was there, stays' in caplog.text
  assert set(os.listdir(tiny / 'model')) == {
    *('checkpoint', 'ckpt-0.index', 'ckpt-0.data-00000-of-00001', 'pipeline.config', 'exported')
  }


def test_an_export_into_the_folder_of_a_training_is_refused(tiny):
  tiny_project.write_checkpoint(tiny)
  before = {path: path.read_bytes() for path in (tiny / 'model').iterdir()}
  with pytest.raises(InputError, match='model: holds checkpoints of a training'):
    exporter.export(
      Pipeline.load(tiny / 'tiny.config'),
      str(tiny / 'model'),
      str(tiny / 'model'),
    )
  assert {path: path.read_bytes() for path in (tiny / 'model').iterdir()} == before


# Exports for ever, and says when each is done.
_EXPORT_FOR_EVER = f"""
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.exporting import exporter
while True:
  exporter.export(Pipeline.load('tiny.config', ['{LIMIT}=5']), 'model', 'exported')
  print('done', flush=True)
"""


def assert_complete(exported, limits):
  """Whether all parts of an export are of one config, that of one of the limits."""
  saved = Pipeline.load(exported / 'pipeline.config').config.model.ssd.post_processing
  limit = saved.batch_non_max_suppression.max_total_detections
  assert limit in limits
  found = tf.saved_model.load(str(exported / 'saved_model'))(tf.zeros([1, 48, 80, 3], tf.uint8))
  assert found['detection_scores'].shape == (1, limit)
  assert sorted(os.listdir(exported / 'checkpoint')) == [
    *('checkpoint', 'ckpt-0.data-00000-of-00001', 'ckpt-0.index')
  ]


@pytest.mark.slow
def test_killed_beside_another_one_an_export_is_complete(tiny):
  tiny_project.write_checkpoint(tiny)
  with subprocess.Popen(
    [sys.executable, '-c', _EXPORT_FOR_EVER], cwd=tiny, stdout=subprocess.PIPE,
    env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'PYTHONPATH': str(tiny_project.ROOT)},
  ) as process:  # fmt: skip
    try:
      assert process.stdout.readline() == b'done\n'
      # Two at once, until the second is done.
      few = Pipeline.load(tiny / 'tiny.config', [f'{LIMIT}=7']).config
      exporter.export(
        Pipeline(few, str(tiny / 'tiny.config')), str(tiny / 'model'), str(tiny / 'exported')
      )
    finally:
      process.kill()
  assert_complete(tiny / 'exported', (5, 7))
