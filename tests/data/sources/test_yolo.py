import numpy as np
import pytest
from PIL import Image

from ssd_tf.data import record_files, tf_example
from ssd_tf.data.sources import yolo
from ssd_tf.errors import InputError


@pytest.fixture
def folder(tmp_path):
  for set_name, names in (('train', ('a.jpg', 'b.png')), ('val', ('c.jpg',))):
    (tmp_path / 'images' / set_name).mkdir(parents=True)
    (tmp_path / 'labels' / set_name).mkdir(parents=True)
    for name in names:
      Image.new('RGB', (60, 40)).save(tmp_path / 'images' / set_name / name)
  (tmp_path / 'labels/train/a.txt').write_text(
    '1 0.3 0.5 0.2 0.4\n0 0.5 0.5 1 1\n\n1 0.1 0.2 0.4 0.2 0.3 0.7\n'
  )
  (tmp_path / 'data.yaml').write_text(
    'path: .\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n'
  )
  return tmp_path


def read(path):
  return [tf_example.parse_example(item[-1]) for item in record_files.read_records([path])]


def convert(data, folder, **options):
  output = str(folder / 'out.record')
  report = yolo.write_data_set(data, output, num_workers=1, **options)
  return report, read(output)


def test_centers_polygons_and_images_without_objects(folder):
  data = yolo.read_data_yaml(str(folder / 'data.yaml'), 'train')
  assert list(data.class_names) == ['cat', 'dog']
  report, (a, b) = convert(data, folder)
  # [.5 - .4/2, .3 - .2/2, .5 + .4/2, .3 + .2/2]; the whole image; around three points.
  expected = [[0.3, 0.2, 0.7, 0.4], [0, 0, 1, 1], [0.2, 0.1, 0.7, 0.4]]
  np.testing.assert_allclose(a.boxes, expected, atol=1e-7)
  assert a.class_names == ['dog', 'cat', 'dog'] and a.class_ids.tolist() == [2, 1, 2]
  assert len(b.boxes) == 0 and report.num_images_without_objects == 1
  assert '1 images have no text file' in report.remarks[0][1]


def test_a_label_map_decides_the_ids(folder):
  data = yolo.read_data_yaml(str(folder / 'data.yaml'), 'train')
  _, (a, _) = convert(data, folder, name_to_id={'bird': 1, 'cat': 2, 'dog': 3})
  assert a.class_ids.tolist() == [3, 2, 3]
  with pytest.raises(InputError, match="the label map has no 'dog'"):
    convert(data, folder, name_to_id={'cat': 1})


def test_folders_and_a_list_of_names(folder):
  (folder / 'classes.txt').write_text('cat\ndog\n')
  args = (str(folder / 'images/train'), None, str(folder / 'classes.txt'))
  by_default = yolo.read_folders(*args)
  assert by_default.label_paths[0] == str(folder / 'labels/train/a.txt')
  given = yolo.read_folders(args[0], str(folder / 'labels/train'), args[2])
  assert given == by_default
  (folder / 'images/train/b.txt').write_text('0 .5 .5 .5 .5\n')
  assert yolo.read_folders(*args).label_paths[1] == str(folder / 'images/train/b.txt')


def test_a_list_of_images(folder):
  (folder / 'list.txt').write_text('images/train/b.png\nimages/val/c.jpg\n')
  (folder / 'data.yaml').write_text('train: [list.txt, images/train]\nnames: [cat, dog]\n')
  data = yolo.read_data_yaml(str(folder / 'data.yaml'), 'train')
  names = [path.rsplit('/', 1)[1] for path in data.image_paths]
  assert names == ['b.png', 'c.jpg', 'a.jpg', 'b.png']
  assert data.label_paths[1] == str(folder / 'labels/val/c.txt')


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    ('2 .5 .5 .1 .1', 'line 1: class 2: expected a whole number from 0 to 1 (2 names)'),
    ('-1 .5 .5 .1 .1', 'line 1: class -1'),
    ('0.5 .5 .5 .1 .1', 'line 1: class 0.5'),
    ('cat .5 .5 .1 .1', "line 1: expected numbers, received 'cat .5 .5 .1 .1'"),
    ('0 .5 .5 .1', 'line 1: expected class x y width height'),
    ('0 .5 .5 .1 .1 .2', 'received 6 numbers'),
  ],
)
def test_faulty_lines_are_named(line, message, folder):
  (folder / 'labels/train/a.txt').write_text(line + '\n')
  data = yolo.read_data_yaml(str(folder / 'data.yaml'), 'train')
  with pytest.raises(InputError) as raised:
    convert(data, folder, strict=True)
  assert 'labels/train/a.txt' in str(raised.value) and message in str(raised.value)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('train: images/train\n', 'data.yaml: names is missing or empty; its keys: train'),
    ('names: [cat]\n', 'data.yaml: train is missing or empty'),
    ('names: {1: cat}\ntrain: images/train\n', 'names: expected the numbers 0 to 0'),
    ('names: [cat]\ntrain: gone\n', 'gone: no such folder of images'),
    ('a: [', 'data.yaml: not YAML'),
    ('', 'its keys: none'),
  ],
)
def test_a_faulty_data_yaml(text, message, folder):
  (folder / 'data.yaml').write_text(text)
  with pytest.raises(InputError) as raised:
    yolo.read_data_yaml(str(folder / 'data.yaml'), 'train')
  assert message in str(raised.value)


def test_labels_that_are_nowhere(folder):
  data = yolo.read_data_yaml(str(folder / 'data.yaml'), 'val')
  with pytest.raises(InputError, match='none of the 1 images has a text file'):
    convert(data, folder)
