"""Converts Pascal VOC annotations to SSD-Tensorflow's TFRecords, 200 images a file."""

from ssd_tf.commands import tf_convert_data
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(tf_convert_data.main)
