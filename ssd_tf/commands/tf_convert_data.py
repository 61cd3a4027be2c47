r"""Converts Pascal VOC annotations to SSD-Tensorflow's TFRecords, 200 images a file.

python tools/tf_convert_data.py --dataset_name=pascalvoc --dataset_dir=VOC2007/train/ \
    --output_name=voc_2007_train --output_dir=tfrecords

Either stack reads the files: they hold the Object Detection API's keys, too. Beside them goes
label_map.pbtxt.
"""

import os

from absl import flags

from ssd_tf.commands import shared_flags

FLAGS = flags.FLAGS
flags.DEFINE_enum('dataset_name', 'pascalvoc', ['pascalvoc'], 'Format of the annotations.')
flags.DEFINE_string('dataset_dir', None, 'Folder with Annotations and JPEGImages.')
flags.DEFINE_string('output_name', 'pascalvoc', 'Files are <output_name>_000.tfrecord, and so on.')
flags.DEFINE_string('output_dir', './', 'Folder to write to.')
# Not of the original.
flags.DEFINE_string(
  'label_map_path', None, "Label map (pbtxt) of other classes than Pascal VOC's twenty."
)
shared_flags.num_workers()
flags.DEFINE_bool('strict', False, 'Stop at the first broken image or XML file.')
flags.mark_flag_as_required('dataset_dir')


def main() -> None:
  """Writes the records, then the label map."""
  from ssd_tf.config import label_map
  from ssd_tf.data.sources import ssd_tensorflow

  classes = label_map.load(FLAGS.label_map_path) if FLAGS.label_map_path else label_map.PASCAL_VOC
  ssd_tensorflow.write_data_set(
    FLAGS.dataset_dir,
    classes.id_by_name,
    FLAGS.output_dir,
    FLAGS.output_name,
    num_workers=FLAGS.num_workers,
    strict=FLAGS.strict,
  )
  label_map.save(classes, os.path.join(FLAGS.output_dir, 'label_map.pbtxt'))
