"""Sets up SSD-Tensorflow's clones: as many replicas as its flags ask for."""

import tensorflow as tf
from absl import logging

from ssd_tf.errors import InputError
from ssd_tf.run.strategy import make_strategy


def make_clones(num_clones: int, on_cpu: bool = False) -> tf.distribute.Strategy:
  """As many replicas as are asked for, on a GPU each, or on logical CPUs."""
  gpus = tf.config.list_physical_devices('GPU')
  if gpus and not on_cpu:
    if num_clones > len(gpus):
      raise InputError(
        f'--num_clones={num_clones}: there are {len(gpus)} GPUs; lower it and raise --batch_size, '
        'which is that of a clone, or give --clone_on_cpu'
      )
    tf.config.set_visible_devices(gpus[:num_clones], 'GPU')
    return make_strategy()
  tf.config.set_visible_devices([], 'GPU')
  if num_clones == 1:
    return make_strategy()
  why = '--clone_on_cpu' if on_cpu else 'no GPU was found'
  logging.info('%d clones as logical CPUs, which share the processors: %s.', num_clones, why)
  return make_strategy(num_clones)
