"""Prepares a folder of annotated images for training: records, label map, pipeline.config.

ssd-tf init --data=mydata --output=mydata/pipeline.config
ssd-tf init --list

It finds out the format, splits the images where the data set has no split of its own, and prints
each setting with the flag that changes it. `ssd-tf train --config=mydata/pipeline.config` trains.
"""

from absl import flags

from ssd_tf.commands import data_flags
from ssd_tf.errors import InputError

FLAGS = flags.FLAGS
data_flags.define()
flags.DEFINE_string('output', None, 'The pipeline.config to write.')
flags.DEFINE_bool('list', False, 'List the models that a training can begin with, and end.')


def main() -> None:
  """Lists the models, or prepares the data."""
  if FLAGS.list:
    from ssd_tf.project import stock_configs

    for name in stock_configs.names():
      _, (height, width), summary = stock_configs.describe(name)
      print(f'{name}\n  {height}x{width}  {summary}')
    return
  if not FLAGS.data or not FLAGS.output:
    raise InputError('give --data and --output, or --list')
  data_flags.start(FLAGS.output)
  print(f'Next: ssd-tf train --config={FLAGS.output}')
