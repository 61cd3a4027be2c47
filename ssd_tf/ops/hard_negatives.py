"""Selects the negatives that count in the loss, where they outnumber the positives."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from ssd_tf.ops import target_assigner

LOSS_TYPES = ('BOTH', 'CLASSIFICATION', 'LOCALIZATION')
BATCH_SCOPES = ('BATCH', 'SSD_TENSORFLOW', 'SSD_TENSORFLOW_LAYER')


@dataclasses.dataclass(frozen=True, kw_only=True)
class HardExampleMiner:
  """Picks each image's anchors of greatest loss, no two of them on one spot.

  Non-maximum suppression of the decoded boxes, with the loss as score, takes `num_hard_examples`
  anchors. Of these all positives stay, and the hardest negatives in proportion to them.

  Attributes:
    num_hard_examples: at most so many anchors survive the suppression; None for all.
    iou_threshold: an anchor yields to one of greater loss that overlaps it more than this; 1 or
      more: none does, as in Liu et al.
    loss_type: 'BOTH', 'CLASSIFICATION' or 'LOCALIZATION': what counts as loss here.
    max_negatives_per_positive: None for no proportion: negatives, positives and ignored anchors
      alike stay as the suppression left them.
    min_negatives_per_image: negatives that stay in an image with few positives or none.

  Source: Liu et al., SSD, section 2.2 (hard negative mining); Shrivastava et al., Training
  Region-based Object Detectors with Online Hard Example Mining; the original's
  core/losses.py, HardExampleMiner.
  """

  num_hard_examples: int | None
  iou_threshold: float
  loss_type: str
  classification_weight: float
  localization_weight: float
  max_negatives_per_positive: float | None
  min_negatives_per_image: int

  def __post_init__(self):
    if self.loss_type not in LOSS_TYPES:
      raise ValueError(f'loss_type: expected one of {LOSS_TYPES}, received {self.loss_type!r}.')

  def select(
    self,
    classification_losses: tf.Tensor,
    localization_losses: tf.Tensor,
    decoded_boxes: tf.Tensor,
    targets: target_assigner.Targets,
  ) -> tf.Tensor:
    """Returns the anchors that take part in the loss, bool[B, A]; no gradient flows through it.

    Args:
      classification_losses: f32[B, A], weighted.
      localization_losses: f32[B, A], weighted.
      decoded_boxes: f32[B, A, 4], what the model predicts.
    """
    if self.loss_type == 'CLASSIFICATION':
      losses = classification_losses
    elif self.loss_type == 'LOCALIZATION':
      losses = localization_losses
    else:
      losses = (
        self.classification_weight * classification_losses
        + self.localization_weight * localization_losses
      )
    negative_mask = ~targets.positive_mask & (targets.class_weights > 0)
    return tf.map_fn(
      lambda image: self._select_in_image(*image),
      (
        tf.stop_gradient(decoded_boxes),
        tf.stop_gradient(losses),
        targets.positive_mask,
        negative_mask,
      ),
      fn_output_signature=tf.TensorSpec(losses.shape[1:], tf.bool),
    )

  def _select_in_image(self, boxes, losses, positive_mask, negative_mask):
    num_anchors = tf.shape(losses)[0]
    num_selected = tf.minimum(self.num_hard_examples or num_anchors, num_anchors)
    if self.iou_threshold < 1:
      selected = tf.image.non_max_suppression(boxes, losses, num_selected, self.iou_threshold)
    else:  # None suppresses another; half a second less for SSD300's anchors.
      selected = tf.math.top_k(losses, num_selected).indices
    if self.max_negatives_per_positive is not None:
      positive_mask = tf.gather(positive_mask, selected)
      negatives = tf.cast(tf.gather(negative_mask, selected), tf.int32)
      num_positives = tf.reduce_sum(tf.cast(positive_mask, tf.float32))
      max_negatives = tf.maximum(
        tf.cast(self.max_negatives_per_positive * num_positives, tf.int32),
        self.min_negatives_per_image,
      )
      hard_mask = (negatives > 0) & (tf.cumsum(negatives) <= max_negatives)
      selected = tf.boolean_mask(selected, positive_mask | hard_mask)
    return tf.scatter_nd(selected[:, None], tf.ones_like(selected), [num_anchors]) > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchHardExampleMiner:
  """Picks all positives, and of all images' negatives together the hardest in proportion to them.

  With P positives and N negatives in B images, and r = `max_negatives_per_positive`, it keeps:
  'BATCH': min(max(int(r P), min_negatives), negatives whose loss is not 0);
  'SSD_TENSORFLOW': min(int(r P) + B, N) - 1;
  'SSD_TENSORFLOW_LAYER': min(max(int(r P), B A // 8, 4 B), N + 1) - 1 in each feature map for
  itself, P, N and A being counted there.
  Of equal losses the first image's come first, then those of the lowest anchor.

  Under tf.distribute the batch is the part of it that a replica has.

  Attributes:
    scope: one of `BATCH_SCOPES`.
    max_negatives_per_positive: r.
    min_negatives: negatives that stay in a batch with few positives or none; of 'BATCH' only.

  Source: the MultiBox loss layer of Caffe's SSD; ssd_keras' SSDLoss; SSD-Tensorflow's ssd_losses
  of SSD300 and of SSD512. The last two keep what is below the k-th smallest probability of
  background, so that of k negatives one is missing, which is followed here, and all that tie with
  it, which is not: of equal losses they keep fewer or none.
  """

  scope: str
  max_negatives_per_positive: float
  min_negatives: int = 0

  def __post_init__(self):
    if self.scope not in BATCH_SCOPES:
      raise ValueError(f'scope: expected one of {BATCH_SCOPES}, received {self.scope!r}.')
    if self.min_negatives and self.scope != 'BATCH':
      raise ValueError(
        f'min_negatives: expected 0 with {self.scope}, which has a least number of its own, '
        f'received {self.min_negatives}.'
      )

  @property
  def averages_layers(self) -> bool:
    """Whether the losses are means over what is selected in each feature map."""
    return self.scope == 'SSD_TENSORFLOW_LAYER'

  def select(
    self,
    classification_losses: tf.Tensor,
    targets: target_assigner.Targets,
    example_mask: tf.Tensor,
    layer_sizes: Sequence[int] | None = None,
  ) -> tf.Tensor:
    """Returns the anchors that take part in the loss, bool[B, A]; no gradient flows through it.

    Args:
      classification_losses: f32[B, A], weighted; of negatives, that of background.
      example_mask: bool[B], False where the image pads the batch: it has no examples.
      layer_sizes: how many of the A anchors each feature map has; for 'SSD_TENSORFLOW_LAYER'.
    """
    real_mask = example_mask[:, tf.newaxis]
    positive_mask = targets.positive_mask & real_mask
    negative_mask = ~targets.positive_mask & (targets.class_weights > 0) & real_mask
    arguments = (tf.stop_gradient(classification_losses), positive_mask, negative_mask)
    num_images = tf.reduce_sum(tf.cast(example_mask, tf.int32))
    if not self.averages_layers:
      return positive_mask | self._hardest(*arguments, num_images)
    if layer_sizes is None:
      raise ValueError('layer_sizes: expected the anchors of each feature map, received None.')
    layers = zip(*(tf.split(argument, layer_sizes, axis=1) for argument in arguments), strict=True)
    hardest = [self._hardest(*layer, num_images) for layer in layers]
    return positive_mask | tf.concat(hardest, axis=1)

  def _hardest(self, losses, positive_mask, negative_mask, num_images):
    losses = tf.where(negative_mask, losses, -1.0)
    kept = self._num_kept(losses, positive_mask, negative_mask, num_images)
    _, hardest = tf.math.top_k(tf.reshape(losses, [-1]), kept)
    mask = tf.scatter_nd(hardest[:, tf.newaxis], tf.ones_like(hardest), [tf.size(losses)]) > 0
    return tf.reshape(mask, tf.shape(losses))

  def _num_kept(self, losses, positive_mask, negative_mask, num_images):
    proportion = tf.cast(
      self.max_negatives_per_positive * tf.cast(_count(positive_mask), tf.float32), tf.int32
    )
    if self.scope == 'BATCH':
      return tf.minimum(tf.maximum(proportion, self.min_negatives), _count(losses > 0))
    num_negatives = _count(negative_mask)
    if self.scope == 'SSD_TENSORFLOW':
      kept = tf.minimum(proportion + num_images, num_negatives)
    else:
      least = tf.maximum(num_images * tf.shape(losses)[1] // 8, 4 * num_images)
      kept = tf.minimum(tf.maximum(proportion, least), num_negatives + 1)
    return tf.maximum(kept - 1, 0)


Miner = HardExampleMiner | BatchHardExampleMiner


def layer_shares(
  mask: tf.Tensor, positive_mask: tf.Tensor, layer_sizes: Sequence[int]
) -> tf.Tensor:
  """Returns the weights that make sums of losses sums of each feature map's means.

  Means over the positives and, apart from them, over the negatives: f32[B, A], 1 / the anchors of
  that kind in that feature map, of all images together.

  Args:
    mask: bool[B, A], the anchors whose losses count.
    layer_sizes: how many of the A anchors each feature map has.

  Source: SSD-Tensorflow's ssd_losses of SSD512.
  """

  def shares(kind_mask):
    # Segment sums have no deterministic kernel for a GPU.
    layers = tf.split(tf.cast(kind_mask, tf.float32), layer_sizes, axis=1)
    counts = tf.stack([tf.reduce_sum(layer) for layer in layers])
    return tf.repeat(tf.math.divide_no_nan(1.0, counts), layer_sizes)

  return tf.where(positive_mask, shares(mask & positive_mask), shares(mask & ~positive_mask))


def _count(mask):
  return tf.reduce_sum(tf.cast(mask, tf.int32))
