"""The tool from outside: its files, its flags, what it says to bad ones."""

import io
import json

import numpy as np
import pytest
import tool_processes
from PIL import Image

A, B = [0, 0, 0.5, 0.5], [0.25, 0.25, 1, 1]
OUTPUTS = ('--output_path=out/merged.record', '--label_map_output_path=maps/merged.pbtxt')


def run(folder, *flags):
  return tool_processes.run(folder, 'merge_datasets.py', *flags)


def annotated(shade, class_id, name, box):
  from ssd_tf.data import tf_example

  stream = io.BytesIO()
  Image.new('RGB', (80, 40), (shade, 0, 0)).save(stream, 'PNG')
  return tf_example.Annotation(
    encoded=stream.getvalue(),
    format='png',
    height=40,
    width=80,
    filename=f'{shade}.png',
    source_id=f'{shade}.png',
    boxes=np.float32([box]),
    class_ids=np.array([class_id]),
    class_names=[name],
  )


def write_plan(folder, *sources):
  (folder / 'plans').mkdir(exist_ok=True)
  (folder / 'plans/plan.json').write_text(json.dumps(sources), encoding='utf-8')
  return '--plan=plans/plan.json'


def test_merges_and_writes_label_map_and_report(tmp_path):
  from ssd_tf.config import label_map
  from ssd_tf.data import annotation_files, record_files, record_writer, tf_example
  from ssd_tf.data.source import Source

  # Paths count from the plan's folder, too.
  annotation_files.write_pascal_voc(
    [annotated(1, 1, 'Cat', A)], str(tmp_path / 'plans/pets'), 'train'
  )
  record_writer.write_records(
    Source({}, [annotated(1, 2, 'dog', B), annotated(2, 1, 'cat', B)], lambda image: image),
    str(tmp_path / 'zoo.record'),
    num_shards=2,
  )
  text = "item { id: 1 name: 'cat' } item { id: 2 name: 'dog' }"
  (tmp_path / 'zoo.pbtxt').write_text(text, encoding='utf-8')
  plan = write_plan(
    tmp_path,
    {'name': 'pets', 'type': 'pascal_voc', 'data_dir': 'pets'},
    {'name': 'zoo', 'type': 'tfrecord', 'input_path': 'zoo.record@2',
     'label_map_path': 'zoo.pbtxt', 'labeled_class': ['dog']},
  )  # fmt: skip
  done = run(tmp_path, plan, *OUTPUTS, '--report_path=reports/merge.json')
  assert done.returncode == 0, done.stderr
  classes = label_map.load(tmp_path / 'maps/merged.pbtxt')
  assert (classes.ids, classes.names) == ((1, 2, 3), ('Cat', 'cat', 'dog'))
  first, second = (
    tf_example.parse_example(record)
    for _, _, record in record_files.read_records([str(tmp_path / 'out/merged.record')])
  )
  assert (first.source_id, second.source_id) == ('pets/1.png', 'zoo/2.png')
  assert (first.class_names, first.labeled_classes) == (['Cat', 'dog'], [1, 3])
  np.testing.assert_array_equal(first.boxes, np.float32([A, B]))
  assert (second.class_names, second.labeled_classes) == (['cat'], [3])
  report = json.loads((tmp_path / 'reports/merge.json').read_text(encoding='utf-8'))
  assert report['duplicates']['across'] == ['pets/1.png = zoo/1.png']
  assert report['similar_names'] == [
    {'name': 'cat', 'like': 'Cat', 'sources': ['zoo'], 'suggestion': {'zoo': {'cat': 'Cat'}}}
  ]
  assert (report['images'], report['boxes']) == (2, 3)
  assert 'in zoo, "rename": {"cat": "Cat"}' in done.stdout

  # With a label map of ours; it lacks a class.
  done = run(tmp_path, plan, *OUTPUTS, '--label_map_path=zoo.pbtxt')
  assert done.returncode == 2 and 'Traceback' not in done.stderr
  assert "class 'Cat' is not in the label map: rename it" in done.stderr
  assert "such as 'cat'" in done.stderr


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ((), 'Flag --plan must have a value other than None.'),
    (('--plan=x.json',), 'Flag --output_path must have a value other than None.'),
    (('--plan=x.json', *OUTPUTS), 'error: x.json: No such file or directory'),
    (('--plan=x.json', *OUTPUTS, '--num_shards=0'), '--num_shards=0: 0 is not a positive integer'),
    (('--plan=plans/plan.json', *OUTPUTS),
     "error: plans/plan.json: source 1 ('a'): image_dir: no such file or folder: nowhere or "),
  ],
)  # fmt: skip
def test_bad_flags_end_in_one_line(tmp_path, flags, message):
  write_plan(
    tmp_path,
    {'name': 'a', 'type': 'coco', 'annotations_file': 'plans/plan.json', 'image_dir': 'nowhere'},
  )
  done = run(tmp_path, *flags)
  assert done.returncode != 0 and 'Traceback' not in done.stderr
  assert message in done.stderr
