"""Describes a pipeline.config in words, for the log of an experiment."""

import re
from collections.abc import Iterator

from google.protobuf import text_format
from google.protobuf.message import Message

from ssd_tf.config.pipeline import PipelineConfig

_WORDS = {
  'mobilenet': 'MobileNet',
  'mobiledet': 'MobileDet',
  'vgg': 'VGG',
  'fpn': 'FPN',
  'fpnlite': 'FPNLite',
  'ppn': 'PPN',
  'edgetpu': 'EdgeTPU',
  'cpu': 'CPU',
}
# Of train_config, what `describe_config` says in words of its own, or what changes no training.
_SAID = (
  *('batch_size', 'num_steps', 'optimizer', 'data_augmentation_options', 'seed'),
  *('fine_tune_checkpoint', 'fine_tune_checkpoint_type', 'fine_tune_checkpoint_version'),
  *('startup_delay_steps', 'replicas_to_aggregate', 'sync_replicas', 'max_number_of_boxes'),
  *('unpad_groundtruth_tensors', 'run_fine_tune_checkpoint_dummy_computation'),
)


def model_name(config: PipelineConfig) -> str:
  """Names model, share of filters, input height x width: 'SSD mobilenet v2, 300x300'."""
  ssd = config.model.ssd
  extractor = ssd.feature_extractor
  kind = re.sub(r'^ssd_|_keras$', '', extractor.type)
  words = ' '.join(_WORDS.get(word, word) for word in kind.split('_'))
  parts = [f'SSD {words}']
  if extractor.depth_multiplier != 1:
    parts.append(f'{extractor.depth_multiplier:g} of the filters')
  resizer = ssd.image_resizer
  if kind := resizer.WhichOneof('image_resizer_oneof'):
    chosen = getattr(resizer, kind)
    if kind == 'fixed_shape_resizer':
      parts.append(f'{chosen.height}x{chosen.width}')
    else:
      parts.append(f'{kind.replace("_", " ")} ({values(chosen)})')
  return ', '.join(parts)


def describe_config(config: PipelineConfig) -> list[str]:
  """Says what a training does, one item each.

  First start, losses, anchors, augmentation, optimizer; then every other field of train_config that
  is not at its default, and whether batch norms are frozen.
  """
  train = config.train_config
  start = f'from `{train.fine_tune_checkpoint}`' if train.fine_tune_checkpoint else 'from scratch'
  if train.fine_tune_checkpoint and train.fine_tune_checkpoint_type:
    start += f' ({train.fine_tune_checkpoint_type})'
  steps = f'{train.num_steps:,}' if train.num_steps else 'Any number of'
  return [
    f'{steps} steps of batch {train.batch_size}, {start}',
    *_loss_items(config.model.ssd.loss),
    f'Anchors: {chosen(config.model.ssd.anchor_generator, "anchor_generator_oneof")}',
    f'Augmentation: {_augmentation(train)}',
    f'Optimizer: {_optimizer(train.optimizer)}',
    *_other_fields(train),
    *(['`freeze_batchnorm`: true'] if config.model.ssd.freeze_batchnorm else []),
  ]


def chosen(message: Message, oneof: str) -> str:
  """The message that is set of a oneof, with its values: 'argmax matcher (...)'."""
  name = message.WhichOneof(oneof)
  if name is None:
    return 'none'
  text = values(getattr(message, name))
  return name.replace('_', ' ') + (f' ({text})' if text else '')


def values(message: Message) -> str:
  """What is set in a message: 'gamma 2, alpha 0.75'; lists and messages as in a config."""
  return ', '.join(
    f'{field.name.replace("_", " ")} {_value(field, value)}'
    for field, value in message.ListFields()
  )


def _value(field, value):
  if isinstance(value, Message):
    return f'{{{text_format.MessageToString(value, as_one_line=True).strip()}}}'
  if field.enum_type and isinstance(value, int):
    return field.enum_type.values_by_number[value].name
  if isinstance(value, bool):
    return str(value).lower()
  if isinstance(value, int | float):
    return f'{value:g}' if isinstance(value, float) else str(value)
  if isinstance(value, str):
    return f'"{value}"'
  return f'[{", ".join(_value(field, item) for item in value)}]'


def _loss_items(loss) -> Iterator[str]:
  for part in ('classification', 'localization'):
    weight = getattr(loss, f'{part}_weight')
    times = '' if weight == 1 else f', times {weight:g}'
    name = chosen(getattr(loss, f'{part}_loss'), f'{part}_loss')
    yield f'{part.capitalize()} loss: {name}{times}'
  if loss.HasField('hard_example_miner'):
    yield f'Hard negative mining: {values(loss.hard_example_miner)}'


def _augmentation(train):
  steps = [chosen(step, 'preprocessing_step') for step in train.data_augmentation_options]
  return ', '.join(steps) or 'none'


def _optimizer(optimizer):
  name = optimizer.WhichOneof('optimizer')
  if name is None:
    return 'none'
  kind = getattr(optimizer, name)
  others = type(kind)()
  others.CopyFrom(kind)
  others.ClearField('learning_rate')
  average = (
    f'moving average of the weights, decay {optimizer.moving_average_decay:g}'
    if optimizer.use_moving_average
    else ''
  )
  rate = chosen(kind.learning_rate, 'learning_rate')
  return '; '.join(filter(None, (name.replace('_', ' '), values(others), rate, average)))


def _other_fields(train):
  for field, value in train.ListFields():
    is_default = field.message_type is None and value == field.default_value
    if field.name not in _SAID and not is_default:
      yield f'`{field.name}`: {_value(field, value)}'
