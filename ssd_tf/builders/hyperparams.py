"""What convolutions are made with, from a config's `conv_hyperparams`."""

import keras

from ssd_tf.builders.support import chosen
from ssd_tf.models.conv_block import ConvHyperparams
from ssd_tf.protos import hyperparams_pb2


def build_hyperparams(
  hyperparams: hyperparams_pb2.Hyperparams, path: str, batch_norm_trainable: bool = True
) -> ConvHyperparams:
  """Builds what convolutions are made with.

  Args:
    hyperparams: the message.
    path: of it in the config.
    batch_norm_trainable: whether batch norms may be trained.

  Returns:
    The hyperparams.

  Raises:
    InputError: no initializer or regularizer, or one that is not supported.
  """
  regularizer = chosen(
    hyperparams.regularizer, 'regularizer_oneof', f'{path}.regularizer', ('l2_regularizer',)
  )
  normalizer = hyperparams.WhichOneof('normalizer_oneof')
  batch_norm = getattr(hyperparams, normalizer) if normalizer else None
  return ConvHyperparams(
    initializer=_initializer(hyperparams.initializer, f'{path}.initializer'),
    l2_weight=getattr(hyperparams.regularizer, regularizer).weight,
    activation=hyperparams_pb2.Hyperparams.Activation.Name(hyperparams.activation),
    batch_norm=batch_norm
    and {
      'momentum': batch_norm.decay,
      'epsilon': batch_norm.epsilon,
      'center': batch_norm.center,
      'scale': batch_norm.scale,
      'synchronized': normalizer == 'sync_batch_norm',
    },
    batch_norm_trainable=batch_norm_trainable and (batch_norm is None or batch_norm.train),
  )


def _initializer(initializer, path):
  kinds = (
    'truncated_normal_initializer',
    'random_normal_initializer',
    'variance_scaling_initializer',
  )
  kind = chosen(initializer, 'initializer_oneof', path, kinds)
  values = getattr(initializer, kind)
  if kind == 'truncated_normal_initializer':
    return lambda: keras.initializers.TruncatedNormal(values.mean, values.stddev)
  if kind == 'random_normal_initializer':
    return lambda: keras.initializers.RandomNormal(values.mean, values.stddev)
  modes = hyperparams_pb2.VarianceScalingInitializer.Mode
  return lambda: keras.initializers.VarianceScaling(
    scale=values.factor,
    mode=modes.Name(values.mode).lower(),
    distribution='uniform' if values.uniform else 'truncated_normal',
  )
