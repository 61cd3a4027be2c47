"""Exports a trained detector as a SavedModel.

  python tools/exporter_main_v2.py --pipeline_config_path=CONFIG \\
    --trained_checkpoint_dir=DIR --output_directory=DIR
"""

from absl import flags

from ssd_tf.commands import shared_flags

PIPELINE_CONFIG_PATH = flags.DEFINE_string(
  'pipeline_config_path', None, 'The pipeline.config.', required=True
)
CHECKPOINT_DIR = flags.DEFINE_string(
  'trained_checkpoint_dir', None, 'The model_dir, or the prefix of a checkpoint.', required=True
)
OUTPUT_DIRECTORY = flags.DEFINE_string(
  'output_directory', None, 'Gets saved_model, checkpoint, pipeline.config.', required=True
)
INPUT_TYPE = flags.DEFINE_enum(
  'input_type',
  'image_tensor',
  ['image_tensor', 'float_image_tensor', 'encoded_image_string_tensor', 'tf_example'],
  'What input_tensor is: pixels, encoded images, or tf.train.Examples.',
)
BATCH_SIZE = flags.DEFINE_integer(
  'batch_size', None, 'Images per call; left out, or 0: any number.', lower_bound=0
)
CONFIG_OVERRIDE = shared_flags.config_override()


def main():
  """Restores the checkpoint and exports it."""
  from ssd_tf.config.pipeline import Pipeline
  from ssd_tf.exporting import exporter

  path = exporter.export(
    Pipeline.load(PIPELINE_CONFIG_PATH.value, CONFIG_OVERRIDE.value),
    CHECKPOINT_DIR.value,
    OUTPUT_DIRECTORY.value,
    input_type=INPUT_TYPE.value,
    batch_size=BATCH_SIZE.value or None,
  )
  print(f'Exported to {path}')
