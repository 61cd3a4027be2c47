r"""Converts COCO annotations and their images to TFRecords.

python tools/create_coco_tf_record.py --output_dir=/tmp/coco \
    --train_image_dir=train2017 --train_annotations_file=instances_train2017.json \
    --val_image_dir=val2017 --val_annotations_file=instances_val2017.json

writes coco_train.record-00000-of-00100 and so on, coco_val.record-00000-of-00050 and so on. Or one
set, as one file:

python tools/create_coco_tf_record.py --image_dir=images --annotations_file=instances.json \
    --output_path=my.record
"""

import sys

from absl import flags

from ssd_tf.commands import shared_flags
from ssd_tf.data.sources.record_sets import SetFlags, given_sets

FLAGS = flags.FLAGS
flags.DEFINE_string('train_image_dir', None, 'Folder of the training images.')
flags.DEFINE_string('val_image_dir', None, 'Folder of the validation images.')
flags.DEFINE_string('test_image_dir', None, 'Folder of the test images.')
flags.DEFINE_string('train_annotations_file', None, 'JSON of the training images.')
flags.DEFINE_string('val_annotations_file', None, 'JSON of the validation images.')
flags.DEFINE_string('testdev_annotations_file', None, 'JSON of the test images.')
flags.DEFINE_string('output_dir', None, 'Folder to write; made if it does not exist.')
flags.DEFINE_string('image_dir', None, 'Folder of the images, for --output_path.')
flags.DEFINE_string('annotations_file', None, 'JSON of the images, for --output_path.')
flags.DEFINE_string('output_path', None, 'TFRecord file to write.')
flags.DEFINE_string('label_map_output_path', None, 'Label map (pbtxt) to write.')
shared_flags.writing_records(
  'image',
  num_shards=None,
  num_shards_help='Files per set; default: train 100, val and testdev 50, --output_path 1.',
)
flags.DEFINE_bool('include_masks', False, 'Not supported: SSD predicts no masks.')


_SETS = (
  SetFlags('train_image_dir', 'train_annotations_file', 'coco_train.record', 100),
  SetFlags('val_image_dir', 'val_annotations_file', 'coco_val.record', 50),
  SetFlags('test_image_dir', 'testdev_annotations_file', 'coco_testdev.record', 50),
  SetFlags('image_dir', 'annotations_file', None, 1),
)


def main() -> None:
  """Reads every annotation file, then converts set after set."""
  from ssd_tf.config import label_map
  from ssd_tf.data import record_writer
  from ssd_tf.data.sources import coco

  if FLAGS.include_masks:
    print('--include_masks: SSD predicts no masks; only boxes are written', file=sys.stderr)
  given = given_sets(_SETS, FLAGS.flag_values_dict())
  sets = coco.load_sets([each.annotations_file for each in given])
  if FLAGS.label_map_output_path:
    names = {class_id: name for name, class_id in sets[0].name_to_id.items()}
    label_map.save(label_map.of_names(names), FLAGS.label_map_output_path)
  options = shared_flags.values_of('num_workers', 'strict')
  for annotations, each in zip(sets, given, strict=True):
    options['num_shards'] = each.num_shards
    source = coco.open_source(annotations, each.image_dir)
    record_writer.write_records(source, each.output_path, **options)
