"""Compares variants of a training, each repeated with several seeds."""

from ssd_tf.commands import compare_runs
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(compare_runs.main)
