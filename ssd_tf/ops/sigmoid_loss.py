"""Computes sigmoid losses, which treat each class as an independent binary classification."""

import abc
import dataclasses

import tensorflow as tf

from ssd_tf.ops import class_columns


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ColumnLoss(abc.ABC):
  """The sum over the columns of F(m), m being the logit of the wrong answer."""

  background_as_zeros: bool

  def value_and_gradient(
    self, class_logits: tf.Tensor, class_targets: tf.Tensor, supervised: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the loss and its gradient for some images, first with every class as a negative.

    Args:
      class_logits: f[B, A, K+1].
      class_targets: i32[B, A], 0 for background.
      supervised: bool[B, K+1], the columns that count on negatives.

    Returns:
      f[B, A], and f[B, A, K+1] its gradient by the logits.
    """
    negative_weight, positive_weight = self._weights
    column_weights = negative_weight * tf.cast(supervised, class_logits.dtype)
    losses, slopes = self._value_and_slope(class_logits)
    gradient = slopes * column_weights[:, tf.newaxis]

    positive = class_targets > 0
    zero = tf.zeros([], class_logits.dtype)
    # The positive column.
    targets = class_columns.indices_of(class_targets)
    is_positive = positive if self.background_as_zeros else positive | supervised[:, :1]
    value, slope = self._value_and_slope(-class_columns.gather(class_logits, targets))
    # Background is known to be wrong on a positive, whatever else is not labeled.
    missing = tf.where(positive, negative_weight - column_weights[:, :1], zero)
    loss = tf.where(is_positive, positive_weight * value, zero) + missing * losses[..., 0]
    # Not taken back after the sum, where a large loss would leave its rounding.
    replaced = class_columns.gather(losses, targets)
    losses = class_columns.add(losses, [targets], [tf.where(is_positive, -replaced, zero)])
    loss += tf.linalg.matvec(losses, column_weights)

    summed = tf.gather(column_weights, class_targets, batch_dims=1)
    replaced = summed * class_columns.gather(slopes, targets)
    change = tf.where(is_positive, -positive_weight * slope - replaced, zero)
    background = class_columns.indices_of(tf.zeros_like(class_targets))
    changes = [change, missing * slopes[..., 0]]
    return loss, class_columns.add(gradient, [targets, background], changes)

  def negative_losses(self, class_logits: tf.Tensor) -> tf.Tensor:
    """The loss of each column as a negative, of the shape of class_logits."""
    return self._weights[0] * self._value_and_slope(class_logits)[0]

  @property
  def _weights(self):
    """Of negatives, of positives."""
    return 1.0, 1.0

  @abc.abstractmethod
  def _value_and_slope(self, margin):
    """F and F' of each margin, without weights."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SigmoidLoss(_ColumnLoss):
  """Cross entropy, focal where gamma or alpha say so.

  With p = sigmoid(m), the probability given to the wrong answer:
  F(m) = alpha_t * p^gamma * softplus(m);
  F'(m) = alpha_t * p^gamma * (p + gamma * softplus(m) * (1 - p)).

  Attributes:
    background_as_zeros: for background every column is negative, instead of column 0 positive.
    gamma: focusing parameter of the modulating factor; 0: none.
    alpha: weight of positives, 1 - alpha that of negatives; None: both 1.

  Source: Lin et al., Focal Loss for Dense Object Detection, equation 5.
  """

  gamma: float = 0.0
  alpha: float | None = None

  @property
  def _weights(self):
    return (1.0, 1.0) if self.alpha is None else (1.0 - self.alpha, self.alpha)

  def _value_and_slope(self, margin):
    cross_entropy = tf.nn.softplus(margin)
    wrong = tf.sigmoid(margin)
    if not self.gamma:
      return cross_entropy, wrong
    factor = tf.square(wrong) if self.gamma == 2.0 else tf.pow(wrong, self.gamma)
    slope = wrong + self.gamma * cross_entropy * (1.0 - wrong)
    return factor * cross_entropy, factor * slope


@dataclasses.dataclass(frozen=True, kw_only=True)
class BootstrappedSigmoidLoss(_ColumnLoss):
  """Cross entropy with a target that is partly the prediction itself, for labels with errors.

  The target is alpha * label + (1 - alpha) * p, or instead of the probability p its rounding to 0
  or 1. With q = sigmoid(m):
  soft: F(m) = softplus(m) - (1 - alpha) * m * q;
  hard: F(m) = softplus(m) - (1 - alpha) * max(m, 0).

  Attributes:
    background_as_zeros: for background every column is negative, instead of column 0 positive.
    alpha: share of the label in the target, 0 to 1.

  Source: Reed et al., Training Deep Neural Networks on Noisy Labels with Bootstrapping, equations
  6 and 7; the original's bootstrapped_sigmoid, whose gradient flows through the target too.
  """

  alpha: float
  hard: bool = False

  def _value_and_slope(self, margin):
    wrong = tf.sigmoid(margin)
    trust = 1.0 - self.alpha
    if self.hard:
      is_predicted = tf.cast(margin > 0, margin.dtype)
      return tf.nn.softplus(margin) - trust * tf.nn.relu(margin), wrong - trust * is_predicted
    slope = wrong - trust * (wrong + margin * wrong * (1.0 - wrong))
    return tf.nn.softplus(margin) - trust * margin * wrong, slope
