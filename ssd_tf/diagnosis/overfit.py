"""Whether a config's model can learn a few images by heart: if not, no amount of data helps it."""

import contextlib
import dataclasses
import io
import math
from collections.abc import Sequence

import keras
import tensorflow as tf
from absl import logging

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.diagnosis.training_start import enter_first_stage
from ssd_tf.errors import InputError
from ssd_tf.evaluation.coco_metrics import CocoEvaluator
from ssd_tf.models.normalization import FusedBatchNormalization
from ssd_tf.ops.schedules import cosine_schedule
from ssd_tf.run.fine_tuning import load_fine_tune_checkpoint
from ssd_tf.training import optimizers
from ssd_tf.training.trainer import NON_FINITE, NON_FINITE_GRADIENT, Trainer

WANTED_AP = 0.9
AP50 = 'DetectionBoxes_Precision/mAP@.50IOU'
_NUM_POINTS = 15
# The same images in every step: statistics need not be drawn out.
_BATCH_NORM_DECAY = 0.9


@dataclasses.dataclass(frozen=True)
class Point:
  """Of the curve.

  Attributes:
    step: number of updates made.
    losses: by the names of `fields.LOSSES`, of that step.
    ap50: AP at IoU 0.5 on the images.
  """

  step: int
  losses: dict[str, float]
  ap50: float


@dataclasses.dataclass(frozen=True)
class LearnedByHeart:
  """How it went.

  Attributes:
    num_images: that were to be learned.
    num_objects: in them.
    curve: the last point is of the last step that could be made.
    is_finite: False if the loss was not finite after the last point.
    trainable_share: share of the parameters that train.
  """

  num_images: int
  num_objects: int
  curve: Sequence[Point]
  is_finite: bool
  trainable_share: float

  @property
  def passed(self) -> bool:
    """Whether they are known by heart."""
    return self.is_finite and self.curve[-1].ap50 > WANTED_AP

  @property
  def num_steps(self) -> int:
    """The number of updates made."""
    return self.curve[-1].step if self.curve else 0


def learn_by_heart(
  pipeline: Pipeline,
  *,
  num_images: int = 8,
  num_steps: int = 300,
  learning_rate: float | None = None,
) -> LearnedByHeart:
  """Trains on the first training images that have objects, as one batch, until they are known.

  Model, losses, checkpoint and freezing are the config's. There is no augmentation; Adam, its rate
  and the decay of the batch norms' statistics are chosen for so short a training. Progress is
  logged.

  Args:
    pipeline: the config.
    num_images: to be learned.
    num_steps: limit of the steps; it ends before if AP at IoU 0.5 exceeds 0.9.
    learning_rate: the highest; None: 0.001, for VGG-16 0.0001.

  Returns:
    How it went.

  Raises:
    InputError: config, data or checkpoint are at fault.
  """
  config = pipeline.config
  keras.utils.set_random_seed(config.train_config.seed)
  detector = builders.build_detector(config.model, is_training=True)
  if config.train_config.fine_tune_checkpoint:
    load_fine_tune_checkpoint(pipeline, detector.model)
  num_parameters = _count(detector.model)
  enter_first_stage(config, detector.model)
  for layer in detector.model.layers:
    if isinstance(layer, FusedBatchNormalization):
      layer.momentum = min(layer.momentum, _BATCH_NORM_DECAY)
  batch = _first_images(pipeline, detector, num_images)
  if learning_rate is None:
    learning_rate = 1e-4 if 'vgg' in config.model.ssd.feature_extractor.type else 1e-3
  trainer = _trainer(config, detector, batch, num_steps, learning_rate)
  names = sorted(pipeline.class_names.items())
  curve, is_finite = _train(trainer, detector, batch, num_steps, names)
  return LearnedByHeart(
    num_images=int(tf.reduce_sum(tf.cast(batch[fields.EXAMPLE_MASK], tf.int32))),
    num_objects=int(tf.reduce_sum(tf.cast(batch[fields.GROUNDTRUTH_MASK], tf.int32))),
    curve=curve,
    is_finite=is_finite,
    trainable_share=_count(detector.model) / num_parameters,
  )


def likely_causes(result: LearnedByHeart) -> str:
  """What to look at where the images are not known by heart, told by what the losses did."""
  if not result.is_finite:
    return 'Look at the data checks (boxes without area), the checkpoint and the initializers.'
  first, last = result.curve[0].losses, result.curve[-1].losses

  def fell(name):
    return last[name] < 0.2 * first[name] or last[name] < 0.05

  others = last[fields.LOCALIZATION_LOSS] + last[fields.CLASSIFICATION_LOSS]
  if last[fields.REGULARIZATION_LOSS] > others > 0.2:
    return 'Regularization outweighs the rest: lower the l2_regularizer of the conv_hyperparams.'
  if result.trainable_share < 0.1:
    return (
      f'Only {result.trainable_share:.1%} of the parameters train: look at train_config.freeze and '
      'freeze_variables.'
    )
  if fell(fields.CLASSIFICATION_LOSS) and fell(fields.LOCALIZATION_LOSS):
    return (
      'The losses fell, so look at what comes after: model.ssd.post_processing (score_converter, '
      'score_threshold, iou_threshold), two labels on one box, and objects smaller than a cell.'
    )
  if fell(fields.CLASSIFICATION_LOSS):
    return (
      'Localization did not fall: look at the anchors, the box_coder and the localization_loss.'
    )
  if fell(fields.LOCALIZATION_LOSS):
    return (
      'Classification did not fall: look at the labels, class_prediction_bias_init, the '
      'classification_loss and hard_example_miner.'
    )
  return (
    'Neither loss fell: look at the checkpoint, freezing, and the initializers and batch_norm '
    'of the conv_hyperparams; or give it more steps, --overfit_steps.'
  )


def _count(model):
  return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def _first_images(pipeline, detector, num_images):
  """A batch of the first training images that have objects."""
  with builders.explained_record_errors(pipeline, training=True, evaluation=False):
    dataset = builders.build_eval_dataset(pipeline, detector, on_train_data=True)
    with_objects = dataset.unbatch().filter(lambda example: _has_objects(example))
    batch = next(iter(with_objects.take(num_images).batch(num_images)), None)
  if batch is None:
    raise InputError('train_input_reader: no image has an object; there is nothing to learn')
  return batch


def _has_objects(example):
  crowd = example[fields.GROUNDTRUTH_IS_CROWD] | example[fields.GROUNDTRUTH_GROUP_OF]
  return tf.reduce_any(example[fields.GROUNDTRUTH_MASK] & ~crowd)


def _trainer(config, detector, batch, num_steps, learning_rate):
  schedule = cosine_schedule(
    learning_rate_base=learning_rate,
    # Not down to 0: the last steps are to learn, too.
    total_steps=2 * num_steps,
    warmup_learning_rate=0.1 * learning_rate,
    warmup_steps=max(1, num_steps // 20),
  )
  return Trainer(
    detectors={detector.image_size: detector},
    optimizer=keras.optimizers.Adam(optimizers.KerasSchedule(schedule), epsilon=1e-8),
    dataset=tf.data.Dataset.from_tensors(batch).repeat(),
    strategy=tf.distribute.get_strategy(),
    gradient_clipping_by_norm=10.0,
    add_regularization_loss=config.train_config.add_regularization_loss,
  )


def _train(trainer, detector, batch, num_steps, names):
  """(the curve, whether loss and gradient were finite)."""
  detect = tf.function(
    lambda images: detector.postprocess(
      detector.model(images, training=False), batch[fields.TRUE_SIZE]
    ),
    autograph=False,
  )
  curve, every = [], max(1, num_steps // _NUM_POINTS)
  # The first point is of the first step: what the losses fall from.
  for step in sorted({1, *range(every, num_steps, every), num_steps}):
    try:
      trainer.train(tf.constant(step - int(trainer.global_step)))
    except tf.errors.InvalidArgumentError as error:
      if not any(fault in str(error) for fault in (NON_FINITE, NON_FINITE_GRADIENT)):
        raise
      return curve, False
    losses = {name: trainer.measured[name] for name in fields.LOSSES}
    curve.append(Point(step, losses, _ap50(batch, detect, names)))
    logging.info(
      'Learning by heart: step %d of %d, AP at IoU 0.5 %.3f, %s.',
      step,
      num_steps,
      curve[-1].ap50,
      ', '.join(f'{name} {loss:.4f}' for name, loss in losses.items()),
    )
    if curve[-1].ap50 > WANTED_AP:
      break
  return curve, True


def _ap50(batch, detect, names):
  evaluator = CocoEvaluator(names, split='learned by heart')
  evaluator.update(batch, detect(batch[fields.IMAGE]))
  with contextlib.redirect_stdout(io.StringIO()):
    return evaluator.result()[AP50]
