import collections
import os
import re

import numpy as np
import pytest
import user_folders

from ssd_tf.config import label_map as label_maps
from ssd_tf.data import record_files, record_output, record_writer, tf_example
from ssd_tf.errors import InputError
from ssd_tf.project import records


@pytest.fixture
def voc(tmp_path):
  """A folder of 10 images with a cat each, two of them with a dog, too."""
  for i in range(10):
    names = ('cat', 'dog') if i < 2 else ('cat',)
    user_folders.save_voc(tmp_path / 'in' / f'{i}.png', *names)
  return tmp_path


def prepare(root, **options):
  return records.prepare(str(root / 'in'), str(root / 'out'), **options)


def read(prepared, part):
  path = prepared.paths[part]
  files = record_output.sharded(path, prepared.num_files[part]).paths
  return [tf_example.parse_example(each) for _, _, each in record_files.read_records(files)]


def times(root):
  return {path.name: path.stat().st_mtime_ns for path in (root / 'out').glob('[!.]*')}


def test_what_is_written(voc):
  prepared = prepare(voc)
  assert prepared.format == 'Pascal VOC'
  assert prepared.is_split
  assert not prepared.is_reused
  assert prepared.num_images == {'train': 8, 'val': 2}
  assert prepared.num_boxes['train'] + prepared.num_boxes['val'] == 12
  assert prepared.pattern('val') == f'{voc}/out/val.record'
  labels = label_maps.load(prepared.label_map_path)
  assert labels.name_by_id == {1: 'cat', 2: 'dog'}
  names = set()
  for part in ('train', 'val'):
    for row in read(prepared, part):
      assert row.encoded == (voc / 'in' / row.filename).read_bytes()
      assert [labels.name_by_id[i] for i in row.class_ids] == list(row.class_names)
      names.add(row.filename)
  assert names == {f'{i}.png' for i in range(10)}


def test_classes_that_are_not_evaluated_are_named(voc):
  # Of two images with a dog, .4 are to validate: none does.
  (remark,) = prepare(voc).remarks
  assert 'val' in remark
  assert 'dog' in remark
  assert 'cat' not in remark


def test_a_second_time_nothing_is_written(voc, monkeypatch):
  first = prepare(voc)
  before = times(voc)
  monkeypatch.chdir(voc)
  again = records.prepare('in', 'out')
  assert again.is_reused
  assert times(voc) == before
  for name in ('format', 'num_images', 'num_boxes', 'num_files', 'is_split', 'remarks'):
    assert getattr(again, name) == getattr(first, name)
  assert os.path.samefile(again.label_map_path, first.label_map_path)
  assert os.path.samefile(again.paths['val'], first.paths['val'])


def _change_image(root):
  user_folders.save_image(root / 'in/3.png', seed=3)


def _change_xml(root):
  user_folders.write_xml(root / 'in/3.xml', 'cat', 'cat', filename='3.png')


def _add(root):
  user_folders.save_voc(root / 'in/more/11.png', 'cat')


def _delete_record(root):
  (root / 'out/val.record').unlink()


def _cut_record(root):
  path = root / 'out/train.record'
  path.write_bytes(path.read_bytes()[:-1])


def _delete_label_map(root):
  (root / 'out/label_map.pbtxt').unlink()


def _break_manifest(root):
  (root / 'out/data_set.json').write_text('[]')


@pytest.mark.parametrize(
  'change',
  [
    *(_change_image, _change_xml, _add, _delete_record, _cut_record, _delete_label_map),
    _break_manifest,
  ],
)
def test_a_change_of_files_writes_anew(change, voc):
  prepare(voc)
  change(voc)
  assert not prepare(voc).is_reused
  assert prepare(voc).is_reused


def test_a_change_of_settings_writes_anew(voc):
  path = voc / 'names.txt'
  path.write_text('cat\ndog\n')
  for options in ({}, {'validation_share': 0.5}, {'seed': 1}, {'label_map_path': str(path)}):
    assert not prepare(voc, **options).is_reused
    assert prepare(voc, **options).is_reused
  path.write_text('dog\ncat\n')
  prepared = prepare(voc, label_map_path=str(path))
  assert not prepared.is_reused
  assert label_maps.load(prepared.label_map_path).names == ('dog', 'cat')


@pytest.mark.parametrize('share', [0.0, 1.0, 1.5, -1.0, float('nan')])
def test_a_share_that_is_none(share, voc):
  with pytest.raises(InputError, match='validation_share'):
    prepare(voc, validation_share=share)


def test_what_is_killed_is_not_taken_for_whole(voc, monkeypatch):
  first = prepare(voc)
  write = record_writer.write_records

  def killed(source, path, **options):
    if 'val' in path:
      raise KeyboardInterrupt
    return write(source, path, **options)

  monkeypatch.setattr(record_writer, 'write_records', killed)
  with pytest.raises(KeyboardInterrupt):
    prepare(voc, validation_share=0.5)
  monkeypatch.undo()
  # train.record is that of the other share; the settings are those of the first time again.
  again = prepare(voc)
  assert not again.is_reused
  assert again.num_images == first.num_images
  assert len(read(again, 'train')) == 8


def test_a_killed_run_inside_the_data_leaves_nothing_that_counts_as_data(voc, monkeypatch):
  def killed(*_, **__):
    user_folders.write_text(voc / 'in/records/train.record', 'half')
    raise KeyboardInterrupt

  monkeypatch.setattr(record_writer, 'write_records', killed)
  arguments = str(voc / 'in'), str(voc / 'in/records')
  with pytest.raises(KeyboardInterrupt):
    records.prepare(*arguments)
  monkeypatch.undo()
  assert not any('TFRecord' in remark for remark in records.prepare(*arguments).remarks)
  assert records.prepare(*arguments).is_reused


def test_records_do_not_go_where_the_data_is(voc):
  for folder in ('in', '.'):
    with pytest.raises(InputError, match=r'in/0\.png.*--output'):
      records.prepare(str(voc / 'in'), str(voc / folder))
  assert not (voc / 'in/data_set.json').exists()


def test_labels_of_yolo_outside_of_the_folder_count(tmp_path):
  for i in range(4):
    user_folders.save_yolo(tmp_path / f'apart/images/{i}.jpg', 0)
  text = 'path: ../apart\ntrain: images\nnames: [cat, dog]\n'
  user_folders.write_text(tmp_path / 'in/data.yaml', text)
  assert not prepare(tmp_path).is_reused
  assert prepare(tmp_path).is_reused
  user_folders.write_text(tmp_path / 'apart/labels/0.txt', '1 0.35 0.35 0.5 0.5\n' * 2)
  again = prepare(tmp_path)
  assert not again.is_reused
  assert sum(again.num_boxes.values()) == 5
  user_folders.save_yolo(tmp_path / 'apart/images/9.jpg', 0)
  assert sum(prepare(tmp_path).num_images.values()) == 5


def test_labels_of_plain_yolo_count(tmp_path):
  for i in range(4):
    user_folders.save_yolo(tmp_path / f'in/images/{i}.jpg', 0)
  user_folders.write_text(tmp_path / 'in/classes.txt', 'cat\ndog\n')
  prepare(tmp_path)
  user_folders.write_text(tmp_path / 'in/labels/0.txt', '')
  assert sum(prepare(tmp_path).num_boxes.values()) == 3


def test_copies_of_an_image_stay_together(tmp_path):
  for i in range(10):
    user_folders.save_image(tmp_path / f'in/{i}.png', seed=i // 2)
    user_folders.write_xml(tmp_path / f'in/{i}.xml', 'cat')
  prepared = prepare(tmp_path)
  pairs = collections.Counter(int(row.filename[0]) // 2 for row in read(prepared, 'val'))
  assert list(pairs.values()) == [2]


def test_the_order_of_the_file_system_does_not_matter(voc, monkeypatch):
  first = [row.filename for row in read(prepare(voc), 'val')]
  listdir, walk = os.listdir, os.walk
  monkeypatch.setattr(os, 'listdir', lambda *a: sorted(listdir(*a), reverse=True))

  def reversed_walk(*arguments, **options):
    for folder, folders, names in walk(*arguments, **options):
      folders.reverse()
      yield folder, folders, sorted(names, reverse=True)

  monkeypatch.setattr(os, 'walk', reversed_walk)
  again = records.prepare(str(voc / 'in'), str(voc / 'again'))
  assert [row.filename for row in read(again, 'val')] == first


def test_what_cannot_be_used_is_remarked(voc):
  user_folders.write_xml(voc / 'in/gone.xml', 'dog')
  (voc / 'in/9.png').write_bytes(b'')
  prepared = prepare(voc)
  assert sum(prepared.num_images.values()) == 9
  remark = next(each for each in prepared.remarks if 'cannot be used' in each)
  assert remark.startswith('2 ')
  assert prepare(voc).is_reused


def test_boxes_that_are_changed_are_remarked(voc, capsys):
  xmls = sorted((voc / 'in').glob('*.xml'))
  for xml, box in zip(xmls, ('<xmax>99</xmax>', '<xmax>1</xmax>'), strict=False):
    xml.write_text(re.sub('<xmax>.*?</xmax>', box, xml.read_text(), count=1))
  remarks = ' '.join(prepare(voc).remarks)
  assert re.search(r'1 boxes of \w+ reached outside their image, and are clipped;', remarks)
  assert re.search(r'1 boxes of \w+ have no area inside their image, and are left out', remarks)
  assert not capsys.readouterr().out


def test_one_image_is_refused_and_two_are_enough(tmp_path):
  user_folders.save_voc(tmp_path / 'in/a.png', 'cat')
  user_folders.write_xml(tmp_path / 'in/gone.xml', 'cat')
  with pytest.raises(InputError, match=r'/in: .*at least 2.*gone\.xml'):
    prepare(tmp_path)
  user_folders.save_voc(tmp_path / 'in/b.png', 'cat')
  assert prepare(tmp_path).num_images == {'train': 1, 'val': 1}


def test_a_test_part_validates_where_there_is_no_other(tmp_path):
  for part in ('train', 'test'):
    user_folders.save_voc(tmp_path / f'in/{part}/1.png', 'cat')
  prepared = prepare(tmp_path)
  assert not prepared.is_split
  assert list(prepared.paths) == ['train', 'val']
  assert 'test part validates' in prepared.remarks[0]
  (row,) = read(prepared, 'val')
  assert row.encoded == (tmp_path / 'in/test/1.png').read_bytes()


def test_parts_of_the_data_set_stay(tmp_path):
  for part in ('train', 'valid', 'test'):
    user_folders.save_voc(tmp_path / f'in/{part}/1.png', 'cat')
  prepared = prepare(tmp_path, seed=5)
  assert prepared.num_images == {'train': 1, 'val': 1, 'test': 1}
  assert not prepared.is_split


def test_display_names_of_a_label_map_are_kept(voc):
  path = voc / 'map.pbtxt'
  label_maps.save(label_maps.LabelMap((4, 6), ('cat', 'dog'), ('Cat', 'Dog')), path)
  prepared = prepare(voc, label_map_path=str(path))
  assert label_maps.load(prepared.label_map_path).display_name_by_id == {4: 'Cat', 6: 'Dog'}
  ids = np.concatenate([row.class_ids for row in read(prepared, 'train')])
  assert set(ids.tolist()) == {4, 6}


def test_many_images_go_into_several_files(voc, monkeypatch):
  monkeypatch.setattr(records, '_IMAGES_PER_FILE', 3)
  (voc / 'in/0.png').unlink()
  prepared = prepare(voc)
  assert prepared.num_images['train'] + prepared.num_images['val'] == 9
  assert prepared.pattern('train') == f'{voc}/out/train.record-?????-of-00003'
  assert len(read(prepared, 'train')) == prepared.num_images['train']
  assert prepare(voc).is_reused
