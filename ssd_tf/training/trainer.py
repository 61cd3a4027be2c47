"""Runs the training step, and the loop of several steps."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping

import keras
import orbit
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.detector import SsdDetector
from ssd_tf.ops import objective
from ssd_tf.ops.size_draws import Size, SizeDraws
from ssd_tf.training.gradient_accumulation import MicroBatches
from ssd_tf.training.label_curves import LabelCurves
from ssd_tf.training.loss_scale import LossScale
from ssd_tf.training.loss_watch import COUNTS, IMAGES, LossWatch
from ssd_tf.training.moving_average import MovingAverage
from ssd_tf.training.non_finite_batch import NonFiniteBatch
from ssd_tf.training.regularization import regularization_losses
from ssd_tf.training.stages import Stages

NON_FINITE = 'The loss is not finite'
# Also where the gradient itself is finite, but above about 1e19, whose square float32 cannot hold.
NON_FINITE_GRADIENT = 'The norm of the gradient is not finite'
NON_FINITE_AT_LEAST_SCALE = f'{NON_FINITE_GRADIENT} at a loss scale of 1'
NUM_INPUT_IMAGES = 3
INPUT_HEIGHT = 'input_height'  # The curve of the drawn sizes.


class Trainer(orbit.StandardTrainer):
  """Trains an SSD: forward, targets, losses, gradients summed over replicas, one update.

  The losses are divided by the matches of the whole global batch, so that the same global batch
  makes the same step on any number of replicas.

  Args:
    detectors: by the (height, width) of their images; all of them have the same weights, made under
      `strategy`.
    optimizer: a Keras optimizer, made under `strategy`. Its `iterations` are the global step.
    dataset: distributed global batches, endless; keys of `fields`.
    gradient_clipping_by_norm: largest norm of the whole gradient; 0 for no clipping.
    bias_grad_multiplier: the gradients of biases (not of batch norms) are multiplied by it, before
      the clipping; 0 to leave them.
    moving_average: of the trainable weights, updated after each step; None: there is none.
    draws: the size of each step, as the dataset's batches have them; None: there is one detector
      only. A step is compiled for each size: with static shapes, and with that size's anchors.
    batches_per_step: batches that make one step together, the step of one batch of all of them:
      the losses are normalized by the matches of all, and the regularization counts once. They go
      through the network one after the other, in the memory of one. Only batch norms tell the
      difference: each batch is normalized by its own statistics, and moves the moving ones; those
      that are frozen do not.

  After `train(num_steps)`, `measured` holds the losses of the last step, the learning rate of the
  next one and the steps per second, by tag; after a failed step, `non_finite_batch` its batch.
  `after_step` is called after each step; where it gives False, no further one begins.
  """

  def __init__(
    self,
    *,
    detectors: Mapping[Size, SsdDetector],
    optimizer: keras.optimizers.Optimizer,
    dataset: tf.data.Dataset,
    strategy: tf.distribute.Strategy,
    gradient_clipping_by_norm: float = 0.0,
    bias_grad_multiplier: float = 0.0,
    add_regularization_loss: bool = True,
    label_curves: LabelCurves | None = None,
    moving_average: MovingAverage | None = None,
    stages: Stages | None = None,
    draws: SizeDraws | None = None,
    batches_per_step: int = 1,
    loss_scale: LossScale | None = None,
    loss_watch: LossWatch | None = None,
  ):
    super().__init__(dataset)
    self.detectors = detectors
    self.model = next(iter(detectors.values())).model
    self.optimizer = optimizer
    self.strategy = strategy
    self.measured: dict[str, float] = {}
    self._clip = gradient_clipping_by_norm
    self._bias_grad_multiplier = bias_grad_multiplier
    self._regularize = add_regularization_loss
    self._label_curves = label_curves
    self._moving_average = moving_average
    self.stages = stages
    self._draws = draws
    self._compiled_steps: dict[Size, Callable] = {}
    self._batches_per_step = batches_per_step
    self._loss_scale = loss_scale
    self.after_step: Callable[[], bool] = lambda: True
    self.loss_watch = loss_watch
    self.non_finite_batch = NonFiniteBatch()
    num_classes = self.model.output[fields.CLASS_LOGITS].shape[-1] - 1
    with strategy.scope():
      optimizer.build(stages.variables if stages else self.model.trainable_variables)
      self._last_losses = tf.Variable(tf.zeros([len(fields.LOSSES)]), trainable=False)
      # Since the loop began.
      self._loss_sums = tf.Variable(tf.zeros([len(fields.LOSSES)]), trainable=False)
      self._counts = tf.Variable(tf.zeros([len(COUNTS)]), trainable=False)
      self._labels_seen = tf.Variable(tf.zeros([2, num_classes]), trainable=False)
      self._masked_losses = tf.Variable(tf.zeros([2, num_classes]), trainable=False)

  @property
  def global_step(self) -> tf.Variable:
    """The number of updates made so far, i[]."""
    return self.optimizer.iterations.value

  def train_loop_begin(self) -> None:
    """Notes when the loop began, and what trains in it."""
    if self.stages is not None and self.stages.enter(int(self.global_step.numpy())):
      self._compiled_steps.clear()  # So that they are traced anew.
    self._began = (time.time(), int(self.global_step.numpy()))

  def create_train_loop_fn(self) -> Callable:
    """A Python loop around compiled steps.

    So a signal is answered after the step in progress, and on a GPU the steps are enqueued just as
    fast.
    """

    def loop(iterator, num_steps):
      first = int(self.global_step.numpy())
      for step in range(first, first + int(num_steps)):
        self._compiled_step(self._size_at(step))(iterator)
        if not self.after_step():
          break

    return loop

  def train_step(self, iterator: Iterator, size: Size | None = None) -> None:
    """Computes one update from one or several global batches of images of a (height, width)."""
    size = size or self._size_at(0)
    batches = [next(iterator) for _ in range(self._batches_per_step)]
    self._summarize_images(batches[0])
    replica_step = functools.partial(self._replica_step, size)
    sums, gradients, is_bad = self.strategy.run(replica_step, args=(batches,))
    if self._loss_scale is not None:
      self._loss_scale.apply(
        tf.equal(self.strategy.reduce('SUM', is_bad, axis=None), 0),
        update=lambda: self.strategy.run(self._apply, args=(gradients,)),
        leave_out=lambda: self.global_step.assign_add(1),
      )
    losses = self.strategy.reduce('SUM', sums['losses'], axis=None)
    self._last_losses.assign(losses)
    self._loss_sums.assign_add(losses)
    self._counts.assign_add(self.strategy.reduce('SUM', sums['counts'], axis=None))
    self._labels_seen.assign_add(self.strategy.reduce('SUM', sums['labels'], axis=None))
    self._masked_losses.assign(self.strategy.reduce('SUM', sums['masked'], axis=None))
    if self._moving_average is not None:
      self._moving_average.update(self.global_step)

  def train_loop_end(self) -> None:
    """Measures the steps since `train_loop_begin`, and writes the curves."""
    self.measured = self.measure()
    for tag, value in self.measured.items():
      tf.summary.scalar(tag, value, step=tf.cast(self.global_step, tf.int64))
    counts = dict(zip(COUNTS, self._counts.numpy().tolist(), strict=True))
    if self.loss_watch is not None:
      sums = dict(zip(fields.LOSSES, self._loss_sums.numpy().tolist(), strict=True))
      step = int(self.global_step.numpy())
      self.loss_watch.add(step, sums, None if self._label_curves is None else counts)
    if self._label_curves is not None:
      self._label_curves.write(
        int(self.global_step.numpy()),
        counts[IMAGES],
        self._labels_seen.numpy(),
        self._masked_losses.numpy(),
      )
    if self._draws is not None:
      step = self.global_step.numpy()
      tf.summary.scalar(INPUT_HEIGHT, self._draws.size(step - 1)[0], step=step)
    for sums in (self._loss_sums, self._counts, self._labels_seen):
      sums.assign(tf.zeros_like(sums))

  def measure(self) -> dict[str, float]:
    """What `measured` is to hold, of the step that was made last."""
    seconds, steps = time.time() - self._began[0], int(self.global_step.numpy()) - self._began[1]
    measured = {
      **dict(zip(fields.LOSSES, self._last_losses.numpy().tolist(), strict=True)),
      'learning_rate': float(self.optimizer.learning_rate),
      'steps_per_sec': steps / max(seconds, 1e-9),
    }
    if self._loss_scale is not None:
      measured['loss_scale'] = float(self._loss_scale.scale.numpy())
      measured['skipped_steps'] = float(self._loss_scale.num_skipped.numpy())
    return measured

  def _size_at(self, step):
    return next(iter(self.detectors)) if self._draws is None else self._draws.size(step)

  def _compiled_step(self, size):
    if size not in self._compiled_steps:
      # No Python control flow depends on a tensor: AutoGraph would find nothing to convert.
      self._compiled_steps[size] = tf.function(
        functools.partial(self.train_step, size=size), autograph=False
      )
    return self._compiled_steps[size]

  def _replica_step(self, size, batches):
    """(sums over the batches, gradients, 1 if their norm is not finite, else 0).

    The update is made already, unless the loss is scaled.
    """
    replica = tf.distribute.get_replica_context()
    detector = self.detectors[size]
    batches = [_with_size(batch, size) for batch in batches]
    micro_batches = MicroBatches(batches)
    # Of several batches the targets are made anew when their turn comes, not kept.
    known = detector.assign_targets(batches[0]) if micro_batches.count == 1 else None

    def targets_of(batch):
      return detector.assign_targets(batch) if known is None else known

    part = micro_batches.sum(
      lambda batch: detector.objective.normalizer_part(targets_of(batch), batch), tf.constant(0.0)
    )
    normalizer = tf.maximum(replica.all_reduce('SUM', part), 1.0)
    variables = self.model.trainable_variables
    zeros = {
      'losses': tf.zeros_like(self._last_losses),
      'counts': tf.zeros_like(self._counts),
      'labels': tf.zeros_like(self._labels_seen),
      'masked': tf.zeros_like(self._labels_seen),
      'gradients': [tf.zeros_like(variable.value) for variable in variables],
    }
    sums = micro_batches.sum(
      lambda batch: self._sums_of(detector, batch, targets_of(batch), normalizer), zeros
    )
    gradients, fits = self._clipped(self._with_scaled_biases(sums.pop('gradients')), replica)
    with tf.control_dependencies([self._check_finite(sums['losses'], fits, batches, replica)]):
      gradients = [tf.identity(gradient) for gradient in gradients]
    if self._loss_scale is None:
      self._apply(gradients)
      return sums, [], tf.constant(0)
    return sums, gradients, tf.cast(tf.logical_not(fits), tf.int32)

  def _sums_of(self, detector, batch, targets, normalizer):
    """This replica's losses, gradients and counts of a batch."""
    num_parts = self._batches_per_step * self.strategy.num_replicas_in_sync
    scale = tf.constant(1.0) if self._loss_scale is None else self._loss_scale.scale
    with tf.GradientTape() as tape:
      outputs = detector.model(batch[fields.IMAGE], training=True)
      parts = detector.compute_losses(outputs, targets, batch, normalizer)
      regularization = tf.constant(0.0)
      if self._regularize:
        # Every part adds the same, and the gradients are summed.
        regularization = sum(regularization_losses(self.model), regularization) / num_parts
      total = parts['localization_loss'] + parts['classification_loss'] + regularization
      scaled = total * scale
    variables = [variable.value for variable in self.model.trainable_variables]
    gradients = tape.gradient(scaled, variables, unconnected_gradients='zero')
    num_images = tf.reduce_sum(tf.cast(batch[fields.EXAMPLE_MASK], tf.float32))
    num_boxes = num_positives = tf.constant(0.0)
    labels = masked = tf.zeros_like(self._labels_seen)
    curves = self._label_curves
    if curves is not None:
      labels = objective.count_labels(targets, batch)
      num_boxes = tf.reduce_sum(tf.cast(batch[fields.GROUNDTRUTH_MASK], tf.float32))
      num_positives = tf.reduce_sum(labels[1])
      # A sample is enough: the last step before each point.
      masked = tf.cond(
        (self.global_step + 1) % curves.interval == 0,
        lambda: detector.objective.masked_losses(outputs, targets, batch),
        lambda: tf.zeros_like(labels),
      )
    return {
      'losses': tf.stack(
        [parts['localization_loss'], parts['classification_loss'], regularization, total]
      ),
      'counts': tf.stack([num_images, num_boxes, num_positives]),
      'labels': labels,
      'masked': masked,
      'gradients': [gradient / scale for gradient in gradients],
    }

  def _apply(self, gradients):
    """Computes a replica's part of the update."""
    self.optimizer.apply(gradients, self.model.trainable_variables)

  def _check_finite(self, losses, fits, batches, replica):
    """Fails the step before its update; every replica sees the same values, so all of them do.

    With a gradient that does not fit, a step fails only if there is no loss scale to lower.
    """
    losses = replica.all_reduce('SUM', losses)
    is_finite = tf.reduce_all(tf.math.is_finite(losses))
    what = NON_FINITE_GRADIENT
    if self._loss_scale is not None:
      what = NON_FINITE_AT_LEAST_SCALE
      fits = tf.logical_or(fits, self._loss_scale.scale > 1.0)
    step = self.global_step
    kept = tf.cond(
      tf.logical_and(is_finite, fits),
      lambda: tf.constant(0.0),
      lambda: self.non_finite_batch.keep(batches, step, losses, replica.replica_id_in_sync_group),
    )
    shown = ['step', step]
    for name, loss in zip(fields.LOSSES, tf.unstack(losses), strict=True):
      shown += [name, loss]
    # No replica fails before all have handed their batches over.
    with tf.control_dependencies([replica.all_reduce('SUM', kept)]):
      checked = tf.debugging.Assert(is_finite, [NON_FINITE, *shown])
    with tf.control_dependencies([checked]):
      return tf.debugging.Assert(fits, [what, *shown])

  def _with_scaled_biases(self, gradients):
    if not self._bias_grad_multiplier:
      return gradients
    return [
      gradient * self._bias_grad_multiplier if variable.name == 'bias' else gradient
      for gradient, variable in zip(gradients, self.model.trainable_variables, strict=True)
    ]

  def _clipped(self, gradients, replica):
    """(gradients, whether the norm of their sum over the replicas is finite)."""
    if not self._clip:
      # The optimizer sums them. The norm of the sum is at most the sum of the norms.
      norm = replica.all_reduce('SUM', tf.linalg.global_norm(gradients))
      return gradients, tf.math.is_finite(norm)
    gradients = replica.all_reduce('SUM', gradients)
    norm = tf.linalg.global_norm(gradients)
    gradients, _ = tf.clip_by_global_norm(gradients, self._clip, use_norm=norm)
    # The norm is that of the sum, which the optimizer makes again.
    gradients = [gradient / replica.num_replicas_in_sync for gradient in gradients]
    return gradients, tf.math.is_finite(norm)

  def _summarize_images(self, batch):
    images = self.strategy.experimental_local_results(batch[fields.IMAGE])[0][:NUM_INPUT_IMAGES]
    low, high = tf.reduce_min(images), tf.reduce_max(images)
    tf.summary.image(
      'train_input_images',
      (images - low) / tf.maximum(high - low, 1e-6),
      step=tf.cast(self.global_step, tf.int64),
      max_outputs=NUM_INPUT_IMAGES,
    )


def _with_size(batch, size):
  """The batch, the size of whose images is static."""
  images = batch[fields.IMAGE]
  shape = [images.shape[0], *size, images.shape[-1]]
  return {**batch, fields.IMAGE: tf.ensure_shape(images, shape)}
