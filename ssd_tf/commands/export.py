"""Exports a trained detector as a SavedModel.

ssd-tf export --model=runs/mine

It exports the best checkpoint where the training has kept one, else the newest, into the folder
exported of the model's folder: saved_model, checkpoint, pipeline.config and label_map.pbtxt.
"""

import os

from absl import flags

from ssd_tf.commands import model_flags

FLAGS = flags.FLAGS
model_flags.define()
flags.DEFINE_string('output', None, "Folder to write; default: `exported` in the model's folder.")
flags.DEFINE_enum(
  'input_type',
  'image_tensor',
  ['image_tensor', 'float_image_tensor', 'encoded_image_string_tensor', 'tf_example'],
  'Input of the model: pixels, encoded images, or tf.train.Examples.',
)
flags.DEFINE_integer('batch_size', None, 'Images per call; default: any number.', lower_bound=1)


def main() -> None:
  """Chooses the checkpoint, and exports it."""
  pipeline = model_flags.load_pipeline()
  from ssd_tf.exporting import exporter
  from ssd_tf.run import best_checkpoint

  checkpoint = FLAGS.checkpoint or best_checkpoint.best_or_newest(FLAGS.model)
  path = exporter.export(
    pipeline,
    checkpoint,
    FLAGS.output or os.path.join(FLAGS.model, 'exported'),
    input_type=FLAGS.input_type,
    batch_size=FLAGS.batch_size,
  )
  which = ' (the best one)' if checkpoint == best_checkpoint.find(FLAGS.model) else ''
  print(f'Exported {checkpoint}{which} to {path}')
