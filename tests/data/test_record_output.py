"""Record files on disk: whole or not at all, one data set under a name, one writer at a time."""

import os
import resource
import signal
import subprocess
import sys

import pytest
import tensorflow as tf

from ssd_tf.data import record_output
from ssd_tf.errors import InputError


def names(folder):
  return sorted(path.name for path in folder.iterdir())


def write(output, records=(b'x',)):
  with output.open() as (write_record, removed):
    for i, record in enumerate(records):
      write_record(i % len(output.paths), record)
  return removed


def records(path):
  return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


@pytest.mark.parametrize(
  ('earlier', 'new'), [(4, 2), (2, 4), (1, 3), (3, 1), (2, 2)], ids=lambda n: f'{n}'
)
def test_a_data_set_replaces_the_earlier_one_of_its_name(earlier, new, tmp_path):
  # Others, whose names only begin or end alike.
  others = ['a.record-00000-of-00002.bak', 'a.record-1-of-2', 'a.record.txt', 'axrecord', 'b']
  for name in others:
    (tmp_path / name).write_text('mine')
  old, output = (record_output.sharded(str(tmp_path / 'a.record'), n) for n in (earlier, new))
  assert write(old) == []
  removed = write(output, [b'1', b'2'])
  assert removed == ([] if earlier == new else list(old.paths))
  assert names(tmp_path) == sorted([*others, *(os.path.basename(path) for path in output.paths)])
  assert sorted(r for path in output.paths for r in records(path)) == [b'1', b'2']


def test_numbered_files_replace_those_of_a_longer_data_set(tmp_path):
  (tmp_path / 'voc_2007.tfrecord').write_text('mine')
  write(record_output.numbered(str(tmp_path / 'voc.tfrecord'), 3), [b'1', b'2', b'3'])
  # The second of two files gets no record, so it does not stay.
  removed = write(record_output.numbered(str(tmp_path / 'voc.tfrecord'), 2), [b'new'])
  assert removed == [str(tmp_path / f'voc_00{i}.tfrecord') for i in (2, 1)]
  assert names(tmp_path) == ['voc_000.tfrecord', 'voc_2007.tfrecord']
  assert records(tmp_path / 'voc_000.tfrecord') == [b'new']


def test_a_failure_leaves_the_earlier_data_set_and_nothing_else(tmp_path):
  write(record_output.sharded(str(tmp_path / 'a'), 3), [b'1'])
  before = names(tmp_path)
  output = record_output.sharded(str(tmp_path / 'a'), 2)
  with pytest.raises(ZeroDivisionError), output.open() as (write_record, _):
    write_record(0, b'2')
    raise ZeroDivisionError
  assert names(tmp_path) == before
  assert records(tmp_path / 'a-00000-of-00003') == [b'1']


WRITE_FOREVER = """
import sys, time
from ssd_tf.data import record_output
with record_output.sharded(sys.argv[1], 2).open() as (write, _):
  write(0, b'x')
  print('writing', flush=True)
  time.sleep(60)
"""


def test_a_second_writer_is_refused_and_a_killed_one_leaves_nothing_that_stays(tmp_path):
  path = str(tmp_path / 'a.record')
  first = subprocess.Popen([sys.executable, '-c', WRITE_FOREVER, path], stdout=subprocess.PIPE)
  try:
    assert first.stdout.readline() == b'writing\n'
    for num_shards in (1, 2):
      with pytest.raises(InputError, match=rf'a\.record: .*process {first.pid}'):
        write(record_output.sharded(path, num_shards))
    write(record_output.sharded(str(tmp_path / 'b.record')))
  finally:
    first.send_signal(signal.SIGKILL)
    first.wait()
    first.stdout.close()
  assert 'a.record-00000-of-00002.tmp' in names(tmp_path)
  write(record_output.sharded(path))
  assert names(tmp_path) == ['a.record', 'b.record']


def test_what_is_read_is_not_replaced(tmp_path):
  write(record_output.sharded(str(tmp_path / 'a'), 2))
  shard = str(tmp_path / 'a-00001-of-00002')
  for num_shards in (1, 2, 3):
    with pytest.raises(InputError, match='a-00001-of-00002: is read'):
      record_output.sharded(str(tmp_path / 'a'), num_shards).require_apart_from([shard])
  record_output.sharded(str(tmp_path / 'b'), 2).require_apart_from([shard])


def test_what_cannot_be_written_is_one_line(tmp_path):
  (tmp_path / 'file').write_text('')
  (tmp_path / 'folder').mkdir()
  for path in ('file/a.record', 'folder', 'x' * 300):
    with pytest.raises(InputError, match=path):
      write(record_output.sharded(str(tmp_path / path)))
  with pytest.raises(InputError, match='num_shards is 0'):
    record_output.sharded('a', 0)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
  try:
    with pytest.raises(InputError, match=r'a\.record: cannot be written'):
      write(record_output.sharded(str(tmp_path / 'a.record')), [bytes(90_000)] * 3)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert names(tmp_path) == []
