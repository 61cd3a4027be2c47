r"""Converts COCO annotations and their images to TFRecords.

python tools/create_coco_tf_record.py --output_dir=/tmp/coco \
    --train_image_dir=train2017 --train_annotations_file=instances_train2017.json \
    --val_image_dir=val2017 --val_annotations_file=instances_val2017.json

writes coco_train.record-00000-of-00100 and so on, coco_val.record-00000-of-00050 and so on. Or one
set, as one file:

python tools/create_coco_tf_record.py --image_dir=images --annotations_file=instances.json \
    --output_path=my.record
"""

from absl import flags

from ssd_tf.commands import coco_files
from ssd_tf.data.sources.record_sets import SetFlags

coco_files.define_flags('Files per set; default: train 100, val and testdev 50, --output_path 1.')
flags.DEFINE_string('test_image_dir', None, 'Folder of the test images.')
flags.DEFINE_string('testdev_annotations_file', None, 'JSON of the test images.')

_SETS = (
  SetFlags('train_image_dir', 'train_annotations_file', 'coco_train.record', 100),
  SetFlags('val_image_dir', 'val_annotations_file', 'coco_val.record', 50),
  SetFlags('test_image_dir', 'testdev_annotations_file', 'coco_testdev.record', 50),
  SetFlags('image_dir', 'annotations_file', None, 1),
)


def main() -> None:
  """Reads every annotation file, then converts set after set."""
  from ssd_tf.data.sources import coco

  coco_files.convert(_SETS, coco.load_annotations)
