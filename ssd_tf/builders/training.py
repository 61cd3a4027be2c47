"""Builds optimizer, learning rate schedule, stages and precision from `train_config`."""

from collections.abc import Sequence

import keras

from ssd_tf.builders.message_fields import chosen, values_of
from ssd_tf.config.checks.by_schema import require_supported
from ssd_tf.config.checks.fault import explained
from ssd_tf.errors import InputError
from ssd_tf.ops import schedules
from ssd_tf.pretrained.layer_groups import BACKBONE, FEATURE_MAPS
from ssd_tf.protos import optimizer_pb2, train_pb2
from ssd_tf.training import optimizers
from ssd_tf.training.variable_selection import Stage

_FROZEN_GROUPS = {
  train_pb2.Freeze.NONE: (),
  train_pb2.Freeze.BACKBONE: (BACKBONE,),
  train_pb2.Freeze.ALL_BUT_HEADS: (BACKBONE, FEATURE_MAPS),
}
_DTYPES = {
  train_pb2.TrainConfig.FLOAT32: 'float32',
  train_pb2.TrainConfig.MIXED_BFLOAT16: 'mixed_bfloat16',
  train_pb2.TrainConfig.MIXED_FLOAT16: 'mixed_float16',
}
_OPTIMIZERS = {
  'momentum_optimizer': optimizers.Momentum,
  'rms_prop_optimizer': optimizers.RMSProp,
  'adam_optimizer': keras.optimizers.Adam,
  'adamw_optimizer': optimizers.AdamW,
  'sgd_optimizer': keras.optimizers.SGD,
  'adadelta_optimizer': keras.optimizers.Adadelta,
  'adagrad_optimizer': optimizers.Adagrad,
  'ftrl_optimizer': keras.optimizers.Ftrl,
}
# Of their messages' fields, those that Keras calls something else.
_ARGUMENTS = {
  'momentum_optimizer_value': 'momentum',
  'decay': 'rho',
  'beta1': 'beta_1',
  'beta2': 'beta_2',
}


def build_optimizer(
  optimizer: optimizer_pb2.Optimizer, stages: Sequence[train_pb2.TrainingStage] = ()
) -> keras.optimizers.Optimizer:
  """Builds an optimizer with its learning rate schedule, and those of the stages that have one."""
  path = 'train_config.optimizer'
  require_supported(optimizer, path)
  kind = chosen(optimizer, 'optimizer', path, tuple(_OPTIMIZERS))
  values = values_of(getattr(optimizer, kind))
  del values['learning_rate']
  schedule = build_whole_schedule(optimizer, stages)
  with explained(f'{path}.{kind}'):
    return _OPTIMIZERS[kind](
      optimizers.KerasSchedule(schedule),
      name=kind.removesuffix('_optimizer'),
      **{_ARGUMENTS.get(name, name): value for name, value in values.items()},
    )


def build_whole_schedule(
  optimizer: optimizer_pb2.Optimizer, stages: Sequence[train_pb2.TrainingStage] = ()
) -> schedules.Schedule:
  """Builds the learning rate schedule of a training, in which stages may have their own."""
  path = 'train_config.optimizer'
  kind = chosen(optimizer, 'optimizer', path, tuple(_OPTIMIZERS))
  rate = getattr(optimizer, kind).learning_rate
  schedule = build_schedule(rate, f'{path}.{kind}.learning_rate')
  later = build_stage_schedules(stages)
  return schedules.staged_schedule(schedule, later) if later else schedule


def build_stage_schedules(
  stages: Sequence[train_pb2.TrainingStage],
) -> list[tuple[int, schedules.Schedule]]:
  """Builds (first step, schedule, whose own step 0 is there) of the stages that have one."""
  built, faults = [], []
  for i, stage in enumerate(stages):
    if stage.HasField('learning_rate'):
      try:
        schedule = build_schedule(stage.learning_rate, f'train_config.stage[{i}].learning_rate')
        built.append((stage.first_step, schedule))
      except InputError as error:
        faults.append(str(error))
  if faults:
    raise InputError('\n'.join(faults))
  return built


def build_stages(train_config: train_pb2.TrainConfig) -> list[Stage]:
  """Builds what each stage of a training leaves as it is; the first is before any `stage`."""
  parts = {'train_config': train_config}
  parts |= {f'train_config.stage[{i}]': stage for i, stage in enumerate(train_config.stage)}
  return [
    Stage(
      first_step=0 if part is train_config else part.first_step,
      field=field,
      frozen_groups=_FROZEN_GROUPS[part.freeze],
      update_trainable_variables=part.update_trainable_variables,
      freeze_variables=part.freeze_variables,
    )
    for field, part in parts.items()
  ]


def precision_of(train_config: train_pb2.TrainConfig) -> str:
  """The type that layers compute in."""
  if not train_config.use_bfloat16:
    return _DTYPES[train_config.precision]
  bfloat16 = train_config.MIXED_BFLOAT16
  if train_config.HasField('precision') and train_config.precision != bfloat16:
    name = train_config.Precision.Name(train_config.precision)
    raise InputError(
      f'train_config.precision: is {name}, but train_config.use_bfloat16 is true, which is '
      'MIXED_BFLOAT16; remove use_bfloat16'
    )
  return _DTYPES[bfloat16]


def build_schedule(learning_rate: optimizer_pb2.LearningRate, path: str) -> schedules.Schedule:
  """Builds a learning rate schedule: step i64[] -> learning rate f32[]."""
  kinds = (
    *('constant_learning_rate', 'exponential_decay_learning_rate'),
    *('manual_step_learning_rate', 'cosine_decay_learning_rate'),
    'polynomial_decay_learning_rate',
  )
  kind = chosen(learning_rate, 'learning_rate', path, kinds)
  values = getattr(learning_rate, kind)
  if kind == 'constant_learning_rate':
    return schedules.constant_schedule(values.learning_rate)
  with explained(f'{path}.{kind}'):
    if kind == 'manual_step_learning_rate':
      return schedules.manual_step_schedule(
        initial_learning_rate=values.initial_learning_rate,
        steps=[entry.step for entry in values.schedule],
        learning_rates=[entry.learning_rate for entry in values.schedule],
        warmup=values.warmup,
      )
    # These take the message's fields under their own names.
    build = {
      'cosine_decay_learning_rate': schedules.cosine_schedule,
      'exponential_decay_learning_rate': schedules.exponential_schedule,
      'polynomial_decay_learning_rate': schedules.polynomial_schedule,
    }[kind]
    return build(**values_of(values))
