"""Every way that users load an export gives the detections of the model that was exported."""

import dataclasses
import os
import pathlib
import re
import shlex
import subprocess
import sys
import textwrap

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tiny_project

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.data import tf_example
from ssd_tf.exporting import saved_model

HERE = pathlib.Path(__file__).parent
IMAGES = np.random.default_rng(0).integers(0, 256, [2, 48, 80, 3]).astype(np.uint8)


@pytest.fixture(scope='module')
def detector():
  few = 'model.ssd.post_processing.batch_non_max_suppression.max_total_detections=20'
  loaded = Pipeline.load(HERE.parent / 'testdata/tiny.config', [few]).config
  detector = builders.build_detector(loaded.model, is_training=False)
  tiny_project.randomize(detector.model, seed=2)
  return detector


@pytest.fixture(scope='module')
def expected(detector):
  """What the model itself detects on IMAGES, without any export."""
  images, true_size = detector.preprocess_image(tf.constant(IMAGES))
  found = detector.postprocess(detector.model(images, training=False), true_size)
  scores = found['detection_scores'].numpy()
  assert np.diff(scores).max() < -1e-5  # So that rounding cannot change their order.
  return {name: np.float32(found[name]) for name in saved_model.OUTPUTS}


@pytest.fixture(scope='module')
def exported(detector, tmp_path_factory):
  """Exports of the same detector by input type, made when they are asked for."""
  made = {}

  def export(input_type='image_tensor'):
    if input_type not in made:
      folder = str(tmp_path_factory.mktemp(input_type))
      made[input_type] = saved_model.export_saved_model(detector, folder, input_type=input_type)
    return made[input_type]

  return export


def as_input(input_type):
  """IMAGES as an export of this type takes them: an array, or a list of strings."""
  if input_type in ('image_tensor', 'float_image_tensor'):
    return IMAGES.astype(np.uint8 if input_type == 'image_tensor' else np.float32)
  encoded = [tf.io.encode_png(image).numpy() for image in IMAGES]
  if input_type == 'encoded_image_string_tensor':
    return encoded
  annotation = tiny_project.annotation(0, np.random.default_rng(0), num_boxes=1)
  annotations = [dataclasses.replace(annotation, encoded=image) for image in encoded]
  return [tf_example.encode_example(annotation) for annotation in annotations]


def assert_detections(found, expected):
  assert set(found) == set(expected)
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)


def run(command, **options):
  environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'TF_CPP_MIN_LOG_LEVEL': '2'}
  done = subprocess.run(
    [str(part) for part in command], env=environment, capture_output=True, text=True, **options
  )
  assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize('input_type', saved_model.INPUT_TYPES)
def test_what_is_loaded_can_be_called(input_type, exported, expected):
  detect = tf.saved_model.load(exported(input_type))
  given = tf.constant(as_input(input_type))
  assert_detections(detect(given), expected)
  assert_detections(detect(input_tensor=given), expected)
  assert_detections(detect.signatures['serving_default'](input_tensor=given), expected)
  alone = {name: value[1:] for name, value in expected.items()}
  assert_detections(detect(given[1:]), alone)  # Any number of images.


@pytest.mark.parametrize('input_type', saved_model.INPUT_TYPES)
def test_a_session_of_tensorflow_1_finds_the_variables(input_type, exported, expected):
  given = as_input(input_type)
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    loaded = tf.compat.v1.saved_model.load(session, ['serve'], exported(input_type))
    signature = loaded.signature_def['serving_default']
    found = session.run(
      {name: output.name for name, output in signature.outputs.items()},
      {signature.inputs['input_tensor'].name: given},
    )
  assert_detections(found, expected)


def test_the_loader_of_tensorflow_serving_finds_the_variables(exported, expected, tmp_path):
  np.save(tmp_path / 'images.npy', IMAGES)
  files = tmp_path / 'images.npy', tmp_path / 'found.npz'
  run([sys.executable, HERE / 'c_api_session.py', exported(), *files])
  with np.load(tmp_path / 'found.npz') as found:
    assert_detections(dict(found), expected)


def readme_block(beginning):
  """The README's block of code that begins so, without its indentation."""
  readme = (HERE.parents[1] / 'README.md').read_text(encoding='utf-8')
  [block] = re.findall(rf'```(?:python)?\n( *{re.escape(beginning)}.*?)```', readme, re.DOTALL)
  return textwrap.dedent(block)


@pytest.fixture
def as_in_readme(exported, tmp_path, monkeypatch):
  """A working directory with the files of the README's examples."""
  (tmp_path / 'runs/mine').mkdir(parents=True)
  (tmp_path / 'runs/mine/exported').symlink_to(os.path.dirname(exported()))
  PIL.Image.fromarray(IMAGES[1]).save(tmp_path / 'photo.jpg', format='PNG')  # Without loss.
  np.save(tmp_path / 'images.npy', IMAGES)
  monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_saved_model_cli_finds_the_variables(as_in_readme, expected):
  command, *flags = shlex.split(readme_block('saved_model_cli run').replace('\\\n', ''))
  assert command == 'saved_model_cli'
  run([sys.executable, '-m', 'tensorflow.python.tools.saved_model_cli', *flags])
  found = {path.stem: np.load(path) for path in pathlib.Path('runs/mine/detections').iterdir()}
  assert_detections(found, expected)


def test_the_example_of_the_readme_detects(as_in_readme, expected, capsys):
  example = readme_block('import numpy as np, tensorflow as tf')
  assert example.count('score >= 0.5') == 1  # The tiny model is never that sure.
  capsys.readouterr()
  exec(example.replace('score >= 0.5', 'score >= 0.05'), {})
  lines = capsys.readouterr().out.splitlines()
  scores = expected['detection_scores'][1]
  count = (scores >= 0.05).sum()
  assert len(lines) == count > 3
  for i, line in enumerate(lines):
    class_id, score, *box = map(float, re.findall(r'[\d.]+', line))
    assert class_id == expected['detection_classes'][1, i]
    assert score == pytest.approx(scores[i], abs=1e-5)
    pixels = expected['detection_boxes'][1, i] * [48, 80, 48, 80]
    np.testing.assert_allclose(box, pixels, atol=0.51)


def test_a_wrong_shape_is_told_in_a_line(detector, exported, expected, tmp_path):
  pair = tf.saved_model.load(saved_model.export_saved_model(detector, str(tmp_path), batch_size=2))
  serve = pair.signatures['serving_default']
  # The signature has the fixed size, for compilers that need one.
  assert serve.structured_input_signature[1]['input_tensor'].shape[0] == 2
  assert_detections(pair(tf.constant(IMAGES)), expected)
  for detect, images, shapes in (
    (pair, IMAGES[:1], ('[1,48,80,3]', '[2,?,?,3]')),
    (pair, IMAGES[[0, 0, 0]], ('[3,48,80,3]', '[2,?,?,3]')),
    (lambda images: serve(input_tensor=images), IMAGES[:1], ('[1,48,80,3]', '[2,?,?,3]')),
    (tf.saved_model.load(exported()), IMAGES[0], ('[48,80,3]', '[?,?,?,3]')),
  ):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
      detect(tf.constant(images))
    [line] = [line for line in caught.value.message.splitlines() if 'input_tensor' in line]
    assert all(shape in line for shape in shapes) and len(line) < 200, line
