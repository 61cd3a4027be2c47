import numpy as np
import pytest
import user_folders

from ssd_tf.config import label_map as label_maps
from ssd_tf.errors import InputError
from ssd_tf.project import data_set


def find(root, **options):
  found = data_set.find(str(root), **options)
  assert found.format == 'Pascal VOC'
  return user_folders.contents(root, found), found


def save_devkit(root, lists, year='VOC2007', names=None):
  """A folder of a year; lists {name: ids}; every listed image has one cat, or what `names` says."""
  base = root / year
  for name, ids in lists.items():
    user_folders.write_text(base / f'ImageSets/Main/{name}.txt', ''.join(f'{i}\n' for i in ids))
    for i in ids:
      xml = base / f'Annotations/{i}.xml'
      user_folders.save_voc(base / f'JPEGImages/{i}.jpg', *(names or {}).get(i, ['cat']), xml=xml)
  return base


def test_images_and_xml_in_one_folder_of_any_case(tmp_path):
  user_folders.save_voc(tmp_path / 'a.JPG', 'dog', 'cat')
  user_folders.save_voc(tmp_path / 'b.jpg')
  parts, found = find(tmp_path)
  assert parts == {'all': {'a.JPG': ['dog', 'cat'], 'b.jpg': []}}
  assert found.label_map.name_by_id == {1: 'cat', 2: 'dog'}
  assert found.remarks == []


def test_two_folders_of_any_names(tmp_path):
  user_folders.save_voc(tmp_path / 'Fotos/a.png', 'dog', xml=tmp_path / 'boxes/a.xml')
  user_folders.save_voc(tmp_path / 'Fotos/b.png', 'cat', xml=tmp_path / 'boxes/b.xml')
  assert find(tmp_path)[0] == {'all': {'Fotos/a.png': ['dog'], 'Fotos/b.png': ['cat']}}


def test_three_levels_each_with_its_own_names(tmp_path):
  for session, name in (('one', 'cat'), ('two', 'dog')):
    base = tmp_path / 'shots' / session
    user_folders.save_voc(base / 'images/1.png', name, xml=base / 'xml/1.xml')
  assert find(tmp_path)[0] == {
    'all': {'shots/one/images/1.png': ['cat'], 'shots/two/images/1.png': ['dog']}
  }


def test_the_working_folder(tmp_path, monkeypatch):
  user_folders.save_voc(tmp_path / 'in/a.png', 'cat')
  user_folders.save_voc(tmp_path / 'b.png', 'dog')
  monkeypatch.chdir(tmp_path)
  found = data_set.find('.')
  assert user_folders.contents(tmp_path, found) == {'all': {'b.png': ['dog'], 'in/a.png': ['cat']}}


def test_images_without_xml_are_remarked_and_xml_without_image_is_left_to_the_writer(tmp_path):
  user_folders.save_voc(tmp_path / 'a.png', 'cat')
  user_folders.save_image(tmp_path / 'lonely.png')
  user_folders.write_xml(tmp_path / 'gone.xml', 'cat')
  found = data_set.find(str(tmp_path))
  (remark,) = found.remarks
  assert 'lonely.png' in remark
  assert remark.startswith('1 ')
  bad, good = sorted(found.parts['all'].items, key=str, reverse=True)
  assert found.parts['all'].read(good).filename == 'a.png'
  with pytest.raises(InputError, match=r'gone\.xml'):
    found.parts['all'].read(bad)


def test_an_image_under_another_name_counts_as_used(tmp_path):
  user_folders.save_image(tmp_path / 'photo.png')
  user_folders.write_xml(tmp_path / '1.xml', 'cat', filename='photo.png')
  parts, found = find(tmp_path)
  assert parts == {'all': {'photo.png': ['cat']}}
  assert found.remarks == []


def test_equal_names_in_train_and_test_get_the_images_of_their_part(tmp_path):
  for part, name in (('train', 'cat'), ('test', 'dog')):
    user_folders.save_voc(tmp_path / part / '1.png', name)
    xml = tmp_path / part / 'xml/2.xml'
    user_folders.save_voc(tmp_path / part / 'images/2.png', name, xml=xml)
  assert find(tmp_path)[0] == {
    'train': {'train/1.png': ['cat'], 'train/images/2.png': ['cat']},
    'test': {'test/1.png': ['dog'], 'test/images/2.png': ['dog']},
  }


def test_parts_below_folders_of_images_and_of_annotations(tmp_path):
  for part, name in (('train', 'cat'), ('val', 'dog')):
    xml = tmp_path / 'annotations' / part / '1.xml'
    user_folders.save_voc(tmp_path / 'images' / part / '1.png', name, xml=xml)
  assert find(tmp_path)[0] == {
    'train': {'images/train/1.png': ['cat']},
    'val': {'images/val/1.png': ['dog']},
  }


def test_a_missing_image_is_not_taken_from_another_part(tmp_path):
  user_folders.save_voc(tmp_path / 'train/1.png', 'cat')
  user_folders.save_voc(tmp_path / 'train/2.png', 'cat')
  user_folders.write_xml(tmp_path / 'test/1.xml', 'dog', filename='1.png')
  user_folders.save_voc(tmp_path / 'test/3.png', 'dog')
  found = data_set.find(str(tmp_path))
  (item,) = [each for each in found.parts['test'].items if str(each).endswith('1.xml')]
  with pytest.raises(InputError, match='no image'):
    found.parts['test'].read(item)


def test_a_missing_image_is_not_taken_from_another_folder(tmp_path):
  for session in ('one', 'two'):
    user_folders.save_voc(
      tmp_path / session / 'images/1.png', 'cat', xml=tmp_path / session / 'xml/1.xml'
    )
    user_folders.save_voc(
      tmp_path / session / 'images/2.png', 'cat', xml=tmp_path / session / 'xml/2.xml'
    )
  (tmp_path / 'two/images/1.png').unlink()
  with pytest.raises(InputError, match=r'one/images/1\.png.*one/xml/1\.xml.*two/xml/1\.xml'):
    data_set.find(str(tmp_path))


def test_the_named_file_counts_before_another_of_its_name(tmp_path):
  # Masks lie closer to the XML files than the images do.
  user_folders.save_voc(tmp_path / 'images/a.jpg', 'cat', xml=tmp_path / 'annotations/xml/a.xml')
  user_folders.save_image(tmp_path / 'annotations/masks/a.png')
  assert find(tmp_path)[0] == {'all': {'images/a.jpg': ['cat']}}


def test_folders_of_the_images_tell_the_parts_of_xml_files_in_one_folder(tmp_path):
  for part, stem in (('train', 'a'), ('val', 'b')):
    xml = tmp_path / 'xml' / f'{stem}.xml'
    user_folders.save_voc(tmp_path / 'images' / part / f'{stem}.png', 'cat', xml=xml)
  assert find(tmp_path)[0] == {
    'train': {'images/train/a.png': ['cat']},
    'val': {'images/val/b.png': ['cat']},
  }


def test_one_xml_for_images_of_two_parts_is_refused(tmp_path):
  user_folders.save_voc(tmp_path / 'images/train/a.png', 'cat', xml=tmp_path / 'xml/a.xml')
  user_folders.save_image(tmp_path / 'images/test/a.png')
  with pytest.raises(InputError, match=r'xml/a\.xml.*images/t\w+/a\.png or .*images/t\w+/a\.png'):
    data_set.find(str(tmp_path))


def test_files_beside_train_are_refused_and_those_beside_test_train(tmp_path):
  user_folders.save_voc(tmp_path / 'a.png', 'cat')
  user_folders.save_voc(tmp_path / 'test/b.png', 'cat')
  assert find(tmp_path)[0] == {'train': {'a.png': ['cat']}, 'test': {'test/b.png': ['cat']}}
  user_folders.save_voc(tmp_path / 'train/c.png', 'cat')
  with pytest.raises(InputError, match=r'/a\.xml'):
    data_set.find(str(tmp_path))


@pytest.mark.parametrize(
  ('lists', 'parts'),
  [
    (
      {'train': 'a', 'val': 'b', 'trainval': 'ab', 'test': 'c', 'cat_train': 'a'},
      {'train': 'a', 'val': 'b', 'test': 'c'},
    ),
    ({'trainval': 'ab', 'test': 'c'}, {'train': 'ab', 'val': 'c'}),
    ({'train': 'ab', 'test': 'c'}, {'train': 'ab', 'val': 'c'}),
    ({'trainval': 'ab', 'val': 'b'}, {'all': 'ab'}),
    ({'trainval': 'ab'}, {'all': 'ab'}),
    ({'val': 'ab'}, {'all': 'ab'}),
    ({'default': 'abc'}, {'all': 'abc'}),
  ],
)
def test_lists_of_a_devkit(lists, parts, tmp_path):
  save_devkit(tmp_path, lists)
  found, _ = find(tmp_path)
  stems = {part: sorted(path[-5] for path in paths) for part, paths in found.items()}
  assert stems == {part: list(ids) for part, ids in parts.items()}


def test_two_years_with_equal_ids_stay_apart(tmp_path):
  save_devkit(tmp_path, {'train': 'a', 'val': 'b'}, 'VOC2007', {'a': ['cat']})
  save_devkit(tmp_path, {'train': 'b', 'val': 'a'}, 'VOC2012', {'a': ['dog']})
  assert find(tmp_path)[0] == {
    'train': {'VOC2007/JPEGImages/a.jpg': ['cat'], 'VOC2012/JPEGImages/b.jpg': ['cat']},
    'val': {'VOC2007/JPEGImages/b.jpg': ['cat'], 'VOC2012/JPEGImages/a.jpg': ['dog']},
  }


def test_a_list_alone_keeps_its_part_beside_those_of_another_year(tmp_path):
  save_devkit(tmp_path, {'trainval': 'a'}, 'VOC2007')
  save_devkit(tmp_path, {'val': 'b'}, 'VOC2012')
  assert find(tmp_path)[0] == {
    'train': {'VOC2007/JPEGImages/a.jpg': ['cat']},
    'val': {'VOC2012/JPEGImages/b.jpg': ['cat']},
  }


def test_val_and_test_alone_are_refused(tmp_path):
  save_devkit(tmp_path, {'val': 'a', 'test': 'b'})
  with pytest.raises(InputError, match='train'):
    data_set.find(str(tmp_path))


def test_what_lists_leave_out_is_remarked(tmp_path):
  base = save_devkit(tmp_path, {'train': 'a', 'val': 'b'})
  user_folders.save_voc(base / 'JPEGImages/c.jpg', 'zebra', xml=base / 'Annotations/c.xml')
  user_folders.save_image(base / 'JPEGImages/d.jpg')
  parts, found = find(tmp_path)
  assert [list(paths) for paths in parts.values()] == [
    ['VOC2007/JPEGImages/a.jpg'],
    ['VOC2007/JPEGImages/b.jpg'],
  ]
  xml, image = found.remarks
  assert 'c.xml' in xml
  assert 'd.jpg' in image
  assert image.startswith('1 ')
  assert found.label_map.names == ('cat',)


def test_a_list_that_misses_is_left_to_the_writer(tmp_path):
  base = save_devkit(tmp_path, {'train': 'ab', 'val': 'c'})
  (base / 'Annotations/b.xml').unlink()
  found = data_set.find(str(tmp_path))
  with pytest.raises(InputError, match=r'b\.xml'):
    found.parts['train'].read(found.parts['train'].items[1])


def test_lists_without_annotations_beside_them_do_not_count(tmp_path):
  user_folders.save_voc(tmp_path / 'a.png', 'cat')
  user_folders.write_text(tmp_path / 'old/ImageSets/Main/train.txt', 'a\n')
  assert find(tmp_path)[0] == {'all': {'a.png': ['cat']}}


def test_ids_of_a_label_map(tmp_path):
  user_folders.save_voc(tmp_path / 'a.png', 'dog', 'cat')
  path = tmp_path / 'map.pbtxt'
  label_maps.save(label_maps.of_names({2: 'cat', 5: 'dog', 9: 'cow'}), path)
  found = data_set.find(str(tmp_path), str(path))
  (item,) = found.parts['all'].items
  np.testing.assert_array_equal(found.parts['all'].read(item).class_ids, [5, 2])
  assert found.label_map.name_by_id == {2: 'cat', 5: 'dog', 9: 'cow'}


def test_a_class_that_the_label_map_lacks_is_refused(tmp_path):
  user_folders.save_voc(tmp_path / 'a.png', 'dogg')
  user_folders.write_text(tmp_path / 'names.txt', 'cat\ndog\n')
  with pytest.raises(InputError, match="'dogg'.*a.xml.*'dog'"):
    data_set.find(str(tmp_path), str(tmp_path / 'names.txt'))


def test_no_object_anywhere_is_refused(tmp_path):
  user_folders.save_voc(tmp_path / 'a.png')
  with pytest.raises(InputError, match='object'):
    data_set.find(str(tmp_path))


def test_broken_xml_says_what_is_broken(tmp_path):
  user_folders.save_image(tmp_path / 'a.png')
  user_folders.write_text(tmp_path / 'a.xml', '<annotation><object>')
  with pytest.raises(InputError, match=r'a\.xml.*broken XML'):
    data_set.find(str(tmp_path))


def test_xml_of_others_is_no_annotation(tmp_path):
  user_folders.write_text(tmp_path / 'cvat.xml', '<annotations><image id="0"/></annotations>')
  with pytest.raises(InputError, match='found no annotations'):
    data_set.find(str(tmp_path))
