"""What is dropped on one replica, and on two."""

import keras
import numpy as np
import tensorflow as tf
import tool_processes

from ssd_tf.models.dropout import Dropout


def drop_on_two_replicas(path):
  """Saves what two steps keep; in a process that has no device yet."""
  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  with strategy.scope():
    layer = Dropout(0.5, seed=7, name='drop')
  step = tf.function(lambda: strategy.run(lambda: layer(tf.ones([4, 500]), training=True)))
  results = [strategy.experimental_local_results(step()) for _ in range(2)]
  np.save(path, [[local.numpy() for local in of_step] for of_step in results])


def test_each_replica_drops_its_own(tmp_path):
  path = str(tmp_path / 'kept.npy')
  tool_processes.call(drop_on_two_replicas, path)
  kept = np.load(path)  # [steps, replicas, 4, 500]
  generator = keras.random.SeedGenerator(7)
  layer = Dropout(0.5, seed=7)
  for first, second in kept:
    # The first replica drops what one alone does, and that is what Keras drops.
    alone = keras.random.dropout(tf.ones([4, 500]), 0.5, seed=generator)
    np.testing.assert_array_equal(first, alone)
    np.testing.assert_array_equal(layer(tf.ones([4, 500]), training=True), alone)
    # Of 2,000 independent pairs half are equal, with a deviation of 22.
    assert abs((first == second).sum() - 1000) < 4 * 22
  assert abs((kept[0] == kept[1]).sum() - 2000) < 4 * 32
