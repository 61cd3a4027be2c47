"""What of `train_config` is about the step and the end of a training, not about its network."""

from ssd_tf.config.pipeline import PipelineConfig
from ssd_tf.errors import InputError
from ssd_tf.protos import train_pb2

_DTYPES = {
  train_pb2.TrainConfig.FLOAT32: 'float32',
  train_pb2.TrainConfig.MIXED_BFLOAT16: 'mixed_bfloat16',
  train_pb2.TrainConfig.MIXED_FLOAT16: 'mixed_float16',
}


def precision_of(train_config: train_pb2.TrainConfig) -> str:
  """The type that layers compute in.

  Args:
    train_config: the config's.

  Returns:
    One of `training.precision`.

  Raises:
    InputError: use_bfloat16 says something else than precision.
  """
  if not train_config.use_bfloat16:
    return _DTYPES[train_config.precision]
  bfloat16 = train_config.MIXED_BFLOAT16
  if train_config.HasField('precision') and train_config.precision != bfloat16:
    name = train_config.Precision.Name(train_config.precision)
    raise InputError(
      f'train_config.precision: is {name}, but train_config.use_bfloat16 is true, which is '
      'MIXED_BFLOAT16; take use_bfloat16 out'
    )
  return _DTYPES[bfloat16]


def check_training_options(config: PipelineConfig, num_replicas: int = 1) -> None:
  """Refuses values that make no sense.

  Args:
    config: the whole config.
    num_replicas: how many devices share a batch.

  Raises:
    InputError: lists all faults.
  """
  train_config, faults = config.train_config, []
  try:
    precision_of(train_config)
  except InputError as error:
    faults.append(str(error))
  ssd, heads = config.model.ssd, config.model.ssd.box_predictor
  layers = (
    ssd.feature_extractor,
    heads.convolutional_box_predictor,
    heads.weight_shared_convolutional_box_predictor,
  )
  # The replicas cannot meet inside of a loop of each.
  synchronized = any(part.conv_hyperparams.HasField('sync_batch_norm') for part in layers)
  if train_config.gradient_accumulation_steps > 1 and synchronized and num_replicas > 1:
    faults.append(
      'train_config.gradient_accumulation_steps: is '
      f'{train_config.gradient_accumulation_steps}, with sync_batch_norm on {num_replicas} '
      'replicas, which is not supported; take batch_norm, or one replica, or a larger batch_size'
    )
  if faults:
    raise InputError('\n'.join(faults))
