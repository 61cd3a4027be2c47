r"""Converts LVIS annotations, v0.5 or v1, and their images to TFRecords.

python tools/create_lvis_tf_record.py --output_dir=/tmp/lvis \
    --train_image_dir=coco --train_annotations_file=lvis_v1_train.json \
    --val_image_dir=coco --val_annotations_file=lvis_v1_val.json \
    --label_map_output_path=/tmp/lvis/label_map.pbtxt

writes lvis_train.record-00000-of-00100 and so on, lvis_val.record-00000-of-00050 and so on. The
images are COCO's, in the folder itself or in train2017 and val2017 below it. Or one set, as one
file:

python tools/create_lvis_tf_record.py --image_dir=coco --annotations_file=lvis_v1_val.json \
    --output_path=lvis_val.record

The records say of which categories every instance in the image is annotated; training takes only
these for labeled.
"""

import sys

from absl import flags

from ssd_tf.commands import shared_flags
from ssd_tf.data.sources.record_sets import SetFlags, given_sets

FLAGS = flags.FLAGS
flags.DEFINE_string('train_image_dir', None, 'Folder of the training images.')
flags.DEFINE_string('val_image_dir', None, 'Folder of the validation images.')
flags.DEFINE_string('train_annotations_file', None, 'JSON of the training images.')
flags.DEFINE_string('val_annotations_file', None, 'JSON of the validation images.')
flags.DEFINE_string('output_dir', None, 'Folder to write; made if it does not exist.')
flags.DEFINE_string('image_dir', None, 'Folder of the images, for --output_path.')
flags.DEFINE_string('annotations_file', None, 'JSON of the images, for --output_path.')
flags.DEFINE_string('output_path', None, 'TFRecord file to write.')
flags.DEFINE_string('label_map_output_path', None, 'Label map (pbtxt) to write.')
shared_flags.writing_records(
  'image',
  num_shards=None,
  num_shards_help='Files per set; default: train 100, val 50, --output_path 1.',
)
flags.DEFINE_bool('include_masks', False, 'Not supported: SSD predicts no masks.')


_SETS = (
  SetFlags('train_image_dir', 'train_annotations_file', 'lvis_train.record', 100),
  SetFlags('val_image_dir', 'val_annotations_file', 'lvis_val.record', 50),
  SetFlags('image_dir', 'annotations_file', None, 1),
)


def main() -> None:
  """Reads every annotation file, then converts set after set."""
  from ssd_tf.config import label_map
  from ssd_tf.data import record_writer
  from ssd_tf.data.sources import coco, lvis

  if FLAGS.include_masks:
    print('--include_masks: SSD predicts no masks; only boxes are written', file=sys.stderr)
  given = given_sets(_SETS, FLAGS.flag_values_dict())
  sets = coco.load_sets([each.annotations_file for each in given], lvis.load_annotations)
  if FLAGS.label_map_output_path:
    names = {class_id: name for name, class_id in sets[0].name_to_id.items()}
    label_map.save(label_map.of_names(names), FLAGS.label_map_output_path)
  options = shared_flags.values_of('num_workers', 'strict')
  for annotations, each in zip(sets, given, strict=True):
    options['num_shards'] = each.num_shards
    source = lvis.open_source(annotations, each.image_dir)
    record_writer.write_records(source, each.output_path, **options)
