"""What a training step minimizes, apart from regularization."""

from collections.abc import Callable, Sequence

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


def num_images(targets: target_assigner.Targets, example_mask: tf.Tensor) -> tf.Tensor:
  """Returns the number of images: the part of a normalizer that does not look at the matches.

  Args:
    targets: without meaning here.
    example_mask: bool[B], False where the image pads the batch.

  Returns:
    f32[], for use as `num_matches`.

  Source: SSD-Tensorflow's ssd_losses of SSD300.
  """
  del targets
  return tf.reduce_sum(tf.cast(example_mask, tf.float32))


def one_replica(targets: target_assigner.Targets, example_mask: tf.Tensor) -> tf.Tensor:
  """Returns 1: the part of a normalizer that makes sums over the replicas means.

  Args:
    targets: without meaning here.
    example_mask: without meaning here.

  Returns:
    f32[], for use as `num_matches`.

  Source: SSD-Tensorflow's training on several clones.
  """
  del targets, example_mask
  return tf.constant(1.0)


def ssd_losses(
  class_logits: tf.Tensor,
  box_encodings: tf.Tensor,
  targets: target_assigner.Targets,
  *,
  anchors: tf.Tensor,
  box_coder: box_coders.BoxCoder,
  classification_loss: masked_loss.ClassificationLoss,
  partial_labels: str = 'masked',
  localization_loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
  localize_decoded: bool = False,
  hard_example_miner: hard_negatives.Miner | None,
  classification_weight: float,
  localization_weight: float,
  normalize_by_num_matches: bool,
  normalize_loc_by_codesize: bool,
  normalizer: tf.Tensor,
  example_mask: tf.Tensor,
  labeled_classes: tf.Tensor | None,
  layer_sizes: Sequence[int] | None = None,
) -> dict[str, tf.Tensor]:
  """Returns the losses of the replica's images: each summed over anchors, weighted, normalized.

  L_classification = classification_weight / normalizer * sum(class_weights * loss);
  L_localization = localization_weight / (normalizer * code size) * sum(box_weights * loss).
  A miner of scope SSD_TENSORFLOW_LAYER makes each sum that of the feature maps' means.

  Args:
    class_logits: f32[B, A, K+1].
    box_encodings: f32[B, A, code size].
    targets: of the same images and anchors.
    anchors: f32[A, 4], that the encodings are relative to.
    box_coder: for hard example mining, and for `localize_decoded`.
    classification_loss: of `ops.masked_loss`.
    partial_labels: one of `masked_loss.MODES`.
    localization_loss: of `ops.losses`: (box_encodings, box_targets) -> f32[B, A].
    localize_decoded: whether that loss is given boxes, decoded from both, instead.
    hard_example_miner: None for all anchors; it sees the masked losses.
    classification_weight: factor of the classification loss.
    localization_weight: factor of the localization loss.
    normalize_by_num_matches: False leaves `normalizer` out.
    normalize_loc_by_codesize: the localization loss is divided by the length of an encoding, 4.
    normalizer: f32[], `num_matches` (or what takes its place) summed over the replicas, at least 1.
    example_mask: bool[B], False where the image pads the batch: its loss is 0.
    labeled_classes: bool[B, K]; None: all of them are.
    layer_sizes: how many of the A anchors each feature map has; for a miner that asks for it.

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
  predicted, wanted = box_encodings, targets.box_targets
  if localize_decoded:
    # Where nothing is wanted, nothing is decoded: it may be out of all bounds.
    predicted = tf.where(targets.box_weights[..., None] > 0, predicted, 0.0)
    predicted, wanted = (box_coder.decode(codes, anchors) for codes in (predicted, wanted))
  box_losses = localization_loss(predicted, wanted) * targets.box_weights

  mask, shares = example_mask[:, None], 1.0
  if isinstance(hard_example_miner, hard_negatives.BatchHardExampleMiner):
    mask = hard_example_miner.select(class_losses, targets, example_mask, layer_sizes)
    if hard_example_miner.averages_layers:
      weighing_mask = mask & (targets.class_weights > 0)
      shares = hard_negatives.layer_shares(weighing_mask, targets.positive_mask, layer_sizes)
  elif hard_example_miner is not None:
    decoded_boxes = box_coder.decode(box_encodings, anchors)
    mask &= hard_example_miner.select(class_losses, box_losses, decoded_boxes, targets)

  normalizer = normalizer if normalize_by_num_matches else 1.0
  code_size = box_encodings.shape[-1] if normalize_loc_by_codesize else 1
  return {
    'localization_loss': localization_weight
    * tf.reduce_sum(tf.where(mask, box_losses, 0.0) * shares)
    / (normalizer * code_size),
    'classification_loss': classification_weight
    * tf.reduce_sum(tf.where(mask, class_losses, 0.0) * shares)
    / normalizer,
  }


def sum_losses(
  compute_losses: Callable[..., dict[str, tf.Tensor]],
  class_logits: tf.Tensor,
  box_encodings: tf.Tensor,
  targets: target_assigner.Targets,
  *,
  normalizer_part: Callable[[target_assigner.Targets, tf.Tensor], tf.Tensor],
  image_by_image: bool,
  example_mask: tf.Tensor,
  labeled_classes: tf.Tensor,
) -> dict[str, tf.Tensor]:
  """Returns what an evaluation sums over all of its batches, to divide once at its end.

  loss of a data set = sum of the losses / max(sum of the normalizers, 1), whatever the batches are.

  Args:
    compute_losses: `ssd_losses`, given all but what follows, and the normalizer.
    class_logits: f32[B, A, K+1].
    box_encodings: f32[B, A, code size].
    targets: of the same images and anchors.
    normalizer_part: `num_matches` or `num_images`.
    image_by_image: whether each image is a batch of its own, as for a miner that looks at whole
      batches: its choice would depend on what else is in the batch.
    example_mask: bool[B], False where the image pads the batch: it adds nothing.
    labeled_classes: bool[B, K].

  Returns:
    {'localization_loss': f32[], 'classification_loss': f32[], 'normalizer': f32[]}: sums over the
    images.
  """

  def sums(inputs):
    *predicted_and_targets, mask, labeled = inputs
    return compute_losses(
      *predicted_and_targets, normalizer=1.0, example_mask=mask, labeled_classes=labeled
    )

  inputs = (class_logits, box_encodings, targets, example_mask, labeled_classes)
  if image_by_image:
    losses = tf.map_fn(
      lambda image: sums(tf.nest.map_structure(lambda tensor: tensor[tf.newaxis], image)),
      inputs,
      fn_output_signature=dict.fromkeys(('localization_loss', 'classification_loss'), tf.float32),
    )
    losses = {name: tf.reduce_sum(values) for name, values in losses.items()}
  else:
    losses = sums(inputs)
  return {**losses, 'normalizer': normalizer_part(targets, example_mask)}


def count_labels(
  targets: target_assigner.Targets, *, example_mask: tf.Tensor, labeled_classes: tf.Tensor
) -> tf.Tensor:
  """Counts, by class, what the labels of the replica's images hold.

  Args:
    targets: of the images.
    example_mask: bool[B], False where the image pads the batch.
    labeled_classes: bool[B, K].

  Returns:
    f32[2, K]: images labeled for the class; anchors matched to it.
  """
  num_columns = labeled_classes.shape[-1] + 1
  real = example_mask[:, tf.newaxis]
  labeled = tf.reduce_sum(tf.cast(labeled_classes & real, tf.float32), axis=0)
  matched = tf.where(real, targets.class_targets, 0)
  positives = tf.math.bincount(matched, minlength=num_columns, maxlength=num_columns)
  return tf.stack([labeled, tf.cast(positives[1:], tf.float32)])


def masked_losses(
  class_logits: tf.Tensor,
  targets: target_assigner.Targets,
  *,
  classification_loss: masked_loss.ClassificationLoss,
  partial_labels: str,
  example_mask: tf.Tensor,
  labeled_classes: tf.Tensor,
) -> tf.Tensor:
  """Sums, by class, the losses of the answer "not this class", masked ones and all.

  Args:
    class_logits: f32[B, A, K+1].
    targets: of the same images and anchors.
    classification_loss: as given to `ssd_losses`.
    partial_labels: as given to `ssd_losses`.
    example_mask: bool[B], False where the image pads the batch.
    labeled_classes: bool[B, K].

  Returns:
    f32[2, K]: sums over the anchors that are not matched to the class, in images that are not
    labeled for it, and in all images. No gradient.
  """

  def of_image(inputs):
    logits, class_targets, weights = inputs
    losses = classification_loss.losses_of_no(tf.cast(logits, tf.float32))[:, 1:]
    is_class = class_targets[:, tf.newaxis] == tf.range(1, tf.shape(losses)[1] + 1)
    return tf.reduce_sum(tf.where(is_class, 0.0, losses * weights[:, tf.newaxis]), axis=0)

  # Image by image, so that it takes little memory.
  losses = tf.map_fn(
    of_image,
    (tf.stop_gradient(class_logits), targets.class_targets, targets.class_weights),
    fn_output_signature=tf.TensorSpec(labeled_classes.shape[1:], tf.float32),
  )
  losses = tf.where(example_mask[:, tf.newaxis], losses, 0.0)
  is_masked = ~labeled_classes & (partial_labels != 'naive')
  masked = tf.reduce_sum(tf.where(is_masked, losses, 0.0), axis=0)
  return tf.stack([masked, tf.reduce_sum(losses, axis=0)])


def _check_shapes(class_logits, box_encodings, targets):
  anchors_shape = targets.class_targets.shape
  for name, tensor in (('class_logits', class_logits), ('box_encodings', box_encodings)):
    if tensor.shape.rank != 3 or not tensor.shape[:2].is_compatible_with(anchors_shape):
      raise ValueError(
        f'{name}: expected {anchors_shape} (class_targets) and one dimension more, received '
        f'{tensor.shape}; predictions and targets must be of the same images and anchors.'
      )
