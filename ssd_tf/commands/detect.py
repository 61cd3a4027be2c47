"""Detects on images with a trained model: writes a picture of each, and a JSON file.

ssd-tf detect --model=runs/mine --images=photo.jpg,folder

The model is a training, of which the best checkpoint is taken if it keeps one, else the newest; or
a checkpoint, or an export. Pictures and detections.json (boxes in pixels, scores, names) go to the
folder detections.
"""

from absl import flags

from ssd_tf.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_string('model', None, 'The folder of a training or of an export, or a checkpoint.')
flags.DEFINE_list('images', [], 'Image files and folders of them, separated by commas.')
flags.DEFINE_string('output', 'detections', 'Folder to write.')
flags.DEFINE_float(
  'score_threshold', 0.5, 'Minimum score of the detections written.', lower_bound=0, upper_bound=1
)


def main() -> None:
  """Loads the model, then detects."""
  if not FLAGS.model or not FLAGS.images:
    raise InputError('give --model, the folder of a training, and --images')
  from ssd_tf.inference import input_images, loading, picture_folder

  detector = loading.load(FLAGS.model)
  path = picture_folder.detect_images(
    detector,
    input_images.from_files(FLAGS.images, FLAGS.output),
    FLAGS.output,
    score_threshold=FLAGS.score_threshold,
  )
  print(f'Detections of {detector.path} in {path}, a picture of each image beside it')
