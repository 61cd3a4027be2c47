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

Value and gradient are made together and, on a CPU, a few images at a time, so that what lies
between stays in the cache; autodiff would write half a dozen tensors of [B, A, K+1] to memory and
keep them.
"""

import dataclasses

import tensorflow as tf

# Logits that are taken at a time: with what is made of them, about what a cache holds.
_PIECE_SIZE = 2**21

MODES = ('masked', 'masked_but_background', 'naive')


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

  def value_and_gradient(
    self, class_logits: tf.Tensor, class_targets: tf.Tensor, supervised: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes the loss of some images, with its gradient: first as if every answer were no.

    Args:
      class_logits: f[B, A, K+1].
      class_targets: i32[B, A], 0 for background.
      supervised: bool[B, K+1], the columns that count on negatives.

    Returns:
      f[B, A], and f[B, A, K+1] its gradient by the logits.
    """
    weight_no, weight_yes = (1.0, 1.0) if self.alpha is None else (1.0 - self.alpha, self.alpha)
    column_weights = weight_no * tf.cast(supervised, class_logits.dtype)
    losses, slopes = self._value_and_slope(class_logits)
    gradient = slopes * column_weights[:, tf.newaxis]

    positive = class_targets > 0
    zero = tf.zeros([], class_logits.dtype)
    # The column of the yes.
    cells = _cells(class_targets)
    is_yes = positive if self.background_as_zeros else positive | supervised[:, :1]
    value, slope = self._value_and_slope(-_at(class_logits, cells))
    # Background is known to be wrong on a positive, whatever else is not labeled.
    missing = tf.where(positive, weight_no - column_weights[:, :1], zero)
    loss = tf.where(is_yes, weight_yes * value, zero) + missing * losses[..., 0]
    # Not taken back after the sum, where a large loss would leave its rounding.
    losses = _add_at(losses, [cells], [tf.where(is_yes, -_at(losses, cells), zero)])
    loss += tf.linalg.matvec(losses, column_weights)

    summed = tf.gather(column_weights, class_targets, batch_dims=1)
    change = tf.where(is_yes, -weight_yes * slope - summed * _at(slopes, cells), zero)
    background = _cells(tf.zeros_like(class_targets))
    return loss, _add_at(gradient, [cells, background], [change, missing * slopes[..., 0]])

  def losses_of_no(self, class_logits: tf.Tensor) -> tf.Tensor:
    """What the answer "not this class" costs in each column, like class_logits in shape."""
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

  def value_and_gradient(
    self, class_logits: tf.Tensor, class_targets: tf.Tensor, supervised: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes the loss of some images, with its gradient; see `SigmoidLoss.value_and_gradient`."""
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
    cells = _cells(
      tf.cond(
        tf.reduce_any(tiny),
        lambda: tf.where(tiny, _likeliest(logits, is_right), class_targets),
        lambda: class_targets,
      )
    )
    total_right = tf.where(marginal, total_right, one)
    loss = tf.math.log(total) - tf.where(marginal, tf.math.log(total_right), _at(logits, cells))
    # With nothing labeled every answer may be right: there is no loss, but for rounding.
    unknown = negative & ~tf.reduce_any(supervised, axis=1, keepdims=True)
    loss = tf.where(unknown, zero, loss)
    all_shares = tf.where(unknown, zero, one / total)[..., tf.newaxis]
    right_shares = tf.where(marginal & ~unknown, one / total_right, zero)[..., tf.newaxis]
    right_shares *= tf.cast(is_right, dtype)[:, tf.newaxis]
    gradient = exponentials * (all_shares - right_shares)
    gradient = _add_at(gradient, [cells], [tf.where(marginal | unknown, zero, -one)])
    return loss, gradient if self.logit_scale == 1.0 else gradient / self.logit_scale

  def losses_of_no(self, class_logits: tf.Tensor) -> tf.Tensor:
    """What the answer "not this class" costs in each column: -log(1 - p)."""
    return -tf.math.log1p(-tf.minimum(tf.nn.softmax(class_logits / self.logit_scale), 1.0 - 1e-7))


ClassificationLoss = SigmoidLoss | SoftmaxLoss


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
    f[B, A], f64 for logits of f64, else f32. Masked logits of a sigmoid get a gradient of exactly
    0.

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
    losses, gradients = _by_pieces(loss.value_and_gradient, logits, class_targets, supervised)
    return losses, lambda upstream: upstream[..., tf.newaxis] * gradients

  return losses_of(tf.cast(class_logits, dtype))


def _by_pieces(value_and_gradient, logits, targets, supervised):
  """Calls the function with as many images at a time as the processor's cache holds."""
  batch_size, *shape = logits.shape
  piece = batch_size
  if batch_size and None not in shape and not tf.config.list_logical_devices('GPU'):
    most = max(1, _PIECE_SIZE // (shape[0] * shape[1]))
    piece = max(size for size in range(1, batch_size + 1) if size <= most and not batch_size % size)
  if piece == batch_size:  # Also where the shape is not known yet.
    return value_and_gradient(logits, targets, supervised)
  pieces = [
    tf.reshape(tensor, [-1, piece, *tensor.shape[1:]]) for tensor in (logits, targets, supervised)
  ]
  spec = tf.TensorSpec([piece, *shape], logits.dtype)
  losses, gradients = tf.map_fn(
    lambda images: value_and_gradient(*images),
    tuple(pieces),
    fn_output_signature=(tf.TensorSpec([piece, shape[0]], logits.dtype), spec),
    # What is computed for a piece lies in memory so many times.
    parallel_iterations=2,
  )
  return tf.reshape(losses, [batch_size, shape[0]]), tf.reshape(gradients, logits.shape)


def _cells(columns):
  """i32[B * A, 2]: row and column, of one column for each row of f[B * A, C]."""
  columns = tf.reshape(columns, [-1])
  return tf.stack([tf.range(tf.size(columns)), columns], axis=-1)


def _at(values, cells):
  """f[B, A]: the values of f[B, A, C] in one cell of each row."""
  shape = tf.shape(values)
  return tf.reshape(tf.gather_nd(_rows(values), cells), shape[:2])


def _add_at(values, cells, changes):
  """Adds to f[B, A, C] in one cell of each row, for each of the lists."""
  flat = tf.concat([tf.reshape(change, [-1]) for change in changes], axis=0)
  rows = tf.tensor_scatter_nd_add(_rows(values), tf.concat(cells, axis=0), flat)
  return tf.reshape(rows, tf.shape(values))


def _rows(values):
  return tf.reshape(values, [-1, tf.shape(values)[2]])


def _likeliest(logits, is_right):
  """i32[B, A]: the column of the greatest logit among those that may be right."""
  lowest = tf.constant(float('-inf'), logits.dtype)
  right = tf.where(is_right[:, tf.newaxis], logits, lowest)
  return tf.argmax(right, axis=-1, output_type=tf.int32)


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
