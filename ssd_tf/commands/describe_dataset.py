r"""Describes TFRecords: boxes, images and labeled images of each class, sizes, shapes, oddities.

python tools/describe_dataset.py --input_path=train.record --label_map_path=label_map.pbtxt \
    --output_path=train.svg --json_path=train.json

Records are read once, images are not decoded. Warnings: classes that no image is labeled for, ids
that are not in the label map, boxes of classes that their image is not labeled for.
"""

import sys

from absl import flags

from ssd_tf.files import json_file

FLAGS = flags.FLAGS
flags.DEFINE_list('input_path', None, 'TFRecords: files, globs, name@10; by commas.')
flags.DEFINE_string('label_map_path', None, 'Label map (pbtxt).')
flags.DEFINE_string('output_path', None, 'SVG to draw; default: none.')
flags.DEFINE_string('json_path', None, 'JSON file to write; default: none.')
flags.DEFINE_multi_string(
  'labeled_class', None, 'A class that images are labeled for whose record does not say; else all.'
)
flags.mark_flags_as_required(['input_path', 'label_map_path'])


def main() -> None:
  """Reads the records, then prints, draws and writes what they hold."""
  paths, classes, default = _inputs()
  # TensorFlow: only once the flags are sound.
  from ssd_tf import plots
  from ssd_tf.groundtruth import description, plot

  if FLAGS.output_path:
    plots.check_output_path(FLAGS.output_path)
  names = classes.name_by_id
  found = description.describe_records(paths, names, default)
  print(found)
  for warning in found.warnings():
    print(f'warning: {warning}', file=sys.stderr)
  if FLAGS.output_path:
    plot.draw(found, FLAGS.output_path)
  if FLAGS.json_path:
    json_file.write(FLAGS.json_path, found.as_dict())


def _inputs():
  from ssd_tf.config import input_paths, label_map

  classes = label_map.load(FLAGS.label_map_path)
  given = FLAGS.labeled_class
  default = None if given is None else [classes.id_of(name) for name in given]
  return input_paths.expand_input_paths(FLAGS.input_path), classes, default
