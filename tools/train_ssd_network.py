"""Trains an SSD by the flags of SSD-Tensorflow's train_ssd_network.py."""

from ssd_tf.commands import train_ssd_network
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(train_ssd_network.main)
