r"""Converts Pascal VOC annotations and their images to TFRecords.

python tools/create_pascal_tf_record.py --data_dir=VOCdevkit --year=VOC2007 --set=train \
    --label_map_path=label_map.pbtxt --output_path=voc_train.record

--data_dir may itself hold the Annotations folder, as labeling tools leave it; without lists in
ImageSets/Main, say --set=all.
"""

from absl import flags

from ssd_tf.commands import shared_flags

FLAGS = flags.FLAGS
flags.DEFINE_string('data_dir', None, 'VOCdevkit, or a folder with Annotations and images.')
flags.DEFINE_string('set', 'train', 'List in ImageSets/Main: train, val, trainval, test; or all.')
flags.DEFINE_string('annotations_dir', 'Annotations', 'Folder of the XML files.')
flags.DEFINE_string('year', 'VOC2007', 'Folder below a VOCdevkit; merged: VOC2007 and VOC2012.')
flags.DEFINE_string('output_path', None, 'TFRecord file to write.')
flags.DEFINE_string('label_map_path', None, 'Label map (pbtxt).')
flags.DEFINE_bool('ignore_difficult_instances', False, 'Leave out difficult objects.')
shared_flags.writing_records('image or XML file')
flags.mark_flags_as_required(['data_dir', 'output_path', 'label_map_path'])


def main() -> None:
  """Checks the class names, then converts."""
  from ssd_tf.config import label_map
  from ssd_tf.data.sources import pascal_voc, voc_files

  classes = label_map.load(FLAGS.label_map_path)
  files = voc_files.list_files(
    FLAGS.data_dir, FLAGS.set, year=FLAGS.year, annotations_dir=FLAGS.annotations_dir
  )
  source = pascal_voc.open_source(files, classes.id_by_name, FLAGS.ignore_difficult_instances)
  shared_flags.write_records(source, FLAGS.output_path)
