"""What tests share that compare trainings on one and on two replicas."""

import numpy as np
import tensorflow as tf

# At the config's own rate the weights move by several units, and the last bits with them.
SLOW = (
  '--config_override=train_config.optimizer.momentum_optimizer.learning_rate='
  '{constant_learning_rate {learning_rate: 0.005}}'
)
# Without normalization, larger weights keep the gradients alive down to the first layer.
FROZEN = (
  '--config_override=model.ssd.freeze_batchnorm=true',
  '--config_override=model.ssd.feature_extractor.conv_hyperparams.initializer='
  '{truncated_normal_initializer {stddev: 0.3}}',
)


def variables(folder, checkpoint):
  reader = tf.train.load_checkpoint(str(folder / checkpoint))
  return {
    name: reader.get_tensor(name)
    for name in reader.get_variable_to_shape_map()
    if name.startswith(('model/', 'optimizer/'))
  }


def largest_difference(first, second):
  assert first.keys() == second.keys()
  return max(
    float(np.max(np.abs(first[name].astype(np.float64) - second[name]), initial=0))
    for name in first
  )
