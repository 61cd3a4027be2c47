"""Draws strings of seven-segment digits and writes them as TFRecords, with their label map."""

from ssd_tf.commands import create_seven_segment_tf_record
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(create_seven_segment_tf_record.main)
