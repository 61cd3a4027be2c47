"""Fills the unlabeled (image, class) cells of partially labeled TFRecords with a model's boxes."""

from ssd_tf.commands import pseudo_label
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(pseudo_label.main)
