r"""Converts Open Images annotations and their images to TFRecords.

python tools/create_oid_tf_record.py --input_label_map=label_map.pbtxt \
    --input_box_annotations_csv=oidv6-train-annotations-bbox.csv \
    --input_image_label_annotations_csv=oidv6-train-annotations-human-imagelabels.csv \
    --class_descriptions_csv=class-descriptions-boxable.csv \
    --input_images_directory=train --output_path=oid_train.record

Of the folder's images, {image id}.jpg, those that have a box or a verified label of the label map's
classes are written. The records say which classes are verified present and absent; training takes
only these for labeled. The label map names the classes by MID, such as /m/01g317, or, with
--class_descriptions_csv, by name, such as Person. Open Images has boxes of the most specific class
only: to train on a class that stands above others, expand the CSV files by its hierarchy first.
"""

import sys

from absl import flags

from ssd_tf.commands import shared_flags

FLAGS = flags.FLAGS
flags.DEFINE_string('input_box_annotations_csv', None, 'CSV file of the boxes.')
flags.DEFINE_alias('input_annotations_csv', 'input_box_annotations_csv')
flags.DEFINE_string(
  'input_image_label_annotations_csv', None, 'CSV file of the verified image-level labels.'
)
flags.DEFINE_string('input_images_directory', None, 'Folder of the images.')
flags.DEFINE_string('input_label_map', None, 'Label map (pbtxt).')
flags.DEFINE_string('class_descriptions_csv', None, 'CSV file of MIDs and names.')
flags.DEFINE_string('output_path', None, 'TFRecord file to write.')
flags.DEFINE_string(
  'output_tf_record_path_prefix', None, 'As --output_path, with another default of --num_shards.'
)
shared_flags.writing_records(
  'image or row',
  num_shards=None,
  num_shards_help='Files to write; default: --output_path 1, --output_tf_record_path_prefix 100.',
)
flags.mark_flags_as_required(
  ['input_box_annotations_csv', 'input_images_directory', 'input_label_map']
)
flags.mark_flags_as_mutual_exclusive(['output_path', 'output_tf_record_path_prefix'], required=True)


def main() -> None:
  """Reads the CSV files, then converts."""
  from ssd_tf.config import label_map
  from ssd_tf.data.sources import open_images

  classes = label_map.load(FLAGS.input_label_map)
  labels_csv = FLAGS.input_image_label_annotations_csv
  if not labels_csv:
    print(f'warning: {open_images.NO_VERIFIED_LABELS}', file=sys.stderr)
  source = open_images.open_source(
    FLAGS.input_images_directory,
    FLAGS.input_box_annotations_csv,
    labels_csv or None,
    classes.id_by_name,
    FLAGS.class_descriptions_csv or None,
  )
  path = FLAGS.output_path or FLAGS.output_tf_record_path_prefix
  num_shards = FLAGS.num_shards or (1 if FLAGS.output_path else 100)
  shared_flags.write_records(source, path, num_shards=num_shards)
