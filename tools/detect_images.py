"""Detects on images with an exported SavedModel: writes pictures and a JSON."""

from ssd_tf.commands import detect_images
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(detect_images.main)
