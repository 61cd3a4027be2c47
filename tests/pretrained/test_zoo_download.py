"""Downloads from a server on this machine: whole, broken, resumed, damaged, and placed by hand."""

import functools
import hashlib
import http.server
import io
import json
import os
import pathlib
import re
import tarfile
import tempfile
import threading

import numpy as np
import pytest
import small_checkpoints

from ssd_tf.errors import InputError
from ssd_tf.pretrained import downloads, weights_table, zoo_cache
from ssd_tf.pretrained.checkpoint_formats import open_checkpoint
from ssd_tf.pretrained.weights_table import Weights

ARCHIVE = 'tf2/20200711/tiny_coco17_tpu-8.tar.gz'
VALUES = np.arange(20_000, dtype=np.float32) * np.pi  # 80 kB, which hardly compress.


class Server(http.server.ThreadingHTTPServer):
  """Has one file; cuts as many bytes into each answer as `cuts` says, one after the other."""

  daemon_threads = True
  content = b''
  cuts = ()
  has_ranges = True
  status = None

  def __init__(self):
    super().__init__(('127.0.0.1', 0), Handler)
    self.requests = []

  @property
  def url(self):
    return f'http://127.0.0.1:{self.server_port}/'


class Handler(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    server = self.server
    cut = server.cuts[len(server.requests)] if len(server.requests) < len(server.cuts) else None
    server.requests.append((self.path, self.headers.get('Range')))
    if server.status:
      self.send_error(server.status)
      return
    start = 0
    if server.has_ranges and self.headers.get('Range'):
      start = int(re.fullmatch(r'bytes=(\d+)-', self.headers['Range'])[1])
    if start and start >= len(server.content):
      self.send_response(416)
      self.send_header('Content-Range', f'bytes */{len(server.content)}')
      self.end_headers()
      return
    self.send_response(206 if start else 200)
    if start:
      last = len(server.content) - 1
      self.send_header('Content-Range', f'bytes {start}-{last}/{len(server.content)}')
    self.send_header('Content-Length', str(len(server.content) - start))
    self.end_headers()
    self.wfile.write(server.content[start:][:cut])

  def log_message(self, *_):
    pass


@pytest.fixture
def server(monkeypatch, tmp_path):
  with Server() as server:
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    monkeypatch.setattr(weights_table, 'ZOO_URL', server.url)
    monkeypatch.setattr(downloads, '_PAUSE_SECONDS', 0.0)
    monkeypatch.setenv('SSD_TF_CACHE', str(tmp_path / 'cache'))
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
      monkeypatch.delenv(name, raising=False)
    server.content = archive_of(checkpoint_files())
    yield server
    server.shutdown()
    thread.join()


@functools.cache
def checkpoint_files():
  """{name: bytes} of an archive as the TF2 zoo has them."""
  with tempfile.TemporaryDirectory() as folder:
    small_checkpoints.write(f'{folder}/ckpt-0', {'a/kernel': VALUES})
    paths = pathlib.Path(folder).iterdir()
    files = {f'tiny/checkpoint/{path.name}': path.read_bytes() for path in paths}
  files['tiny/checkpoint/checkpoint'] = b'model_checkpoint_path: "/elsewhere/ckpt-0"'
  files['tiny/pipeline.config'] = b'model { ssd { num_classes: 90 } }'
  files['tiny/saved_model/variables/variables.index'] = b'not this one'
  files['tiny/saved_model/saved_model.pb'] = b'nor this'
  return files


def archive_of(files):
  """A .tar.gz; a value that is no bytes is the target of a symbolic link."""
  content = io.BytesIO()
  with tarfile.open(fileobj=content, mode='w:gz') as tar:
    for name, value in files.items():
      member = tarfile.TarInfo(name)
      if isinstance(value, bytes):
        member.size = len(value)
        tar.addfile(member, io.BytesIO(value))
      else:
        member.type, member.linkname = tarfile.SYMTYPE, value
        tar.addfile(member)
  return content.getvalue()


def row(**settings):
  return Weights('zoo:tiny', 'a.config', 20.0, ARCHIVE, **settings)


def ranges(server):
  return [value for _, value in server.requests]


def cached_files():
  return sorted(os.listdir(zoo_cache.folder()))


def refused(weights, message):
  """The error, which names the URL; nothing passes for a checkpoint afterwards."""
  with pytest.raises(InputError, match=message) as error:
    zoo_cache.obtain(weights)
  assert str(error.value).startswith(weights.url) and '\n' not in str(error.value)
  assert zoo_cache.cached_checkpoint(weights) is None
  return str(error.value)


def test_a_checkpoint_is_downloaded_once_and_read(server, monkeypatch):
  monkeypatch.setattr(weights_table, 'TABLE', (row(),))
  file = open_checkpoint('zoo:tiny')
  np.testing.assert_array_equal(file.read('a/kernel'), VALUES)
  place = os.path.join(zoo_cache.folder(), 'tiny_coco17_tpu-8')
  assert file.path == os.path.join(place, 'ckpt-0')
  assert sorted(os.listdir(place)) == [
    *('ckpt-0.data-00000-of-00001', 'ckpt-0.index', 'pipeline.config'),
  ]
  assert cached_files() == ['tiny_coco17_tpu-8', 'tiny_coco17_tpu-8.json']
  record = json.loads(pathlib.Path(f'{place}.json').read_text())
  assert record == {
    'url': f'{server.url}{ARCHIVE}',
    'size': len(server.content),
    'sha256': hashlib.sha256(server.content).hexdigest(),
  }
  assert server.requests == [(f'/{ARCHIVE}', None)]
  open_checkpoint('zoo:tiny_coco17_tpu-8')
  assert len(server.requests) == 1


def test_a_transfer_that_breaks_goes_on_where_it_was(server):
  server.cuts = (10_000, 0, 20_000)
  path = zoo_cache.obtain(row(size=len(server.content)))
  np.testing.assert_array_equal(open_checkpoint(path).read('a/kernel'), VALUES)
  assert ranges(server) == [None, 'bytes=10000-', 'bytes=10000-', 'bytes=30000-']


def test_a_later_call_goes_on(server):
  server.cuts = (10_000, 0, 0)
  error = refused(row(), r'the transfer ended at 10000 of \d+ bytes.*the same command resumes')
  assert f'put it at {zoo_cache.folder()}/tiny_coco17_tpu-8.tar.gz' in error
  assert cached_files() == ['tiny_coco17_tpu-8.tar.gz.part']
  zoo_cache.obtain(row())
  assert ranges(server)[3:] == ['bytes=10000-']


def test_all_came_but_the_process_ended(server):
  os.makedirs(zoo_cache.folder())
  part = pathlib.Path(zoo_cache.folder(), 'tiny_coco17_tpu-8.tar.gz.part')
  part.write_bytes(server.content)
  zoo_cache.obtain(row())
  assert ranges(server) == [f'bytes={len(server.content)}-']


def test_more_came_than_there_is(server):
  os.makedirs(zoo_cache.folder())
  part = pathlib.Path(zoo_cache.folder(), 'tiny_coco17_tpu-8.tar.gz.part')
  part.write_bytes(server.content + b'more')
  zoo_cache.obtain(row())
  assert ranges(server)[1:] == [None]


def test_a_server_without_ranges_starts_over(server):
  server.has_ranges = False
  server.cuts = (10_000, 20_000)
  path = zoo_cache.obtain(row())
  np.testing.assert_array_equal(open_checkpoint(path).read('a/kernel'), VALUES)


def test_another_size_is_refused_before_the_transfer(server):
  size = len(server.content)
  refused(row(size=size + 1), f'has {size} bytes on the server, expected {size + 1}')
  assert cached_files() == []


def test_another_digest_is_refused(server):
  refused(row(sha256='0' * 64), 'SHA-256 [0-9a-f]{64}, expected 0{64}')
  assert cached_files() == []
  zoo_cache.obtain(row(sha256=hashlib.sha256(server.content).hexdigest()))


def test_a_later_download_is_compared_with_the_first(server):
  path = zoo_cache.obtain(row())
  for file in pathlib.Path(path).parent.iterdir():
    file.unlink()
  pathlib.Path(path).parent.rmdir()
  server.content = archive_of({**checkpoint_files(), 'tiny/pipeline.config': b'other'})
  refused(row(), 'SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}')


@pytest.mark.parametrize('damage', ['flipped', 'cut', 'no archive', 'no tar'])
def test_a_damaged_archive_is_refused_and_removed(damage, server):
  whole = server.content
  server.content = {
    'flipped': whole[:40_000] + bytes([whole[40_000] ^ 1]) + whole[40_001:],
    'cut': whole[:40_000],
    'no archive': b'<html>moved</html>' * 100,
    'no tar': whole[:10] + b'nothing' * 99,
  }[damage]
  refused(row(), 'the download is damaged, and was removed')
  assert cached_files() == []
  server.content = whole
  zoo_cache.obtain(row())


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'tiny/checkpoint/ckpt-0.index': b''}, 'cannot be read as a checkpoint'),
    ({'tiny/checkpoint/ckpt-0.index': '../../secret'}, 'expected one checkpoint in it, found 0'),
    ({'tiny/checkpoint/ckpt-0.data-00000-of-00001': 'x'}, '0 of 1 files of values are there'),
    ({'tiny/checkpoint/ckpt-0.data-00000-of-00001': b'short'}, 'is damaged or cut short|cut short'),
    ({'tiny/checkpoint/ckpt-1.index': b'two'}, 'expected one checkpoint in it, found 2'),
  ],
)
def test_an_archive_without_a_whole_checkpoint_is_refused(change, message, server):
  server.content = archive_of({**checkpoint_files(), **change})
  refused(row(), message)
  assert cached_files() == []


def test_nothing_is_written_outside(server, tmp_path):
  members = {
    f'../../{tmp_path.name}_evil': b'evil',
    f'{tmp_path}/ckpt.evil': b'evil',
    '../pipeline.config': b'evil',
    'link': str(tmp_path),
    'link/ckpt-evil.txt': b'evil',
  }
  server.content = archive_of({**members, **checkpoint_files()})
  path = pathlib.Path(zoo_cache.obtain(row()))
  # The same file of the right place came later.
  assert (path.parent / 'pipeline.config').read_bytes().startswith(b'model')
  assert {p.name for p in tmp_path.iterdir()} == {'cache'}
  assert not [p for p in tmp_path.parent.rglob('*evil*') if tmp_path not in p.parents]


def test_what_the_server_does_not_have(server):
  server.status = 404
  refused(row(), r'cannot be downloaded \(HTTP 404')
  assert len(server.requests) == 1
  server.status = 503
  refused(row(), r'cannot be downloaded \(HTTP 503')
  assert len(server.requests) == 4


def test_without_a_network_the_message_says_where_the_file_goes(server, monkeypatch):
  monkeypatch.setattr(weights_table, 'ZOO_URL', 'http://127.0.0.1:9/')
  error = refused(row(), r'cannot be downloaded \(.*refused')
  path = re.search(r'put it at (\S+)$', error)[1]
  pathlib.Path(path).write_bytes(server.content)
  file = open_checkpoint(zoo_cache.obtain(row()))
  np.testing.assert_array_equal(file.read('a/kernel'), VALUES)
  assert server.requests == []


def test_a_folder_that_cannot_be_made(monkeypatch, tmp_path):
  (tmp_path / 'file').write_text('')
  monkeypatch.setenv('SSD_TF_CACHE', str(tmp_path / 'file'))
  with pytest.raises(InputError, match='set SSD_TF_CACHE to a folder that can be written'):
    zoo_cache.obtain(row())


def test_the_cache_is_in_the_home_where_the_variable_is_not_set(monkeypatch):
  monkeypatch.delenv('SSD_TF_CACHE', raising=False)
  monkeypatch.setenv('HOME', '/home/somebody')
  assert zoo_cache.folder() == '/home/somebody/.cache/ssd_tf/zoo'
