r"""Describes a data set: boxes and labeled images of each class, sizes, shapes, irregularities.

ssd-tf describe --data=mydata --output_path=mydata.svg
python tools/describe_dataset.py --input_path=train.record --label_map_path=label_map.pbtxt \
    --output_path=train.svg --json_path=train.json

Records are read once, without decoding their images. Warnings: classes that no image is labeled
for, ids that are not in the label map, boxes of classes that their image is not labeled for.
"""

import sys

from absl import flags

from ssd_tf.errors import InputError
from ssd_tf.files import json_file

FLAGS = flags.FLAGS
flags.DEFINE_list('input_path', None, 'TFRecords: files, globs, name@10; by commas.')
flags.DEFINE_string('label_map_path', None, 'Label map (pbtxt).')
flags.DEFINE_string('output_path', None, 'SVG to draw; default: none.')
flags.DEFINE_string('json_path', None, 'JSON file to write; default: none.')
flags.DEFINE_multi_string(
  'labeled_class', None, 'A class that images are labeled for whose record does not say; else all.'
)
flags.DEFINE_string(
  'data', None, 'Instead of records: a folder, or file, of annotated images of any format.'
)


def main() -> None:
  """Reads the annotations, then prints, draws and writes what they hold."""
  if bool(FLAGS.data) == bool(FLAGS.input_path):
    raise InputError('give --input_path, TFRecords, or --data, a folder of annotated images')
  if FLAGS.input_path and not FLAGS.label_map_path:
    raise InputError('--input_path: give --label_map_path with it')
  if FLAGS.data and FLAGS.labeled_class:
    raise InputError('--labeled_class: goes with --input_path')
  # TensorFlow: only once the flags are sound.
  from ssd_tf import plots
  from ssd_tf.groundtruth import plot

  if FLAGS.output_path:
    plots.check_output_path(FLAGS.output_path)
  found = _describe_data() if FLAGS.data else _describe_records()
  print(found)
  for warning in found.warnings():
    print(f'warning: {warning}', file=sys.stderr)
  if FLAGS.output_path:
    plot.draw(found, FLAGS.output_path)
  if FLAGS.json_path:
    json_file.write(FLAGS.json_path, found.as_dict())


def _describe_data():
  from ssd_tf.groundtruth import description
  from ssd_tf.project import data_set

  found = data_set.find(FLAGS.data, FLAGS.label_map_path)
  parts = ', '.join(f'{len(source.items)} {part}' for part, source in found.parts.items())
  print(f'{found.format} in {found.place}: {parts}')
  for remark in found.remarks:
    print(f'Note: {remark}')
  return description.describe_sources([*found.parts.values()])


def _describe_records():
  from ssd_tf.config import input_paths, label_map
  from ssd_tf.groundtruth import description

  classes = label_map.load(FLAGS.label_map_path)
  given = FLAGS.labeled_class
  default = None if given is None else [classes.id_of(name) for name in given]
  paths = input_paths.expand_input_paths(FLAGS.input_path)
  return description.describe_records(paths, classes.name_by_id, default)
