"""Exports a trained detector as a SavedModel."""

from ssd_tf.commands import exporter_main_v2
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(exporter_main_v2.main)
