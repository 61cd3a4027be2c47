import pytest
import user_folders

from ssd_tf.config import label_map as label_maps
from ssd_tf.errors import InputError
from ssd_tf.project import data_set


def find(root, path='', **options):
  found = data_set.find(str(root / path), **options)
  assert found.format == 'YOLO'
  return user_folders.contents(root, found), found


def save(root, image, *numbers):
  user_folders.save_yolo(root / image, *numbers)


def write_yaml(root, *lines, names='[cat, dog]'):
  user_folders.write_text(root / 'data.yaml', '\n'.join([*lines, f'names: {names}', '']))


@pytest.mark.parametrize('key', ['val', 'valid'])
def test_data_yaml(key, tmp_path):
  save(tmp_path, 'train/images/a.jpg', 1, 0)
  save(tmp_path, 'valid/images/a.jpg', 0)
  save(tmp_path, 'test/images/c.jpg')
  places = ('train: ../train/images', f'{key}: ../valid/images', 'test: ../test/images')
  write_yaml(tmp_path, *places, 'nc: 2')
  parts, found = find(tmp_path)
  assert parts == {
    'train': {'train/images/a.jpg': ['dog', 'cat']},
    'val': {'valid/images/a.jpg': ['cat']},
    'test': {'test/images/c.jpg': []},
  }
  assert found.label_map.name_by_id == {1: 'cat', 2: 'dog'}
  assert find(tmp_path, 'data.yaml')[0] == parts


def test_names_as_a_mapping_and_a_path(tmp_path):
  save(tmp_path, 'sub/images/train/a.png', 1)
  names = '{0: cat, 1: dog}'
  write_yaml(tmp_path, 'path: sub', 'train: images/train', 'val:', 'test:', names=names)
  assert find(tmp_path)[0] == {'all': {'sub/images/train/a.png': ['dog']}}


@pytest.mark.parametrize('is_there', [False, True])
def test_parts_that_exports_name_where_they_are_empty_are_left_out(is_there, tmp_path):
  save(tmp_path, 'train/images/a.jpg', 1)
  if is_there:
    (tmp_path / 'valid/images').mkdir(parents=True)
  write_yaml(tmp_path, 'train: ../train/images', 'val: ../valid/images', 'test: ../test/images')
  parts, found = find(tmp_path)
  assert parts == {'all': {'train/images/a.jpg': ['dog']}}
  val, test = found.remarks
  assert 'valid/images' in val
  assert 'test/images' in test


def test_a_missing_train_is_refused(tmp_path):
  save(tmp_path, 'valid/images/a.jpg', 1)
  write_yaml(tmp_path, 'train: train/images', 'val: valid/images')
  with pytest.raises(InputError, match=r'data\.yaml:1: train: .*train/images'):
    data_set.find(str(tmp_path))


def test_one_of_several_places_that_is_missing_is_refused(tmp_path):
  save(tmp_path, 'a/images/a.jpg', 1)
  write_yaml(tmp_path, 'train: a/images', 'val: [a/images, b/images]')
  with pytest.raises(InputError, match='b/images'):
    data_set.find(str(tmp_path))


def test_nc_that_is_not_the_number_of_names(tmp_path):
  save(tmp_path, 'train/images/a.jpg', 1)
  write_yaml(tmp_path, 'train: train/images', 'nc: 3')
  with pytest.raises(InputError, match=r"data\.yaml:2: nc.*'3'"):
    data_set.find(str(tmp_path))


def test_broken_yaml_is_named(tmp_path):
  save(tmp_path, 'train/images/a.jpg', 1)
  write_yaml(tmp_path, 'train: train/images', names='[cat')
  with pytest.raises(InputError, match='not YAML'):
    data_set.find(str(tmp_path))


def test_yaml_without_names_is_none_of_a_data_set(tmp_path):
  user_folders.save_voc(tmp_path / 'a.png', 'cat')
  user_folders.write_text(tmp_path / 'ci.yaml', 'steps: []\n')
  assert data_set.find(str(tmp_path)).format == 'Pascal VOC'


def test_labels_are_needed_but_for_a_test(tmp_path):
  save(tmp_path, 'train/images/a.jpg', 1)
  user_folders.save_image(tmp_path / 'test/images/b.jpg')
  write_yaml(tmp_path, 'train: train/images', 'test: test/images')
  parts, found = find(tmp_path)
  assert list(parts) == ['all']
  assert 'test/labels/b.txt' in found.remarks[0]
  write_yaml(tmp_path, 'train: train/images', 'val: test/images')
  with pytest.raises(InputError, match='test/labels/b.txt'):
    data_set.find(str(tmp_path))


def test_ids_of_a_label_map(tmp_path):
  save(tmp_path, 'images/a.jpg', 1, 0)
  write_yaml(tmp_path, 'train: images')
  path = str(tmp_path / 'map.pbtxt')
  label_maps.save(label_maps.of_names({3: 'dog', 4: 'cow', 5: 'cat'}), path)
  source = data_set.find(str(tmp_path), path).parts['all']
  assert source.read(source.items[0]).class_ids.tolist() == [3, 5]
  label_maps.save(label_maps.of_names({3: 'dog'}), path)
  with pytest.raises(InputError, match="'cat'"):
    data_set.find(str(tmp_path), path)


def test_plain_yolo_beside_the_images_with_classes_txt_in_each_folder(tmp_path):
  for part, number in (('train', 0), ('val', 1)):
    label_path = tmp_path / part / '1.txt'
    user_folders.save_yolo(tmp_path / part / '1.png', number, label_path=label_path)
    user_folders.write_text(tmp_path / part / 'classes.txt', 'cat\ndog\n')
  parts, found = find(tmp_path)
  assert parts == {'train': {'train/1.png': ['cat']}, 'val': {'val/1.png': ['dog']}}
  assert found.label_map.name_by_id == {1: 'cat', 2: 'dog'}
  user_folders.write_text(tmp_path / 'val/classes.txt', 'dog\ncat\n')
  with pytest.raises(InputError, match=r'train/classes\.txt and .*val/classes\.txt'):
    data_set.find(str(tmp_path))


def test_plain_yolo_in_folders_images_and_labels(tmp_path):
  save(tmp_path, 'images/a.jpg', 1)
  save(tmp_path, 'images/b.jpg')
  user_folders.write_text(tmp_path / 'obj.names', 'cat\ndog\n')
  user_folders.save_image(tmp_path / 'runs/x/pictures/p.jpg')
  user_folders.write_text(tmp_path / 'runs/x/pipeline.config', '')
  user_folders.write_text(tmp_path / 'runs/x/checkpoint', '')
  assert find(tmp_path)[0] == {'all': {'images/a.jpg': ['dog'], 'images/b.jpg': []}}
  save(tmp_path, 'train/images/c.jpg', 1)
  with pytest.raises(InputError, match=r'images/[ab]\.jpg'):
    data_set.find(str(tmp_path))
