"""Converts Open Images annotations and their images to TFRecords."""

from ssd_tf.commands import create_oid_tf_record
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(create_oid_tf_record.main)
