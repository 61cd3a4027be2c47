"""The tool from outside: its sets, its label map, what it says to bad flags."""

import json

import pytest
import tool_processes
from PIL import Image


def run(folder, *flags):
  return tool_processes.run(folder, 'create_lvis_tf_record.py', *flags)


def write_annotations(folder):
  url = 'http://images.cocodataset.org/train2017/000000000007.jpg'
  lists = {'neg_category_ids': [1], 'not_exhaustive_category_ids': []}
  content = {
    'images': [{'id': 7, 'coco_url': url, **lists}],
    'annotations': [{'id': 1, 'image_id': 7, 'category_id': 2, 'bbox': [0, 0, 6, 4]}],
    'categories': [{'id': 2, 'name': 'computer_keyboard'}, {'id': 1, 'name': 'cat'}],
  }
  (folder / 'lvis.json').write_text(json.dumps(content))
  (folder / 'coco/train2017').mkdir(parents=True)
  Image.new('RGB', (60, 40)).save(folder / 'coco/train2017/000000000007.jpg')


def test_every_set_and_the_label_map(tmp_path):
  from ssd_tf.config import label_map
  from ssd_tf.data import record_files, tf_example

  write_annotations(tmp_path)
  done = run(
    tmp_path,
    *('--train_image_dir=coco', '--train_annotations_file=lvis.json'),
    *('--val_image_dir=coco/train2017', '--val_annotations_file=lvis.json'),
    *('--image_dir=coco', '--annotations_file=lvis.json', '--output_path=one.record'),
    *('--output_dir=out', '--num_shards=2', '--num_workers=1'),
    *('--label_map_output_path=label_map.pbtxt', '--include_masks'),
  )
  assert done.returncode == 0, done.stderr
  assert done.stderr.count('SSD predicts no masks') == 1
  assert done.stdout.count('images written: 1 (0 without objects)') == 3
  for name in ('out/lvis_train.record', 'out/lvis_val.record', 'one.record'):
    paths = [str(tmp_path / f'{name}-0000{i}-of-00002') for i in range(2)]
    ((_, _, record),) = record_files.read_records(paths)
    found = tf_example.parse_example(record)
    assert (found.verified_present, found.verified_absent) == ([2], [1])
    assert found.class_names == ['computer_keyboard']
  classes = label_map.load(tmp_path / 'label_map.pbtxt')
  assert (classes.ids, classes.names) == ((1, 2), ('cat', 'computer_keyboard'))


ONE = ('--image_dir=coco', '--annotations_file=lvis.json', '--output_path=out.record')


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ((), 'nothing to convert: give --image_dir, --annotations_file and --output_path, or'),
    (ONE[:2], '--output_path is missing: give --image_dir, --annotations_file and --output_path'),
    (
      ('--train_image_dir=coco', '--output_dir=out'),
      '--train_annotations_file is missing: give --train_image_dir, --train_annotations_file and '
      '--output_dir together',
    ),
    ((*ONE, '--num_shards=0'), '--num_shards=0: 0 is not a positive integer'),
    ((*ONE, '--annotations_file=no.json'), 'error: no.json: No such file or directory'),
    ((*ONE, '--image_dir=gone'), 'out.record: no image to write; 1 inputs'),
    (
      (*ONE, '--image_dir=gone', '--strict'),
      'image 7: no such file: gone/000000000007.jpg, gone/train2017/000000000007.jpg',
    ),
  ],
)
def test_bad_flags_end_in_a_clear_line(tmp_path, flags, message):
  write_annotations(tmp_path)
  done = run(tmp_path, *flags)
  assert done.returncode != 0 and 'Traceback' not in done.stderr
  assert message in done.stderr
  assert not list(tmp_path.glob('out*'))
