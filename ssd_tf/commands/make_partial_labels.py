r"""Turns a complete data set into one with partial labels: groups of images with their own classes.

python tools/make_partial_labels.py --input_path=train.record --label_map_path=label_map.pbtxt \
    --groups=RBC --groups=WBC,Platelets --output_path=partial.record

In turn, the images are labeled for the classes of the first group, the second and so on; the boxes
of all others go. A class in several groups is labeled in all of them. Instead of records,
--annotations_file takes a COCO JSON, and writes one whose images have labeled_category_ids. The
same seed gives the same bytes. What was kept and dropped stands in --manifest_path.
"""

import sys

from absl import flags

from ssd_tf.commands import shared_flags
from ssd_tf.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_list('input_path', None, 'TFRecords: files, globs, name@10; by commas.')
flags.DEFINE_string('label_map_path', None, 'Label map (pbtxt) of the records.')
flags.DEFINE_string('annotations_file', None, 'COCO JSON, instead of records.')
flags.DEFINE_string('output_path', None, 'TFRecord or COCO JSON to write.')
flags.DEFINE_string('manifest_path', None, 'JSON with the counts; default: output_path.json.')
flags.DEFINE_multi_string(
  'groups', None, 'Classes of one group of images, by commas; once for each group.'
)
flags.DEFINE_integer(
  'num_groups', None, 'Number of groups to draw, without --groups.', lower_bound=1
)
flags.DEFINE_float(
  'overlap', 0.0, 'Share of the classes in every drawn group.', lower_bound=0, upper_bound=1
)
flags.DEFINE_list('group_fractions', None, 'Share of the images in each group; default: equal.')
flags.DEFINE_bool('shuffle', False, 'Assign images to groups at random, not in turn.')
flags.DEFINE_float(
  'drop_rate',
  0.0,
  'Probability that a box loses its label; its class is then not labeled in its image.',
  lower_bound=0,
  upper_bound=1,
)
flags.DEFINE_multi_string(
  'class_drop', [], 'name=rate: probability that the class is not labeled in an image.'
)
flags.DEFINE_integer('seed', 0, 'Seed of all random draws.', lower_bound=0)
shared_flags.num_workers()
flags.mark_flags_as_required(['output_path'])


def main() -> None:
  """Drops labels, then writes the manifest."""
  _check_flags()
  manifest = _drop_from_coco() if FLAGS.annotations_file else _drop_from_records()
  from ssd_tf.data.sources import partial_data_sets

  for warning in manifest['warnings']:
    print(f'warning: {warning}', file=sys.stderr)
  path = FLAGS.manifest_path or f'{FLAGS.output_path}.json'
  partial_data_sets.write_json(path, manifest)
  print(f'{partial_data_sets.describe_manifest(manifest)}\nmanifest: {path}')


def _check_flags():
  if bool(FLAGS.input_path) == bool(FLAGS.annotations_file):
    raise InputError('give one of --input_path and --annotations_file')
  if bool(FLAGS.input_path) != bool(FLAGS.label_map_path):
    raise InputError('--label_map_path goes with --input_path; a COCO JSON has its own categories')
  if bool(FLAGS.groups) and FLAGS.num_groups is not None:
    raise InputError('--groups and --num_groups: give one of them')
  if FLAGS.manifest_path == FLAGS.output_path:
    raise InputError('--manifest_path is the output_path, too; give each its own')
  if not FLAGS.groups and FLAGS.num_groups is None and not (FLAGS.drop_rate or FLAGS.class_drop):
    raise InputError('nothing to drop: give --groups, --num_groups, --drop_rate or --class_drop')


def _rules():
  from ssd_tf.data.sources import label_dropping

  groups = FLAGS.groups and [_names(group) for group in FLAGS.groups]
  fractions, rates = FLAGS.group_fractions, [_rate(text) for text in FLAGS.class_drop]
  if len(dict(rates)) < len(rates):
    raise InputError(f'--class_drop={" ".join(FLAGS.class_drop)}: give each class once')
  return label_dropping.DroppingRules(
    groups=groups,
    num_groups=FLAGS.num_groups or 1,
    group_fractions=fractions and [_number('group_fractions', text) for text in fractions],
    class_drop=dict(rates),
    **shared_flags.values_of('overlap', 'shuffle', 'drop_rate', 'seed'),
  )


def _drop_from_coco():
  rules = _rules()
  from ssd_tf.data.sources import partial_data_sets

  return partial_data_sets.write_partial_coco(FLAGS.annotations_file, FLAGS.output_path, rules)


def _drop_from_records():
  from ssd_tf.config import input_paths, label_map

  rules, classes = _rules(), label_map.load(FLAGS.label_map_path)
  rules.check(classes.names)
  paths = input_paths.expand_input_paths(FLAGS.input_path)
  # TensorFlow: only once the flags are sound.
  from ssd_tf.data.sources import partial_data_sets, tfrecord

  source = tfrecord.open_source(paths, classes.name_by_id)
  return partial_data_sets.write_partial_records(
    source, FLAGS.output_path, rules, num_workers=FLAGS.num_workers
  )


def _names(text):
  return [name.strip() for name in text.split(',') if name.strip()]


def _rate(text):
  name, equals, rate = text.rpartition('=')
  if not equals:
    raise InputError(f'--class_drop={text}: expected name=rate, such as person=0.5')
  return name, _number('class_drop', rate)


def _number(flag, text):
  try:
    return float(text)
  except ValueError:
    raise InputError(f'--{flag}: {text!r} is no number') from None
