"""Detects on images with a trained model: writes a picture of each, and a JSON file.

ssd-tf detect --model=runs/mine --images=photo.jpg,folder

The model is the folder of a training or of an export. Pictures and detections.json (boxes in
pixels, scores, names) go to the folder detections.
"""

import os

from absl import flags

from ssd_tf.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_string('model', None, 'The folder of a training or of an export.')
flags.DEFINE_list('images', [], 'Image files and folders of them, separated by commas.')
flags.DEFINE_string('output', 'detections', 'Folder to write.')
flags.DEFINE_float(
  'score_threshold', 0.5, 'Of the detections written.', lower_bound=0, upper_bound=1
)


def main() -> None:
  """Finds the model and its label map, then detects."""
  if not FLAGS.model or not FLAGS.images:
    raise InputError('give --model, the folder of a training, and --images')
  folder = _export_folder(FLAGS.model)
  from ssd_tf.config import label_map
  from ssd_tf.inference import input_images, picture_folder

  labels_path = os.path.join(folder, 'label_map.pbtxt')
  names = label_map.load(labels_path).display_name_by_id if os.path.isfile(labels_path) else {}
  path = picture_folder.detect_images(
    os.path.join(folder, 'saved_model'),
    input_images.from_files(FLAGS.images, FLAGS.output),
    FLAGS.output,
    names=names,
    score_threshold=FLAGS.score_threshold,
  )
  print(f'Detections in {path}, a picture of each image beside it')


def _export_folder(model):
  for folder in (model, os.path.join(model, 'exported'), os.path.dirname(os.path.abspath(model))):
    if os.path.isdir(os.path.join(folder, 'saved_model')):
      return folder
  raise InputError(
    f'{model}: holds no export; expected the folder saved_model in it, or in its folder exported: '
    f'ssd-tf export --model={model} writes that'
  )
