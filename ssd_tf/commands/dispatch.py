"""The command `ssd-tf`: finds the command that is asked for, and runs it."""

import importlib
import importlib.metadata
import sys

from ssd_tf.errors import closest

# Command -> its module here, and what it does.
COMMANDS = {
  'init': ('init', 'Prepares a folder of annotated images: records, label map, pipeline.config.'),
  'train': ('train', 'Trains a detector from such a folder, or from a pipeline.config.'),
  'evaluate': ('evaluate', 'Computes the metrics of a checkpoint.'),
  'export': ('export', 'Exports a trained detector as a SavedModel.'),
  'detect': ('detect', 'Detects on images: writes pictures and a JSON file.'),
  'convert': ('convert', 'Converts annotated images to TFRecords.'),
  'describe': ('describe_dataset', 'Describes a data set: boxes, classes, sizes, irregularities.'),
  'diagnose': ('diagnose', 'Says what is wrong with a training, before or after it.'),
  'anchors': ('cluster_anchors', 'Finds anchors that fit the boxes of the training records.'),
  'report': ('analyze_run', 'Writes a page about a training, with curves and examples.'),
  'sweep': ('run_experiments', 'Runs several trainings and compares them.'),
  'pseudo-label': ('pseudo_label', 'Fills missing labels with the detections of a model.'),
  'inspect': ('inspect_checkpoint', 'Lists what a checkpoint holds, and what would load.'),
  'weights': ('weights', 'Lists the weights that a training can start from.'),
}
_EXAMPLE = """Example, from a folder of annotated images to a detector and its detections:

  ssd-tf train --data=mydata
  ssd-tf detect --model=runs/mydata --images=photo.jpg

`ssd-tf COMMAND --help` describes a command."""


def main() -> None:
  """Runs the command that the first argument names; without one, lists them all."""
  arguments = sys.argv[1:]
  if not arguments or arguments[0] in ('--help', '-h', 'help'):
    print(_help())
    return
  name, *rest = arguments
  if name == '--version':
    print(importlib.metadata.version('ssd_tf'))
    return
  if name not in COMMANDS:
    print(f'ssd-tf: error: no command {name!r}; {closest(name, COMMANDS)}', file=sys.stderr)
    sys.exit(2)
  from ssd_tf.commands.command_line import run

  sys.argv = [f'ssd-tf {name}', *rest]
  run(importlib.import_module(f'ssd_tf.commands.{COMMANDS[name][0]}').main)


def _help():
  width = max(map(len, COMMANDS))
  lines = (f'  {name:<{width}}  {sentence}' for name, (_, sentence) in COMMANDS.items())
  return '\n'.join(['Trains SSD object detectors.', '', *lines, '', _EXAMPLE])
