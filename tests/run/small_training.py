"""A training of three convolutions by the real command, in a process of its own.

It runs without compiled functions, since compiling takes most of the time of a short one.
"""

import dataclasses

import tensorflow as tf
import tool_processes
import train_shallow

from ssd_tf import builders

FLAGS = (
  '--pipeline_config_path=tiny.config', '--log_every_n=1',
  '--config_override=train_config.data_augmentation_options=[]',
  '--config_override=train_config.optimizer.momentum_optimizer.learning_rate='
  '{constant_learning_rate {learning_rate: 0.005}}',
)  # fmt: skip


def start(forks, folder, *flags, prepare=None):
  """Starts it, and returns the process; see `tool_processes.start`."""
  prepared = _Prepared(prepare)
  return tool_processes.start(forks, folder, 'model_main_tf2.py', (*FLAGS, *flags), prepared)


@dataclasses.dataclass(frozen=True)
class _Prepared:
  """Gives the new process its network, then calls what else prepares it."""

  prepare: object

  def __call__(self):
    build = builders.build_detector

    def build_small(config, **kwargs):
      model = train_shallow.shallow_model([3, 4, 4])
      return dataclasses.replace(build(config, **kwargs), model=model)

    builders.build_detector = build_small
    tf.config.run_functions_eagerly(True)
    # On a busy machine, sums of several threads were once seen to differ in the last bit.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if self.prepare:
      self.prepare()
