"""The tool from outside: its files, its flags, what it says to bad ones."""

import json

import pytest
import tool_processes


def run(folder, *flags):
  return tool_processes.run(folder, 'make_partial_labels.py', *flags)


RECORDS = ('--input_path=train.record', '--label_map_path=label_map.pbtxt')


def test_records_in_two_processes_are_the_same_bytes(tiny):
  from ssd_tf.data import record_files, tf_example

  flags = (*RECORDS, '--groups=a', '--groups=b, c', '--drop_rate=0.1', '--class_drop=a=0.1')
  first = run(tiny, *flags, '--output_path=out/one.record', '--manifest_path=m/one.json')
  assert first.returncode == 0, first.stderr
  second = run(tiny, *flags, '--output_path=two.record', '--num_workers=1')
  assert second.returncode == 0, second.stderr
  assert (tiny / 'out/one.record').read_bytes() == (tiny / 'two.record').read_bytes()
  one = json.loads((tiny / 'm/one.json').read_text())
  two = json.loads((tiny / 'two.record.json').read_text())
  assert one == {**two, 'output_path': 'out/one.record'}
  assert [group['classes'] for group in one['groups']] == [['a'], ['b', 'c']]
  # Images have 0, 1, 2, 0, ... boxes: 3 of 1 and 3 of 2.
  assert one['boxes_kept'] + one['boxes_dropped'] == 9
  assert f'{one["share_dropped"]:.1%} of the boxes dropped' in first.stdout
  for i, (_, _, record) in enumerate(record_files.read_records([str(tiny / 'two.record')])):
    found = tf_example.parse_example(record)
    assert {*found.labeled_classes, *found.class_ids.tolist()} <= ({1} if i % 2 == 0 else {2, 3})


def test_coco_with_drawn_groups_and_a_warning(tmp_path):
  content = {
    'images': [{'id': i, 'file_name': f'{i}.jpg'} for i in range(4)],
    'annotations': [
      {'id': i, 'image_id': i, 'category_id': 1, 'bbox': [0, 0, 1, 1]} for i in range(4)
    ],
    'categories': [{'id': 1, 'name': 'cat'}, {'id': 2, 'name': 'dog'}],
  }
  (tmp_path / 'in.json').write_text(json.dumps(content))
  source = ('--annotations_file=in.json', '--output_path=out.json')
  done = run(tmp_path, *source, '--num_groups=2', '--group_fractions=.25,.75')
  assert done.returncode == 0, done.stderr
  labeled = [
    i['labeled_category_ids'] for i in json.loads((tmp_path / 'out.json').read_text())['images']
  ]
  # What each group lacks: .25 .75, .5 .5, .75 .25, 0 1.
  assert labeled[0] == labeled[2] == labeled[3] and sorted(labeled[0] + labeled[1]) == [1, 2]
  done = run(tmp_path, *source, '--groups=dog')
  assert done.returncode == 0
  assert "warning: class 'cat' is in no group: all of its boxes are dropped" in done.stderr


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ((), 'Flag --output_path must have a value other than None.'),
    (('--groups=a',), 'give one of --input_path and --annotations_file'),
    ((*RECORDS, '--annotations_file=x.json'), 'give one of --input_path and --annotations_file'),
    (('--input_path=x', '--groups=a'), '--label_map_path goes with --input_path'),
    (RECORDS, 'nothing to drop: give --groups'),
    ((*RECORDS, '--groups=a', '--num_groups=2'), '--groups and --num_groups: give one of them'),
    ((*RECORDS, '--groups=a', '--groups='), 'groups: group 1 (counted from 0) names no class'),
    ((*RECORDS, '--groups=aa'), "groups: group 0 (counted from 0): no class is named 'aa'"),
    ((*RECORDS, '--drop_rate=1.5'), '--drop_rate=1.5: 1.5 is not a number in the range [0, 1'),
    ((*RECORDS, '--class_drop=a'), '--class_drop=a: expected name=rate'),
    ((*RECORDS, '--class_drop=a=often'), "--class_drop: 'often' is no number"),
    ((*RECORDS, '--class_drop=a=.2', '--class_drop=a=.3'), 'a=.3: give each class once'),
    ((*RECORDS, '--group_fractions=nan,.5', '--groups=a', '--groups=b'), 'nan lies outside [0, 1]'),
    ((*RECORDS, '--class_drop=a=2'), 'class_drop: a: 2 lies outside [0, 1]'),
    (
      (*RECORDS, '--groups=a', '--manifest_path=out.record'),
      '--manifest_path is the output_path, too',
    ),
    (('--input_path=no.record', RECORDS[1], '--groups=a'), 'no file matches no.record'),
    (('--annotations_file=no.json', '--groups=a'), 'error: no.json: No such file or directory'),
  ],
)
def test_bad_flags_end_in_one_line(tmp_path, flags, message):
  (tmp_path / 'label_map.pbtxt').write_text("item { id: 1 name: 'a' } item { id: 2 name: 'b' }")
  (tmp_path / 'train.record').write_bytes(b'')
  output = ('--output_path=out.record',) if flags else ()
  done = run(tmp_path, *flags, *output)
  assert done.returncode != 0 and 'Traceback' not in done.stderr
  assert message in done.stderr
  assert not (tmp_path / 'out.record').exists()
