import os

import pytest

from ssd_tf.data.sources import image_paths
from ssd_tf.errors import InputError


@pytest.mark.parametrize(
  ('name', 'path'),
  [
    ('a.jpg', 'images/a.jpg'),
    ('./a.jpg', 'images/a.jpg'),
    ('train/a b.jpg', 'images/train/a b.jpg'),
    ('train/../a.jpg', 'images/a.jpg'),
    ('..a.jpg', 'images/..a.jpg'),
    ('{cwd}/images/train/a.jpg', 'images/train/a.jpg'),
  ],
)
def test_names_inside_the_folder(tmp_path, monkeypatch, name, path):
  monkeypatch.chdir(tmp_path)
  assert image_paths.locate('images', name.format(cwd=os.getcwd()), 'a.csv: line 2') == path


@pytest.mark.parametrize(
  ('name', 'words'),
  [
    ('../a.jpg', "'../a.jpg' lies outside"),
    ('train/../../a.jpg', 'lies outside'),
    ('..', 'lies outside'),
    ('/etc/passwd', "'/etc/passwd' lies outside"),
    ('{cwd}/images2/a.jpg', 'lies outside'),
    ('a\0.jpg', 'U+0000'),
    ('a.jpg\n', 'U+000A'),
    ('', 'empty'),
    (7, 'expected text, found 7'),
    (None, 'expected text, found None'),
  ],
)
def test_names_outside_the_folder_are_refused(tmp_path, monkeypatch, name, words):
  monkeypatch.chdir(tmp_path)
  name = name.format(cwd=os.getcwd()) if isinstance(name, str) else name
  with pytest.raises(InputError) as raised:
    image_paths.locate('images', name, 'a.csv: line 2')
  assert str(raised.value).startswith('a.csv: line 2: ') and words in str(raised.value)
