"""The converter from outside: names and sizes of files, ids, flags of objects."""

import numpy as np
import pytest
import tensorflow as tf
import tool_processes
from PIL import Image

from ssd_tf.config import label_map
from ssd_tf.data import tf_example
from ssd_tf.data.sources import ssd_tensorflow
from ssd_tf.errors import InputError

IDS = dict(zip(label_map.PASCAL_VOC.names, label_map.PASCAL_VOC.ids, strict=True))


def run(folder, *flags):
  return tool_processes.run(folder, 'tf_convert_data.py', *flags)


def voc_object(name, box, difficult=0, truncated=0):
  sides = zip(('xmin', 'ymin', 'xmax', 'ymax'), box, strict=True)
  bndbox = ''.join(f'<{side}>{value}</{side}>' for side, value in sides)
  return (
    f'<object><name>{name}</name><difficult>{difficult}</difficult>'
    f'<truncated>{truncated}</truncated><bndbox>{bndbox}</bndbox></object>'
  )


def add(folder, stem, *objects):
  """A 60x40 image and its annotation."""
  for name in ('Annotations', 'JPEGImages'):
    (folder / name).mkdir(parents=True, exist_ok=True)
  (folder / 'Annotations' / f'{stem}.xml').write_text(
    f'<annotation><filename>{stem}.jpg</filename>{"".join(objects)}</annotation>'
  )
  Image.new('RGB', (60, 40)).save(folder / 'JPEGImages' / f'{stem}.jpg')


def records(path):
  return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


def test_the_command_of_the_original(tmp_path):
  add(
    tmp_path / 'voc',
    '000001',
    voc_object('person', (6, 4, 30, 20), difficult=1),
    voc_object('tvmonitor', (0, 0, 60, 40), truncated=1),
  )
  add(tmp_path / 'voc', '000002')
  done = run(
    tmp_path,
    *('--dataset_name=pascalvoc', '--dataset_dir=./voc/', '--output_name=voc_2007_train'),
    '--output_dir=out',
  )
  assert done.returncode == 0, done.stderr
  assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == [
    'label_map.pbtxt',
    'voc_2007_train_000.tfrecord',
  ]
  first, second = records(tmp_path / 'out/voc_2007_train_000.tfrecord')
  features = tf.train.Example.FromString(first).features.feature
  assert features['image/object/bbox/label'].int64_list.value == [15, 20]
  assert features['image/object/bbox/label_text'].bytes_list.value == [b'person', b'tvmonitor']
  # The original writes 0 for all of these.
  assert features['image/object/bbox/difficult'].int64_list.value == [1, 0]
  assert features['image/object/bbox/truncated'].int64_list.value == [0, 1]
  assert features['image/shape'].int64_list.value == [40, 60, 3]
  annotation = tf_example.parse_example(first)
  # 4 / 40, 6 / 60, 20 / 40, 30 / 60.
  np.testing.assert_allclose(annotation.boxes, [[0.1, 0.1, 0.5, 0.5], [0, 0, 1, 1]], rtol=1e-6)
  assert annotation.class_ids.tolist() == [15, 20]
  assert annotation.source_id == '000001.jpg'
  assert len(tf_example.parse_example(second).boxes) == 0
  classes = label_map.load(tmp_path / 'out/label_map.pbtxt')
  assert (classes.id_of('person'), classes.num_classes) == (15, 20)


def test_files_are_filled_one_after_the_other(tmp_path, monkeypatch):
  monkeypatch.setattr(ssd_tensorflow, 'IMAGES_PER_FILE', 2)
  for i in range(5):
    add(tmp_path / 'voc', f'{i}', voc_object('cat', (1, 1, 9, 9)))
  (tmp_path / 'voc/JPEGImages/1.jpg').unlink()
  (tmp_path / 'voc/JPEGImages/4.jpg').unlink()
  (tmp_path / 'x_002.tfrecord').touch()  # Of an earlier conversion.
  report = ssd_tensorflow.write_data_set(str(tmp_path / 'voc'), IDS, str(tmp_path), 'x')
  # Three images are left: 0 and 2, then 3; the third file would be empty.
  ids = [
    [
      tf_example.parse_example(record).source_id
      for record in records(tmp_path / f'x_00{i}.tfrecord')
    ]
    for i in (0, 1)
  ]
  assert ids == [['0.jpg', '2.jpg'], ['3.jpg']]
  assert (report.num_images, len(report.skipped)) == (3, 2)
  assert report.replaced == [str(tmp_path / 'x_002.tfrecord')]
  assert sorted(path.name for path in tmp_path.glob('x*')) == ['x_000.tfrecord', 'x_001.tfrecord']


def test_other_classes_need_a_label_map(tmp_path):
  add(tmp_path / 'voc', 'a', voc_object('zebra', (1, 1, 9, 9)))
  with pytest.raises(InputError, match="'zebra'"):
    ssd_tensorflow.write_data_set(str(tmp_path / 'voc'), IDS, str(tmp_path), 'x')
  (tmp_path / 'map.pbtxt').write_text("item { id: 3 name: 'zebra' }")
  done = run(tmp_path, '--dataset_dir=voc', '--label_map_path=map.pbtxt')
  assert done.returncode == 0, done.stderr
  (record,) = records(tmp_path / 'pascalvoc_000.tfrecord')
  assert tf_example.parse_example(record).class_ids.tolist() == [3]


def test_bad_flags(tmp_path):
  done = run(tmp_path, '--dataset_dir=voc', '--dataset_name=coco')
  assert done.returncode == 1 and 'pascalvoc' in done.stderr and 'Traceback' not in done.stderr
  done = run(tmp_path, '--dataset_dir=gone')
  assert done.returncode == 2 and 'Traceback' not in done.stderr
  assert 'tf_convert_data.py: error: --dataset_dir=gone: expected a folder that' in done.stderr
