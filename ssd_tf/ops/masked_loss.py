"""Computes the classification loss of partially labeled images, with a closed-form gradient.

An image is labeled for some of the classes only. What is not labeled may be in it all the same, so
that "no object of class c here" is known only where c is labeled. With k the class of an anchor (0
for a negative), L the image's labeled classes and x its logits:

  sigmoid, focal:  the sum over the supervised columns of F(m), where m is x for a negative
    column and -x for the positive column. A class is supervised where it is in L or is k;
    background where k > 0 or L holds all classes.
  softmax:         -log of the probability of all answers that may be right: k for a positive; for
    a negative background and every class outside L. With focal loss, the modulating factor reduces
    it as that probability grows.

Where L holds all classes these are the ordinary losses: the same op with factors of exactly 1.

The loss and its gradient are computed together, a few images at a time on a CPU, so that
intermediate tensors stay in the cache; autodiff would write half a dozen tensors of [B, A, K+1] to
memory and keep them.
"""

import tensorflow as tf

from ssd_tf.ops.sigmoid_loss import BootstrappedSigmoidLoss, SigmoidLoss
from ssd_tf.ops.softmax_loss import SoftmaxLoss

# Logits per chunk: with the intermediate tensors, about what a cache holds.
_PIECE_SIZE = 2**21

MODES = ('masked', 'masked_but_background', 'naive')

ClassificationLoss = SigmoidLoss | BootstrappedSigmoidLoss | SoftmaxLoss


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
