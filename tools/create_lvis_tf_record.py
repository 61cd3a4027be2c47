"""Converts LVIS annotations, v0.5 or v1, and their images to TFRecords."""

from ssd_tf.commands import create_lvis_tf_record
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(create_lvis_tf_record.main)
