"""The classification loss of partially labeled images, as one op with a closed-form gradient.

An image is labeled for some of the classes only. What is not labeled may be in it all the same, so
that "no object of class c here" is known only where c is labeled. With k the class of an anchor (0
for a negative), L the image's labeled classes and x its logits:

  sigmoid, focal:  the sum over the supervised columns of F(m), where m is x, or -x in the column
    whose answer is yes. A class is supervised where it is in L or is k; background where k > 0 or
    L holds all classes.
  softmax:         -log of the probability of all answers that may be right: k for a positive; for
    a negative background and every class outside L.

Where L holds all classes these are the ordinary losses: the same op with factors of exactly 1.

Value and gradient are made together, image by image, so that what lies between stays in the
processor's cache; autodiff would write half a dozen tensors of [B, A, K+1] to memory and keep them.
"""

import dataclasses
from typing import Protocol

import tensorflow as tf

MODES = ('masked', 'masked_but_background', 'naive')


class ClassificationLoss(Protocol):
  """What `masked_classification_loss` sums: a loss of one image, with its gradient."""

  def value_and_gradient(
    self, class_logits: tf.Tensor, class_targets: tf.Tensor, supervised: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Loss f[A] and its gradient f[A, K+1]; supervised bool[K+1] holds for the negatives."""

  def losses_of_no(self, class_logits: tf.Tensor) -> tf.Tensor:
    """What the answer "not this one" costs in each column, f[..., K+1]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SigmoidLoss:
  """Every column's own yes or no; focal where gamma or alpha say so.

  With p = sigmoid(m), the probability given to the wrong answer:
  F(m) = alpha_t * p^gamma * softplus(m);
  F'(m) = alpha_t * p^gamma * (p + gamma * softplus(m) * (1 - p)).

  Attributes:
    gamma: 0 for no fading.
    alpha: weight of a yes, 1 - alpha that of a no; None: both 1.
    background_as_zeros: for background every answer is no, instead of yes in column 0.

  Source: Lin et al., Focal Loss for Dense Object Detection, equation 5.
  """

  gamma: float = 0.0
  alpha: float | None = None
  background_as_zeros: bool

  def value_and_gradient(self, class_logits, class_targets, supervised):
    """As in the protocol: first as if every answer were no, then the columns that differ."""
    weight_no, weight_yes = (1.0, 1.0) if self.alpha is None else (1.0 - self.alpha, self.alpha)
    column_weights = weight_no * tf.cast(supervised, class_logits.dtype)
    losses, slopes = self._value_and_slope(class_logits)
    loss = tf.linalg.matvec(losses, column_weights)
    gradient = slopes * column_weights

    rows = tf.range(tf.shape(class_targets)[0])
    positive = class_targets > 0
    zero = tf.zeros([], class_logits.dtype)
    # The column of the yes: a loss of its own instead of the one summed above.
    target_cells = tf.stack([rows, class_targets], axis=-1)
    logit_yes = tf.gather_nd(class_logits, target_cells)
    is_yes = positive if self.background_as_zeros else positive | supervised[0]
    loss_no, slope_no = tf.gather_nd(losses, target_cells), tf.gather_nd(slopes, target_cells)
    loss_yes, slope_yes = self._value_and_slope(-logit_yes)
    summed = tf.gather(column_weights, class_targets)
    loss += tf.where(is_yes, weight_yes * loss_yes - summed * loss_no, zero)
    change = tf.where(is_yes, -weight_yes * slope_yes - summed * slope_no, zero)
    # Background is known to be wrong on a positive, whatever else is not labeled.
    missing = tf.where(positive, weight_no - column_weights[0], zero)
    loss += missing * losses[:, 0]
    background_cells = tf.stack([rows, tf.zeros_like(rows)], axis=-1)
    cells = tf.concat([target_cells, background_cells], axis=0)
    changes = tf.concat([change, missing * slopes[:, 0]], axis=0)
    return loss, tf.tensor_scatter_nd_add(gradient, cells, changes)

  def losses_of_no(self, class_logits):
    """As in the protocol."""
    weight = 1.0 if self.alpha is None else 1.0 - self.alpha
    return weight * self._value_and_slope(class_logits)[0]

  def _value_and_slope(self, margin):
    """F and F' of each margin, without alpha."""
    cross_entropy = tf.nn.softplus(margin)
    wrong = tf.sigmoid(margin)
    if not self.gamma:
      return cross_entropy, wrong
    fade = tf.square(wrong) if self.gamma == 2.0 else tf.pow(wrong, self.gamma)
    slope = wrong + self.gamma * cross_entropy * (1.0 - wrong)
    return fade * cross_entropy, fade * slope


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftmaxLoss:
  """Background and classes as exclusive answers.

  With p the probabilities, R the answers that may be right and q those of R among themselves:
  loss = -log(sum of p over R); gradient = p - q. For R of one answer q is one-hot.

  Attributes:
    logit_scale: the logits are divided by it.
  """

  logit_scale: float = 1.0

  def value_and_gradient(self, class_logits, class_targets, supervised):
    """As in the protocol."""
    dtype = class_logits.dtype
    zero, one = tf.zeros([], dtype), tf.ones([], dtype)
    # Dividing by 1 would change nothing, and take a pass over the logits.
    logits = class_logits if self.logit_scale == 1.0 else class_logits / self.logit_scale
    logits -= tf.reduce_max(logits, axis=-1, keepdims=True)
    exponentials = tf.exp(logits)
    total = tf.reduce_sum(exponentials, axis=-1)
    cells = tf.stack([tf.range(tf.shape(class_targets)[0]), class_targets], axis=-1)
    target_logits = tf.gather_nd(logits, cells)

    may_be_right = tf.cast(tf.concat([[True], ~supervised[1:]], axis=0), dtype)
    total_right = tf.linalg.matvec(exponentials, may_be_right)
    # Where all that may be right is too improbable for a sum, the target alone counts.
    marginal = (class_targets == 0) & (total_right > 1e-30) & ~tf.reduce_all(supervised)
    total_right = tf.where(marginal, total_right, one)
    loss = tf.math.log(total) - tf.where(marginal, tf.math.log(total_right), target_logits)
    taken_back = tf.where(marginal, one / total_right, zero)[:, tf.newaxis] * may_be_right
    gradient = exponentials * ((one / total)[:, tf.newaxis] - taken_back)
    gradient = tf.tensor_scatter_nd_sub(gradient, cells, tf.where(marginal, zero, one))
    return loss, gradient if self.logit_scale == 1.0 else gradient / self.logit_scale

  def losses_of_no(self, class_logits):
    """As in the protocol: -log(1 - p)."""
    return -tf.math.log1p(-tf.minimum(tf.nn.softmax(class_logits / self.logit_scale), 1.0 - 1e-7))


def masked_classification_loss(
  class_logits: tf.Tensor,
  class_targets: tf.Tensor,
  labeled_classes: tf.Tensor | None,
  *,
  loss: ClassificationLoss,
  mode: str = 'masked',
) -> tf.Tensor:
  """Returns each anchor's classification loss, as far as its image's labels can tell.

  Args:
    class_logits: f[B, A, K+1]; half precision is computed in f32.
    class_targets: i32[B, A], 0 for background, else 1..K.
    labeled_classes: bool[B, K]; None: all of them are.
    loss: a SigmoidLoss or a SoftmaxLoss.
    mode: 'masked'; 'naive', as if all classes were labeled; 'masked_but_background', which
      supervises the background column everywhere (sigmoid only).

  Returns:
    f[B, A], f64 for logits of f64, else f32. Masked logits get a gradient of exactly 0.

  Raises:
    ValueError: shapes do not agree, or there is no such mode.

  Source: the marginal softmax is that of Cermelli et al., Modeling the Background for Incremental
  Learning in Semantic Segmentation, equation 3.
  """
  _check(class_logits, class_targets, labeled_classes, loss, mode)
  dtype = tf.float64 if class_logits.dtype == tf.float64 else tf.float32
  supervised = _supervised_columns(class_logits, labeled_classes, mode)

  @tf.custom_gradient
  def losses_of(logits):
    spec = tf.TensorSpec(logits.shape[1:], dtype)
    losses, gradients = tf.map_fn(
      lambda image: loss.value_and_gradient(*image),
      (logits, class_targets, supervised),
      fn_output_signature=(tf.TensorSpec(logits.shape[1:2], dtype), spec),
      # What is computed for an image lies in memory so many times.
      parallel_iterations=2,
    )
    return losses, lambda upstream: upstream[..., tf.newaxis] * gradients

  return losses_of(tf.cast(class_logits, dtype))


def _supervised_columns(class_logits, labeled_classes, mode):
  """bool[B, K+1]: the columns that count on an image's negatives."""
  shape = tf.shape(class_logits)
  if labeled_classes is None or mode == 'naive':
    return tf.ones([shape[0], shape[2]], tf.bool)
  background = tf.reduce_all(labeled_classes, axis=1, keepdims=True)
  if mode == 'masked_but_background':
    background = tf.ones_like(background)
  return tf.concat([background, labeled_classes], axis=1)


def _check(class_logits, class_targets, labeled_classes, loss, mode):
  if mode not in MODES or (mode == 'masked_but_background' and isinstance(loss, SoftmaxLoss)):
    raise ValueError(f'mode: expected one of {MODES}, the second for sigmoids; received {mode!r}')
  shape = class_logits.shape
  if shape.rank != 3 or not shape[:2].is_compatible_with(class_targets.shape):
    raise ValueError(
      f'class_logits, class_targets: expected [B, A, K+1] and [B, A], received {shape} and '
      f'{class_targets.shape}.'
    )
  if labeled_classes is not None:
    num_classes = None if shape[2] is None else shape[2] - 1
    if not labeled_classes.shape.is_compatible_with([shape[0], num_classes]):
      raise ValueError(
        f'labeled_classes: expected [B, K] of class_logits {shape}, received '
        f'{labeled_classes.shape}.'
      )
