"""A disk that is full while a training writes: one line, and what was good stays good."""

import os

import numpy as np
import pytest
import small_disk
import tensorflow as tf
import tiny_project
from PIL import Image

from ssd_tf.config import text_proto
from ssd_tf.config.pipeline import PipelineConfig
from ssd_tf.data import record_writer
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError
from ssd_tf.files import atomic_file, failed_writes
from ssd_tf.run import checked_event_files, checkpoints
from ssd_tf.run.evaluation_log import EvaluationLog


@pytest.fixture(params=[True, False], ids=['file system', 'limit'])
def disk(request, tmp_path):
  with small_disk.disk(tmp_path / 'disk', mounted=request.param) as it:
    yield it


def files(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file() and path.name != '.filler'
  }


def noise(count):
  return np.random.default_rng(0).integers(0, 256, count, np.uint8)


@pytest.mark.parametrize('leave', [0, 40960])
def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(disk, leave):
  variable = tf.Variable(tf.zeros([100_000]))
  step = tf.Variable(0, dtype=tf.int64)
  checkpoint = tf.train.Checkpoint(step=step, v=variable)
  model_dir = str(disk.folder / 'model')
  manager = checkpoints.Manager(checkpoint, model_dir, max_to_keep=1)
  step.assign(4)
  manager.save(checkpoint_number=4)
  before = files(disk.folder)
  disk.fill(leave)
  step.assign(6)
  with pytest.raises(InputError) as error, checkpoints.telling_last_checkpoint(model_dir):
    manager.save(checkpoint_number=6)
  disk.free()
  message = str(error.value)
  assert message.startswith(f'{model_dir}/ckpt-6: {disk.reason}; ')
  assert f'the last good checkpoint is {model_dir}/ckpt-4: ' in message
  assert len(message.splitlines()) == 1
  assert files(disk.folder) == before
  assert not list(disk.folder.rglob('*_temp'))
  manager.save(checkpoint_number=6)
  assert tf.train.latest_checkpoint(model_dir).endswith('ckpt-6')


def test_what_a_killed_save_left_is_removed_before_the_next(tmp_path):
  (tmp_path / 'ckpt-4_temp').mkdir()
  (tmp_path / 'ckpt-4_temp/part-00000-of-00001.data-00000-of-00001').write_bytes(b'half')
  (tmp_path / 'ckpt-4.index.tempstate123').write_bytes(b'half')
  (tmp_path / 'checkpoint.tmp0123').write_bytes(b'half')
  (tmp_path / 'ckpt-2.index').write_bytes(b'kept')
  checkpoints.Manager(tf.train.Checkpoint(), str(tmp_path), max_to_keep=1)
  assert [path.name for path in tmp_path.iterdir()] == ['ckpt-2.index']


@pytest.mark.parametrize('leave', [0, 40960])
def test_an_event_that_is_not_written_whole_is_an_error(disk, leave):
  step = tf.Variable(0, dtype=tf.int64)
  manager = checked_event_files.CheckedSummaries(str(disk.folder / 'train'), step)
  manager.write_summaries({'loss': 1.0})
  manager.flush()
  disk.fill(leave)
  step.assign(1)
  with pytest.raises((OSError, tf.errors.OpError)) as error:
    with manager.summary_writer().as_default():
      tf.summary.text('picture', 'x' * 100_000, step=1)
    manager.write_summaries({'loss': 2.0})
    manager.flush()
  disk.free()
  (path,) = (disk.folder / 'train').iterdir()
  assert failed_writes.explain(error.value).startswith(f'{path}: ')
  later = checked_event_files.CheckedSummaries(str(disk.folder / 'later'), step)
  later.write_summaries({'loss': 2.0})
  later.flush()  # As the next process does, in a file of its own.


def test_the_end_of_the_records_is_found_from_any_of_them(tmp_path):
  path = str(tmp_path / 'records')
  sizes = [3, 0, 5000]
  with tf.io.TFRecordWriter(path) as writer:
    for size in sizes:
      writer.write(b'x' * size)
  whole = sum(sizes) + 3 * 16
  assert os.path.getsize(path) == whole
  for start in (0, 19, 35, whole):
    assert checked_event_files.end_of_records(path, start) == whole
  for cut, end in ((whole - 1, 35), (36, 35), (34, 19), (18, 0)):
    os.truncate(path, cut)
    assert checked_event_files.end_of_records(path) == end


def write_config(path):
  text_proto.write(PipelineConfig(train_config={'fine_tune_checkpoint': 'x' * 50_000}), path)


def write_json(path):
  atomic_file.write_json(path, ['x' * 50_000])


def append_evaluation(path):
  EvaluationLog(os.path.dirname(path)).append(4, {'x' * 50_000: 0.5}, {})


@pytest.mark.parametrize(
  ('name', 'write'),
  [
    ('pipeline.config', write_config),
    ('run.json', write_json),
    ('metrics.jsonl', append_evaluation),
  ],
)
def test_small_files_stay_as_they_were_and_are_named(name, write, disk):
  path = disk.folder / name
  path.write_text('{"step": 2, "metrics": {}}\n')
  before = files(disk.folder)
  disk.fill(40960)
  with pytest.raises(OSError) as error:
    write(str(path))
  disk.free()
  assert failed_writes.explain(error.value) == f'{path}: {disk.reason}'
  assert files(disk.folder) == before


def test_pictures_are_named(disk):
  path = disk.folder / 'a.png'
  disk.fill(40960)
  with pytest.raises(OSError) as error, failed_writes.writing(path):
    Image.fromarray(noise(300_000).reshape(250, 400, 3)).save(path)
  disk.free()
  assert failed_writes.explain(error.value) == f'{path}: {disk.reason}'


@pytest.mark.parametrize('leave', [0, 40960])
def test_records_that_do_not_fit_leave_those_of_before(disk, leave):
  path = str(disk.folder / 'train.record')
  images = tiny_project.annotations(10, seed=0)
  record_writer.write_records(Source({}, images[:1], lambda image: image), path)
  before = files(disk.folder)
  disk.fill(leave)
  with pytest.raises(InputError) as error:
    record_writer.write_records(Source({}, images, lambda image: image), path)
  disk.free()
  assert str(error.value).startswith(f'{path}: ') and disk.reason in str(error.value)
  assert len(str(error.value).splitlines()) == 1
  assert files(disk.folder) == before


@pytest.mark.parametrize(
  ('error', 'line'),
  [
    (
      tf.errors.ResourceExhaustedError(
        None,
        None,
        '{{function_node __wrapped__SaveV2_dtypes_3_device_/job:localhost/CPU:0}} a b/ckpt-6_temp/'
        'part-00000-of-00001.data-00000-of-00001.tempstate50; No space left on device [Op:SaveV2]',
      ),
      'a b/ckpt-6: No space left on device',
    ),
    (
      tf.errors.UnknownError(None, None, 'train/events.v2; Disk quota exceeded\n\tFailed to flush'),
      'train/events.v2: Disk quota exceeded',
    ),
    (
      tf.errors.UnknownError(None, None, 'OSError: [Errno 28] No space left on device'),
      'a file: No space left on device',
    ),
    (tf.errors.ResourceExhaustedError(None, None, 'OOM when allocating tensor'), None),
    (OSError(2, 'No such file or directory', 'gone'), None),
    (ValueError('x; No space left on device'), None),
  ],
)
def test_failed_writes_are_told_by_their_errors(error, line):
  assert failed_writes.explain(error) == line
