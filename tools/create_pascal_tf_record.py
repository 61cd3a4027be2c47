"""Converts Pascal VOC annotations and their images to TFRecords."""

from ssd_tf.commands import create_pascal_tf_record
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(create_pascal_tf_record.main)
