"""Evaluates checkpoints of an SSD by VOC2007, VOC2012 and COCO, with SSD-Tensorflow's flags."""

from ssd_tf.commands import eval_ssd_network
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(eval_ssd_network.main)
