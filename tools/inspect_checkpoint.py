"""Shows what a checkpoint is: who wrote it, which model, how many classes, what step."""

from ssd_tf.commands import inspect_checkpoint
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(inspect_checkpoint.main)
