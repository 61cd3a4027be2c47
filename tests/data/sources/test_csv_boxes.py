import numpy as np
import pytest
from PIL import Image

from ssd_tf.data import record_files, tf_example
from ssd_tf.data.sources import csv_boxes
from ssd_tf.errors import InputError

IDS = {'cat': 1, 'dog': 2}
HEADER = 'filename,width,height,class,xmin,ymin,xmax,ymax\n'


@pytest.fixture
def folder(tmp_path):
  for name in ('a.jpg', 'b.png', 'c.jpg'):
    Image.new('RGB', (60, 40)).save(tmp_path / name)
  return tmp_path


def read(path):
  return [tf_example.parse_example(item[-1]) for item in record_files.read_records([path])]


def convert(folder, text, **options):
  (folder / 'boxes.csv').write_text(text, encoding='utf-8')
  output = str(folder / 'out.record')
  report = csv_boxes.write_data_set(
    str(folder / 'boxes.csv'), str(folder), IDS, output, num_workers=1, **options
  )
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
