"""What a training step minimizes, apart from regularization."""

from collections.abc import Callable

import tensorflow as tf

from ssd_tf.ops import box_coder as box_coders
from ssd_tf.ops import hard_negatives, masked_loss, target_assigner


def num_matches(targets: target_assigner.Targets, example_mask: tf.Tensor) -> tf.Tensor:
  """Returns the weight of all matched anchors: this replica's part of the loss's normalizer.

  Args:
    targets: of the replica's images.
    example_mask: bool[B], False where the image pads the batch.

  Returns:
    f32[]. The normalizer is its sum over the replicas, or 1 where that is less.
  """
  return tf.reduce_sum(tf.where(example_mask[:, None], targets.box_weights, 0.0))


def ssd_losses(
  class_logits: tf.Tensor,
  box_encodings: tf.Tensor,
  targets: target_assigner.Targets,
  *,
  anchors: tf.Tensor,
  box_coder: box_coders.FasterRCNNBoxCoder,
  classification_loss: masked_loss.ClassificationLoss,
  partial_labels: str = 'masked',
  localization_loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
  hard_example_miner: hard_negatives.HardExampleMiner | None,
  classification_weight: float,
  localization_weight: float,
  normalize_by_num_matches: bool,
  normalize_loc_by_codesize: bool,
  normalizer: tf.Tensor,
  example_mask: tf.Tensor,
  labeled_classes: tf.Tensor | None,
) -> dict[str, tf.Tensor]:
  """Returns the losses of the replica's images: each summed over anchors, weighted, normalized.

  L_classification = classification_weight / normalizer * sum(class_weights * loss);
  L_localization = localization_weight / (normalizer * code size) * sum(box_weights * loss).

  Args:
    class_logits: f32[B, A, K+1].
    box_encodings: f32[B, A, 4].
    targets: of the same images and anchors.
    anchors: f32[A, 4]; for hard example mining.
    box_coder: for hard example mining.
    classification_loss: of `ops.masked_loss`.
    partial_labels: one of `masked_loss.MODES`.
    localization_loss: (box_encodings, box_targets) -> f32[B, A].
    hard_example_miner: None for all anchors; it sees the masked losses.
    classification_weight: factor of the classification loss.
    localization_weight: factor of the localization loss.
    normalize_by_num_matches: False leaves `normalizer` out.
    normalize_loc_by_codesize: the localization loss is divided by 4, the length of an encoding.
    normalizer: f32[], `num_matches` summed over the replicas, at least 1.
    example_mask: bool[B], False where the image pads the batch: its loss is 0.
    labeled_classes: bool[B, K]; None: all of them are.

  Returns:
    {'localization_loss': f32[], 'classification_loss': f32[]}; over the replicas they add up.

  Raises:
    ValueError: shapes do not agree.

  Source: Liu et al., SSD, equations 1 to 3; the original's meta_architectures/ssd_meta_arch.py,
  which normalizes by the matches of one replica.
  """
  _check_shapes(class_logits, box_encodings, targets)
  class_losses = targets.class_weights * masked_loss.masked_classification_loss(
    class_logits,
    targets.class_targets,
    labeled_classes,
    loss=classification_loss,
    mode=partial_labels,
  )
  box_losses = localization_loss(box_encodings, targets.box_targets) * targets.box_weights

  mask = example_mask[:, None]
  if hard_example_miner is not None:
    decoded_boxes = box_coder.decode(box_encodings, anchors)
    mask &= hard_example_miner.select(class_losses, box_losses, decoded_boxes, targets)

  normalizer = normalizer if normalize_by_num_matches else 1.0
  code_size = box_encodings.shape[-1] if normalize_loc_by_codesize else 1
  return {
    'localization_loss': localization_weight
    * tf.reduce_sum(tf.where(mask, box_losses, 0.0))
    / (normalizer * code_size),
    'classification_loss': classification_weight
    * tf.reduce_sum(tf.where(mask, class_losses, 0.0))
    / normalizer,
  }


def label_statistics(
  class_logits: tf.Tensor,
  targets: target_assigner.Targets,
  *,
  classification_loss: masked_loss.ClassificationLoss,
  example_mask: tf.Tensor,
  labeled_classes: tf.Tensor,
) -> tf.Tensor:
  """Counts, by class, what the labels of the replica's images let it learn.

  Args:
    class_logits: f32[B, A, K+1].
    targets: of the same images and anchors.
    classification_loss: as given to `ssd_losses`.
    example_mask: bool[B], False where the image pads the batch.
    labeled_classes: bool[B, K].

  Returns:
    f32[4, K]: images labeled for the class; anchors matched to it; of all other anchors the loss of
    the answer "not this class", as far as it is masked, and in all. These last two are 0 if no
    image has an unlabeled class. No gradient.
  """
  num_classes = labeled_classes.shape[-1]
  real = tf.cast(example_mask, tf.float32)[:, tf.newaxis]
  labeled = tf.cast(labeled_classes, tf.float32) * real
  positives = tf.where(example_mask[:, tf.newaxis], targets.class_targets, 0)
  num_positives = tf.math.bincount(positives, minlength=num_classes + 1, maxlength=num_classes + 1)

  def masked_and_all():
    losses = classification_loss.losses_of_no(tf.cast(tf.stop_gradient(class_logits), tf.float32))
    is_class = targets.class_targets[..., tf.newaxis] == tf.range(1, num_classes + 1)
    losses = tf.where(is_class, 0.0, losses[..., 1:] * targets.class_weights[..., tf.newaxis])
    by_image = tf.reduce_sum(losses, axis=1) * real
    masked = tf.where(labeled_classes, 0.0, by_image)
    return tf.stack([tf.reduce_sum(masked, axis=0), tf.reduce_sum(by_image, axis=0)])

  losses = tf.cond(
    tf.reduce_all(labeled_classes | ~example_mask[:, tf.newaxis]),
    lambda: tf.zeros([2, num_classes]),
    masked_and_all,
  )
  counts = [tf.reduce_sum(labeled, axis=0), tf.cast(num_positives[1:], tf.float32)]
  return tf.concat([tf.stack(counts), losses], axis=0)


def _check_shapes(class_logits, box_encodings, targets):
  anchors_shape = targets.class_targets.shape
  for name, tensor in (('class_logits', class_logits), ('box_encodings', box_encodings)):
    if tensor.shape.rank != 3 or not tensor.shape[:2].is_compatible_with(anchors_shape):
      raise ValueError(
        f'{name}: expected {anchors_shape} (class_targets) and one dimension more, received '
        f'{tensor.shape}; predictions and targets must be of the same images and anchors.'
      )
