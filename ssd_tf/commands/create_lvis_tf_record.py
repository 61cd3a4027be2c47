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

from ssd_tf.commands import coco_files
from ssd_tf.data.sources.record_sets import SetFlags

coco_files.define_flags('Files per set; default: train 100, val 50, --output_path 1.')
_SETS = (
  SetFlags('train_image_dir', 'train_annotations_file', 'lvis_train.record', 100),
  SetFlags('val_image_dir', 'val_annotations_file', 'lvis_val.record', 50),
  SetFlags('image_dir', 'annotations_file', None, 1),
)


def main() -> None:
  """Reads every annotation file, then converts set after set."""
  from ssd_tf.data.sources import lvis

  coco_files.convert(_SETS, lvis.load_annotations)
