"""The converters of CSV, YOLO and COCO from outside: the commands that people know."""

import json

import numpy as np
import pytest
from PIL import Image
from tool_processes import run

from ssd_tf.data import record_files, tf_example

XML = """<annotation><filename>a.jpg</filename><size><width>60</width><height>40</height></size>
<object><name>cat</name><bndbox><xmin>6</xmin><ymin>4</ymin><xmax>30</xmax><ymax>20</ymax></bndbox>
</object></annotation>"""


def read(path):
  return [tf_example.parse_example(item[-1]) for item in record_files.read_records([str(path)])]


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'images').mkdir()
  Image.new('RGB', (60, 40)).save(tmp_path / 'images/a.jpg')
  (tmp_path / 'images/a.xml').write_text(XML)
  (tmp_path / 'images/a.txt').write_text('0 0.3 0.3 0.4 0.4\n')
  (tmp_path / 'boxes.csv').write_text(
    'filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,60,40,cat,6,4,30,20\n'
  )
  (tmp_path / 'map.pbtxt').write_text("item { id: 1 name: 'cat' }")
  (tmp_path / 'map.txt').write_text('cat\n')
  return tmp_path


@pytest.mark.parametrize(
  ('tool', 'flags'),
  [
    (
      'generate_tfrecord.py',
      '--csv_input=boxes.csv --image_dir=images --output_path=o.record --label_map_path=map.pbtxt',
    ),
    (
      'generate_tfrecord.py',
      '--csv_input=boxes.csv --labelmap=map.txt --image_dir=images --output_path=o.record',
    ),
    ('generate_tfrecord.py', '-x images -l map.pbtxt -o o.record -c written.csv'),
    ('create_yolo_tf_record.py', '--image_dir=images --names=map.txt --output_path=o.record'),
  ],
)
def test_the_same_box_by_every_way(tool, flags, folder):
  done = run(folder, tool, *flags.split())
  assert done.returncode == 0, done.stderr
  (annotation,) = read(folder / 'o.record')
  np.testing.assert_allclose(annotation.boxes, [[0.1, 0.1, 0.5, 0.5]], atol=1e-7)
  assert annotation.class_names == ['cat'] and annotation.class_ids.tolist() == [1]
  if '-c' in flags.split():
    lines = (folder / 'written.csv').read_text().splitlines()
    assert lines[1] == 'a.jpg,60,40,cat,6.0,4.0,30.0,20.0'


@pytest.mark.parametrize(
  ('tool', 'flags', 'message'),
  [
    ('generate_tfrecord.py', '-l map.pbtxt -o o.record', 'csv_input'),
    ('generate_tfrecord.py', '--csv_input=boxes.csv -l map.pbtxt -o o.record', '--image_dir'),
    (
      'generate_tfrecord.py',
      '--csv_input=gone.csv -i images -l map.pbtxt -o o.record',
      'gone.csv: No such file',
    ),
    ('generate_tfrecord.py', '-x images -l map.pbtxt -o o.record --strikt', "'strikt'"),
    ('create_yolo_tf_record.py', '--image_dir=images --output_path=o.record', '--names'),
    (
      'create_yolo_tf_record.py',
      '--data_yaml=gone.yaml --output_path=o.record',
      'gone.yaml: No such file',
    ),
  ],
)
def test_bad_arguments_end_in_a_clear_line(tool, flags, message, folder):
  done = run(folder, tool, *flags.split())
  assert done.returncode != 0 and 'Traceback' not in done.stderr
  assert message in done.stderr
  assert not (folder / 'o.record').exists()


HEADER = b'filename,width,height,class,xmin,ymin,xmax,ymax\n'


@pytest.mark.parametrize(
  ('rows', 'words'),
  [
    # As saved by a spreadsheet on Windows; fractions; an image of another folder.
    (b'a.jpg,60,40,Tier \xe9,6,4,30,20\n', 'boxes.csv:2: expected UTF-8 text, found byte 0xe9'),
    (b'a.jpg,60,40,cat,0.1,0.1,0.5,0.5\n', 'boxes.csv: the coordinates of all 1 boxes lie within'),
    (b'../a.jpg,60,40,cat,6,4,30,20\n', 'boxes.csv: line 2: filename: '),
  ],
)
def test_a_wrong_csv_ends_in_one_line(folder, rows, words):
  (folder / 'boxes.csv').write_bytes(HEADER + rows)
  flags = '--csv_input=boxes.csv --image_dir=images --labelmap=map.txt --output_path=o.record'
  done = run(folder, 'generate_tfrecord.py', *flags.split())
  *_, line = done.stderr.splitlines()
  assert (done.returncode, done.stdout) == (2, '') and 'Traceback' not in done.stderr
  assert line.startswith(f'generate_tfrecord.py: error: {words}')
  assert not (folder / 'o.record').exists()


@pytest.mark.parametrize(
  ('image_id', 'name', 'bbox', 'words'),
  [
    (1, 'cat', [6, 4, 24, 16], 'boxes.json: the images a.jpg and b.jpg have the same id, 1'),
    (2, 7, [6, 4, 24, 16], 'boxes.json: categories[0]: name: expected text, found 7'),
    (2, 'cat', [0.1, 0.1, 0.4, 0.4], 'boxes.json: the coordinates of all 1 boxes lie within'),
  ],
)
def test_a_wrong_coco_json_ends_in_one_line(folder, image_id, name, bbox, words):
  images = [{'id': 1, 'file_name': 'a.jpg'}, {'id': image_id, 'file_name': 'b.jpg'}]
  instances = [{'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': bbox}]
  content = {'images': images, 'annotations': instances, 'categories': [{'id': 1, 'name': name}]}
  (folder / 'boxes.json').write_text(json.dumps(content))
  flags = '--annotations_file=boxes.json --image_dir=images --output_path=o.record'
  done = run(folder, 'create_coco_tf_record.py', *flags.split(), '--label_map_output_path=m.pbtxt')
  *_, line = done.stderr.splitlines()
  assert (done.returncode, done.stdout) == (2, '') and 'Traceback' not in done.stderr
  assert line.startswith(f'create_coco_tf_record.py: error: {words}')
  assert not (folder / 'o.record').exists()
