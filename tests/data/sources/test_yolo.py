import io

import numpy as np
import pytest
from PIL import Image

from ssd_tf.data import record_files, record_writer, tf_example
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


def convert(data, folder, name_to_id=None, **options):
  output = str(folder / 'out.record')
  source = yolo.open_source(data, name_to_id)
  report = record_writer.write_records(source, output, num_workers=1, **options)
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
  assert names == ['b.png', 'c.jpg', 'a.jpg']  # b.png is in the folder, too, and written once.
  assert data.label_paths[1] == str(folder / 'labels/val/c.txt')
  ((place, remark),) = data.remarks
  assert place == str(folder / 'images') and remark.startswith('1 images occur again')


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
    ('a: [', 'data.yaml:1: not YAML'),
    ('', 'its keys: none'),
  ],
)
def test_a_faulty_data_yaml(text, message, folder):
  (folder / 'data.yaml').write_text(text)
  with pytest.raises(InputError) as raised:
    yolo.read_data_yaml(str(folder / 'data.yaml'), 'train')
  assert message in str(raised.value)


@pytest.mark.parametrize(
  ('names', 'fault'),
  [
    ('cat', "found 'cat'"),
    ('{0: cat, b: dog}', 'expected the numbers 0 to 1, each once, found 0, b'),
    ('{0: cat, 00: dog}', 'expected the numbers 0 to 1'),
    ('[cat, dog, cat]', "'cat' is the name of classes 0 and 2"),
    ('[cat, [dog]]', "class 1: expected text, found ['dog']"),
    ('[cat, ]\nnc: 2', "'2', but there are 1 names"),
    ('[cat, dog]\nnc: [2]', "['2'], but there are 2 names"),
    ('[cat, ~]', 'class 1: expected text'),
    (r'[cat, "do\ng"]', 'U+000A'),
  ],
)
def test_names_of_a_data_yaml_that_are_not_one_for_each_class(names, fault, folder):
  (folder / 'data.yaml').write_text(f'train: images/train\nnames: {names}\n')
  with pytest.raises(InputError) as raised:
    yolo.read_data_yaml(str(folder / 'data.yaml'), 'train')
  line = 3 if 'nc' in names else 2
  assert f'data.yaml:{line}: ' in str(raised.value) and fault in str(raised.value)


def test_names_are_texts_whatever_yaml_takes_them_for(folder):
  for names in ('[yes, no]', "{'0': yes, 1: no}", '{1: no, 0: yes}', '\n- yes\n- no'):
    (folder / 'data.yaml').write_text(f'\ufefftrain: images/train\nnames: {names}\nnc: 2\n')
    assert yolo.read_data_yaml(str(folder / 'data.yaml'), 'train').class_names == ['yes', 'no']


@pytest.mark.parametrize(
  ('line', 'fault'),
  [
    ('train: {a: b}', "train: expected a text, or a list of texts, found {'a': 'b'}"),
    ('train: [images/train, [images/val]]', "found ['images/val']"),
    ('train: 5', '5: no such folder of images'),
    (r'train: "a\0"', 'U+0000'),
    ('train: images/train\npath: [a]', "path: expected a text, or a list of texts, found ['a']"),
    ('train: images/train\npath: gone', "path: no folder 'gone'"),
    ('train: images/train\npath: data.yaml', "path: no folder 'data.yaml'"),
    ('train: images/train\nkpt_shape: 17', 'kpt_shape: expected the number of keypoints'),
    ('train: images/train\nkpt_shape: [17, 4]', 'kpt_shape: expected the number of keypoints'),
    ('train: images/train\nkpt_shape: [x, {a: b}]', 'kpt_shape: expected the number of keypoints'),
  ],
)
def test_values_of_a_data_yaml_of_the_wrong_type(line, fault, folder):
  (folder / 'data.yaml').write_text(f'names: [cat, dog]\n{line}\n')
  with pytest.raises(InputError) as raised:
    yolo.read_data_yaml(str(folder / 'data.yaml'), 'train')
  assert f'data.yaml:{line.count(chr(10)) + 2}: ' in str(raised.value)
  assert fault in str(raised.value)


@pytest.mark.parametrize(
  ('content', 'fault'),
  [
    ('cat\n\ndog\n', 'names.txt:2: the line is blank'),
    ('\ncat\n', 'names.txt:1: the line is blank'),
    ('cat\ndog\ncat\n', "'cat' is the name of classes 0 and 2"),
    ('cat\ndo\x1bg\n', 'class 1: expected text on one line'),
    ('caf\udce9\n', 'names.txt:1: expected UTF-8 text, found byte 0xe9'),
    ('\n', 'the file is empty'),
  ],
)
def test_a_faulty_list_of_names(content, fault, folder):
  (folder / 'names.txt').write_bytes(content.encode('utf-8', 'surrogateescape'))
  with pytest.raises(InputError) as raised:
    yolo.read_folders(str(folder / 'images/train'), None, str(folder / 'names.txt'))
  assert 'names.txt' in str(raised.value) and fault in str(raised.value)


def test_a_names_file_of_windows(folder):
  (folder / 'names.txt').write_bytes('\ufeffcat\r\nred fox \r\n\r\n'.encode())
  data = yolo.read_folders(str(folder / 'images/train'), None, str(folder / 'names.txt'))
  assert data.class_names == ['cat', 'red fox']


def test_the_layout_and_data_yaml_of_roboflow(tmp_path):
  for name in ('set/train', 'set/valid'):
    (tmp_path / name / 'images').mkdir(parents=True)
    (tmp_path / name / 'labels').mkdir()
    Image.new('RGB', (60, 40)).save(tmp_path / name / 'images/a.jpg')
    (tmp_path / name / 'labels/a.txt').write_text('\ufeff0 .5 .5 .25 .5\n')
  (tmp_path / 'set/data.yaml').write_text(
    'train: ../train/images\nval: ../valid/images\nnc: 2\nnames: [cat, dog]\n'
  )
  data = yolo.read_data_yaml(str(tmp_path / 'set/data.yaml'), 'val')
  assert data.image_paths == [str(tmp_path / 'set/valid/images/a.jpg')]
  _, (a,) = convert(data, tmp_path)
  np.testing.assert_allclose(a.boxes, [[0.25, 0.375, 0.75, 0.625]])


def test_path_is_where_ultralytics_keeps_data_sets(folder, monkeypatch, tmp_path_factory):
  project = tmp_path_factory.mktemp('project')
  (project / 'coco.yaml').write_text('path: coco\nval: images/val\nnames: [cat, dog]\n')
  (project / 'datasets').mkdir()
  folder.rename(project / 'datasets/coco')
  for at in ('coco.yaml', str(project / 'coco.yaml')):
    monkeypatch.chdir(project if at == 'coco.yaml' else '/')
    data = yolo.read_data_yaml(at, 'val')
    expected = 'datasets/coco/{}/val/c.{}'
    ends = [expected.format('images', 'jpg'), expected.format('labels', 'txt')]
    assert [data.image_paths[0], data.label_paths[0]] == (
      ends if at == 'coco.yaml' else [str(project / end) for end in ends]
    )


def test_keypoints_by_data_yaml_and_by_flag(folder):
  (folder / 'labels/train/a.txt').write_text(
    '0 .5 .5 .2 .4 .45 .4 .55 .6\n1 .3 .3 .2 .2 .3 .3 0 0\n'
  )
  with pytest.raises(InputError, match='kpt_shape=2,2'):
    convert(yolo.read_data_yaml(str(folder / 'data.yaml'), 'train'), folder)
  expected = [[0.3, 0.4, 0.7, 0.6], [0.2, 0.2, 0.4, 0.4]]
  by_flag = yolo.read_data_yaml(str(folder / 'data.yaml'), 'train', ['2', '2'])
  with open(folder / 'data.yaml', 'a') as file:
    file.write('kpt_shape: [2, 2]\n')
  by_file = yolo.read_data_yaml(str(folder / 'data.yaml'), 'train')
  for data in (by_flag, by_file):
    _, (a, _) = convert(data, folder)
    np.testing.assert_allclose(a.boxes, expected, atol=1e-7)
  _, (a, _) = convert(yolo.read_data_yaml(str(folder / 'data.yaml'), 'train', ['0']), folder)
  # As polygons: around (.5, .5) (.2, .4) (.45, .4) (.55, .6), and around the other four.
  np.testing.assert_allclose(a.boxes, [[0.4, 0.2, 0.6, 0.55], [0, 0, 0.3, 0.3]], atol=1e-7)


def test_pixels_end_the_conversion_though_other_images_have_no_objects(folder):
  (folder / 'labels/train/a.txt').write_text('0 18.0 32.5 32.0 33.0\n')
  (folder / 'labels/train/b.txt').write_text('')
  data = yolo.read_data_yaml(str(folder / 'data.yaml'), 'train')
  with pytest.raises(InputError, match=r'a\.txt: line 1: .*seem to be pixels'):
    convert(data, folder)
  assert not (folder / 'out.record').exists()


def test_images_that_share_a_text_file_are_remarked(folder):
  Image.new('RGB', (60, 40)).save(folder / 'images/train/a.png')
  report, (a_jpg, a_png, _) = convert(
    yolo.read_data_yaml(str(folder / 'data.yaml'), 'train'), folder
  )
  assert len(a_jpg.boxes) == len(a_png.boxes) == 3
  label = str(folder / 'labels/train/a.txt')
  assert [text for place, text in report.remarks if place == label] == [
    'its boxes are those of 2 images: a.jpg, a.png'
  ]


def test_images_of_one_name_in_two_folders_have_ids_of_their_own(folder):
  Image.new('RGB', (60, 40)).save(folder / 'images/val/a.jpg')
  (folder / 'data.yaml').write_text('train: [images/train, images/val]\nnames: [cat, dog]\n')
  _, annotations = convert(yolo.read_data_yaml(str(folder / 'data.yaml'), 'train'), folder)
  ids = [annotation.source_id for annotation in annotations]
  assert ids == ['train/a.jpg', 'train/b.png', 'val/a.jpg', 'val/c.jpg']
  assert [len(annotation.boxes) for annotation in annotations] == [3, 0, 0, 0]


def test_absolute_and_relative_paths_in_one_list(folder, monkeypatch):
  monkeypatch.chdir(folder)
  Image.new('RGB', (60, 40)).save(folder / 'images/val/a.jpg')
  (folder / 'list.txt').write_text(f'{folder}/images/train/a.jpg\nimages/val/a.jpg\n')
  (folder / 'data.yaml').write_text('train: [list.txt, images/val]\nnames: [cat, dog]\n')
  data = yolo.read_data_yaml('data.yaml', 'train')
  _, annotations = convert(data, folder)
  ids = [annotation.source_id for annotation in annotations]
  assert ids == ['train/a.jpg', 'val/a.jpg', 'val/c.jpg'] and len(annotations[0].boxes) == 3
  assert data.remarks[0][0] == str(folder / 'images')


def test_labels_without_their_image_are_remarked(folder):
  for name in ('b', 'gone', 'photo', 'classes'):
    (folder / f'labels/train/{name}.txt').write_text('')
  (folder / 'images/train/photo.heic').write_bytes(b'')
  data = yolo.read_data_yaml(str(folder / 'data.yaml'), 'train')
  (folder / 'list.txt').write_text('images/train/a.jpg\n')
  (folder / 'classes.txt').write_text('cat\ndog\n')
  by_folders = yolo.read_folders(
    *(str(folder / name) for name in ('images/train', 'labels/train', 'classes.txt'))
  )
  for remarks in (data.remarks, by_folders.remarks):
    ((place, text),) = remarks
    assert place == str(folder / 'labels/train/gone.txt') and text.startswith('2 text files')
  (folder / 'data.yaml').write_text('train: list.txt\nnames: [cat, dog]\n')
  assert yolo.read_data_yaml(str(folder / 'data.yaml'), 'train').remarks == []


def test_label_folders_follow_the_folders_of_the_images(folder):
  (folder / 'classes.txt').write_text('cat\ndog\n')
  data = yolo.read_folders(*(str(folder / name) for name in ('images', 'labels', 'classes.txt')))
  assert data.label_paths == [
    str(folder / f'labels/{name}.txt') for name in ('train/a', 'train/b', 'val/c')
  ]


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_boxes_lie_on_images_as_viewers_turn_them(orientation, folder):
  # Upright 40 x 60, red where the box is: rows 10 to 20, columns 30 to 45.
  upright = np.zeros((40, 60, 3), np.uint8)
  upright[10:20, 30:45, 0] = 255
  stored = np.rot90(upright, {1: 0, 3: 2, 6: 1, 8: 3}[orientation])
  exif = Image.Exif()
  exif[0x0112] = orientation
  Image.fromarray(stored).save(folder / 'images/val/c.png', exif=exif)
  (folder / 'images/val/c.jpg').unlink()
  (folder / 'labels/val/c.txt').write_text('1 .625 .375 .25 .25\n')
  _, (c,) = convert(yolo.read_data_yaml(str(folder / 'data.yaml'), 'val'), folder)
  assert (c.height, c.width) == (40, 60)
  pixels = np.asarray(Image.open(io.BytesIO(c.encoded)))
  np.testing.assert_array_equal(pixels, upright)
  ymin, xmin, ymax, xmax = (c.boxes[0] * [40, 60, 40, 60]).round().astype(int)
  assert (pixels[ymin:ymax, xmin:xmax, 0] == 255).all() and (ymin, xmin, ymax, xmax) == (
    10,
    30,
    20,
    45,
  )


def test_labels_that_are_nowhere(folder):
  data = yolo.read_data_yaml(str(folder / 'data.yaml'), 'val')
  with pytest.raises(InputError, match='none of the 1 images has a text file'):
    convert(data, folder)
