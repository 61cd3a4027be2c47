"""Says what is wrong with a training, before or after it: data, anchors, schedule, evaluation."""

from ssd_tf.commands import diagnose
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(diagnose.main)
