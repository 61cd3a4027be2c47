import pytest
import user_folders

from ssd_tf.errors import InputError
from ssd_tf.project import folder_scan


def touch(root, *names):
  for name in names:
    user_folders.write_text(root / name, '')


def test_files_by_kind_without_hidden_ones(tmp_path):
  touch(
    tmp_path,
    *('b/x.JPG', 'a.png', '.hidden.png', '.git/c.png', 'b/._x.JPG', 'a.XML', 'c.json', 'd.csv'),
    *('data.yaml', 'e.YML', 'map.pbtxt', 'train.record', 'b/val.tfrecord-00000-of-00002'),
    *('f/classes.txt', 'f/a.txt', 'V/ImageSets/Main/train.txt', 'readme.md', 'zip.zip'),
  )
  found = folder_scan.scan(str(tmp_path))

  def below(paths):
    return [path.removeprefix(f'{tmp_path}/') for path in paths]

  assert below(found.images) == ['a.png', 'b/x.JPG']
  assert below(found.xml) == ['a.XML']
  assert below(found.json) == ['c.json']
  assert below(found.csv) == ['d.csv']
  assert below(found.yaml) == ['data.yaml', 'e.YML']
  assert below(found.label_maps) == ['map.pbtxt']
  assert below(found.records) == ['b/val.tfrecord-00000-of-00002', 'train.record']
  assert below(found.class_names) == ['f/classes.txt']
  assert below(found.texts) == ['f/a.txt']
  assert below(found.image_lists) == ['V/ImageSets/Main/train.txt']
  assert len(found.files) == 13
  assert below(found.image_folders) == [str(tmp_path), 'b']


def test_links_are_followed_once_and_never_out_of_the_top(tmp_path):
  touch(tmp_path, 'apart/other.png', 'data/a/x.png', 'else/y.png')
  (tmp_path / 'data/a/circle').symlink_to(tmp_path / 'data/a')
  (tmp_path / 'data/up').symlink_to(tmp_path)
  (tmp_path / 'data/b').symlink_to(tmp_path / 'else')
  (tmp_path / 'data/gone.png').symlink_to(tmp_path / 'nothing.png')
  found = folder_scan.scan(str(tmp_path / 'data'))
  assert found.images == [f'{tmp_path}/data/a/x.png', f'{tmp_path}/data/b/y.png']


def test_our_own_folders_are_passed_over(tmp_path):
  touch(
    tmp_path,
    *('a.png', 'records/data_set.json', 'records/train.record', 'records/label_map.pbtxt'),
    *('runs/mine/pipeline.config', 'runs/mine/data/data_set.json', 'runs/mine/pictures/1.png'),
    *('old/pipeline.config', 'old/checkpoint', 'old/2.png'),
    *('tutorial/pipeline.config', 'tutorial/3.png'),
  )
  found = folder_scan.scan(str(tmp_path))
  assert found.files == [f'{tmp_path}/a.png', f'{tmp_path}/tutorial/3.png']
  # What is given itself is looked through in any case.
  assert len(folder_scan.scan(str(tmp_path / 'records')).records) == 1


def test_no_folder_is_refused(tmp_path):
  with pytest.raises(InputError, match='nowhere'):
    folder_scan.scan(str(tmp_path / 'nowhere'))


@pytest.mark.parametrize(
  ('path', 'by_name', 'part'),
  [
    ('train/a.xml', False, 'train'),
    ('Train_Images/sub/a.xml', False, 'train'),
    ('valid/_annotations.coco.json', True, 'val'),
    ('annotations/instances_val2017.json', True, 'val'),
    ('annotations/instances_val2017.json', False, None),
    ('train/validation/a.xml', False, 'val'),
    ('test.record-00000-of-00010', True, 'test'),
    ('trains/latest/contest/a.xml', True, None),
    ('a.xml', True, None),
  ],
)
def test_words_of_a_path_tell_its_part(path, by_name, part):
  found = folder_scan.FolderScan('train/root')
  assert found.part_of(f'train/root/{path}', by_name=by_name) == part


def test_images_are_sought_near_and_never_in_another_part():
  images = ('train/images/a.png', 'test/images/a.png', 'more/deep/er/a.png', 'images/a.png')
  scan = folder_scan.FolderScan('.', images=images)
  assert scan.folders_near('train/xml/a.xml') == ['train/images', 'images', 'more/deep/er']
  assert set(scan.folders_near('xml/a.xml')) == {path[:-6] for path in images}
  # With nothing else, a folder that is named for one part serves all.
  only = folder_scan.FolderScan('.', images=images[:1])
  assert only.folders_near('test/a.xml') == ['train/images']
