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
flags.DEFINE_bool('list', False, 'List the models that a training can begin with, then exit.')


def main() -> None:
  """Lists the models, or prepares the data."""
  if FLAGS.list:
    _list_models()
    return
  if not FLAGS.data or not FLAGS.output:
    raise InputError('give --data and --output, or --list')
  data_flags.start(FLAGS.output)
  print(f'Next: ssd-tf train --config={FLAGS.output}')


def _list_models():
  """A line for each model, and what the columns mean."""
  from ssd_tf.project import recipe, stock_configs

  rows = [('model', 'input', 'COCO AP', 'weights')]
  for name in stock_configs.models():
    height, width = stock_configs.describe(name).size
    weights = recipe.weights_of(name)
    ap = f'{weights.published_ap:.1f}' if weights and weights.published_ap else '-'
    source = 'none' if weights is None else weights.name
    rows.append((name, f'{height}x{width}', ap, source))
  for row in rows:
    print('{:<40} {:<8} {:>7}  {}'.format(*row))
  print(
    '\nCOCO AP: as published with the weights, in percent. starter: in the package; zoo: downloaded'
    '\nwhen a training asks for them. ssd-tf train --data=... --model=NAME takes one of these.'
  )
