import json

import pytest
import user_folders

from ssd_tf.config import label_map as label_maps
from ssd_tf.data import record_output, record_writer
from ssd_tf.errors import InputError
from ssd_tf.project import data_set

CATS_AND_DOGS = {0: 'cat', 1: 'dog'}


def find(root, kind, path='', **options):
  found = data_set.find(str(root / path), **options)
  assert found.format == kind
  return user_folders.contents(root, found), found


def save_images(root, *names):
  for name in names:
    user_folders.save_image(root / name)


def test_coco_ids_from_0(tmp_path):
  save_images(tmp_path, 'img/a.png', 'img/b.png')
  user_folders.write_coco(tmp_path / 'x.json', CATS_AND_DOGS, {'a.png': [1, 0], 'b.png': []})
  parts, found = find(tmp_path, 'COCO')
  assert parts == {'all': {'img/a.png': ['dog', 'cat'], 'img/b.png': []}}
  assert found.label_map.name_by_id == {1: 'cat', 2: 'dog'}


def test_coco_ids_with_gaps_in_any_order(tmp_path):
  save_images(tmp_path, 'a.png')
  user_folders.write_coco(tmp_path / 'x.json', {90: 'dog', 3: 'cat'}, {'a.png': [90, 3]})
  parts, found = find(tmp_path, 'COCO')
  assert parts == {'all': {'a.png': ['dog', 'cat']}}
  assert found.label_map.name_by_id == {1: 'cat', 2: 'dog'}


def test_roboflow_coco_with_its_heading_of_id_0(tmp_path):
  # The heading is named as a class is, and valid has no box, so that 1 is unused there, too.
  categories = [
    {'id': 0, 'name': 'cat', 'supercategory': 'none'},
    {'id': 1, 'name': 'cat', 'supercategory': 'cat'},
  ]
  for part, classes in (('train', [1]), ('valid', []), ('test', [1])):
    save_images(tmp_path, f'{part}/1.jpg')
    path = tmp_path / part / '_annotations.coco.json'
    user_folders.write_coco(path, categories, {'1.jpg': classes})
  parts, found = find(tmp_path, 'COCO')
  assert parts == {
    'train': {'train/1.jpg': ['cat']},
    'val': {'valid/1.jpg': []},
    'test': {'test/1.jpg': ['cat']},
  }
  assert found.label_map.name_by_id == {1: 'cat'}


def test_coco_part_without_images_is_left_out(tmp_path):
  save_images(tmp_path, 'train/1.jpg')
  user_folders.write_coco(tmp_path / 'train/x.json', CATS_AND_DOGS, {'1.jpg': [0]})
  user_folders.write_coco(tmp_path / 'valid/x.json', CATS_AND_DOGS, {})
  parts, found = find(tmp_path, 'COCO')
  assert parts == {'all': {'train/1.jpg': ['cat']}}
  (remark,) = found.remarks
  assert 'val' in remark


def test_coco_without_any_image_is_refused(tmp_path):
  user_folders.write_coco(tmp_path / 'x.json', CATS_AND_DOGS, {})
  with pytest.raises(InputError, match='no images'):
    data_set.find(str(tmp_path))


def test_coco_2017_with_equal_names_beside_captions_and_keypoints(tmp_path):
  for part, class_id in (('train', 0), ('val', 1)):
    save_images(tmp_path, f'{part}2017/1.jpg')
    folder = tmp_path / 'annotations'
    images = {'1.jpg': [class_id]}
    user_folders.write_coco(folder / f'instances_{part}2017.json', CATS_AND_DOGS, images)
    user_folders.write_coco(folder / f'person_keypoints_{part}2017.json', {1: 'person'}, {})
    captions = {'info': {}, 'images': [], 'annotations': [{'caption': 'a cat'}]}
    user_folders.write_text(folder / f'captions_{part}2017.json', json.dumps(captions))
  assert find(tmp_path, 'COCO')[0] == {
    'train': {'train2017/1.jpg': ['cat']},
    'val': {'val2017/1.jpg': ['dog']},
  }


def test_coco_images_of_another_part_are_not_taken(tmp_path):
  save_images(tmp_path, 'train2017/1.jpg', 'val2017/2.jpg')
  user_folders.write_coco(tmp_path / 'a/train.json', CATS_AND_DOGS, {'1.jpg': [0]})
  # Of a hundred images one is there in its own folder, and one of the same name in another's.
  names = {f'{i}.jpg': [0] for i in range(1, 101)}
  user_folders.write_coco(tmp_path / 'a/val.json', CATS_AND_DOGS, names)
  found = data_set.find(str(tmp_path))
  first, second = found.parts['val'].items[:2]
  assert found.parts['val'].read(second).filename == '2.jpg'
  with pytest.raises(InputError, match=r'val2017/1\.jpg'):
    found.parts['val'].read(first)


def test_coco_parts_with_other_ids_agree_by_name(tmp_path):
  save_images(tmp_path, 'train/a.png', 'val/b.png')
  user_folders.write_coco(tmp_path / 'train/x.json', {0: 'cat', 1: 'dog'}, {'a.png': [0, 1]})
  user_folders.write_coco(tmp_path / 'val/x.json', {1: 'dog', 2: 'cow'}, {'b.png': [1, 2]})
  parts, found = find(tmp_path, 'COCO')
  assert parts == {'train': {'train/a.png': ['cat', 'dog']}, 'val': {'val/b.png': ['dog', 'cow']}}
  assert found.label_map.name_by_id == {1: 'cat', 2: 'dog', 3: 'cow'}


def test_coco_names_that_begin_with_a_folder(tmp_path):
  save_images(tmp_path, 'img/train/a.png', 'img/val/b.png')
  images = {'train/a.png': [0], 'val/b.png': [1]}
  user_folders.write_coco(tmp_path / 'labels/all.json', CATS_AND_DOGS, images)
  assert find(tmp_path, 'COCO')[0] == {
    'all': {'img/train/a.png': ['cat'], 'img/val/b.png': ['dog']}
  }


def test_a_category_id_that_no_category_has(tmp_path):
  save_images(tmp_path, 'a.png')
  user_folders.write_coco(tmp_path / 'x.json', CATS_AND_DOGS, {'a.png': [0, 2, 2]})
  # 2 would be the new id of the dog.
  with pytest.raises(InputError, match=r'x\.json.*lacks: 2 \(2 boxes\)'):
    data_set.find(str(tmp_path))


def test_labeled_categories_get_the_new_ids_and_unknown_ones_are_refused(tmp_path):
  save_images(tmp_path, 'a.png')
  path = tmp_path / 'x.json'
  user_folders.write_coco(path, CATS_AND_DOGS, {'a.png': [0]})
  content = json.loads(path.read_text())
  for labeled in ([1], [2]):
    content['images'][0]['labeled_category_ids'] = labeled
    path.write_text(json.dumps(content))
    if labeled == [1]:
      source = data_set.find(str(tmp_path)).parts['all']
      assert source.read(source.items[0]).labeled_classes == [2]
  with pytest.raises(InputError, match='2 of the file'):
    data_set.find(str(tmp_path))


def test_coco_with_a_label_map_that_has_more(tmp_path):
  save_images(tmp_path, 'a.png')
  user_folders.write_coco(tmp_path / 'x.json', CATS_AND_DOGS, {'a.png': [1, 0]})
  path = str(tmp_path / 'map.pbtxt')
  label_maps.save(label_maps.of_names({2: 'cat', 5: 'dog', 9: 'cow'}), path)
  parts, found = find(tmp_path, 'COCO', label_map_path=path)
  assert parts == {'all': {'a.png': ['dog', 'cat']}}
  assert found.label_map.ids == (2, 5, 9)
  label_maps.save(label_maps.of_names({1: 'cat'}), path)
  with pytest.raises(InputError, match="'dog'"):
    data_set.find(str(tmp_path), path)


def test_a_coco_file_alone_finds_its_images_beside_its_folder(tmp_path):
  save_images(tmp_path, 'train2017/1.jpg', 'val2017/1.jpg')
  path = tmp_path / 'annotations/instances_val2017.json'
  user_folders.write_coco(path, CATS_AND_DOGS, {'1.jpg': [1]})
  user_folders.write_coco(tmp_path / 'annotations/train.json', CATS_AND_DOGS, {'1.jpg': [0]})
  parts, found = find(tmp_path, 'COCO', 'annotations/instances_val2017.json')
  assert parts == {'all': {'val2017/1.jpg': ['dog']}}
  assert found.remarks == []


def test_images_that_are_nowhere_are_refused_at_once(tmp_path):
  user_folders.write_coco(tmp_path / 'in/x.json', CATS_AND_DOGS, {'a.png': [1]})
  with pytest.raises(InputError, match=r'x\.json.*a\.png'):
    data_set.find(str(tmp_path / 'in/x.json'))


@pytest.mark.parametrize('delimiter', [',', ';', '\t'])
def test_csv_with_images_beside_it_or_elsewhere(delimiter, tmp_path):
  rows = [('a.png', 'dog'), ('b.png', 'cat'), ('a.png', 'cat')]
  user_folders.write_csv(tmp_path / 'csv/labels.csv', rows, delimiter)
  for folder in ('photos', 'csv'):
    save_images(tmp_path, f'{folder}/a.png', f'{folder}/b.png')
    parts, found = find(tmp_path, 'CSV')
    assert parts == {'all': {f'{folder}/a.png': ['dog', 'cat'], f'{folder}/b.png': ['cat']}}
    assert found.label_map.name_by_id == {1: 'cat', 2: 'dog'}


def test_roboflow_csv_in_each_part(tmp_path):
  for part, name in (('train', 'cat'), ('valid', 'dog')):
    save_images(tmp_path, f'{part}/1.jpg')
    user_folders.write_csv(tmp_path / part / '_annotations.csv', [('1.jpg', name)])
  parts, found = find(tmp_path, 'CSV')
  assert parts == {'train': {'train/1.jpg': ['cat']}, 'val': {'valid/1.jpg': ['dog']}}
  assert found.label_map.name_by_id == {1: 'cat', 2: 'dog'}
  assert found.remarks == []


def test_csv_of_parts_with_one_folder_of_images(tmp_path):
  save_images(tmp_path, 'images/1.jpg', 'images/2.jpg', 'images/3.jpg')
  user_folders.write_csv(tmp_path / 'data/train_labels.csv', [('1.jpg', 'cat')])
  user_folders.write_csv(tmp_path / 'data/test_labels.csv', [('2.jpg', 'dog')])
  user_folders.write_text(tmp_path / 'data/measured.csv', 'step,loss\n1,2\n')
  parts, found = find(tmp_path, 'CSV')
  assert parts == {'train': {'images/1.jpg': ['cat']}, 'test': {'images/2.jpg': ['dog']}}
  (remark,) = found.remarks
  assert remark.startswith('1 ')
  assert '3.jpg' in remark
  assert not any(source.remarks for source in found.parts.values())
  user_folders.write_csv(tmp_path / 'data/labels.csv', [('1.jpg', 'cat')])
  with pytest.raises(InputError, match=r'/labels\.csv'):
    data_set.find(str(tmp_path))


def save_records(path, names, seed=0, num_shards=1):
  """Records of one image each for the class ids of `names`, made from a COCO file."""
  folder = path.parent.parent / f'{path.name}_made_from'
  for i in names:
    user_folders.save_image(folder / f'{seed + i}.png')
  images = {f'{seed + i}.png': [i] for i in names}
  user_folders.write_coco(folder / 'x.json', names, images)
  source = data_set.find(str(folder)).parts['all']
  record_writer.write_records(source, str(path), num_shards=num_shards)
  return record_output.sharded(str(path), num_shards).paths


@pytest.fixture
def records(tmp_path):
  """A folder in/ with sharded records for training, others for validation, and a label map."""
  (tmp_path / 'in').mkdir()
  save_records(tmp_path / 'in/train.record', {1: 'cat', 2: 'dog', 3: 'cow'}, num_shards=2)
  save_records(tmp_path / 'in/val.tfrecord', {1: 'cat'}, seed=10)
  labels = label_maps.LabelMap((1, 2, 3), ('cat', 'dog', 'cow'), ('Cat', 'Dog', 'Cow'))
  label_maps.save(labels, tmp_path / 'in/map.pbtxt')
  return tmp_path


def test_records_with_one_label_map(records):
  found = data_set.find(str(records / 'in'))
  assert found.format == 'TFRecord'
  names = {
    part: sorted(name for item in source.items for name in source.read(item).class_names)
    for part, source in found.parts.items()
  }
  assert names == {'train': ['cat', 'cow', 'dog'], 'val': ['cat']}
  assert found.label_map.display_names == ('Cat', 'Dog', 'Cow')


def test_records_without_a_label_map_or_with_two(records):
  path = records / 'in/map.pbtxt'
  copy = records / 'in/other.pbtxt'
  copy.write_bytes(path.read_bytes())
  with pytest.raises(InputError, match=r'map\.pbtxt and .*other\.pbtxt.*--label_map_path'):
    data_set.find(str(records / 'in'))
  assert len(data_set.find(str(records / 'in'), str(copy)).parts) == 2
  path.unlink()
  copy.unlink()
  with pytest.raises(InputError, match='none.*--label_map_path'):
    data_set.find(str(records / 'in'))


def test_a_record_file_alone(records):
  found = data_set.find(str(records / 'in/val.tfrecord'))
  assert {part: len(source.items) for part, source in found.parts.items()} == {'all': 1}


def test_one_shard_stands_for_its_set(records):
  found = data_set.find(str(records / 'in/train.record-00000-of-00002'))
  assert {part: len(source.items) for part, source in found.parts.items()} == {'all': 3}


def test_a_given_label_map_numbers_the_classes_of_records_by_name(records):
  path = str(records / 'map.pbtxt')
  label_maps.save(label_maps.of_names({1: 'cow', 2: 'cat', 7: 'dog'}), path)
  source = data_set.find(str(records / 'in'), path).parts['train']
  rows = [source.read(item) for item in source.items]
  pairs = {
    (name, i) for row in rows for name, i in zip(row.class_names, row.class_ids, strict=True)
  }
  assert pairs == {('cow', 1), ('cat', 2), ('dog', 7)}


def test_half_of_the_shards_are_refused(records):
  (records / 'in/train.record-00001-of-00002').unlink()
  with pytest.raises(InputError, match='1 of 2 shards.*00001-of-00002'):
    data_set.find(str(records / 'in'))


def test_a_class_of_records_that_the_label_map_lacks(records):
  label_maps.save(label_maps.numbered(['cat', 'dog']), records / 'in/map.pbtxt')
  source = data_set.find(str(records / 'in')).parts['train']
  with pytest.raises(InputError, match=r'train\.record.*3'):
    for item in source.items:
      source.read(item)
