"""The training step, and the loop that orbit's Controller drives."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping

import keras
import orbit
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.training.moving_average import MovingAverage
from ssd_tf.training.stages import Stages

NON_FINITE = 'The loss is not finite'
NUM_INPUT_IMAGES = 3


@dataclasses.dataclass(frozen=True)
class LabelCurves:
  """What the curves of partial labels are made of, see `ops.objective`.

  Attributes:
    count_labels: (targets, batch) -> f32[2, K].
    masked_losses: (outputs, targets, batch) -> f32[2, K].
    class_names: class id -> name.
    interval: steps between the points.
  """

  count_labels: Callable
  masked_losses: Callable
  class_names: Mapping[int, str]
  interval: int


class Trainer(orbit.StandardTrainer):
  """Trains an SSD: forward, targets, losses, gradients summed over replicas, one update.

  The losses are divided by the matches of the whole global batch, so that the same global batch
  makes the same step on any number of replicas.

  Args:
    model: image f32[B,H,W,3] -> class_logits, box_encodings; made under `strategy`.
    optimizer: a Keras optimizer, made under `strategy`. Its `iterations` are the global step.
    dataset: distributed global batches, endless; keys of `fields`.
    assign_targets: batch -> Targets.
    compute_losses: (outputs, targets, batch, normalizer) -> {'localization_loss': f32[],
      'classification_loss': f32[]}, this replica's sums over the normalizer.
    num_matches: (targets, batch) -> f32[], this replica's part of the normalizer.
    strategy: that the model was made under.
    gradient_clipping_by_norm: largest norm of the whole gradient; 0 for no clipping.
    bias_grad_multiplier: the gradients of biases (not of batch norms) are multiplied by it, before
      the clipping; 0 to leave them.
    add_regularization_loss: whether the regularization is part of the total.
    label_curves: what the curves of partial labels are made of; None: they are not drawn.
    moving_average: of the trainable weights, updated after each step; None: there is none.
    stages: what trains from which step on; None: what does so now.
    forward: images -> the outputs in training, where `model` itself is not what makes them.

  After `train(num_steps)`, `measured` holds the losses of the last step, the learning rate of the
  next one and the steps per second, by tag.
  """

  def __init__(
    self,
    *,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    dataset: tf.data.Dataset,
    assign_targets: Callable,
    compute_losses: Callable,
    num_matches: Callable,
    strategy: tf.distribute.Strategy,
    gradient_clipping_by_norm: float = 0.0,
    bias_grad_multiplier: float = 0.0,
    add_regularization_loss: bool = True,
    label_curves: LabelCurves | None = None,
    moving_average: MovingAverage | None = None,
    stages: Stages | None = None,
    forward: Callable | None = None,
  ):
    # A Python loop around a compiled step: Ctrl-C is answered at once, and on a GPU the steps are
    # enqueued just as fast.
    super().__init__(dataset, orbit.StandardTrainerOptions(use_tf_while_loop=False))
    self.model = model
    self.optimizer = optimizer
    self.strategy = strategy
    self._assign_targets = assign_targets
    self._compute_losses = compute_losses
    self._num_matches = num_matches
    self.measured: dict[str, float] = {}
    self._clip = gradient_clipping_by_norm
    self._bias_grad_multiplier = bias_grad_multiplier
    self._regularize = add_regularization_loss
    self._label_curves = label_curves
    self._moving_average = moving_average
    self.stages = stages
    self._forward = forward or functools.partial(model, training=True)
    num_classes = model.output[fields.CLASS_LOGITS].shape[-1] - 1
    with strategy.scope():
      optimizer.build(stages.variables if stages else model.trainable_variables)
      self._last_losses = tf.Variable(tf.zeros([len(fields.LOSSES)]), trainable=False)
      # Since the last point of the curves.
      self._num_images = tf.Variable(0.0, trainable=False)
      self._labels_seen = tf.Variable(tf.zeros([2, num_classes]), trainable=False)
      self._masked_losses = tf.Variable(tf.zeros([2, num_classes]), trainable=False)

  @property
  def global_step(self) -> tf.Variable:
    """The number of updates made so far, i[]."""
    return self.optimizer.iterations.value

  def train_loop_begin(self) -> None:
    """Notes when the loop began, and what trains in it."""
    if self.stages is not None and self.stages.enter(int(self.global_step.numpy())):
      self._train_loop_fn = None  # So that orbit traces the step anew.
    self._began = (time.time(), int(self.global_step.numpy()))

  def train_step(self, iterator) -> None:
    """One update from one global batch."""
    batch = next(iterator)
    self._summarize_images(batch)
    losses, num_images, labels, masked = self.strategy.run(self._replica_step, args=(batch,))
    self._last_losses.assign(self.strategy.reduce('MEAN', losses, axis=None))
    self._num_images.assign_add(self.strategy.reduce('SUM', num_images, axis=None))
    self._labels_seen.assign_add(self.strategy.reduce('SUM', labels, axis=None))
    self._masked_losses.assign(self.strategy.reduce('SUM', masked, axis=None))
    if self._moving_average is not None:
      self._moving_average.update(self.global_step)

  def train_loop_end(self) -> None:
    """Measures the steps since `train_loop_begin`, and writes the curves.

    Orbit prints whatever is returned here twice, on top of the log of our own; so nothing is.
    """
    losses = dict(zip(fields.LOSSES, self._last_losses.numpy().tolist(), strict=True))
    seconds, steps = time.time() - self._began[0], int(self.global_step.numpy()) - self._began[1]
    self.measured = {
      **losses,
      'learning_rate': float(self.optimizer.learning_rate),
      'steps_per_sec': steps / max(seconds, 1e-9),
    }
    for tag, value in self.measured.items():
      tf.summary.scalar(tag, value, step=tf.cast(self.global_step, tf.int64))
    self._summarize_labels()

  def _replica_step(self, batch):
    replica = tf.distribute.get_replica_context()
    targets = self._assign_targets(batch)
    normalizer = replica.all_reduce('SUM', self._num_matches(targets, batch))
    normalizer = tf.maximum(normalizer, 1.0)
    variables = [variable.value for variable in self.model.trainable_variables]
    with tf.GradientTape() as tape:
      outputs = self._forward(batch[fields.IMAGE])
      parts = self._compute_losses(outputs, targets, batch, normalizer)
      regularization = tf.constant(0.0)
      if self._regularize and self.model.losses:
        # Every replica adds the same, and the gradients are summed.
        regularization = tf.add_n(self.model.losses) / replica.num_replicas_in_sync
      total = parts['localization_loss'] + parts['classification_loss'] + regularization
    losses = tf.stack(
      [parts['localization_loss'], parts['classification_loss'], regularization, total]
    )
    losses = replica.all_reduce('SUM', losses)
    with tf.control_dependencies([self._check_finite(losses, batch)]):
      gradients = tape.gradient(total, variables)
    gradients = self._clipped(self._with_scaled_biases(gradients), replica)
    self.optimizer.apply(gradients, self.model.trainable_variables)
    num_images = tf.reduce_sum(tf.cast(batch[fields.EXAMPLE_MASK], tf.float32))
    labels = masked = tf.zeros_like(self._labels_seen)
    curves = self._label_curves
    if curves is not None:
      labels = curves.count_labels(targets, batch)
      # A sample is enough: the last batch before each point.
      masked = tf.cond(
        self.global_step % curves.interval == 0,  # The update is made already.
        lambda: curves.masked_losses(outputs, targets, batch),
        lambda: tf.zeros_like(labels),
      )
    return losses, num_images, labels, masked

  def _check_finite(self, losses, batch):
    """Fails the step before its update; every replica sees the same losses, so all of them do."""
    shown = [NON_FINITE, 'step', self.global_step]
    for name, loss in zip(fields.LOSSES, tf.unstack(losses), strict=True):
      shown += [name, loss]
    shown += ['source ids', batch[fields.SOURCE_ID]]
    return tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(losses)), shown, summarize=64)

  def _with_scaled_biases(self, gradients):
    if not self._bias_grad_multiplier:
      return gradients
    return [
      gradient * self._bias_grad_multiplier if variable.name == 'bias' else gradient
      for gradient, variable in zip(gradients, self.model.trainable_variables, strict=True)
    ]

  def _clipped(self, gradients, replica):
    if not self._clip:
      return gradients  # The optimizer sums them over the replicas.
    gradients = replica.all_reduce('SUM', gradients)
    gradients, _ = tf.clip_by_global_norm(gradients, self._clip)
    # The norm is that of the sum, which the optimizer makes again.
    return [gradient / replica.num_replicas_in_sync for gradient in gradients]

  def _summarize_labels(self):
    """Writes what the labels since the last point taught of each class, if some were partial."""
    if self._label_curves is None:
      return
    num_images = self._num_images.numpy()
    labeled, positives = self._labels_seen.numpy()
    masked, losses = self._masked_losses.numpy()
    names = self._label_curves.class_names
    if any(labeled[class_id - 1] < num_images for class_id in names):
      step = tf.cast(self.global_step, tf.int64)
      for class_id, name in names.items():
        i = class_id - 1
        tf.summary.scalar(f'PartialLabels/labeled_images/{name}', labeled[i], step=step)
        tf.summary.scalar(f'PartialLabels/positives/{name}', positives[i], step=step)
        share = masked[i] / max(losses[i], 1e-9)
        tf.summary.scalar(f'PartialLabels/masked_share_of_loss/{name}', share, step=step)
    self._num_images.assign(0.0)
    self._labels_seen.assign(tf.zeros_like(self._labels_seen))

  def _summarize_images(self, batch):
    images = self.strategy.experimental_local_results(batch[fields.IMAGE])[0][:NUM_INPUT_IMAGES]
    low, high = tf.reduce_min(images), tf.reduce_max(images)
    tf.summary.image(
      'train_input_images',
      (images - low) / tf.maximum(high - low, 1e-6),
      step=tf.cast(self.global_step, tf.int64),
      max_outputs=NUM_INPUT_IMAGES,
    )
