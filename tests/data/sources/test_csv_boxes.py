import io

import numpy as np
import pytest
from PIL import Image

from ssd_tf.data import record_files, record_writer, tf_example
from ssd_tf.data.sources import csv_boxes
from ssd_tf.errors import InputError

IDS = {'cat': 1, 'dog': 2}
HEADER = 'filename,width,height,class,xmin,ymin,xmax,ymax\n'
ROW = 'a.jpg,60,40,cat,6,4,30,20\n'


@pytest.fixture
def folder(tmp_path):
  for name in ('a.jpg', 'b.png', 'c.jpg'):
    Image.new('RGB', (60, 40)).save(tmp_path / name)
  return tmp_path


def read(path):
  return [tf_example.parse_example(item[-1]) for item in record_files.read_records([path])]


def convert(folder, text, **options):
  raw = text if isinstance(text, bytes) else text.encode('utf-8')
  (folder / 'boxes.csv').write_bytes(raw)
  output = str(folder / 'out.record')
  source = csv_boxes.open_source(str(folder / 'boxes.csv'), str(folder), IDS, **options)
  report = record_writer.write_records(source, output, num_workers=1)
  return report, read(output)


def test_rows_become_boxes_of_their_images(folder):
  rows = 'a.jpg,60,40,cat,6,4,30,20\nb.png,60,40,dog,0,0,60,40\na.jpg,60,40,dog,59,39,60,40\n'
  report, (a, b) = convert(folder, HEADER + rows)
  # ymin 4 / 40, xmin 6 / 60, ymax 20 / 40, xmax 30 / 60; the second touches two borders.
  np.testing.assert_array_equal(
    a.boxes, np.float32([[0.1, 0.1, 0.5, 0.5], [39 / 40, 59 / 60, 1, 1]])
  )
  assert a.class_names == ['cat', 'dog'] and a.class_ids.tolist() == [1, 2]
  np.testing.assert_array_equal(b.boxes, np.float32([[0, 0, 1, 1]]))
  assert (a.filename, b.source_id, b.format) == ('a.jpg', 'b.png', 'png')
  ((place, remark),) = report.remarks
  assert place == str(folder) and remark.startswith('1 images are in no row')


def test_images_without_objects(folder):
  # Columns in another order, with spaces, without the size.
  text = 'class, filename, ymin, xmin, ymax, xmax\n,b.png,,,,\ncat,a.jpg,4,6,20,30\n'
  report, (b, a, c) = convert(folder, text, include_unlisted_images=True)
  assert [len(each.boxes) for each in (b, a, c)] == [0, 1, 0]
  assert c.filename == 'c.jpg' and report.num_images_without_objects == 2 and not report.remarks


def test_a_size_that_is_not_the_images_is_remarked(folder):
  report, (a,) = convert(folder, HEADER + 'a.jpg,120,80,cat,6,4,30,20\n')
  np.testing.assert_array_equal(a.boxes, np.float32([[0.1, 0.1, 0.5, 0.5]]))
  assert any('its rows say 120 x 80 pixels, the image has 60 x 40' in t for _, t in report.remarks)


ROWS = (
  ('a.jpg', '60', '40', 'cat', '6', '4', '30', '20'),
  ('sub/a.jpg', '', '', 'dog', '0', '0', '60', '40'),
  ('b.png',),
)


@pytest.mark.parametrize('delimiter', ',;\t')
@pytest.mark.parametrize('line_end', ['\n', '\r\n', '\r'])
@pytest.mark.parametrize('start', [b'', b'\xef\xbb\xbf', b'\n'])
def test_spreadsheets_write_other_delimiters_and_line_ends(folder, delimiter, line_end, start):
  (folder / 'sub').mkdir()
  Image.new('RGB', (60, 40)).save(folder / 'sub/a.jpg')
  rows = (HEADER.strip().split(','), *ROWS, ('b.png', *[''] * 10))
  text = line_end.join(map(delimiter.join, rows)) + line_end
  _, (a, sub, b) = convert(folder, start + text.encode())
  np.testing.assert_array_equal(a.boxes, np.float32([[0.1, 0.1, 0.5, 0.5]]))
  np.testing.assert_array_equal(sub.boxes, np.float32([[0, 0, 1, 1]]))
  assert (a.class_names, sub.class_names, len(b.boxes)) == (['cat'], ['dog'], 0)
  # Of the same name in another folder, and yet another image.
  assert [each.source_id for each in (a, sub, b)] == ['a.jpg', 'sub/a.jpg', 'b.png']


def test_two_names_of_one_file_are_one_image(folder):
  rows = f'a.jpg,,,cat,6,4,30,20\n./a.jpg,60,40,dog,6,4,30,20\n{folder}/a.jpg,0,0,dog,0,0,60,40\n'
  _, (a,) = convert(folder, HEADER + rows)
  assert a.class_names == ['cat', 'dog', 'dog'] and a.source_id == 'a.jpg'


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    (HEADER.encode() + b'a.jpg,60,40,Tier \xe9,6,4,30,20\n', 'boxes.csv:2: expected UTF-8 text'),
    ((HEADER + ROW).encode('utf-16'), 'boxes.csv:1: expected UTF-8 text, found byte 0xff'),
    (HEADER + '"a.jpg,60,40,cat,6,4,30,20\n' + ROW * 3, 'boxes.csv:2: broken CSV'),
    (HEADER + ROW + 'a.jpg,60,40,"c"at,6,4,30,20\n' + ROW, 'boxes.csv:3: broken CSV'),
    (HEADER + 'a\0.jpg,60,40,cat,6,4,30,20\n', 'boxes.csv:'),
    (HEADER + ROW + 'a.jpg,60,40,cat,6,4,30,20,9\n', 'line 3: 9 cells; expected 8 as in the'),
    (HEADER.replace('xmax', 'xmin'), 'the header has no xmax'),
    (HEADER.replace('class', 'class,class') + ROW, 'the header has class more than once'),
    *((HEADER + f'a.jpg,60,40,cat,6,4,{odd},20\n', f"line 2: a.jpg: xmax is {odd!r}; expected a")
      for odd in ('nan', 'inf', '1e999', '1_0', '0x10', '1e30', '٣٠')),
    (HEADER.replace(',', ';') + 'a.jpg;60;40;cat;6;4;30,5;20\n', "'30,5'; expected a number of"),
    (HEADER + ROW + 'a.jpg,40,60,cat,6,4,30,20\n', 'line 3: a.jpg: its size is 40 x 60, but'),
    *((HEADER + f'a.jpg,{odd},40,cat,6,4,30,20\n', f'line 2: a.jpg: width is {odd!r}; expected a')
      for odd in ('-60', 'wide', '60.5', 'nan', '1e999')),
    (HEADER + '"a.jpg",60,40,"cat\nitem {",6,4,30,20\n', 'line 2: a.jpg: class: expected text on'),
    (HEADER + '../a.jpg,60,40,cat,6,4,30,20\n', "line 2: filename: '../a.jpg' lies outside"),
    (HEADER + '/a.jpg,60,40,cat,6,4,30,20\n', "line 2: filename: '/a.jpg' lies outside"),
    # As fractions, all of them; the sizes do not count.
    (HEADER + 'a.jpg,60,40,cat,0.1,0.1,0.5,0.5\nb.png,60,40,dog,0,0,1,1\n',
     'boxes.csv: the coordinates of all 2 boxes lie within 0..1'),
    (HEADER + 'a.jpg,60,40,cat,0,0,1,1\n', 'boxes.csv: the coordinates of all 1 boxes lie'),
  ],
)  # fmt: skip
def test_wrong_files_are_refused_by_line(folder, text, message):
  with pytest.raises(InputError) as raised:
    convert(folder, text)
  assert 'boxes.csv' in str(raised.value) and message in str(raised.value)
  assert not (folder / 'out.record').exists()


def test_an_image_whose_boxes_are_fractions_is_left_out(folder):
  rows = 'a.jpg,60,40,cat,0.1,0.1,0.5,0.5\nb.png,60,40,dog,0,0,60,40\n'
  report, (b,) = convert(folder, HEADER + rows)
  ((_, reason),) = report.skipped
  assert 'a.jpg: the coordinates of all 1 boxes lie within 0..1' in reason and b.filename == 'b.png'


def test_photos_are_turned_where_the_rows_say_so(folder):
  """As phones write them: stored 40 wide and 60 high, to be shown turned, as it was annotated."""
  pixels = np.zeros([60, 40, 3], np.uint8)
  pixels[:15] = 250  # Above; to the right once it is turned clockwise.
  exif = Image.Exif()
  exif[0x0112] = 6
  for name in ('a.png', 'b.png'):
    Image.fromarray(pixels).save(folder / name, exif=exif)
  rows = 'a.png,60,40,cat,45,0,60,40\nb.png,40,60,dog,0,0,40,15\n'
  report, (a, b) = convert(folder, HEADER + rows)
  for annotation, size in ((a, (40, 60)), (b, (60, 40))):
    assert (annotation.height, annotation.width) == size
    image = np.array(Image.open(io.BytesIO(annotation.encoded)))
    assert image.shape[:2] == size
    ymin, xmin, ymax, xmax = (annotation.boxes[0] * np.float32(size * 2)).round().astype(int)
    assert (image[ymin:ymax, xmin:xmax] == 250).all() and (image == 250).sum() == 15 * 40 * 3
  assert not any('pixels of the image' in text for _, text in report.remarks)
  assert report.not_turned == ['b.png']


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'the header has no filename, class, ymin, xmin, ymax, xmax'),
    ('filename,class\na.jpg,cat\n', 'the header has no ymin, xmin, ymax, xmax'),
    (HEADER + 'a.jpg,60,40,cat,6,4,x,20\n', "line 2: a.jpg: xmax is 'x'; expected a number"),
    (HEADER + 'a.jpg,60,40,,6,4,30,20\n', 'line 2: a.jpg: class is empty'),
    (HEADER + 'a.jpg,60,40,cat,6,4,30\n', "line 2: a.jpg: ymax is ''"),
    (HEADER + ',60,40,cat,6,4,30,20\n', 'line 2: filename is empty'),
    (HEADER + 'a.jpg,60,40,catt,6,4,30,20\n' * 2, "'catt': 2 rows; did you mean 'cat'?"),
  ],
)
def test_faulty_rows_are_named(text, message, folder):
  with pytest.raises(InputError) as raised:
    convert(folder, text)
  assert 'boxes.csv' in str(raised.value) and message in str(raised.value)
  assert not (folder / 'out.record').exists()


def test_a_missing_image_is_skipped_and_reported(folder):
  rows = 'gone.jpg,60,40,cat,6,4,30,20\na.jpg,60,40,cat,6,4,30,20\n'
  report, (a,) = convert(folder, HEADER + rows)
  assert a.filename == 'a.jpg'
  ((_, reason),) = report.skipped
  assert 'gone.jpg: cannot read the image' in reason
