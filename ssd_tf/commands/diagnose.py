"""Says what is wrong with a training, before or after it: data, anchors, schedule, evaluation.

python tools/diagnose.py --pipeline_config_path=pipeline.config [--model_dir=MODEL_DIR]

Every finding says what, how bad, and what to do: errors leave a training or its figures wrong,
warnings make them worse, notes are good to know. With a trained model, also what it detects and
what it does not. The exit code is 1 if there is an error.
"""

import sys

from absl import flags

from ssd_tf.commands import shared_flags
from ssd_tf.errors import InputError
from ssd_tf.files import json_file

FLAGS = flags.FLAGS
shared_flags.pipeline_config()
flags.DEFINE_string(
  'model_dir', None, 'Folder of a training; its newest checkpoint, if any, is diagnosed.'
)
flags.DEFINE_string('checkpoint', None, 'Prefix of a checkpoint, instead of --model_dir.')
flags.DEFINE_string('json_path', None, 'JSON file to write; default: none.')
flags.DEFINE_integer(
  'max_images',
  500,
  'Images of each reader that are decoded, evenly spread over the records looked at; of the '
  "evaluation's, those that a trained model is run on, the first ones; 0: all.",
  lower_bound=0,
)
flags.DEFINE_integer(
  'max_records',
  20_000,
  'Records of each reader that are looked at, evenly spread; for what training cannot use (class '
  'ids, boxes, damage) the first ones of its files, as many of each.',
  lower_bound=1,
)
flags.DEFINE_bool(
  'overfit', False, 'Also test whether the model can overfit 8 images; takes minutes.'
)
flags.DEFINE_integer('overfit_steps', 300, 'Maximum number of steps of --overfit.', lower_bound=1)
flags.mark_flags_as_required(['pipeline_config_path'])


def main() -> None:
  """Diagnoses, prints, and writes what was found."""
  if FLAGS.model_dir and FLAGS.checkpoint:
    raise InputError('--model_dir and --checkpoint: give one of them')
  # TensorFlow: only once the flags are sound.
  from ssd_tf.diagnosis import report, run

  findings = run.diagnose(
    FLAGS.pipeline_config_path,
    overrides=FLAGS.config_override,
    **shared_flags.values_of('checkpoint', 'model_dir', 'max_images', 'max_records'),
    overfit_steps=FLAGS.overfit_steps if FLAGS.overfit else 0,
  )
  print(report.as_text(findings))
  if FLAGS.json_path:
    content = {'config': FLAGS.pipeline_config_path, **report.as_dict(findings)}
    json_file.write(FLAGS.json_path, content)
  sys.exit(1 if report.has_errors(findings) else 0)
