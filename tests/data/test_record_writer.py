"""What a conversion counts and refuses, whatever its source."""

import dataclasses

import pytest
import tiny_project

from ssd_tf.data import record_writer
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError

EMPTY, ONE, TWO = tiny_project.annotations(3, seed=0)
OUTSIDE = dataclasses.replace(TWO, boxes=TWO.boxes + 2)


def write(tmp_path, items, **options):
  def convert(item):
    if isinstance(item, str):
      raise InputError(f'{item} is broken')
    return item

  return record_writer.write_records(
    Source({}, items, convert), str(tmp_path / 'out.record'), **options
  )


@pytest.mark.parametrize(
  ('items', 'words'),
  [
    ([EMPTY, OUTSIDE], ' 2 boxes'),
    ([EMPTY, dataclasses.replace(EMPTY, num_boxes_left_out=3)], ' 3 boxes'),
    ([EMPTY, 'b.xml'], '1 files skipped'),  # Perhaps the one file with boxes.
    (['b.xml'], 'no image to write'),
    ([], 'no image to write'),
  ],
)
def test_boxes_in_and_none_out_is_an_error_that_leaves_no_file(items, words, tmp_path, capsys):
  write(tmp_path, [ONE])
  before = (tmp_path / 'out.record').read_bytes()
  with pytest.raises(InputError, match=f'out.record: .*{words}') as error:
    write(tmp_path, items)
  assert (tmp_path / 'out.record').read_bytes() == before
  assert len(list(tmp_path.iterdir())) == 1
  if OUTSIDE in items:
    # The reason for each box is told: 48 x 80 pixels, moved by 2 sizes.
    assert str(error.value).count('outside the image') == 2


def test_images_without_boxes_are_no_error(tmp_path):
  report = write(tmp_path, [EMPTY, EMPTY])
  assert (report.num_images, report.num_input_boxes, report.num_boxes) == (2, 0, 0)


def test_input_boxes_are_counted_before_any_is_dropped(tmp_path):
  left_out = dataclasses.replace(ONE, num_boxes_left_out=4)
  report = write(tmp_path, [EMPTY, ONE, left_out, OUTSIDE])
  assert (report.num_boxes, len(report.dropped), report.num_input_boxes) == (2, 2, 8)


def test_one_warning_counts_the_images_whose_exif_orientation_is_not_applied(tmp_path, capsys):
  turned = dataclasses.replace(ONE, filename='phone.jpg', exif_orientation=6)
  report = write(tmp_path, [ONE, turned, turned, EMPTY])
  assert report.not_turned == ['phone.jpg', 'phone.jpg']
  [line] = [line for line in capsys.readouterr().out.splitlines() if 'EXIF' in line]
  assert '2 images' in line and 'phone.jpg' in line
  assert 'EXIF' not in str(write(tmp_path, [ONE]))


def test_an_image_written_twice_is_told(tmp_path):
  report = write(tmp_path, [ONE, TWO, ONE, ONE])
  assert report.repeated == ['image 1', 'image 1']
  assert 'image 1' in str(report)
  assert 'image 1' not in str(write(tmp_path, [ONE, TWO]))


def test_the_report_tells_which_files_were_replaced(tmp_path, capsys):
  write(tmp_path, [ONE, TWO], num_shards=2)
  report = write(tmp_path, [ONE])
  old = [str(tmp_path / f'out.record-0000{i}-of-00002') for i in (0, 1)]
  assert report.replaced == old
  printed = capsys.readouterr().out
  assert all(path in printed for path in old)
