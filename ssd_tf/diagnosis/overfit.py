"""Tests whether a config's model can overfit a few images; if it cannot, no data will help."""

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf
from absl import logging

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.diagnosis.start import TrainingStart
from ssd_tf.errors import InputError
from ssd_tf.evaluation.coco_metrics import CocoEvaluator
from ssd_tf.models.normalization import FusedBatchNormalization
from ssd_tf.ops.schedules import cosine_schedule
from ssd_tf.training import optimizers
from ssd_tf.training.trainer import NON_FINITE, NON_FINITE_GRADIENT, Trainer

WANTED_AP = 0.9
AP50 = 'DetectionBoxes_Precision/mAP@.50IOU'
_NUM_POINTS = 15
# The same images in every step: statistics need not be drawn out.
_BATCH_NORM_DECAY = 0.9


@dataclasses.dataclass(frozen=True)
class Point:
  """The losses of a step, by the names of `fields.LOSSES`, and AP at IoU 0.5 on the images."""

  step: int
  losses: dict[str, float]
  ap50: float


@dataclasses.dataclass(frozen=True)
class Overfitting:
  """How overfitting a few images went.

  Attributes:
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
  def succeeded(self) -> bool:
    """Whether the images are overfit."""
    return self.is_finite and self.curve[-1].ap50 > WANTED_AP

  @property
  def num_steps(self) -> int:
    """The number of updates made."""
    return self.curve[-1].step if self.curve else 0


def overfit(
  pipeline: Pipeline,
  *,
  num_images: int = 8,
  num_steps: int = 300,
  learning_rate: float | None = None,
) -> Overfitting:
  """Trains on the first training images that have objects, as one batch, until they are overfit.

  Model, losses, checkpoint and freezing are the config's. There is no augmentation; Adam, its rate
  and the decay of the batch norms' statistics are chosen for so short a training. Progress is
  logged.

  Args:
    num_steps: limit of the steps; it ends before if AP at IoU 0.5 exceeds 0.9.
    learning_rate: the highest; None: 0.001, for VGG-16 0.0001.

  Raises:
    InputError: config, data or checkpoint are at fault.
  """
  config = pipeline.config
  keras.utils.set_random_seed(config.train_config.seed)
  start = TrainingStart(pipeline)
  if start.refusal:
    raise InputError(start.refusal)
  detector = start.detector
  for layer in detector.model.layers:
    if isinstance(layer, FusedBatchNormalization):
      layer.momentum = min(layer.momentum, _BATCH_NORM_DECAY)
  batch = _first_images(pipeline, detector, num_images)
  if learning_rate is None:
    learning_rate = 1e-4 if 'vgg' in config.model.ssd.feature_extractor.type else 1e-3
  trainer = _trainer(config, detector, batch, num_steps, learning_rate)
  names = sorted(pipeline.class_names.items())
  curve, is_finite = _train(trainer, detector, batch, num_steps, names)
  return Overfitting(
    num_images=int(tf.reduce_sum(tf.cast(batch[fields.EXAMPLE_MASK], tf.int32))),
    num_objects=int(tf.reduce_sum(tf.cast(batch[fields.GROUNDTRUTH_MASK], tf.int32))),
    curve=curve,
    is_finite=is_finite,
    trainable_share=sum(start.sizes[path] for path in start.trainable) / sum(start.sizes.values()),
  )


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
      'Overfitting: step %d of %d, AP at IoU 0.5 %.3f, %s.',
      step,
      num_steps,
      curve[-1].ap50,
      ', '.join(f'{name} {loss:.4f}' for name, loss in losses.items()),
    )
    if curve[-1].ap50 > WANTED_AP:
      break
  return curve, True


def _ap50(batch, detect, names):
  evaluator = CocoEvaluator(names, split='overfit')
  evaluator.update(batch, detect(batch[fields.IMAGE]))
  return evaluator.result()[AP50]
