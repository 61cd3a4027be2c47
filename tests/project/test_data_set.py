import pytest
import user_folders

from ssd_tf.errors import InputError
from ssd_tf.project import data_set


def test_an_empty_folder_says_what_is_expected(tmp_path):
  with pytest.raises(InputError, match='XML.*COCO.*YOLO.*CSV.*TFRecord'):
    data_set.find(str(tmp_path))


def test_images_alone_are_no_data_set(tmp_path):
  user_folders.save_image(tmp_path / 'a.png')
  with pytest.raises(InputError, match='found no annotations'):
    data_set.find(str(tmp_path))


def test_no_such_path(tmp_path):
  with pytest.raises(InputError, match='nowhere'):
    data_set.find(str(tmp_path / 'nowhere'))


@pytest.mark.parametrize(
  ('name', 'expected'), [('data.zip', 'unpack'), ('a.png', 'folder'), ('a.xml', 'folder')]
)
def test_files_that_are_no_data_set(name, expected, tmp_path):
  user_folders.write_text(tmp_path / name, 'x')
  with pytest.raises(InputError, match=expected) as error:
    data_set.find(str(tmp_path / name))
  assert name in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('name', 'text', 'expected'),
  [
    ('a.json', '{"images": [', 'broken JSON'),
    ('a.json', '{}', 'categories'),
    ('a.csv', 'path,label\n', 'filename'),
    ('a.yaml', 'train: images\n', 'names'),
  ],
)
def test_a_given_file_is_taken_as_what_its_name_says(name, text, expected, tmp_path):
  user_folders.save_image(tmp_path / 'b.png')
  user_folders.write_text(tmp_path / name, text)
  with pytest.raises(InputError, match=expected):
    data_set.find(str(tmp_path / name))


def test_several_formats_in_one_folder(tmp_path):
  user_folders.save_voc(tmp_path / 'a.png', 'cat')
  user_folders.write_csv(tmp_path / 'labels.csv', [('a.png', 'dog')])
  found = data_set.find(str(tmp_path))
  assert found.format == 'Pascal VOC'
  (remark,) = found.remarks
  assert 'CSV' in remark
  assert f'{tmp_path}/labels.csv' in remark
  assert user_folders.contents(tmp_path, found) == {'all': {'a.png': ['cat']}}
  # The file alone is the other one.
  found = data_set.find(str(tmp_path / 'labels.csv'))
  assert found.remarks == []
  assert user_folders.contents(tmp_path, found) == {'all': {'a.png': ['dog']}}


def test_two_files_that_may_be_the_annotations(tmp_path):
  user_folders.save_image(tmp_path / 'a.png')
  for name in ('x.json', 'y.json'):
    user_folders.write_coco(tmp_path / name, {1: 'cat'}, {'a.png': [1]})
  with pytest.raises(InputError, match=r'x\.json and .*y\.json'):
    data_set.find(str(tmp_path))
  assert data_set.find(str(tmp_path / 'y.json')).place == f'{tmp_path}/y.json'


def test_prepared_records_in_the_folder_are_ignored(tmp_path):
  user_folders.save_voc(tmp_path / 'a.png', 'cat')
  for name in ('data_set.json', 'train.record', 'label_map.pbtxt'):
    user_folders.write_text(tmp_path / 'records' / name, '{}')
  assert data_set.find(str(tmp_path)).remarks == []
