"""Builds the settings of convolutions from a config's `conv_hyperparams`."""

import functools
from collections.abc import Callable

import keras

from ssd_tf.errors import InputError
from ssd_tf.models.conv_block import ConvHyperparams
from ssd_tf.protos import hyperparams_pb2


def build_hyperparams(
  hyperparams: hyperparams_pb2.Hyperparams, path: str, batch_norm_trainable: bool = True
) -> ConvHyperparams:
  """Builds what convolutions are made with.

  Without a regularizer there is none; without an initializer it is Glorot's uniform one, as for any
  Keras layer.

  Source: the Object Detection API's hyperparams, its Keras ones where they differ from slim's: a
  batch norm without center leaves the convolution its bias. Its `regularize_depthwise` changes
  nothing in either.
  """
  if hyperparams.op == hyperparams_pb2.Hyperparams.FC:
    raise InputError(f'{path}.op: is FC; expected CONV, since an SSD has no fully connected layers')
  normalizer = hyperparams.WhichOneof('normalizer_oneof')
  batch_norm = None
  if normalizer in ('batch_norm', 'sync_batch_norm'):
    batch_norm = getattr(hyperparams, normalizer)
  regularizer = hyperparams.regularizer
  return ConvHyperparams(
    initializer=_initializer(hyperparams.initializer, f'{path}.initializer'),
    l2_weight=_weight(regularizer, 'l2_regularizer'),
    l1_weight=_weight(regularizer, 'l1_regularizer'),
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
    group_norm=normalizer == 'group_norm',
    force_bias=hyperparams.force_use_bias,
  )


def _weight(regularizer, name):
  return getattr(regularizer, name).weight if regularizer.HasField(name) else 0.0


def _initializer(initializer, path) -> Callable[[], keras.initializers.Initializer]:
  kind = initializer.WhichOneof('initializer_oneof')
  if kind is None:
    return keras.initializers.GlorotUniform
  values = getattr(initializer, kind)
  if kind == 'truncated_normal_initializer':
    return lambda: keras.initializers.TruncatedNormal(values.mean, values.stddev)
  if kind == 'random_normal_initializer':
    return lambda: keras.initializers.RandomNormal(values.mean, values.stddev)
  if kind == 'variance_scaling_initializer':
    # The variance of a kernel is factor / fan.
    modes = hyperparams_pb2.VarianceScalingInitializer.Mode
    return lambda: keras.initializers.VarianceScaling(
      scale=values.factor,
      mode=modes.Name(values.mode).lower(),
      distribution='uniform' if values.uniform else 'truncated_normal',
    )
  return _named_initializer(values, f'{path}.{kind}')


def _named_initializer(name, path):
  try:
    keras.initializers.get(name)
  except ValueError:
    raise InputError(
      f'{path}: {name!r} is no initializer of Keras; expected one such as he_normal or '
      'glorot_uniform'
    ) from None
  return functools.partial(keras.initializers.get, name)
