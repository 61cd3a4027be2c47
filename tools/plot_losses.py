"""Draws a training's losses, learning rate and mAP as one SVG."""

from ssd_tf.commands import plot_losses
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(plot_losses.main)
