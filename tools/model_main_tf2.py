"""Trains and evaluates an SSD from a pipeline.config; with --checkpoint_dir, evaluates only."""

from ssd_tf.commands import model_main_tf2
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(model_main_tf2.main)
