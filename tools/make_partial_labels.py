"""Turns a complete data set into one with partial labels."""

from ssd_tf.commands import make_partial_labels
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(make_partial_labels.main)
