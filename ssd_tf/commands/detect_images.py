"""Detects on images with an exported SavedModel: writes pictures and a JSON.

  python tools/detect_images.py --saved_model_dir=DIR/saved_model --label_map_path=FILE \\
    --images=a.jpg,folder --output_dir=DIR
  python tools/detect_images.py --saved_model_dir=DIR/saved_model --label_map_path=FILE \\
    --tf_record=val.record --output_dir=DIR          # draws groundtruth beside
"""

from absl import flags

from ssd_tf.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_string('saved_model_dir', None, 'Folder that holds saved_model.pb.')
flags.DEFINE_string('output_dir', None, 'Folder to write the pictures to.')
flags.DEFINE_string(
  'label_map_path', None, 'Label map with class names; default: that of the export.'
)
flags.DEFINE_list('images', [], 'Image files and folders of them, by commas.')
flags.DEFINE_list('tf_record', [], 'TFRecords, also name@10; instead of --images.')
flags.DEFINE_float(
  'score_threshold', 0.5, 'Minimum score of the detections written.', lower_bound=0, upper_bound=1
)
flags.DEFINE_integer('max_images', None, 'Stop after this many images.', lower_bound=1)
flags.mark_flags_as_required(['saved_model_dir', 'output_dir'])


def main():
  """Reads images, detects, writes."""
  if bool(FLAGS.images) == bool(FLAGS.tf_record):
    raise InputError('give either --images or --tf_record')
  from ssd_tf.config import input_paths
  from ssd_tf.inference import input_images, loading, picture_folder

  images = (
    input_images.from_files(FLAGS.images, FLAGS.output_dir)
    if FLAGS.images
    else input_images.from_records(input_paths.expand_input_paths(FLAGS.tf_record))
  )
  path = picture_folder.detect_images(
    loading.load_saved_model(FLAGS.saved_model_dir, label_map=FLAGS.label_map_path),
    images,
    FLAGS.output_dir,
    score_threshold=FLAGS.score_threshold,
    max_images=FLAGS.max_images,
  )
  print(f'Detections in {path}, a picture of each image beside it')
