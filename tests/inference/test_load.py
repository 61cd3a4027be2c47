"""What `ssd_tf.load` finds behind a path, and that all of it detects as the exporter's output."""

import shutil
import subprocess
import sys

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tiny_project

import ssd_tf
from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.exporting import exporter
from ssd_tf.run import checkpoints


@pytest.fixture(scope='module')
def project(tmp_path_factory):
  """A folder with model, which has a best checkpoint of other weights, and exported."""
  folder = tmp_path_factory.mktemp('project')
  tiny_project.make(folder)
  detector = tiny_project.write_checkpoint(folder)
  exporter.export(
    Pipeline.load(folder / 'tiny.config'), str(folder / 'model'), str(folder / 'exported')
  )
  (folder / 'plain').mkdir()
  for path in (folder / 'model').iterdir():
    shutil.copy(path, folder / 'plain')
  tiny_project.randomize(detector.model, seed=3)
  best = checkpoints.model_checkpoint(detector.model)
  tf.train.CheckpointManager(best, folder / 'model/best', max_to_keep=1).save(checkpoint_number=7)
  for name in ('model', 'plain'):
    _make_absolute(folder, folder / name / 'pipeline.config')
  return folder


def _make_absolute(folder, config):
  text = config.read_text()
  for name in ('label_map.pbtxt', 'train.record', 'eval.record'):
    text = text.replace(f'"{name}"', f'"{folder / name}"')
  config.write_text(text)


def images():
  rng = np.random.default_rng(0)
  return [rng.integers(0, 256, [*size, 3]).astype(np.uint8) for size in ((48, 80), (90, 31))]


def assert_close(found, expected):
  np.testing.assert_array_equal(found.class_ids, expected.class_ids)
  np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
  np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)


@pytest.mark.parametrize(
  ('path', 'found'),
  [
    ('model', 'model/best/ckpt-7'),
    ('plain', 'plain/ckpt-0'),
    ('model/ckpt-0', 'model/ckpt-0'),
    ('model/ckpt-0.index', 'model/ckpt-0'),
    ('model/best', 'model/best/ckpt-7'),
    ('exported', 'exported/saved_model'),
    ('exported/saved_model', 'exported/saved_model'),
    ('exported/checkpoint', 'exported/checkpoint/ckpt-0'),
  ],
)
def test_each_path_detects_as_what_it_stands_for(path, found, project):
  detector = ssd_tf.load(project / path)
  assert detector.path == str(project / found)
  assert detector.class_names == {1: 'a', 2: 'b', 3: 'c'}
  image = images()[0]
  detections = detector(image)
  exported = tf.saved_model.load(str(project / 'exported/saved_model'))
  expected = {name: value[0].numpy() for name, value in exported(image[np.newaxis]).items()}
  is_same = expected['detection_scores'].shape == detections.scores.shape and np.allclose(
    expected['detection_scores'], detections.scores, atol=1e-6
  )
  assert is_same == ('/best/' not in found)  # That has other weights.
  if is_same:
    assert len(detections) > 3
    boxes = expected['detection_boxes'] * [48, 80, 48, 80]
    np.testing.assert_allclose(detections.boxes, boxes, atol=1e-3)
    assert detections.names == ['?abc'[int(i)] for i in expected['detection_classes']]


@pytest.mark.parametrize('path', ['plain', 'exported'])
def test_images_of_several_sizes_and_kinds_in_one_call(path, project, tmp_path):
  detector = ssd_tf.load(project / path)
  first, second = images()
  PIL.Image.fromarray(first).save(tmp_path / 'a.png')
  exif = PIL.Image.Exif()
  exif[0x0112] = 6  # Stored a quarter turn to the left of what is seen.
  PIL.Image.fromarray(np.rot90(second)).save(tmp_path / 'turned.png', exif=exif)
  turned = PIL.Image.open(tmp_path / 'turned.png')
  mixed = [str(tmp_path / 'a.png'), second, turned, tmp_path / 'turned.png']
  found = detector(mixed, batch_size=3)
  assert [d.size for d in found] == [(48, 80), (90, 31), (90, 31), (90, 31)]
  expected = [detector(first), *[detector(second)] * 3]
  for detections, alone in zip(found, expected, strict=True):
    assert len(alone) > 3
    assert_close(detections, alone)
  assert detector([]) == []
  assert [d.size for d in detector(np.stack([first, first]))] == [(48, 80)] * 2
  assert detector(PIL.Image.fromarray(first).convert('L')).image.shape == (48, 80, 3)


@pytest.mark.parametrize(
  'image',
  [
    np.zeros([4, 5, 3]),
    np.zeros([4, 5], np.uint8),
    np.zeros([4, 5, 4], np.uint8),
    np.zeros([0, 5, 3], np.uint8),
  ],
)
def test_an_array_that_is_no_image_is_refused(image, project):
  with pytest.raises(ValueError, match=r'expected uint8 \[height, width, 3\].*received'):
    ssd_tf.load(project / 'plain')(image)


def test_faults_of_the_path_are_told(project, tmp_path):
  with pytest.raises(ssd_tf.InputError, match='no such file or folder'):
    ssd_tf.load(project / 'gone')
  for path in (project / 'model').glob('ckpt-0*'):
    (tmp_path / 'copied').mkdir(exist_ok=True)
    shutil.copy(path, tmp_path / 'copied')
  with pytest.raises(ssd_tf.InputError, match='no pipeline.config beside it'):
    ssd_tf.load(tmp_path / 'copied/ckpt-0')
  found = ssd_tf.load(tmp_path / 'copied', config=project / 'tiny.config')
  assert found.class_names == {1: 'a', 2: 'b', 3: 'c'}
  with pytest.raises(ssd_tf.InputError, match='holds no Keras model'):
    ssd_tf.load(project / 'exported').model  # noqa: B018


def test_a_label_map_that_is_gone_leaves_the_ids_as_names(project, tmp_path):
  shutil.copytree(project / 'plain', tmp_path / 'model')
  config = tmp_path / 'model/pipeline.config'
  config.write_text(config.read_text().replace('label_map.pbtxt', 'gone.pbtxt'))
  detections = ssd_tf.load(tmp_path / 'model')(images()[0])
  assert detections.names == [str(i) for i in detections.class_ids]
  named = ssd_tf.load(tmp_path / 'model', label_map=project / 'label_map.pbtxt')
  assert named.class_names == {1: 'a', 2: 'b', 3: 'c'}


HEADS = 'model.ssd.box_predictor.convolutional_box_predictor'


@pytest.mark.parametrize(
  'changes',
  [
    (),
    (f'{HEADS}.use_dropout=true', f'{HEADS}.dropout_keep_probability=0.8'),
    (f'{HEADS}.apply_sigmoid_to_scores=true', 'model.ssd.freeze_batchnorm=true'),
    ('model.ssd.add_background_class=false', 'model.ssd.encode_background_as_zeros=true'),
  ],
)
def test_a_keras_file_loses_nothing(changes, project, tmp_path):
  config = Pipeline.load(project / 'tiny.config', changes).config
  model = builders.build_detector(config.model, is_training=True).model
  tiny_project.randomize(model, seed=1)
  model.save(tmp_path / 'model.keras')
  again = keras.saving.load_model(tmp_path / 'model.keras', custom_objects=ssd_tf.CUSTOM_OBJECTS)
  image = np.random.default_rng(0).normal(size=[2, 64, 96, 3]).astype(np.float32)
  expected, found = (m(image, training=False) for m in (model, again))
  assert sorted(found) == ['box_encodings', 'class_logits']
  for name, value in expected.items():
    np.testing.assert_array_equal(found[name], value)
  assert [v.path for v in again.variables] == [v.path for v in model.variables]
  names = [v.path for v in model.trainable_variables]
  assert [v.path for v in again.trainable_variables] == names
  assert len(again.losses) == len(model.losses) > 0  # The regularizers.


def test_importing_the_package_imports_no_tensorflow():
  code = (
    'import sys, ssd_tf; print(ssd_tf.__version__, "load" in dir(ssd_tf), '
    'sorted({"tensorflow", "keras", "numpy"} & set(sys.modules)))'
  )
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
  assert done.stdout == f'{ssd_tf.__version__} True []\n'


def test_every_name_is_there():
  for name in ssd_tf.__all__:
    assert getattr(ssd_tf, name) is not None
  assert sorted(ssd_tf.__all__) == sorted(ssd_tf._MODULES)
  with pytest.raises(AttributeError, match="no attribute 'lod'"):
    ssd_tf.lod  # noqa: B018
