r"""Merges data sets with different classes into one, each image labeled for its own classes.

python tools/merge_datasets.py --plan=merge.json --output_path=merged.record \
    --label_map_output_path=merged.pbtxt --report_path=merged.json

The plan is a list of sources; labeled_class, rename and drop may be left out:

[
  {"name": "raccoon", "type": "pascal_voc", "data_dir": "raccoon", "set": "all"},
  {"name": "coco", "type": "coco", "annotations_file": "instances.json", "image_dir": "images",
   "labeled_class": ["person", "dog"], "rename": {"tv": "tvmonitor"}, "drop": ["toaster"]},
  {"name": "bccd", "type": "tfrecord", "input_path": "bccd.record-?????-of-00010",
   "label_map_path": "bccd.pbtxt"}
]

pascal_voc also takes year, annotations_dir and label_map_path (else its classes are those in the
XML files). Other types: lvis, as coco; csv with csv_input and image_dir, yolo with data_yaml and
set, both perhaps with label_map_path; open_images with image_dir, boxes_csv, label_map_path, and
perhaps labels_csv and class_descriptions_csv. Paths are found from the working directory, or from
the plan's folder. labeled_class: the classes of which every instance has a box (default: all of the
source; a record that says itself what it is labeled for is believed). An image that occurs several
times is written once.
"""

import dataclasses
import functools
import os

from absl import flags

from ssd_tf.commands import shared_flags
from ssd_tf.errors import InputError
from ssd_tf.files import json_file

FLAGS = flags.FLAGS
flags.DEFINE_string('plan', None, 'JSON file with the sources, see above.')
flags.DEFINE_string('output_path', None, 'TFRecord file to write.')
flags.DEFINE_string('label_map_output_path', None, 'Label map (pbtxt) to write.')
flags.DEFINE_string(
  'label_map_path', None, 'Label map with the ids; default: from 1, in the order of the sources.'
)
flags.DEFINE_string('report_path', None, 'JSON file to write the report to; printed in any case.')
shared_flags.writing_records('image or XML file')
flags.mark_flags_as_required(['plan', 'output_path', 'label_map_output_path'])


def main() -> None:
  """Opens the sources, merges them, then writes label map and report."""
  from ssd_tf.data.sources import merge_plan

  plans = [_with_found_paths(plan) for plan in merge_plan.load_plan(FLAGS.plan)]
  given = _label_names(FLAGS.label_map_path) if FLAGS.label_map_path else None
  for path in filter(None, (FLAGS.label_map_output_path, FLAGS.report_path)):
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  report = _merge(plans, given)
  if FLAGS.report_path:
    json_file.write(FLAGS.report_path, report.as_dict())
  print(report)


def _merge(plans, given):
  # TensorFlow: only once the plan and the paths are sound.
  from ssd_tf.config import label_map
  from ssd_tf.data.sources import merging

  parts = []
  for plan in plans:
    path = plan.options.get('label_map_path')
    parts.append(merging.open_part(plan, _label_names(path) if path else None))
  report = merging.merge(
    parts,
    FLAGS.output_path,
    name_to_id=given and {name: class_id for class_id, name in given.items()},
    **shared_flags.values_of('num_shards', 'num_workers', 'strict'),
  )
  names = {entry.id: entry.name for entry in report.classes}
  label_map.save(label_map.of_names(names), FLAGS.label_map_output_path)
  return report


def _label_names(path):
  from ssd_tf.config import label_map

  return label_map.load(path).name_by_id


def _with_found_paths(plan):
  from ssd_tf.config import input_paths
  from ssd_tf.data.sources import merge_plan

  find = functools.partial(input_paths.resolve_path, beside=FLAGS.plan)
  options = dict(plan.options)
  for key in [key for key in options if key not in merge_plan.NO_PATHS]:
    try:
      if key == 'input_path':
        paths = [options[key]] if isinstance(options[key], str) else options[key]
        options[key] = input_paths.expand_input_paths(paths, FLAGS.plan)
      elif options.get(key):
        options[key] = find(options[key])
    except InputError as error:
      raise InputError(f'{plan.place}: {key}: {error}') from error
  return dataclasses.replace(plan, options=options)
