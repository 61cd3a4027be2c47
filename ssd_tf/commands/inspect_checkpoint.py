"""Shows what a checkpoint is: who wrote it, which model, how many classes, what step.

  python tools/inspect_checkpoint.py --checkpoint=PATH [--pipeline_config_path=CONFIG]

PATH is a prefix such as ckpt-0 or model.ckpt, one of its files, or a folder; or an .h5 file of
ssd_keras or of Keras applications. With a config, it also shows what a training by it would load
from this checkpoint, by its fine_tune_checkpoint_type.
"""

from absl import flags

from ssd_tf.commands import shared_flags

FLAGS = flags.FLAGS
flags.DEFINE_string('checkpoint', None, 'Prefix of a checkpoint, one of its files, or a folder.')
shared_flags.pipeline_config('Also: what a training by this config would load.')
flags.DEFINE_bool('variables', False, 'Also list all names and shapes.')
flags.mark_flags_as_required(['checkpoint'])


def main():
  """Prints the lines."""
  from ssd_tf.run import checkpoint_inspection

  lines = checkpoint_inspection.inspect(
    FLAGS.checkpoint,
    FLAGS.pipeline_config_path,
    overrides=tuple(FLAGS.config_override),
    show_variables=FLAGS.variables,
  )
  for line in lines:
    print(line)
