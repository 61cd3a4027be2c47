"""Which values the numbers of a pipeline.config may have, each for itself.

A number outside of its range trains something else than it seems to, or fails much later: without a
boxes' maximum above 0 there are no boxes to learn from, and a billion classes take all memory there
is. What depends on several fields is for those to check who build from them.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_AnyMessage = TypeVar('_AnyMessage', bound=Message)
# More than any network or data set in use has, and less than would take all memory by itself.
MAX_SIDE = 8192  # Pixels of the network's input.
MAX_CLASSES = 30_000
_MAX_CHANNELS = 4096  # Of a feature map.
_MAX_BOXES = 100_000  # Of an image.
MAX_DETECTIONS = 1_000_000  # Of an image, of all classes.
_MAX_LIST = 10_000  # Numbers in a list.
NUMBER_TYPES = (
  *(FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE),
  *(FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64),
  *(FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64),
)


@dataclasses.dataclass(frozen=True)
class Range:
  """The finite numbers that a field may have.

  Attributes:
    least: the smallest.
    most: the largest.
    above: all are more than this.
    below: all are less than this.
    max_count: how many a repeated field may have.
  """

  least: float = -math.inf
  most: float = math.inf
  above: float = -math.inf
  below: float = math.inf
  max_count: int = _MAX_LIST

  def __contains__(self, number: float) -> bool:
    is_within = self.least <= number <= self.most and self.above < number < self.below
    return is_within and math.isfinite(number)

  def __str__(self):
    if math.isfinite(self.least + self.most):
      return f'{self.least} to {self.most}'
    names = {'more than': self.above, 'less than': self.below, 'at most': self.most}
    bounds = [f'{name} {bound}' for name, bound in names.items() if math.isfinite(bound)]
    if math.isfinite(self.least):
      bounds.insert(0, f'{self.least} or more')
    return ' and '.join(bounds) or 'a finite number'

  def nearest(self, number: float, default: float) -> float:
    """A number of the range: the closest one, else the default, else the next whole one."""
    closest = max(self.least, min(self.most, number)) if math.isfinite(number) else default
    return next(n for n in (closest, default, self.least, self.above + 1) if n in self)


_ANY = Range()
_NOT_NEGATIVE = Range(0)
_POSITIVE = Range(above=0)
_ONE_OR_MORE = Range(1)
_SHARE = Range(0, 1)
_POSITIVE_SHARE = Range(above=0, most=1)
_DECAY = Range(0, below=1)
_FACTOR = Range(0, 1000)
_POSITIVE_FACTOR = Range(above=0, most=1000)
_ENLARGEMENT = Range(0, 100)
_SIDE = Range(1, MAX_SIDE)
_SIDE_OR_NONE = Range(0, MAX_SIDE)
_STEPS_DOWN = Range(0, 20)  # Each halves the feature map.
_LAYERS = Range(1, 20)
_CHANNELS = Range(0, _MAX_CHANNELS)
_TRIALS = Range(1, 10_000)
_BOXES = Range(1, _MAX_BOXES)
_COLOR = Range(0, 255)
_ASPECT_RATIO = Range(above=0, most=1000, max_count=100)
_STRIDES = Range(1, MAX_SIDE, max_count=100)
_OFFSETS = Range(-MAX_SIDE, MAX_SIDE, max_count=100)

# Of the fields that a message has in common with others of its kind.
_CROP = {
  _SHARE: 'min_object_covered overlap_thresh random_coef',
  _POSITIVE_SHARE: 'min_area max_area',
  _POSITIVE_FACTOR: 'min_aspect_ratio max_aspect_ratio aspect_ratio',
  _ENLARGEMENT: 'min_padded_size_ratio max_padded_size_ratio',
  _COLOR: 'pad_color pad_color_r pad_color_g pad_color_b',
  _TRIALS: 'max_attempts',
}
_SCALES = {Range(above=0, most=100): 'min_scale_ratio max_scale_ratio scale_min scale_max'}
_DELTAS = {_FACTOR: 'min_delta max_delta'}
_PROBABILITY = {_SHARE: 'probability'}
_SIDES = {_SIDE: 'height width target_height target_width new_height new_width output_size'}
_HEAD = {
  _ANY: 'box_code_size',  # It has to be the box coder's.
  Range(-1000, 1000): 'class_prediction_bias_init',
  _CHANNELS: 'min_depth max_depth depth',
  Range(0, 20): 'num_layers_before_predictor',
  _SHARE: 'dropout_keep_probability',
  Range(1, 15): 'kernel_size',
}
_NORMAL = {_ANY: 'mean', _NOT_NEGATIVE: 'stddev'}
_CODER = {_POSITIVE_FACTOR: 'y_scale x_scale height_scale width_scale length_scale stddev'}
_FOCAL = {Range(0, 100): 'gamma', _SHARE: 'alpha', _POSITIVE_FACTOR: 'logit_scale'}
_ADAPTIVE = {_POSITIVE: 'epsilon', _DECAY: 'momentum_optimizer_value decay beta1 beta2 rho'}

# Message -> range -> its fields. Every number that does anything is listed; where a message is not
# set, the fields' defaults are within.
_RANGES: dict[str, dict[Range, str]] = {
  'Ssd': {Range(1, MAX_CLASSES): 'num_classes', _SHARE: 'negative_class_weight'},
  'SsdFeatureExtractor': {
    Range(above=0, most=4): 'depth_multiplier',
    _CHANNELS: 'min_depth',
    _LAYERS: 'num_layers',
    Range(1, 1024): 'pad_to_multiple',
    _POSITIVE_FACTOR: 'l2_normalization_scale',
  },
  'FeaturePyramidNetworks': {
    _STEPS_DOWN: 'min_level max_level',
    Range(1, _MAX_CHANNELS): 'additional_layer_depth',
  },
  'KeepAspectRatioResizer': {
    _SIDE: 'min_dimension max_dimension',
    _ANY: 'per_channel_pad_value',
  },
  'FixedShapeResizer': _SIDES,
  'L1Regularizer': {_NOT_NEGATIVE: 'weight'},
  'L2Regularizer': {_NOT_NEGATIVE: 'weight'},
  'TruncatedNormalInitializer': _NORMAL,
  'RandomNormalInitializer': _NORMAL,
  'VarianceScalingInitializer': {_POSITIVE: 'factor'},
  'BatchNorm': {_SHARE: 'decay', _POSITIVE: 'epsilon'},
  'ConvolutionalBoxPredictor': _HEAD,
  'WeightSharedConvolutionalBoxPredictor': _HEAD,
  'BoxEncodingsClipRange': {_ANY: 'min max'},
  'SsdAnchorGenerator': {
    _LAYERS: 'num_layers',
    _ASPECT_RATIO: 'aspect_ratios',
    Range(above=0, most=100, max_count=100): (
      'min_scale max_scale scales base_anchor_height base_anchor_width'
    ),
    _FACTOR: 'interpolated_scale_aspect_ratio',
    _STRIDES: 'height_stride width_stride',
    _OFFSETS: 'height_offset width_offset',
  },
  'MultiscaleAnchorGenerator': {
    _STEPS_DOWN: 'min_level max_level',
    _POSITIVE_FACTOR: 'anchor_scale',
    _ASPECT_RATIO: 'aspect_ratios',
    Range(1, 100): 'scales_per_octave',
  },
  'AnchorGrid': {
    Range(above=0, most=10 * MAX_SIDE, max_count=100): 'base_sizes',
    _ASPECT_RATIO: 'aspect_ratios',
    _SIDE_OR_NONE: 'height_stride width_stride height_offset width_offset',
  },
  'FasterRcnnBoxCoder': _CODER,
  'MeanStddevBoxCoder': _CODER,
  'SquareBoxCoder': _CODER,
  'ArgMaxMatcher': {_SHARE: 'matched_threshold unmatched_threshold'},
  'ThresholdedIouSimilarity': {_SHARE: 'iou_threshold'},
  'Loss': {_NOT_NEGATIVE: 'classification_weight localization_weight'},
  'WeightedSmoothL1LocalizationLoss': {_POSITIVE: 'delta'},
  'SigmoidFocalClassificationLoss': _FOCAL,
  'SoftmaxFocalClassificationLoss': _FOCAL,
  'WeightedSoftmaxClassificationLoss': _FOCAL,
  'BootstrappedSigmoidClassificationLoss': _FOCAL,
  'HardExampleMiner': {
    Range(0, 1_000_000): 'num_hard_examples max_negatives_per_positive min_negatives_per_image',
    _SHARE: 'iou_threshold',
  },
  'BatchNonMaxSuppression': {
    _SHARE: 'score_threshold iou_threshold',
    _BOXES: 'max_detections_per_class max_classes_per_detection',
    Range(1, MAX_DETECTIONS): 'max_total_detections',
    _NOT_NEGATIVE: 'soft_nms_sigma',
  },
  'PostProcessing': {_POSITIVE_FACTOR: 'logit_scale'},
  'TrainConfig': {
    Range(1, 100_000): 'batch_size',
    Range(1, 1_000_000): 'gradient_accumulation_steps',
    _NOT_NEGATIVE: (
      'num_steps seed keep_checkpoint_every_n_hours gradient_clipping_by_norm bias_grad_multiplier'
    ),
  },
  'TrainingStage': {_ANY: 'first_step'},  # It has to come after that of the stage before.
  'MultiScale': {_ONE_OR_MORE: 'steps_per_size'},
  'Size': {_SIDE: 'height', _SIDE_OR_NONE: 'width'},
  'EarlyStopping': {_ONE_OR_MORE: 'patience', _NOT_NEGATIVE: 'min_delta'},
  'Optimizer': {_DECAY: 'moving_average_decay'},
  'RMSPropOptimizer': _ADAPTIVE,
  'MomentumOptimizer': _ADAPTIVE,
  'AdamOptimizer': _ADAPTIVE,
  'AdamWOptimizer': {**_ADAPTIVE, _NOT_NEGATIVE: 'weight_decay'},
  'AdadeltaOptimizer': _ADAPTIVE,
  'AdagradOptimizer': {_POSITIVE: 'initial_accumulator_value'},
  'FtrlOptimizer': {
    Range(most=0): 'learning_rate_power',
    _NOT_NEGATIVE: (
      'initial_accumulator_value l1_regularization_strength l2_regularization_strength'
    ),
  },
  'ConstantLearningRate': {_NOT_NEGATIVE: 'learning_rate'},
  'ExponentialDecayLearningRate': {
    _NOT_NEGATIVE: 'initial_learning_rate burnin_learning_rate burnin_steps min_learning_rate',
    _ONE_OR_MORE: 'decay_steps',
    _POSITIVE_FACTOR: 'decay_factor',
  },
  'ManualStepLearningRate': {_NOT_NEGATIVE: 'initial_learning_rate'},
  'LearningRateSchedule': {_NOT_NEGATIVE: 'step learning_rate'},
  'CosineDecayLearningRate': {
    _NOT_NEGATIVE: (
      'learning_rate_base warmup_learning_rate warmup_steps hold_base_rate_steps cycle_steps'
    ),
    _ONE_OR_MORE: 'total_steps cycle_growth',
    _POSITIVE_SHARE: 'cycle_decay',
  },
  'PolynomialDecayLearningRate': {
    _NOT_NEGATIVE: 'initial_learning_rate end_learning_rate power',
    _ONE_OR_MORE: 'decay_steps',
  },
  'InputReader': {
    _NOT_NEGATIVE: 'num_epochs sampling_weight',
    _POSITIVE: 'sample_from_datasets_weights',
    Range(1, 10_000): 'num_readers',
    Range(1, 100_000_000): 'shuffle_buffer_size',
    _BOXES: 'max_number_of_boxes',
    _ONE_OR_MORE: 'sample_1_of_n_examples',
  },
  'EvalConfig': {
    _NOT_NEGATIVE: 'num_visualizations max_num_boxes_to_visualize',
    _SHARE: 'min_score_threshold recall_lower_bound recall_upper_bound',
    Range(1, 100_000): 'batch_size',
  },
  'NormalizeImage': {_ANY: 'original_minval original_maxval target_minval target_maxval'},
  'SubtractChannelMean': {_ANY: 'means'},
  'RandomPixelValueScale': {_FACTOR: 'minval maxval'},
  'RandomJpegQuality': {_SHARE: 'random_coef', Range(0, 100): 'min_jpeg_quality max_jpeg_quality'},
  'RandomPatchGaussian': {
    _SHARE: 'random_coef',
    _SIDE: 'min_patch_size max_patch_size',
    _FACTOR: 'min_gaussian_stddev max_gaussian_stddev',
  },
  'RandomBlackPatches': {
    Range(0, 10_000): 'max_black_patches',
    _SHARE: 'probability size_to_image_ratio',
  },
  'RandomAdjustBrightness': _DELTAS,
  'RandomAdjustContrast': _DELTAS,
  'RandomAdjustHue': {_SHARE: 'max_delta'},
  'RandomAdjustSaturation': _DELTAS,
  'RandomDistortColor': {_SHARE: 'color_ordering'},
  'RandomRGBtoGray': _PROBABILITY,
  'AdjustGamma': {Range(0, 100): 'gamma', _FACTOR: 'gain'},
  'DropLabelProbabilistically': {_ANY: 'label', _SHARE: 'drop_probability'},
  'RemapLabels': {_ANY: 'original_labels new_label'},  # They have to be classes of the model.
  'RandomHorizontalFlip': _PROBABILITY,
  'RandomVerticalFlip': _PROBABILITY,
  'RandomRotation90': _PROBABILITY,
  'RandomSelfConcatImage': {_SHARE: 'concat_vertical_probability concat_horizontal_probability'},
  'RandomCropImage': _CROP,
  'RandomCropToAspectRatio': _CROP,
  'SSDRandomCropOperation': _CROP,
  'SSDRandomCropFixedAspectRatio': _CROP,
  'SSDRandomCropFixedAspectRatioOperation': _CROP,
  'RandomCropPadImage': _CROP,
  'SSDRandomCropPadOperation': _CROP,
  'SSDRandomCropPadFixedAspectRatio': _CROP,
  'SSDRandomCropPadFixedAspectRatioOperation': _CROP,
  'SsdTensorflowCrop': _CROP,
  'RandomPadImage': {
    _COLOR: 'pad_color',
    _SIDE_OR_NONE: 'min_image_height min_image_width max_image_height max_image_width',
  },
  'RandomAbsolutePadImage': {
    _COLOR: 'pad_color',
    _SIDE_OR_NONE: 'max_height_padding max_width_padding',
  },
  'RandomImageScale': _SCALES,
  'RandomResizeMethod': _SIDES,
  'RandomDownscaleToTargetPixels': {
    _SHARE: 'random_coef',
    Range(1, MAX_SIDE**2): 'min_target_pixels max_target_pixels',
  },
  'ResizeImage': _SIDES,
  'RandomSquareCropByScale': {**_SCALES, _SIDE: 'max_border', Range(1, 10_000): 'num_scales'},
  'RandomScaleCropAndPadToSquare': {**_SCALES, **_SIDES},
  'RandomJitterBoxes': {_FACTOR: 'ratio'},
  'SsdPhotometricDistortion': {
    _SHARE: 'probability channel_swap_probability',
    _FACTOR: 'brightness_delta min_contrast max_contrast min_saturation max_saturation',
    Range(0, 180): 'hue_delta',
  },
  'SsdExpand': {_SHARE: 'probability', Range(1, 100): 'min_scale max_scale', _COLOR: 'color'},
  'SsdPatchCrop': {
    _SHARE: 'min_iou keep_probability',
    _POSITIVE_SHARE: 'min_scale max_scale',
    _POSITIVE_FACTOR: 'min_aspect_ratio max_aspect_ratio',
    _TRIALS: 'max_trials',
  },
  'ResizeRandomInterpolation': _SIDES,
}


def out_of_range(message: Message, prefix: str = '') -> dict[str, str]:
  """Finds the numbers that are not finite or out of their range, and lists that are too long.

  Args:
    message: a config or a part of it. A field that is not set counts with its default.
    prefix: the path of that part, such as 'model'.

  Returns:
    Path of the field -> fault.
  """
  faults = {}
  for number in _numbers(message, prefix):
    if number.is_excess:
      faults[number.path] = f'has more than {number.range.max_count} numbers; leave some out'
    elif number.value not in number.range:
      found = f'{number.value:g}' if isinstance(number.value, float) else number.value
      path = number.path if number.index is None else f'{number.path}[{number.index}]'
      faults[path] = f'is {found}; expected {number.range}'
  return faults


def within_range(message: _AnyMessage) -> _AnyMessage:
  """The message, or a copy whose numbers all are in their ranges, for other checks to go on with.

  Args:
    message: a config or a part of it.

  Returns:
    Itself where all are; else the copy, with a number close by where one is out of its range, and
    long lists cut.
  """
  if not out_of_range(message):
    return message
  copy = type(message)()
  copy.CopyFrom(message)
  for number in list(_numbers(copy, '')):
    name = number.field.name
    if number.is_excess:
      del getattr(number.message, name)[number.index :]
    elif number.value not in number.range:
      nearest = number.range.nearest(number.value, number.field.default_value or 0)
      if number.index is None:
        setattr(number.message, name, nearest)
      else:
        getattr(number.message, name)[number.index] = nearest
  return copy


def is_about(line: str, field: str) -> bool:
  """Whether a fault found in the copy of `within_range` comes from a number that is told already.

  Args:
    line: 'path of a field: fault'.
    field: the path of the number.
  """
  parent, _, name = field.rpartition('.')
  return field in line or (line.startswith(f'{parent}.') and name in line)


def ranges_of(message: str) -> dict[str, Range]:
  """The ranges of a message's numbers.

  Args:
    message: its name, such as 'Ssd'.

  Returns:
    Name of the field -> range; of some fields too that only messages of its kind have.
  """
  ranges = _RANGES.get(message, {})
  return {name: numbers for numbers, names in ranges.items() for name in names.split()}


class _Number(NamedTuple):
  """A number of a message: of a list, or of a map, the one at index."""

  message: Message
  field: FieldDescriptor
  path: str
  index: int | str | None
  value: float
  range: Range

  @property
  def is_excess(self):
    return self.index == self.range.max_count


def _numbers(message, prefix) -> Iterator[_Number]:
  """Those of messages within it too. What has no effect, or is refused, has only to be finite."""
  ranges = ranges_of(message.DESCRIPTOR.name)
  for field in message.DESCRIPTOR.fields:
    path = f'{prefix}.{field.name}' if prefix else field.name
    value = getattr(message, field.name)
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    kind = field.message_type.fields_by_name['value'] if is_map else field
    if kind.cpp_type in NUMBER_TYPES:
      numbers = ranges.get(field.name, _ANY)
      if is_map:
        items = value.items()
      else:
        items = enumerate(value) if hasattr(value, 'append') else [(None, value)]
      for index, item in itertools.islice(items, numbers.max_count + 1):
        yield _Number(message, field, path, index, item, numbers)
    elif kind.message_type is not None and not is_map:
      if hasattr(value, 'add'):
        for index, item in enumerate(value):
          yield from _numbers(item, f'{path}[{index}]')
      elif message.HasField(field.name):
        yield from _numbers(value, path)
