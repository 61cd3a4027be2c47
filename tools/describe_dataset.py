"""Describes TFRecords: boxes and labeled images of each class, sizes, shapes, irregularities."""

from ssd_tf.commands import describe_dataset
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(describe_dataset.main)
