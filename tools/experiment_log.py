"""Writes the log of an experiment from a training's folder, or a table of several trainings."""

from ssd_tf.commands import experiment_log
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(experiment_log.main)
