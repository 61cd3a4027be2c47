import os

import pytest

from ssd_tf.data.sources import yolo_paths
from ssd_tf.errors import InputError


@pytest.mark.parametrize(
  ('image', 'labels'),
  [
    ('/d/images/train/a.b.jpg', '/d/labels/train/a.b.txt'),
    ('/images/x/images/a.jpg', '/images/x/labels/a.txt'),
    ('/d/train/a.jpg', '/d/train/a.txt'),
    ('/d/my images/a.jpg', '/d/my images/a.txt'),
    ('images/a.jpg', 'labels/a.txt'),  # Of a data.yaml in the working folder.
    ('../images/a.jpg', '../labels/a.txt'),
    ('a.jpg', 'a.txt'),
  ],
)
def test_labels_lie_where_yolo_looks(image, labels):
  assert yolo_paths.in_labels(image) == labels


def make(folder, *names):
  for name in names:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b'')


def test_paths_of_roboflow_and_windows_are_found(tmp_path, monkeypatch):
  make(tmp_path, 'set/train/images/a.jpg', 'other/b.jpg')
  folder = str(tmp_path / 'set')
  expected = f'{folder}/train/images'
  for written in ('train/images', './train//images/', '../train/images', '..\\train\\images'):
    assert yolo_paths.find(written, [folder]) == expected
  assert yolo_paths.find(expected, ['/gone']) == expected
  # What is there as it is written comes first.
  assert yolo_paths.find('../other', [folder]) == str(tmp_path / 'other')
  assert yolo_paths.find('../../train/images', [folder]) is None
  monkeypatch.chdir(tmp_path)
  assert yolo_paths.find('other/b.jpg', ['set', '']) == 'other/b.jpg'


def test_a_folder_is_looked_through_with_those_below(tmp_path):
  make(tmp_path, 'b.JPG', 'a.txt', 'sub/a.png', 'sub/deep/c.tiff', '.cache/d.jpg', 'linked/e.jpg')
  os.symlink(tmp_path / 'linked', tmp_path / 'sub/link')
  os.symlink(tmp_path, tmp_path / 'sub/loop')
  images, remarks = yolo_paths.list_images(str(tmp_path))
  names = [os.path.relpath(path, tmp_path) for path in images]
  assert names == ['b.JPG', 'linked/e.jpg', 'sub/a.png', 'sub/deep/c.tiff'] and remarks == []


def test_a_folder_without_images_and_names_that_are_no_text(tmp_path):
  make(tmp_path, 'a.txt')
  with pytest.raises(InputError, match='no images in this folder'):
    yolo_paths.list_images(str(tmp_path))
  with open(os.fsencode(tmp_path) + b'/caf\xe9.jpg', 'wb'):
    pass
  with pytest.raises(InputError, match=r'caf\\udce9\.jpg'):
    yolo_paths.list_images(str(tmp_path))


def test_an_image_list(tmp_path, monkeypatch):
  make(tmp_path, 'lists/i/a.jpg', 'i/b.jpg', 'c d.png')
  lines = ['\ufeff./i/a.jpg', '', 'i\\a.jpg', '../i/b.jpg\t', f'{tmp_path}/c d.png']
  lines += ['lists/i/a.jpg', f'{tmp_path}/i/b.jpg']
  (tmp_path / 'lists/train.txt').write_bytes('\r\n'.join(lines).encode())
  monkeypatch.chdir(tmp_path)
  images, remarks = yolo_paths.list_images('lists/train.txt')
  # The sixth is of the working folder; it and line 3 are the first again, line 7 is line 4.
  assert images == ['lists/i/a.jpg', 'i/b.jpg', f'{tmp_path}/c d.png']
  assert [place for place, _ in remarks] == [f'lists/train.txt:{n}' for n in (3, 6, 7)]


@pytest.mark.parametrize(
  ('content', 'words'),
  [
    (b'a.jpg\n\ngone.jpg\nb.jpg\n', "list.txt:3: no such image: 'gone.jpg'"),
    (b'.\n', "list.txt:1: no such image: '.'"),
    (b'a.jpg\na\0.jpg\n', 'list.txt:2: expected text on one line'),
    (b'a.jpg\ncaf\xe9.jpg\n', 'list.txt:2: expected UTF-8 text, found byte 0xe9'),
    (b'\n\n', 'list.txt: the list has no images'),
  ],
)
def test_a_faulty_image_list(content, words, tmp_path):
  make(tmp_path, 'a.jpg')
  (tmp_path / 'list.txt').write_bytes(content)
  with pytest.raises(InputError) as raised:
    yolo_paths.list_images(str(tmp_path / 'list.txt'))
  assert words in str(raised.value)
