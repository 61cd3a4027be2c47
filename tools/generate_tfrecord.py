"""Converts a CSV file of boxes, or a folder of Pascal VOC XML files, to TFRecords."""

from ssd_tf.commands import generate_tfrecord
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(generate_tfrecord.main)
