"""Trains a detector: from a folder of annotated images, or from a pipeline.config.

ssd-tf train --data=mydata
ssd-tf train --config=mydata/pipeline.config --output=runs/mine

The first finds out the format of the data, splits it where it has no split, writes records and a
pipeline.config, trains, evaluates, exports the best checkpoint and draws its detections. It prints
each setting with the flag that changes it. The same command resumes where it was interrupted.
"""

import json
import os

from absl import flags

from ssd_tf.commands import data_flags, shared_flags
from ssd_tf.errors import InputError

FLAGS = flags.FLAGS
data_flags.define()
flags.DEFINE_string('config', None, 'Instead of --data: a pipeline.config.')
flags.DEFINE_string(
  'output', None, 'Folder for checkpoints, figures, export and pictures; default: runs/NAME.'
)
flags.DEFINE_integer(
  'checkpoint_every_n',
  None,
  'Steps between checkpoints; default: a tenth of the training.',
  lower_bound=1,
)
flags.DEFINE_integer(
  'log_every_n',
  None,
  'Steps between lines; default: a fortieth of the training, at most 100.',
  lower_bound=1,
)
flags.DEFINE_enum(
  'log_format',
  'short',
  ['api', 'short', 'both'],
  "What the console shows: a line for each interval, the Object Detection API's lines, or both; "
  'these are in train.log of the output in any case.',
)
flags.DEFINE_bool('evaluate', True, 'Evaluate at each checkpoint, and keep the best.')
flags.DEFINE_bool('export', True, 'Export the best checkpoint at the end, and draw detections.')

_FIELDS = {
  'batch_size': 'batch_size',
  'seed': 'seed',
  'weights': 'fine_tune_checkpoint',
}


def main() -> None:
  """Prepares what is to be trained, trains it, and shows what came of it."""
  if bool(FLAGS.data) == bool(FLAGS.config):
    raise InputError('give --data, a folder of annotated images, or --config, a pipeline.config')
  from ssd_tf.evaluation import log_format
  from ssd_tf.project import training

  log_format.setup_logging(FLAGS.log_format)
  output = FLAGS.output or os.path.join('runs', _name(FLAGS.data or FLAGS.config))
  pipeline = _load_config() if FLAGS.config else _start_or_go_on(output)
  result = training.train(
    pipeline,
    output,
    checkpoint_every_n=FLAGS.checkpoint_every_n,
    log_every_n=FLAGS.log_every_n,
    evaluate=FLAGS.evaluate,
    export=FLAGS.export,
  )
  print(f'\nTrained: {result.checkpoint}')
  if result.saved_model:
    print(f'Exported: {result.saved_model}')
  if result.pictures:
    print(f'Detections on validation images: {result.pictures}')
  print(f'Next: ssd-tf detect --model={output} --images=photo.jpg')


def _name(path):
  """The folder's name; of a file, that of its folder."""
  folder = path if os.path.isdir(path) else os.path.dirname(path)
  return os.path.basename(os.path.abspath(folder))


def _load_config():
  """The config that is given, with the flags that stand for one of its fields."""
  from ssd_tf.config.pipeline import Pipeline

  for name in ('model', 'learning_rate', 'label_map_path'):
    if FLAGS[name].present:
      raise InputError(f'--{name}: goes with --data; change the config itself, {FLAGS.config}')
  changes = [
    f'train_config.{field}={json.dumps(FLAGS[name].value)}'
    for name, field in _FIELDS.items()
    if FLAGS[name].present
  ]
  pipeline = Pipeline.load(FLAGS.config, [*changes, *FLAGS.config_override])
  shared_flags.set_num_train_steps(pipeline)
  return pipeline


def _start_or_go_on(output):
  from ssd_tf.config.pipeline import Pipeline

  path = os.path.join(output, 'pipeline.config')
  if os.path.isfile(path) and not data_flags.given_wishes():
    print(f'Going on with {path}; delete it, or give another --output, to choose anew.')
    return Pipeline.load(path)
  return data_flags.start(path)
