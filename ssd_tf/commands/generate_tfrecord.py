r"""Converts a CSV file of boxes, or a folder of Pascal VOC XML files, and its images to TFRecords.

python tools/generate_tfrecord.py --csv_input=train_labels.csv --image_dir=images/train \
    --label_map_path=label_map.pbtxt --output_path=train.record
python tools/generate_tfrecord.py -x images/train -l label_map.pbtxt -o train.record

The CSV file has the columns filename,width,height,class,xmin,ymin,xmax,ymax (pixels), as the
tutorials' xml_to_csv writes them; width and height may be missing. A row with nothing but a
filename is an image without objects. The label map is a pbtxt, or a text file with a class name on
each line.
"""

from absl import flags

from ssd_tf.commands import shared_flags

FLAGS = flags.FLAGS
flags.DEFINE_string('csv_input', None, 'CSV file of boxes.')
flags.DEFINE_string('xml_dir', None, 'Instead: folder of Pascal VOC XML files.', short_name='x')
flags.DEFINE_string('image_dir', None, 'Folder of the images; default: --xml_dir.', short_name='i')
flags.DEFINE_string(
  'label_map_path', None, 'Label map (pbtxt), or a name on each line (txt).', short_name='l'
)
flags.DEFINE_alias('labels_path', 'label_map_path')
flags.DEFINE_alias('labelmap', 'label_map_path')
flags.DEFINE_string('output_path', None, 'TFRecord file to write.', short_name='o')
flags.DEFINE_string('csv_path', None, 'With --xml_dir: CSV file to write.', short_name='c')
flags.DEFINE_bool(
  'include_unlisted_images', False, 'Write images that no row names, as images without objects.'
)
shared_flags.writing_records('image or XML file')
flags.mark_flags_as_required(['label_map_path', 'output_path'])
flags.mark_flags_as_mutual_exclusive(['csv_input', 'xml_dir'], required=True)


@flags.multi_flags_validator(
  ['csv_input', 'image_dir', 'csv_path'], '--csv_input needs --image_dir, and no --csv_path'
)
def _fits_csv(values):
  return not values['csv_input'] or bool(values['image_dir'] and not values['csv_path'])


def main() -> None:
  """Converts one or the other."""
  from ssd_tf.config import label_map
  from ssd_tf.data.sources import csv_boxes, pascal_voc, voc_files

  name_to_id = label_map.load_or_list(FLAGS.label_map_path).id_by_name
  if FLAGS.csv_input:
    source = csv_boxes.open_source(
      FLAGS.csv_input,
      FLAGS.image_dir,
      name_to_id,
      include_unlisted_images=FLAGS.include_unlisted_images,
    )
  else:
    files = voc_files.list_folder(FLAGS.xml_dir, [FLAGS.image_dir or FLAGS.xml_dir])
    source = pascal_voc.open_source(files, name_to_id)
  shared_flags.write_records(source, FLAGS.output_path)
  if FLAGS.csv_path:
    csv_boxes.write_csv(FLAGS.csv_path, pascal_voc.list_rows(files))
