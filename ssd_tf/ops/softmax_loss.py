"""Computes the softmax cross-entropy over mutually exclusive classes, optionally focal."""

import dataclasses

import tensorflow as tf

from ssd_tf.ops import class_columns


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftmaxLoss:
  """Background and classes as exclusive answers; focal where gamma or alpha say so.

  With p the probabilities, R the answers that may be right and q those of R among themselves:
  c = -log(sum of p over R), with the gradient p - q; for R of one answer q is one-hot.
  With w = 1 - exp(-c), the probability given to the wrong answers:
  loss = alpha_t * w^gamma * c; dloss/dc = alpha_t * w^gamma * (1 + gamma * c * (1 - w) / w).

  Attributes:
    gamma: focusing parameter of the modulating factor; 0: none.
    alpha: weight of anchors of a class, 1 - alpha that of background; None: both 1.

  Source: focal as in Lin et al., Focal Loss for Dense Object Detection, equations 4 and 5, with
  the softmax's probability in place of the sigmoid's. The original has no focal softmax.
  """

  logit_scale: float = 1.0
  gamma: float = 0.0
  alpha: float | None = None

  def value_and_gradient(
    self, class_logits: tf.Tensor, class_targets: tf.Tensor, supervised: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the loss and its gradient for some images; see `SigmoidLoss.value_and_gradient`."""
    loss, gradient = self._cross_entropy(class_logits, class_targets, supervised)
    if self.gamma:
      loss, slope = self._modulated(loss)
      gradient *= slope[..., tf.newaxis]
    if self.alpha is not None:
      alphas = tf.constant([1.0 - self.alpha, self.alpha], loss.dtype)
      alpha = tf.gather(alphas, tf.cast(class_targets > 0, tf.int32))
      loss, gradient = alpha * loss, alpha[..., tf.newaxis] * gradient
    return loss, gradient

  def negative_losses(self, class_logits: tf.Tensor) -> tf.Tensor:
    """The loss of each column as a negative: -log(1 - p), focal if gamma says so."""
    wrong = tf.minimum(tf.nn.softmax(class_logits / self.logit_scale), 1.0 - 1e-7)
    losses = -tf.math.log1p(-wrong)
    if self.gamma:
      losses *= tf.pow(wrong, self.gamma)
    return losses if self.alpha is None else (1.0 - self.alpha) * losses

  def _modulated(self, cross_entropy):
    """(loss, its derivative by the cross entropy), without alpha."""
    cross_entropy = tf.nn.relu(cross_entropy)  # Below 0 by rounding.
    wrong = -tf.math.expm1(-cross_entropy)
    factor = tf.pow(wrong, self.gamma)
    # c / w, which goes to 1 where both go to 0.
    ratio = tf.where(wrong > 0, tf.math.divide_no_nan(cross_entropy, wrong), tf.ones_like(wrong))
    return factor * cross_entropy, factor * (1.0 + self.gamma * ratio * (1.0 - wrong))

  def _cross_entropy(self, class_logits, class_targets, supervised):
    dtype = class_logits.dtype
    zero, one = tf.zeros([], dtype), tf.ones([], dtype)
    # Dividing by 1 would change nothing, and take a pass over the logits.
    logits = class_logits if self.logit_scale == 1.0 else class_logits / self.logit_scale
    logits -= tf.reduce_max(logits, axis=-1, keepdims=True)
    exponentials = tf.exp(logits)
    total = tf.reduce_sum(exponentials, axis=-1)

    negative = class_targets == 0
    is_right = tf.concat([supervised[:, :1] | True, ~supervised[:, 1:]], axis=1)
    total_right = tf.linalg.matvec(exponentials, tf.cast(is_right, dtype))
    marginal = negative & ~tf.reduce_all(supervised, axis=1, keepdims=True)
    # Where all that may be right is too improbable for a sum, the likeliest of it counts alone.
    tiny = marginal & (total_right < 1e-30)
    marginal &= ~tiny
    answers = class_columns.indices_of(
      tf.cond(
        tf.reduce_any(tiny),
        lambda: tf.where(tiny, _likeliest(logits, is_right), class_targets),
        lambda: class_targets,
      )
    )
    total_right = tf.where(marginal, total_right, one)
    right = tf.where(marginal, tf.math.log(total_right), class_columns.gather(logits, answers))
    loss = tf.math.log(total) - right
    # With nothing labeled every answer may be right: there is no loss, but for rounding.
    unknown = negative & ~tf.reduce_any(supervised, axis=1, keepdims=True)
    loss = tf.where(unknown, zero, loss)
    all_shares = tf.where(unknown, zero, one / total)[..., tf.newaxis]
    right_shares = tf.where(marginal & ~unknown, one / total_right, zero)[..., tf.newaxis]
    right_shares *= tf.cast(is_right, dtype)[:, tf.newaxis]
    gradient = exponentials * (all_shares - right_shares)
    gradient = class_columns.add(gradient, [answers], [tf.where(marginal | unknown, zero, -one)])
    return loss, gradient if self.logit_scale == 1.0 else gradient / self.logit_scale


def _likeliest(logits, is_right):
  """i32[B, A]: the column of the greatest logit among those that may be right."""
  lowest = tf.constant(float('-inf'), logits.dtype)
  right = tf.where(is_right[:, tf.newaxis], logits, lowest)
  return tf.argmax(right, axis=-1, output_type=tf.int32)
