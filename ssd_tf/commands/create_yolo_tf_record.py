r"""Converts YOLO text files and their images to TFRecords.

python tools/create_yolo_tf_record.py --data_yaml=data.yaml --set=train \
    --output_path=train.record --label_map_output_path=label_map.pbtxt
python tools/create_yolo_tf_record.py --image_dir=images --label_dir=labels --names=classes.txt \
    --output_path=train.record --label_map_path=label_map.pbtxt

An image without a text file has no objects. Polygons become the boxes around them; of boxes with
keypoints, the boxes are read.
"""

from absl import flags

from ssd_tf.commands import shared_flags

FLAGS = flags.FLAGS
flags.DEFINE_string('data_yaml', None, 'File with names and folders of the sets.')
flags.DEFINE_string('set', 'train', 'With --data_yaml: train, val or test.')
flags.DEFINE_string('image_dir', None, 'Instead of --data_yaml: folder of the images.')
flags.DEFINE_string('label_dir', None, 'Folder of the text files; default: as YOLO finds them.')
flags.DEFINE_string('names', None, 'With --image_dir: text file with a class name on each line.')
flags.DEFINE_list(
  'kpt_shape',
  None,
  'Keypoints of each box and values of each, as 17,3; 0: lines longer than a box are polygons; '
  'default: what data.yaml says.',
)
flags.DEFINE_string('output_path', None, 'TFRecord file to write.')
flags.DEFINE_string(
  'label_map_path', None, "Label map (pbtxt); default: YOLO's class numbers plus 1."
)
flags.DEFINE_string('label_map_output_path', None, 'Label map (pbtxt) to write.')
shared_flags.writing_records('image or text file')
flags.mark_flags_as_required(['output_path'])
flags.mark_flags_as_mutual_exclusive(['data_yaml', 'image_dir'], required=True)
flags.mark_flags_as_mutual_exclusive(['label_map_path', 'label_map_output_path'])


@flags.multi_flags_validator(['image_dir', 'names'], '--image_dir needs --names')
def _has_names(values):
  return not values['image_dir'] or bool(values['names'])


def main() -> None:
  """Finds the set, then converts it."""
  from ssd_tf.config import label_map
  from ssd_tf.data.sources import yolo

  if FLAGS.data_yaml:
    data = yolo.read_data_yaml(FLAGS.data_yaml, FLAGS.set, FLAGS.kpt_shape)
  else:
    data = yolo.read_folders(FLAGS.image_dir, FLAGS.label_dir, FLAGS.names, FLAGS.kpt_shape)
  classes = (
    label_map.load(FLAGS.label_map_path)
    if FLAGS.label_map_path
    else label_map.numbered(data.class_names)
  )
  shared_flags.write_records(yolo.open_source(data, classes.id_by_name), FLAGS.output_path)
  if FLAGS.label_map_output_path:
    label_map.save(classes, FLAGS.label_map_output_path)
