"""An export that cannot be detected with is refused in one line that says why."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.errors import InputError
from ssd_tf.inference.loading import load_saved_model

OUTPUTS = ('detection_boxes', 'detection_scores', 'detection_classes')


def write(
  folder, shape=(None, None, None, 3), dtype=tf.uint8, signature='serving_default', outputs=OUTPUTS
):
  """A model all of whose outputs are its only variable, 7."""

  class Sevens(tf.Module):
    def __init__(self):
      super().__init__()
      self.sevens = tf.Variable(tf.fill([1000], 7.0))

    @tf.function(input_signature=[tf.TensorSpec(shape, dtype, 'input_tensor')])
    def detect(self, input_tensor):
      del input_tensor
      two = self.sevens[tf.newaxis, :2]
      boxes = tf.tile(two[..., tf.newaxis], [1, 1, 4])
      return {name: boxes if name == 'detection_boxes' else two for name in outputs}

  module = Sevens()
  path = str(folder / 'saved_model')
  tf.saved_model.save(module, path, signatures={signature: module.detect})
  return path


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  return write(tmp_path_factory.mktemp('whole'))


def error_of(path):
  with pytest.raises(InputError) as caught:
    load_saved_model(path)
  message = str(caught.value)
  assert message.startswith(f'{path}: ') and '\n' not in message
  return message


@pytest.mark.parametrize('number', [None, 1])
def test_a_whole_one_detects(number, tmp_path):
  detect = load_saved_model(write(tmp_path, (number, None, None, 3)))
  found = detect(np.zeros([4, 5, 3], np.uint8))
  # Of 4 by 5 pixels, seven times as far.
  assert found.boxes.tolist() == [[28, 35, 28, 35]] * 2
  assert (found.scores.tolist(), found.class_ids.tolist()) == ([7, 7], [7, 7])
  assert found.size == (4, 5) and found.names == ['7', '7']


@pytest.mark.parametrize(
  'file', ['variables', 'variables/variables.index', 'variables/variables.data-00000-of-00001']
)
def test_a_missing_file(file, whole, tmp_path):
  path = shutil.copytree(whole, tmp_path / 'saved_model')
  shutil.rmtree(path / file) if file == 'variables' else (path / file).unlink()
  assert 'is incomplete or damaged' in error_of(str(path))


def test_no_saved_model_at_all(whole, tmp_path):
  path = shutil.copytree(whole, tmp_path / 'saved_model')
  (path / 'saved_model.pb').unlink()
  for given in (path, tmp_path, tmp_path / 'absent'):
    assert 'give the folder that holds saved_model.pb' in error_of(str(given))


@pytest.mark.parametrize('share', [0, 0.25, 0.5, 0.99])
@pytest.mark.parametrize(
  'file',
  ['saved_model.pb', 'variables/variables.index', 'variables/variables.data-00000-of-00001'],
)
def test_a_truncated_file(file, share, whole, tmp_path):
  path = shutil.copytree(whole, tmp_path / 'saved_model')
  os.truncate(path / file, int((path / file).stat().st_size * share))
  assert 'is incomplete or damaged' in error_of(str(path))


def test_a_damaged_variable(whole, tmp_path):
  path = shutil.copytree(whole, tmp_path / 'saved_model')
  data = bytearray((path / 'variables/variables.data-00000-of-00001').read_bytes())
  data[len(data) // 2] ^= 1
  (path / 'variables/variables.data-00000-of-00001').write_bytes(data)
  assert 'is incomplete or damaged' in error_of(str(path))


def test_a_model_that_takes_something_else(tmp_path):
  for i, (shape, dtype, expected) in enumerate([
    ([None], tf.string, '--input_type=image_tensor'),
    ([None, None, None, 3], tf.float32, '--input_type=image_tensor'),
    ([4, None, None, 3], tf.uint8, 'takes 4 images at once'),
  ]):  # fmt: skip
    (tmp_path / str(i)).mkdir()
    assert expected in error_of(write(tmp_path / str(i), shape, dtype))


@pytest.mark.parametrize('options', [{'signature': 'other'}, {'outputs': ('logits',)}])
def test_a_model_that_is_no_detector(options, tmp_path):
  assert 'serving_default has the outputs detection_boxes' in error_of(write(tmp_path, **options))
