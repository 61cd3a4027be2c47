"""Chooses the devices of a training or an evaluation: GPUs, or the CPU as one or several."""

import contextlib

import tensorflow as tf


def make_strategy(num_logical_cpus: int = 0) -> tf.distribute.Strategy:
  """MirroredStrategy over all GPUs; without one, the CPU as one device.

  With num_logical_cpus the CPU is split into that many devices, to try replicas without GPUs.
  """
  if num_logical_cpus:
    cpu = tf.config.list_physical_devices('CPU')[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * num_logical_cpus
    tf.config.set_logical_device_configuration(cpu, parts)
    return tf.distribute.MirroredStrategy([f'CPU:{i}' for i in range(num_logical_cpus)])
  for gpu in (gpus := tf.config.list_physical_devices('GPU')):
    with contextlib.suppress(RuntimeError):  # It is in use already, as after a detection.
      tf.config.experimental.set_memory_growth(gpu, True)
  return tf.distribute.MirroredStrategy() if gpus else tf.distribute.get_strategy()
