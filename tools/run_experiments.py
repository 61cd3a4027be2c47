"""Runs the experiments of a sweep file one after another, and writes a table of their results."""

from ssd_tf.commands import run_experiments
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(run_experiments.main)
