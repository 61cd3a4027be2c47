"""Merges data sets with different classes into one, each image labeled for its own classes."""

from ssd_tf.commands import merge_datasets
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(merge_datasets.main)
