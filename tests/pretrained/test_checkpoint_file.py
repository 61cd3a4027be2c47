"""Files that are whole, cut short, damaged, or not there."""

import numpy as np
import pytest
import small_checkpoints

from ssd_tf.errors import InputError
from ssd_tf.pretrained import checkpoint_kind
from ssd_tf.pretrained.checkpoint_file import CheckpointFile

DATA = '.data-00000-of-00001'


@pytest.fixture
def prefix(tmp_path):
  """1000 float32 numbers and 10 int64: 4080 bytes."""
  path = tmp_path / 'ckpt-0'
  small_checkpoints.write(path, {'a': np.arange(1000, dtype=np.float32), 'b': np.arange(10)})
  return str(path)


def test_names_shapes_and_values(prefix):
  file = CheckpointFile(prefix)
  assert file.shapes == {'a': (1000,), 'b': (10,)}
  np.testing.assert_array_equal(file.read('b'), np.arange(10))
  np.testing.assert_array_equal(file.read('a'), np.arange(1000, dtype=np.float32))


def test_the_object_graph_beside_them_is_no_fault(tmp_path):
  small_checkpoints.write(tmp_path / 'c', {'_CHECKPOINTABLE_OBJECT_GRAPH': b'text', 'a': [1.0]})
  assert CheckpointFile(str(tmp_path / 'c')).read('a').tolist() == [1.0]


@pytest.mark.parametrize('size', [0, 100, 4079])
def test_values_cut_short(prefix, size):
  with open(prefix + DATA, 'r+b') as file:
    file.truncate(size)
  with pytest.raises(
    InputError, match=f'is cut short: its values take at least 4080 .* has {size}'
  ):
    CheckpointFile(prefix)


def test_damaged_values(prefix):
  with open(prefix + DATA, 'r+b') as file:
    file.seek(10)
    file.write(b'damage')
  with pytest.raises(InputError, match='ckpt-0: is damaged or cut short at a .*download or copy'):
    CheckpointFile(prefix).read('a')


def test_values_that_are_not_there(prefix, tmp_path):
  (tmp_path / f'ckpt-0{DATA}').unlink()
  with pytest.raises(
    InputError, match='0 of 1 files of values .*copy .*ckpt-0.data-00000-of-00001'
  ):
    CheckpointFile(prefix)


def test_one_of_two_files_of_values(prefix, tmp_path):
  (tmp_path / f'ckpt-0{DATA}').rename(tmp_path / 'ckpt-0.data-00001-of-00002')
  with pytest.raises(InputError, match='1 of 2 files of values are there'):
    CheckpointFile(prefix)


def test_a_file_of_something_else(tmp_path):
  (tmp_path / 'model.ckpt').write_bytes(b'hello' * 100)
  with pytest.raises(InputError, match='cannot be read as a checkpoint .*give the prefix') as error:
    CheckpointFile(str(tmp_path / 'model.ckpt'))
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('names', 'message'),
  [
    (['step/.ATTRIBUTES/VARIABLE_VALUE', 'save_counter/.ATTRIBUTES/VARIABLE_VALUE'],
     'holds no model, only save_counter.* before its first step: take a later one'),
    (['resnet/conv1/weights', 'resnet/conv1/biases', 'global_step'],
     'is no checkpoint of an SSD MobileNet: it holds resnet/conv1/biases, resnet/conv1/weights, '),
  ],
)  # fmt: skip
def test_checkpoints_of_no_model_of_ours(names, message):
  with pytest.raises(InputError, match=message):
    checkpoint_kind.identify(names, 'ckpt-1')
