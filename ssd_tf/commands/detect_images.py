"""Detects on images with an exported SavedModel: writes pictures and a JSON.

  python tools/detect_images.py --saved_model_dir=DIR/saved_model --label_map_path=FILE \\
    --images=a.jpg,folder --output_dir=DIR
  python tools/detect_images.py --saved_model_dir=DIR/saved_model --label_map_path=FILE \\
    --tf_record=val.record --output_dir=DIR          # draws groundtruth beside
"""

from absl import flags

from ssd_tf.errors import InputError

SAVED_MODEL_DIR = flags.DEFINE_string(
  'saved_model_dir', None, 'Holds saved_model.pb.', required=True
)
OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Gets the pictures.', required=True)
LABEL_MAP_PATH = flags.DEFINE_string('label_map_path', None, 'For the names of classes.')
IMAGES = flags.DEFINE_list('images', [], 'Image files and folders of them, by commas.')
TF_RECORD = flags.DEFINE_list('tf_record', [], 'TFRecords, also name@10; instead of --images.')
SCORE_THRESHOLD = flags.DEFINE_float(
  'score_threshold', 0.5, 'Of the detections written.', lower_bound=0, upper_bound=1
)
MAX_IMAGES = flags.DEFINE_integer('max_images', None, 'Stop after so many.', lower_bound=1)


def main():
  """Reads images, detects, writes."""
  if bool(IMAGES.value) == bool(TF_RECORD.value):
    raise InputError('give either --images or --tf_record')
  from ssd_tf.config import input_paths, label_map
  from ssd_tf.inference import input_images, picture_folder

  images = (
    input_images.from_files(IMAGES.value, OUTPUT_DIR.value)
    if IMAGES.value
    else input_images.from_records(input_paths.expand_input_paths(TF_RECORD.value))
  )
  labels = label_map.load(LABEL_MAP_PATH.value) if LABEL_MAP_PATH.value else None
  path = picture_folder.detect_images(
    SAVED_MODEL_DIR.value,
    images,
    OUTPUT_DIR.value,
    names=labels.display_name_by_id if labels else {},
    score_threshold=SCORE_THRESHOLD.value,
    max_images=MAX_IMAGES.value,
  )
  print(f'Detections in {path}, a picture of each image beside it')
