import time

import tensorflow as tf

from ssd_tf.benchmarks import input_benchmark


def test_wall_time_counts_waiting_and_cpu_time_does_not():
  def wait():
    for i in range(40):
      time.sleep(0.01)
      yield i

  dataset = tf.data.Dataset.from_generator(wait, output_signature=tf.TensorSpec([], tf.int32))
  timing = input_benchmark.time_batches(dataset, num_batches=30, num_warmup_batches=5)
  assert 9 < timing.wall < 40
  assert timing.cpu < timing.wall / 2
