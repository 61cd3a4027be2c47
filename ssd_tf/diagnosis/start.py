"""Builds the network as a training starts with it: loads, freezes, and runs its first batch."""

import functools

import keras
import numpy as np
import tensorflow as tf

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.models.box_predictor import NO_BACKGROUND
from ssd_tf.models.normalization import FusedBatchNormalization
from ssd_tf.ops.target_assigner import Targets
from ssd_tf.pretrained.layer_groups import BACKBONE, CLASS_HEADS, group_of
from ssd_tf.pretrained.load_report import LoadReport
from ssd_tf.run.fine_tuning import load_fine_tune_checkpoint
from ssd_tf.run.fine_tuning_risks import Risk, find_risks
from ssd_tf.run.training_state import build_stages

_BATCH_SIZE = 8
_SHUFFLE_BUFFER_SIZE = 64


class TrainingStart:
  """The network of a training before its first step; each part is made when first asked for, once.

  Attributes:
    detector: with the weights that the training starts from.
    sizes: path -> number of values, of the variables that would train if nothing were frozen.
    report: what train_config.fine_tune_checkpoint gave; None where there is none or it was refused.
    refusal: why it was refused, or why nothing is left to train; '' otherwise.
    trainable: paths of the variables that train at first.
    ever_trainable: those that do in any stage.
  """

  def __init__(self, pipeline: Pipeline):
    """Builds the network, loads the checkpoint and freezes.

    Raises:
      InputError: the network cannot be built.
    """
    self._pipeline, config = pipeline, pipeline.config
    self.detector = builders.build_detector(config.model, is_training=True)
    self.sizes = {v.path: int(np.prod(v.shape)) for v in self.model.trainable_variables}
    self.report: LoadReport | None = None
    self.refusal = ''
    try:
      if config.train_config.fine_tune_checkpoint:
        self.report = load_fine_tune_checkpoint(pipeline, self.model)
      stages = build_stages(config, self.model)
      stages.enter(0)
      self.ever_trainable = frozenset(variable.path for variable in stages.variables)
    except InputError as error:
      self.refusal, self.ever_trainable = str(error), frozenset()
    self.trainable = frozenset(v.path for v in self.model.trainable_variables)
    # Of the first batch norm, before a batch moves them.
    self._statistics = [
      (layer.moving_mean.numpy(), layer.moving_variance.numpy()) for layer in self._batch_norms[:1]
    ]

  @property
  def model(self) -> keras.Model:
    """The detector's network."""
    return self.detector.model

  @property
  def has_backbone(self) -> bool:
    """Whether a checkpoint brought the backbone."""
    return self._brought(BACKBONE)

  @property
  def has_class_heads(self) -> bool:
    """Whether a checkpoint brought the class heads."""
    return self._brought(CLASS_HEADS)

  def risks(self, num_images: int) -> list[Risk]:
    """What fine-tuning on so many images risks; empty where no checkpoint is loaded."""
    if self.report is None:
      return []
    config = self._pipeline.config
    return [*find_risks(config, self.model, self.report, self.ever_trainable, num_images)]

  @property
  def batch_norm_decays(self) -> list[float]:
    """Of the moving statistics of each batch norm that updates them."""
    return [layer.momentum for layer in self._batch_norms if layer.trainable and not layer.frozen]

  @functools.cached_property
  def batch(self) -> dict[str, tf.Tensor]:
    """The first training batch, augmented, of at most 8 examples.

    Raises:
      InputError: the config or a record is at fault.
    """
    small = self._pipeline.copy_config()
    small.train_config.batch_size = min(_BATCH_SIZE, small.train_config.batch_size)
    for reader in small.train_input_reader:
      reader.shuffle_buffer_size = min(_SHUFFLE_BUFFER_SIZE, reader.shuffle_buffer_size)
    pipeline = self._pipeline.with_config(small)
    with builders.explained_record_errors(pipeline, training=True, evaluation=False):
      return next(iter(builders.build_train_dataset(pipeline, self.detector)))

  @functools.cached_property
  def targets(self) -> Targets:
    """Of the first batch."""
    return self.detector.assign_targets(self.batch)

  @functools.cached_property
  def class_logits(self) -> tf.Tensor:
    """f32[B,A,K+1] of the first batch, by its own batch statistics."""
    return self._first_step[0]

  @property
  def losses(self) -> dict[str, float]:
    """{'localization_loss', 'classification_loss'} of the first batch."""
    return self._first_step[1]

  @property
  def gradient_norm(self) -> float:
    """Of the whole gradient of the first batch, with regularization if the config adds it."""
    return self._first_step[2]

  @functools.cached_property
  def regularization(self) -> float:
    """The regularization loss of the weights that train."""
    return float(tf.add_n(self.model.losses)) if self.model.losses else 0.0

  @property
  def class_bias(self) -> float:
    """What the class heads' bias starts at, if nothing is loaded into it."""
    predictor = self._pipeline.config.model.ssd.box_predictor
    return getattr(
      predictor, predictor.WhichOneof('box_predictor_oneof')
    ).class_prediction_bias_init

  @functools.cached_property
  def expected_losses(self) -> dict[str, float]:
    """The losses of the first batch where all logits are the bias, and all boxes their anchors."""
    logits = tf.fill(tf.shape(self.class_logits), self.class_bias)
    if not self._pipeline.config.model.ssd.add_background_class:
      logits = tf.concat([tf.fill(tf.shape(logits[..., :1]), NO_BACKGROUND), logits[..., 1:]], 2)
    encodings = tf.zeros([*logits.shape[:2], self.targets.box_targets.shape[-1]])
    outputs = {fields.CLASS_LOGITS: logits, fields.BOX_ENCODINGS: encodings}
    losses = self.detector.compute_losses(outputs, self.targets, self.batch)
    return {name: float(loss) for name, loss in losses.items()}

  @functools.cached_property
  def first_normalized(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Of what the first batch norm normalizes; None where there is no batch norm.

    Returns:
      f32[C] each: moving mean, moving variance, and the mean square of the distance from that
      mean in the first batch.
    """
    if not self._batch_norms:
      return None
    up_to_there = keras.Model(self.model.input, self._batch_norms[0].input)
    features = up_to_there(self.batch[fields.IMAGE], training=False)
    mean, variance = self._statistics[0]
    distance = np.square(np.asarray(features, np.float32) - mean).mean(axis=(0, 1, 2))
    return mean, variance, distance

  @property
  def _batch_norms(self):
    return [layer for layer in self.model.layers if isinstance(layer, FusedBatchNormalization)]

  def _brought(self, group):
    return self.report is not None and any(group_of(p) == group for p in self.report.loaded)

  @functools.cached_property
  def _first_step(self):
    """(class logits, losses, norm of the gradient) of the first batch, without an update."""
    settings = self._pipeline.config.train_config
    variables = [variable.value for variable in self.model.trainable_variables]
    with tf.GradientTape() as tape:
      outputs = self.model(self.batch[fields.IMAGE], training=True)
      parts = self.detector.compute_losses(outputs, self.targets, self.batch)
      total = tf.add_n(list(parts.values()))
      if settings.add_regularization_loss and self.model.losses:
        total += tf.add_n(self.model.losses)
    norm = 0.0
    if settings.gradient_clipping_by_norm:
      norm = float(tf.linalg.global_norm(tape.gradient(total, variables)))
    return outputs[fields.CLASS_LOGITS], {k: float(v) for k, v in parts.items()}, norm
