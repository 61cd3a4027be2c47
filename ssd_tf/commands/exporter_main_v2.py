"""Exports a trained detector as a SavedModel.

  python tools/exporter_main_v2.py --pipeline_config_path=CONFIG \\
    --trained_checkpoint_dir=DIR --output_directory=DIR
"""

from absl import flags

from ssd_tf.commands import shared_flags

FLAGS = flags.FLAGS
shared_flags.pipeline_config()
flags.DEFINE_string('trained_checkpoint_dir', None, 'The model_dir, or the prefix of a checkpoint.')
flags.DEFINE_string(
  'output_directory', None, 'Folder to write saved_model, checkpoint and pipeline.config to.'
)
flags.DEFINE_enum(
  'input_type',
  'image_tensor',
  ['image_tensor', 'float_image_tensor', 'encoded_image_string_tensor', 'tf_example'],
  'Content of input_tensor: pixels, encoded images, or tf.train.Examples.',
)
flags.DEFINE_integer(
  'batch_size', None, 'Images per call; left out, or 0: any number.', lower_bound=0
)
flags.mark_flags_as_required(['pipeline_config_path', 'trained_checkpoint_dir', 'output_directory'])


def main():
  """Restores the checkpoint and exports it."""
  from ssd_tf.exporting import exporter

  path = exporter.export(
    shared_flags.load_pipeline(),
    FLAGS.trained_checkpoint_dir,
    FLAGS.output_directory,
    input_type=FLAGS.input_type,
    batch_size=FLAGS.batch_size or None,
  )
  print(f'Exported to {path}')
