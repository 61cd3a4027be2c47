import io
import json
import pathlib
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tf.data import record_writer, tf_example
from ssd_tf.data.sources import pascal_voc, seven_segment, voc_files
from ssd_tf.errors import InputError

TESTDATA = pathlib.Path(__file__).parents[2] / 'testdata'
IDS = {'cat': 1, 'chien': 2, '猫': 3}


def read(path):
  return [tf_example.parse_example(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]


def save_image(path, width=60, height=40, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.random.default_rng(0).integers(0, 256, [height, width, 3], np.uint8)
  Image.fromarray(pixels).save(path, **options)


def xml(*objects, filename='', size='<size><width>60</width><height>40</height></size>'):
  # Children in another order than the devkit's, to be read by name.
  return f'<annotation>{"".join(objects)}{size}<filename>{filename}</filename></annotation>'


def voc_object(name, xmin, ymin, xmax, ymax, extra=''):
  return (
    f'<object><bndbox><ymax>{ymax}</ymax><xmin>{xmin}</xmin><xmax>{xmax}</xmax><ymin>{ymin}</ymin>'
    f'</bndbox>{extra}<name> {name} </name></object>'
  )


def add(root, stem, content, image_name=None, image=True):
  (root / 'Annotations').mkdir(parents=True, exist_ok=True)
  (root / 'Annotations' / f'{stem}.xml').write_text(content, encoding='utf-8')
  if image:
    save_image(root / 'JPEGImages' / (image_name or f'{stem}.jpg'))


def write(root, set_name, ids, output, ignore_difficult=False, folders=None, **options):
  files = voc_files.list_files(str(root), set_name, **(folders or {}))
  source = pascal_voc.open_source(files, ids, ignore_difficult)
  return record_writer.write_records(source, str(output), **options)


def convert(root, set_name='all', ids=None, **options):
  output = root / 'out.record'
  report = write(root, set_name, ids or IDS, output, **options)
  return report, read(output)


def test_boxes_flags_and_poses(tmp_path):
  part = (
    '<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>'
    '</bndbox></part>'
  )
  add(
    tmp_path,
    'a',
    xml(
      voc_object('cat', 6, 4, 30.5, 20, '<difficult>1</difficult><pose>Left</pose>'),
      voc_object('猫', 0, 0, 60, 40, f'<truncated>1</truncated>{part}'),
      filename='a.jpg',
    ),
  )
  report, (annotation,) = convert(tmp_path)
  # ymin 4 / 40, xmin 6 / 60, ymax 20 / 40, xmax 30.5 / 60: 1 is not subtracted.
  np.testing.assert_array_equal(
    annotation.boxes, np.float32([[0.1, 0.1, 0.5, 30.5 / 60], [0, 0, 1, 1]])
  )
  np.testing.assert_array_equal(annotation.class_ids, [1, 3])
  assert annotation.class_names == ['cat', '猫']
  np.testing.assert_array_equal(annotation.difficult, [True, False])
  np.testing.assert_array_equal(annotation.truncated, [False, True])
  assert annotation.views == ['Left', '']
  assert (annotation.height, annotation.width, annotation.format) == (40, 60, 'jpeg')
  assert annotation.filename == annotation.source_id == 'a.jpg'
  assert annotation.encoded == (tmp_path / 'JPEGImages/a.jpg').read_bytes()
  assert (report.num_images, report.num_boxes, report.remarks) == (1, 2, [])

  report, (annotation,) = convert(tmp_path, ignore_difficult=True)
  assert annotation.class_names == ['猫']


def test_missing_size_non_ascii_names_and_no_objects(tmp_path):
  add(tmp_path, 'été', xml(filename='été.png', size=''), 'été.png')
  add(tmp_path, 'b', xml(size='<size><width>0</width><height>0</height></size>'))
  report, annotations = convert(tmp_path)
  assert [a.filename for a in annotations] == ['b.jpg', 'été.png']
  assert [a.format for a in annotations] == ['jpeg', 'png']
  assert report.num_images_without_objects == 2 and not report.remarks


def test_xml_that_disagrees_with_its_image_is_remarked(tmp_path):
  add(tmp_path, 'a', xml(voc_object('cat', 6, 4, 30, 20), filename='other.jpg'))
  add(tmp_path, 'b', xml(voc_object('cat', 6, 4, 30, 20), filename='C:\\photos\\elsewhere.jpg'),
      'elsewhere.jpg')  # fmt: skip
  size = '<size><height>60</height><width>40</width></size>'
  add(tmp_path, 'c', xml(voc_object('cat', 6, 4, 30, 20), filename='c.jpg', size=size))
  report, annotations = convert(tmp_path)
  assert [a.filename for a in annotations] == ['a.jpg', 'elsewhere.jpg', 'c.jpg']
  for annotation in annotations:
    np.testing.assert_array_equal(annotation.boxes, np.float32([[0.1, 0.1, 0.5, 0.5]]))
  remarks = [text for _, text in report.remarks]
  assert len(remarks) == 3
  assert "a.xml names 'other.jpg'" in remarks[0]
  assert "b.xml names 'elsewhere.jpg'" in remarks[1]
  assert 'c.xml says 40 x 60 pixels, the image has 60 x 40' in remarks[2]


def test_boxes_are_clipped_and_dropped_by_file(tmp_path):
  objects = [
    voc_object('cat', -6, 4, 30, 50),
    voc_object('cat', 5, 5, 5, 9),
    voc_object('chien', 30, 20, 6, 4),
    voc_object('chien', 1, 1, 2, 2),
  ]
  add(tmp_path, 'a', xml(*objects))
  report, (annotation,) = convert(tmp_path)
  np.testing.assert_array_equal(
    annotation.boxes, np.float32([[0.1, 0, 1, 0.5], [1 / 40, 1 / 60, 2 / 40, 2 / 60]])
  )
  assert annotation.class_names == ['cat', 'chien']
  assert report.num_boxes == 2
  assert report.clipped == [('a.jpg', 'cat xmin -6, ymin 4, xmax 30, ymax 50')]
  assert [name for name, _ in report.dropped] == ['a.jpg', 'a.jpg']


@pytest.fixture
def broken(tmp_path):
  """One good image and every kind of broken one."""
  add(tmp_path, 'good', xml(voc_object('cat', 6, 4, 30, 20)))
  add(tmp_path, 'empty', xml(), image=False)
  (tmp_path / 'JPEGImages/empty.jpg').write_bytes(b'')
  add(tmp_path, 'truncated', xml())
  path = tmp_path / 'JPEGImages/truncated.jpg'
  path.write_bytes(path.read_bytes()[:-300])
  add(tmp_path, 'text', xml(), image=False)
  (tmp_path / 'JPEGImages/text.jpg').write_text('<html>not found</html>')
  add(tmp_path, 'missing', xml(filename='missing.jpg'), image=False)
  add(tmp_path, 'half', xml()[:-20])
  add(tmp_path, 'word', xml(voc_object('cat', 'left', 4, 30, 20)))
  add(tmp_path, 'nobox', xml('<object><name>cat</name></object>'))
  add(tmp_path, 'noname', xml(voc_object('', 6, 4, 30, 20)))
  return tmp_path


def test_broken_inputs_are_named_skipped_and_counted(broken, capsys):
  report, annotations = convert(broken)
  assert [a.filename for a in annotations] == ['good.jpg']
  reasons = {pathlib.Path(str(item)).stem: reason for item, reason in report.skipped}
  expected = {
    'empty': 'empty.jpg: the image file is empty (0 bytes)',
    'truncated': 'truncated.jpg: the image does not decode: image file is truncated',
    'text': 'text.jpg: the image does not decode: no known image format',
    'missing': 'missing.xml: no image missing.* or missing.jpg in',
    'half': 'half.xml: broken XML: ',
    'word': "word.xml: object 'cat': <bndbox> <xmin> is 'left'; expected a number",
    'nobox': "nobox.xml: object 'cat': <bndbox> <ymin> is ''",
    'noname': 'noname.xml: an <object> has no <name>',
  }
  assert reasons.keys() == expected.keys()
  for stem, words in expected.items():
    assert words in reasons[stem]
  printed = capsys.readouterr().out
  assert 'files skipped: 8' in printed
  assert all(words in printed for words in expected.values())


def test_strict_stops_and_leaves_no_file(broken):
  with pytest.raises(InputError, match='empty.jpg: the image file is empty'):
    convert(broken, strict=True)
  assert not list(broken.glob('out.record*'))


def test_unknown_class_names_are_all_told_at_once(tmp_path):
  add(tmp_path, 'a', xml(voc_object('cats', 6, 4, 30, 20), voc_object('dog', 6, 4, 30, 20)))
  add(tmp_path, 'b', xml(voc_object('dog', 6, 4, 30, 20), voc_object('cat', 6, 4, 30, 20)))
  hard = voc_object('bird', 6, 4, 30, 20, '<difficult>1</difficult>')
  add(tmp_path, 'c', xml(hard))
  with pytest.raises(InputError) as error:
    convert(tmp_path, ignore_difficult=True)
  lines = str(error.value).splitlines()
  assert '2 class names' in lines[0] and 'cat, chien, 猫' in lines[0]
  assert "'dog': 2 boxes, first in" in lines[1] and 'a.xml' in lines[1]
  assert "'cats': 1 boxes" in lines[2] and "did you mean 'cat'?" in lines[2]
  assert not list(tmp_path.glob('out.record*'))
  with pytest.raises(InputError, match="'bird': 1 boxes"):
    convert(tmp_path)


def test_vocdevkit_years_and_lists(tmp_path):
  for year, stem in (('VOC2007', '000001'), ('VOC2012', '2008_000001')):
    add(tmp_path / year, stem, xml(filename=f'{stem}.jpg'))
    add(tmp_path / year, 'unlisted', xml())
    sets = tmp_path / year / 'ImageSets/Main'
    sets.mkdir(parents=True)
    (sets / 'train.txt').write_text(f'{stem}\r\n\n')
    (sets / 'cat_train.txt').write_text(f'{stem} -1\nunlisted  1\n')
  cases = {
    ('VOC2007', 'train'): ['000001.jpg'],
    ('VOC2012', 'train'): ['2008_000001.jpg'],
    ('merged', 'train'): ['000001.jpg', '2008_000001.jpg'],
    ('VOC2007', 'cat_train'): ['000001.jpg', 'unlisted.jpg'],
    ('VOC2007', 'all'): ['000001.jpg', 'unlisted.jpg'],
  }
  for (year, set_name), names in cases.items():
    _, annotations = convert(tmp_path, set_name, folders={'year': year})
    assert [a.filename for a in annotations] == names
  with pytest.raises(InputError, match='val.txt: no such image list.*cat_train, train, all'):
    convert(tmp_path, 'val')
  with pytest.raises(InputError, match='expected the folder VOC2010'):
    convert(tmp_path, folders={'year': 'VOC2010'})
  with pytest.raises(InputError, match='VOC2012: expected the folder Labels'):
    convert(tmp_path, folders={'year': 'VOC2012', 'annotations_dir': 'Labels'})


BOX = voc_object('cat', 6, 4, 30, 20)
STEMS = ('im0', 'my photo', 'my photo 1', 'my photo 2', 'my photo 0')


@pytest.mark.parametrize(
  ('lines', 'found'),
  [
    (['my photo 1', 'my photo 2', 'im0'], ['my photo 1', 'my photo 2', 'im0']),
    (['my photo 2', 'im0 '], ['my photo 2', 'im0']),
    (['im0 1', 'my photo 2  -1', 'my photo 0\t0'], ['im0', 'my photo 2', 'my photo 0']),
    (['im0.jpg', 'my photo 1.jpg', 'my photo.JPG'], ['im0', 'my photo 1', 'my photo']),
    (['im0.xml', 'my photo 1.xml', 'my photo.XML 1'], ['im0', 'my photo 1', 'my photo']),
    (['JPEGImages/im0.jpg', '/far/away/my photo 1.jpg'], ['im0', 'my photo 1']),
    # Caffe: an image's path and an XML's, from the folder or from the one above it.
    (['JPEGImages/im0.jpg Annotations/im0.xml'], ['im0']),
    (['VOC/JPEGImages/my photo.jpg VOC/Annotations/my photo 1.xml'], ['my photo']),
    (['\ufeffim0'], ['im0']),
  ],
)
def test_lists_name_annotations_in_many_ways(lines, found, tmp_path):
  root = tmp_path / 'VOC'
  for stem in STEMS:
    add(root, stem, xml(BOX))
  (root / 'ImageSets/Main').mkdir(parents=True)
  (root / 'ImageSets/Main/train.txt').write_text('\r\n'.join(lines), encoding='utf-8')
  report, annotations = convert(root, 'train')
  assert [a.filename for a in annotations] == [f'{stem}.jpg' for stem in found]
  assert not report.skipped and not report.remarks


def test_a_blank_and_digit_that_may_be_name_or_column_is_refused(tmp_path):
  for stem in STEMS:
    add(tmp_path, stem, xml(BOX))
  path = tmp_path / 'ImageSets/Main/train.txt'
  path.parent.mkdir(parents=True)
  path.write_text('im0 1\nmy photo 1\n')
  with pytest.raises(InputError, match=r"train\.txt:2: 'my photo 1' may mean my photo 1\.xml"):
    convert(tmp_path, 'train')
  path.write_text('im0 1\ngone 1\n')  # Told where it is skipped.
  assert 'gone.xml' in convert(tmp_path, 'train')[0].skipped[0][1]


def test_a_list_that_is_not_utf8_is_named_with_its_line(tmp_path):
  add(tmp_path, 'im0', xml(BOX))
  path = tmp_path / 'ImageSets/Main/train.txt'
  path.parent.mkdir(parents=True)
  path.write_bytes('im0\ncaf\u00e9\n'.encode('latin-1'))
  with pytest.raises(InputError, match=r'train\.txt:2: .*0xe9'):
    convert(tmp_path, 'train')


def test_xml_files_are_found_in_any_case(tmp_path):
  add(tmp_path, 'a', xml(BOX))
  add(tmp_path, 'b', xml(BOX))
  (tmp_path / 'Annotations/b.xml').rename(tmp_path / 'Annotations/b.XML')
  (tmp_path / 'ImageSets/Main').mkdir(parents=True)
  (tmp_path / 'ImageSets/Main/train.txt').write_text('b\na\n')
  assert [a.filename for a in convert(tmp_path, 'train')[1]] == ['b.jpg', 'a.jpg']
  assert [a.filename for a in convert(tmp_path)[1]] == ['a.jpg', 'b.jpg']
  assert len(voc_files.list_folder(str(tmp_path / 'Annotations'), [])) == 2


def test_boxes_that_are_fractions_are_refused_by_file(tmp_path):
  add(tmp_path, 'good', xml(BOX))
  # A box of one pixel in the corner is none of them, nor is one beyond a fraction.
  add(tmp_path, 'corner', xml(voc_object('cat', 0, 0, 1, 1)))
  add(tmp_path, 'half', xml(voc_object('cat', 0.1, 0.2, 0.5, 0.6), voc_object('cat', 0, 0, 1, 1)))
  report, annotations = convert(tmp_path)
  assert [a.filename for a in annotations] == ['corner.jpg', 'good.jpg']
  [(_, reason)] = report.skipped
  assert 'half.xml' in reason and 'all 2 boxes' in reason and 'expected pixels' in reason
  for stem in ('good', 'corner'):
    (tmp_path / f'Annotations/{stem}.xml').unlink()
  (tmp_path / 'out.record').unlink()
  with pytest.raises(InputError, match='half.xml.*expected pixels'):
    convert(tmp_path, strict=True)
  with pytest.raises(InputError, match='no image to write'):
    convert(tmp_path)
  assert not (tmp_path / 'out.record').exists()


def test_difficult_objects_that_were_all_there_was_are_no_silent_loss(tmp_path):
  add(tmp_path, 'a', xml(voc_object('cat', 6, 4, 30, 20, '<difficult>1</difficult>')))
  assert convert(tmp_path)[0].num_boxes == 1
  with pytest.raises(InputError, match='no box to write: 1 boxes'):
    convert(tmp_path, ignore_difficult=True)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_a_photo_is_turned_where_the_xml_states_its_turned_size(orientation, tmp_path, capsys):
  exif = Image.Exif()
  exif[0x0112] = orientation
  add(tmp_path, 'a', xml(BOX))  # 60 x 40
  save_image(tmp_path / 'JPEGImages/b.jpg', 40, 60, exif=exif)
  (tmp_path / 'Annotations/b.xml').write_text(xml(BOX))
  report, [_, turned] = convert(tmp_path)
  is_turned = orientation >= 5
  assert (turned.width, turned.height) == ((60, 40) if is_turned else (40, 60))
  # Else the size differs, and a turned or mirrored image gets the warning.
  assert len(report.remarks) == (not is_turned)
  assert report.not_turned == (['b.jpg'] if orientation in (2, 3, 4) else [])
  width, height = (60, 40) if is_turned else (40, 60)
  expected = np.float32([[4 / height, 6 / width, 20 / height, 30 / width]])
  np.testing.assert_allclose(turned.boxes, expected, rtol=1e-6)
  assert ('EXIF' in capsys.readouterr().out) == (orientation in (2, 3, 4))


def test_shards_are_filled_in_turn(tmp_path):
  for i in range(5):
    add(tmp_path, f'{i}', xml())
  write(tmp_path, 'all', IDS, tmp_path / 'out', num_shards=2, num_workers=3)
  names = [[a.filename for a in read(tmp_path / f'out-0000{i}-of-00002')] for i in range(2)]
  assert names == [['0.jpg', '2.jpg', '4.jpg'], ['1.jpg', '3.jpg']]
  assert not (tmp_path / 'out').exists() and not list(tmp_path.glob('*.tmp'))


def test_other_formats_are_stored_as_png(tmp_path):
  add(tmp_path, 'a', xml(), image=False)
  save_image(tmp_path / 'JPEGImages/a.webp', lossless=True)
  _, (annotation,) = convert(tmp_path)
  assert annotation.format == 'png'
  stored = Image.open(io.BytesIO(annotation.encoded))
  np.testing.assert_array_equal(stored, Image.open(tmp_path / 'JPEGImages/a.webp').convert('RGB'))


def test_digits_written_as_voc_come_back(tmp_path):
  style = seven_segment.DigitStyle(height=64, width=384)
  seven_segment.write_data_set(str(tmp_path), num_train=2, num_eval=1, style=style, write_voc=True)
  ids = {name: i + 1 for i, name in enumerate(seven_segment.CLASS_NAMES)}
  _, annotations = convert(tmp_path / 'voc', 'train', ids)
  expected = read(tmp_path / 'digits_train.record')
  assert len(annotations) == 2
  for annotation, original in zip(annotations, expected, strict=True):
    assert annotation.encoded == original.encoded
    np.testing.assert_array_equal(annotation.class_ids, original.class_ids)
    np.testing.assert_allclose(annotation.boxes, original.boxes, atol=1e-7)


@pytest.fixture(scope='module')
def blood_cells(tmp_path_factory):
  """The annotations and lists of BCCD, with black images of the right size."""
  root = tmp_path_factory.mktemp('bccd')
  zipfile.ZipFile(TESTDATA / 'bccd/BCCD.zip').extractall(root)
  (root / 'JPEGImages').mkdir()
  black = io.BytesIO()
  Image.new('RGB', (640, 480)).save(black, 'jpeg')
  for path in (root / 'Annotations').iterdir():
    (root / 'JPEGImages' / f'{path.stem}.jpg').write_bytes(black.getvalue())
  return root


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_blood_cells_as_the_object_detection_api_counts_them(blood_cells, tmp_path, split):
  stats = json.loads((TESTDATA / 'odapi/bccd_stats.json').read_text())[split]
  ids = {'RBC': 1, 'WBC': 2, 'Platelets': 3}
  output = tmp_path / 'bccd.record'
  report = write(blood_cells, split, ids, output)
  assert (report.num_images, report.num_boxes) == (stats['images'], stats['boxes'])
  assert not report.clipped and not report.skipped and not report.remarks
  assert report.num_images_without_objects == 0
  assert [(name, text.split(':')[0]) for name, text in report.dropped] == [
    (f'{stem}.jpg', '{} xmin {}, ymin {}, xmax {}, ymax {}'.format(name, *box))
    for stem, name, box in stats['invalid']
  ]
  annotations = read(output)
  names = [name for annotation in annotations for name in annotation.class_names]
  assert {name: names.count(name) for name in ids} == stats['per_class']
  assert max(len(annotation.boxes) for annotation in annotations) == stats['max_boxes']


def test_raccoons_have_no_lists(tmp_path):
  root = TESTDATA / 'raccoon'
  with pytest.raises(InputError, match='all: every XML file'):
    voc_files.list_files(str(root), 'train')
  output = tmp_path / 'raccoon.record'
  report = write(root, 'all', {'raccoon': 1}, output)
  assert report.num_images == 4 and not report.skipped
