"""Builds training at several input sizes from the config's `train_config.multi_scale`."""

import dataclasses
from collections.abc import Iterator, Mapping

import keras
import tensorflow as tf
from absl import logging

from ssd_tf.builders.anchors import check_grids
from ssd_tf.builders.detector import build_detector
from ssd_tf.builders.resizers import image_size, with_image_size
from ssd_tf.config.checks import by_schema
from ssd_tf.config.checks.fault import Fault, refuse
from ssd_tf.config.pipeline import PipelineConfig
from ssd_tf.data import preprocessing
from ssd_tf.detector import SsdDetector
from ssd_tf.errors import InputError
from ssd_tf.ops.size_draws import Size, SizeDraws

_PATH = 'train_config.multi_scale'
_LEAST_CELLS = 2  # A side of the finest feature map; at less there is no grid.


@dataclasses.dataclass(frozen=True)
class MultiScale:
  """A detector for each (height, width) that a training draws; all of them have the same weights.

  Attributes:
    draws: the size of each step.
    batches_per_step: batches that make one step together.
  """

  detectors: Mapping[Size, SsdDetector]
  draws: SizeDraws
  batches_per_step: int = 1

  def preprocess(
    self, example: dict[str, tf.Tensor], batch_number: tf.Tensor
  ) -> dict[str, tf.Tensor]:
    """Turns a decoded example into the input of the size that its batch has, f32[None,None,C].

    Args:
      batch_number: of the example's batch, counted from the training's first one, i64[].
    """
    branches = [
      lambda detector=self.detectors[size]: preprocessing.preprocess(
        example, preprocess_image_fn=detector.preprocess_image
      )
      for size in self.draws.sizes
    ]
    if len(branches) == 1:
      return branches[0]()
    return tf.switch_case(self.draws.index(batch_number // self.batches_per_step), branches)


def build_multi_scale(config: PipelineConfig, detector: SsdDetector) -> MultiScale | None:
  """Builds the detectors of all sizes around the weights of one; None without multi_scale.

  Each size has a model of its own, made of the layers of the given one where these have weights: a
  pyramid crops, and pad_to_multiple pads, by the size. Anchors keep their pixels, those of
  ssd_anchor_generator too: a convolution sees the same object at the same pixels whatever is
  around it.

  Args:
    detector: at the size of model.ssd.image_resizer. Build under its strategy and dtype policy.

  Raises:
    InputError: a size does not fit the network, or its anchors; all that do not are listed.
  """
  if not config.train_config.HasField('multi_scale'):
    return None
  check_multi_scale(config)
  detectors, faults = {}, []
  sizes = _sizes(config)
  for i, size in enumerate(sizes):
    if size not in detectors:
      try:
        detectors[size] = _build_at(config, detector, size)
      except InputError as error:
        faults.append(f'{_PATH}.size[{i}]: {size[0]}x{size[1]} (height x width): {error}')
  if faults:
    raise InputError('\n'.join(faults))
  settings = config.train_config
  draws = SizeDraws(sizes, settings.multi_scale.steps_per_size, settings.seed)
  _log(draws, detectors, config.model.ssd)
  return MultiScale(detectors, draws, settings.gradient_accumulation_steps)


def check_multi_scale(config: PipelineConfig) -> None:
  """Checks the sizes as far as that takes no network."""
  if config.train_config.HasField('multi_scale'):
    numbers = by_schema.out_of_range(config.train_config.multi_scale, _PATH)
    refuse([*_faults(config), *numbers])


def _faults(config) -> Iterator[Fault]:
  if not config.train_config.multi_scale.size:
    yield Fault(f'{_PATH}.size', 'is empty; expected one or more, such as size {height: 320}')
  ssd = config.model.ssd
  multiple = ssd.feature_extractor.pad_to_multiple
  base = image_size(ssd)
  for i, size in enumerate(_sizes(config)):
    if size != base and any(side % multiple for side in size):
      yield Fault(
        f'{_PATH}.size[{i}]',
        f'is {size[0]}x{size[1]} (height x width); expected multiples of '
        f'model.ssd.feature_extractor.pad_to_multiple, {multiple}: else anchors would be spread '
        'over the image, and cells over the padding too',
      )
    else:
      try:
        with_image_size(ssd, size)
      except InputError as error:
        yield Fault(f'{_PATH}.size[{i}]', str(error))


def _sizes(config) -> tuple[Size, ...]:
  sizes = config.train_config.multi_scale.size
  return tuple((size.height, size.width or size.height) for size in sizes)


def _build_at(config, detector, size):
  """A detector of that size with the given one's weights."""
  if size == detector.image_size:
    return detector
  model_config = type(config.model)()
  model_config.CopyFrom(config.model)
  model_config.ssd.CopyFrom(with_image_size(config.model.ssd, size))
  _keep_pixels(model_config.ssd.anchor_generator, detector.image_size, size)
  sized = build_detector(model_config, is_training=True)
  map_sizes = sized.model.feature_map_sizes
  if min(map_sizes[0]) < _LEAST_CELLS:
    raise InputError(
      f'the finest feature map has {map_sizes[0][0]}x{map_sizes[0][1]} cells; expected '
      f'{_LEAST_CELLS} a side or more; take a larger size'
    )
  check_grids(model_config.ssd, map_sizes)
  # The same network, but made of the layers of the given detector that have variables.
  owner = detector.model
  model = keras.models.clone_model(
    sized.model,
    clone_function=lambda layer: owner.get_layer(layer.name) if layer.variables else layer,
  )
  return dataclasses.replace(sized, model=model)


def _keep_pixels(anchor_generator, base_size, size):
  """Lets anchors that are given in shares of the shorter side keep their pixels."""
  if anchor_generator.WhichOneof('anchor_generator_oneof') == 'ssd_anchor_generator':
    share = min(base_size) / min(size)
    anchor_generator.ssd_anchor_generator.base_anchor_height *= share
    anchor_generator.ssd_anchor_generator.base_anchor_width *= share


def _log(draws, detectors, ssd):
  logging.info(
    'Input sizes (height x width), drawn every %d steps: %s; evaluation and export at %dx%d. '
    'Anchors keep their pixels.',
    draws.steps_per_size,
    ', '.join(
      f'{height}x{width} ({detectors[height, width].anchors.shape[0]:,} anchors)'
      for height, width in draws.sizes
    ),
    *image_size(ssd),
  )
