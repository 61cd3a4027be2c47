"""Analyzes a run: evaluates a checkpoint, draws plots, and writes one HTML page that holds them."""

from ssd_tf.commands import analyze_run
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(analyze_run.main)
