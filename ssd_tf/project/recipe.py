"""Chooses the settings of a first training: the best measured ones, fitted to data and machine.

Measured on 156 images of raccoons and 205 of blood cells (logs/raccoon_freezing and
logs/bccd_ssd_mobilenet_v2): starting from COCO's weights, all of the network trains at a tenth of
the rate of a training from scratch, and batch norms keep the statistics that they were loaded with.
"""

import dataclasses
import json
import re
from collections.abc import Sequence

from ssd_tf.config import label_map as label_maps
from ssd_tf.config import overrides
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.pretrained import weights_table
from ssd_tf.pretrained.weights_table import Weights
from ssd_tf.project import stock_configs
from ssd_tf.project.records import PreparedData

MODEL = 'ssd_mobilenet_v1_0.75_300x300_coco'
# Below so many images, statistics of batch norms of their own cost .19 of AP (raccoons).
_FEW_IMAGES = 1000
_MIN_STEPS = 400  # Of 8 images.
_EPOCHS, _MAX_IMAGES_SEEN = 20, 200_000
# The rate from scratch at a batch of 8, momentum .9; in proportion to the batch size.
_SCRATCH_RATE, _FPN_SCRATCH_RATE = 0.02, 0.005
_FINE_TUNING = 0.1
# Memory in GB -> batch size of 300x300 images; in proportion to the pixels of the input.
_BATCH_BY_MEMORY = ((32, 32), (12, 16), (4, 8), (0, 4))
_SIZE = re.compile(r'\d+x\d+')
_MAX_CPU_BATCH = 8  # More only makes steps slower there.


@dataclasses.dataclass(frozen=True)
class Wishes:
  """What the user asks for; None: chosen here.

  Attributes:
    model: name of a stock config.
    weights: what fine_tune_checkpoint is set to; 'none': from scratch.
    num_steps: of the training.
    batch_size: of a step.
    learning_rate: the highest.
    changes: to the config in the end, see `overrides.apply`.
  """

  model: str = MODEL
  weights: str | None = None
  num_steps: int | None = None
  batch_size: int | None = None
  learning_rate: float | None = None
  changes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Choice:
  """A setting that was chosen: what it is, its value with the reason, and the flag to change it."""

  what: str
  value: str
  flag: str


@dataclasses.dataclass(frozen=True)
class Machine:
  """Where it trains: memory in GB, of a GPU where there is one, and the number of GPUs."""

  memory_gb: float
  num_gpus: int = 0


def compose(
  data: PreparedData, wishes: Wishes, machine: Machine, path: str
) -> tuple[Pipeline, list[Choice]]:
  """Writes the pipeline.config of a first training, in memory.

  Args:
    path: where the config will be.

  Returns:
    The config, and what was chosen in it.

  Raises:
    InputError: there is no such model, or a change is wrong.
  """
  base = stock_configs.load(wishes.model)
  config = base.copy_config()
  num_images = data.num_images['train']
  weights, why = _weights(wishes)
  size = stock_configs.describe(wishes.model).size
  batch_size = wishes.batch_size or _batch_size(size, num_images, machine)
  num_steps = wishes.num_steps or _num_steps(num_images, batch_size)
  is_fpn = config.model.ssd.feature_extractor.HasField('fpn')
  scratch_rate = (_FPN_SCRATCH_RATE if is_fpn else _SCRATCH_RATE) * batch_size / 8
  rate = wishes.learning_rate or scratch_rate * (_FINE_TUNING if weights else 1)
  freezes = bool(weights) and num_images < _FEW_IMAGES
  classes = label_maps.load(data.label_map_path)
  config.ClearField('train_input_reader')
  config.ClearField('eval_input_reader')
  overrides.apply(
    config,
    [
      f'model.ssd.num_classes={classes.num_classes}',
      f'model.ssd.freeze_batchnorm={json.dumps(freezes)}',
      f'train_config.batch_size={batch_size}',
      f'train_config.num_steps={num_steps}',
      f'train_config.fine_tune_checkpoint={json.dumps(weights)}',
      'train_config.fine_tune_checkpoint_type="fine_tune"',
      f'train_config.optimizer={_optimizer(rate, num_steps)}',
      *_reader('train', data, 'train'),
      *_reader('eval', data, 'val'),
      f'eval_config={{metrics_set: "coco_detection_metrics" batch_size: {min(batch_size, 8)}}}',
      *wishes.changes,
    ],
  )
  epochs = num_steps * batch_size / num_images
  choices = [
    Choice('model', f'{wishes.model}, {size[0]}x{size[1]} pixels', '--model'),
    Choice('weights', why, '--weights'),
    Choice('batch size', f'{batch_size} ({machine.memory_gb:.0f} GB of memory)', '--batch_size'),
    Choice('steps', f'{num_steps} ({epochs:.1f} times through the images)', '--num_train_steps'),
    Choice('learning rate', f'{rate:g}{_of_scratch(weights, wishes)}', '--learning_rate'),
  ]
  if freezes:
    field = '--config_override=model.ssd.freeze_batchnorm=false'
    few = f'as loaded, since there are fewer than {_FEW_IMAGES:,} images'
    choices.append(Choice('batch norms', few, field))
  return Pipeline(config, path), choices


def weights_of(model: str) -> Weights | None:
  """The weights that a model starts from: those of the package, else the zoo's best; or None."""
  fitting = [each for each in weights_table.TABLE if each.config == f'{model}.config']

  def rank(weights):
    size = _SIZE.search(weights.name)
    is_of_other_size = size is not None and size[0] not in model
    return bool(weights.archive), is_of_other_size, -(weights.published_ap or 0)

  return min(fitting, key=rank, default=None)


def _weights(wishes):
  if wishes.weights == 'none':
    return '', 'none: it trains from scratch'
  if wishes.weights:
    return wishes.weights, wishes.weights
  found = weights_of(wishes.model)
  if found is None:
    raise InputError(
      f'--weights: no weights with a name fit {wishes.model}; give a checkpoint, or none to train '
      'from scratch'
    )
  return found.name, f'{found.name}, trained on COCO'


def _batch_size(size, num_images, machine):
  pixels = size[0] * size[1] / 300**2
  by_memory = next(batch for memory, batch in _BATCH_BY_MEMORY if machine.memory_gb >= memory)
  limit = by_memory / pixels if machine.num_gpus else min(by_memory / pixels, _MAX_CPU_BATCH)
  # At least some 16 steps through the images.
  return max(batch for batch in (1, 2, 4, 8, 16, 32) if batch <= max(1, min(limit, num_images / 8)))


def _num_steps(num_images, batch_size):
  seen = max(_MIN_STEPS * 8, min(_EPOCHS * num_images, _MAX_IMAGES_SEEN + num_images))
  return -(-seen // batch_size)


def _of_scratch(weights, wishes):
  if wishes.learning_rate or not weights:
    return ''
  return ' (a tenth of the rate from scratch, by batch size)'


def _optimizer(rate, num_steps):
  warmup = min(1000, max(1, num_steps // 8))
  return (
    '{momentum_optimizer {momentum_optimizer_value: 0.9 learning_rate {cosine_decay_learning_rate {'
    f'learning_rate_base: {rate!r} total_steps: {num_steps} '
    f'warmup_learning_rate: {rate / 4!r} warmup_steps: {warmup}'
    '}}} use_moving_average: false}'
  )


def _reader(name, data, part):
  label_map, record = json.dumps(data.label_map_path), json.dumps(data.pattern(part))
  text = f'{{label_map_path: {label_map} tf_record_input_reader {{input_path: {record}}}}}'
  return [f'{name}_input_reader={text}']
