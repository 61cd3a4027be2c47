"""The table of what is said of each box: whatever is in it is carried by everything on its way."""

import pathlib
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
import tiny_project
import tool_processes

from ssd_tf.data import annotation, box_validation, record_files, tf_example
from ssd_tf.data.sources import label_dropping, merge_images, partial_data_sets, tfrecord

NAMES = {1: 'a', 2: 'b', 3: 'c'}
# Nobody's default, each box its own: rows 0 to 3.
VALUES = {
  bool: [True, False, True, True],
  np.int64: [2, 1, 3, 1],
  np.float32: [0.25, 0.75, 2.5, 4.0],
  str: ['first', 'second', 'third', 'fourth'],
}


def full_annotation(**changes):
  """Four boxes of which everything is said that can be."""
  said = {field.name: field.collect(VALUES[field.dtype]) for field in annotation.BOX_FIELDS}
  image = tiny_project.annotation(0, np.random.default_rng(0), num_boxes=4)
  return annotation.Annotation(**{**vars(image), **said, 'class_names': list('baca'), **changes})


def require_rows(found, rows, besides=()):
  """Everything that the table has is said of the boxes, as of these rows of the full annotation."""
  assert len(found.boxes) == len(rows)
  for field in annotation.BOX_FIELDS:
    if field.name not in besides:
      expected = field.collect([full_annotation().values(field)[row] for row in rows])
      np.testing.assert_array_equal(getattr(found, field.name), expected, field.name)


def check_every_field(folder):
  """Writing and reading, filtering, merging, and dropping of labels."""
  image = full_annotation()
  record = tf_example.encode_example(image)
  require_rows(tf_example.parse_example(record), [0, 1, 2, 3])
  require_rows(image.select(np.array([False, True, False, True])), [1, 3])

  outside = full_annotation(boxes=image.boxes + np.float32([[0], [0], [2], [0]]))
  require_rows(box_validation.validate_boxes(outside)[0], [0, 1, 3])

  kept = merge_images.map_classes(image, {1: 1, 2: 2}, NAMES, default=NAMES)
  require_rows(kept, [0, 1, 3])
  silent = tiny_project.annotation(0, np.random.default_rng(1), num_boxes=2)
  others = merge_images.map_classes(silent, dict.fromkeys(NAMES, 3), NAMES, default=[3])
  united, _ = merge_images.unite([kept, others])
  require_rows(united.select(np.arange(5) < 3), [0, 1, 3])
  for field in annotation.BOX_FIELDS:
    if not (field.is_required or field.is_box_area):
      assert list(getattr(united, field.name)[3:]) == [field.default] * 2, field.name

  path = str(folder / 'a.record')
  tiny_project.write_records(path, [image])
  rules = label_dropping.DroppingRules(groups=[['a', 'c']])
  source = tfrecord.open_source([path], NAMES)
  partial_data_sets.write_partial_records(source, str(folder / 'b.record'), rules)
  [(_, _, dropped)] = record_files.read_records([str(folder / 'b.record')])
  require_rows(tf_example.parse_example(dropped), [1, 2, 3])

  example = tf_example.decode_example(tf.constant(record), num_classes=3)
  for field in annotation.BOX_FIELDS:
    if field.example_key:
      np.testing.assert_array_equal(example[field.example_key], getattr(image, field.name))


def test_every_field_is_carried_all_the_way(tmp_path):
  check_every_field(tmp_path)


@pytest.mark.parametrize(
  'row', ["'occlusion', np.float32, default=0.5", "'note', str, default='-'"]
)
def test_a_field_more_is_one_edit(row, tmp_path):
  """In a process of its own, where the class has one more line."""
  tool_processes.call(add_and_check, row, str(tmp_path))


def add_and_check(row, folder):
  """Loads all modules anew with an attribute `added` of the annotation, then checks every field."""
  line = '  remarks: Sequence[str] = ()\n'
  source = pathlib.Path(annotation.__file__).read_text()
  assert source.count(line) == 1
  for name in [name for name in sys.modules if name.startswith('ssd_tf.data')]:
    del sys.modules[name]
  changed = types.ModuleType('ssd_tf.data.annotation')
  sys.modules[changed.__name__] = changed
  exec(source.replace(line, f'  added: object = _of_box({row})\n{line}'), vars(changed))
  del sys.modules['test_annotation'], sys.modules['tiny_project']
  import test_annotation

  assert test_annotation.annotation.BOX_FIELDS[-1].name == 'added'
  test_annotation.check_every_field(pathlib.Path(folder))
