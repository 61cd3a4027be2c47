"""Computes the loss that a training step minimizes, apart from regularization."""

import dataclasses
from collections.abc import Callable, Mapping

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.ops import hard_negatives, masked_loss
from ssd_tf.ops.box_coder import BoxCoder
from ssd_tf.ops.target_assigner import Targets

NORMALIZERS = ('MATCHES', 'IMAGES', 'REPLICAS', 'NOTHING')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
  """The losses of images: each summed over anchors, weighted, normalized.

  L_classification = classification_weight / normalizer * sum(class_weights * loss);
  L_localization = localization_weight / (normalizer * code size) * sum(box_weights * loss).
  A miner of scope SSD_TENSORFLOW_LAYER makes each sum that of the feature maps' means.

  The normalizer is that of the whole global batch: `normalizer_part` summed over the replicas, or 1
  where that is less. So the losses of the replicas add up to those of the batch.

  Attributes:
    localization_loss: of `ops.losses`: (box_encodings, box_targets) -> f32[B, A].
    localize_decoded: whether that loss is given boxes, decoded from both, instead.
    box_coder: for hard example mining, and for `localize_decoded`.
    hard_example_miner: None for all anchors; it sees the masked losses.
    normalized_by: 'MATCHES': the weight of all matched anchors; 'IMAGES': their number, as in
      SSD-Tensorflow's ssd_losses of SSD300; 'REPLICAS': their number, so that the losses are the
      means of the replicas' own, as in SSD-Tensorflow's training on several clones; 'NOTHING'.
    normalize_loc_by_codesize: whether the localization loss is divided by the length of an
      encoding, 4.
    layer_sizes: how many of the A anchors each feature map has; for a miner that asks for it.

  Source: Liu et al., SSD, equations 1 to 3; the original's meta_architectures/ssd_meta_arch.py,
  which normalizes by the matches of one replica.
  """

  classification_loss: masked_loss.ClassificationLoss
  partial_labels: str = 'masked'
  localization_loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
  localize_decoded: bool = False
  box_coder: BoxCoder
  hard_example_miner: hard_negatives.Miner | None
  classification_weight: float
  localization_weight: float
  normalized_by: str
  normalize_loc_by_codesize: bool
  layer_sizes: tuple[int, ...] | None = None

  def __post_init__(self):
    if self.normalized_by not in NORMALIZERS:
      raise ValueError(
        f'normalized_by: expected one of {NORMALIZERS}, received {self.normalized_by!r}.'
      )

  def __call__(
    self,
    outputs: Mapping[str, tf.Tensor],
    targets: Targets,
    batch: Mapping[str, tf.Tensor],
    normalizer: tf.Tensor | float,
    anchors: tf.Tensor,
  ) -> dict[str, tf.Tensor]:
    """Computes the losses of a replica's images.

    Args:
      outputs: of the network: class_logits f32[B, A, K+1], box_encodings f32[B, A, code size].
      batch: example_mask bool[B], False where the image pads the batch, so that its loss is 0;
        labeled_classes bool[B, K].
      anchors: f32[A, 4], that the encodings are relative to.

    Returns:
      {'localization_loss': f32[], 'classification_loss': f32[]}; over the replicas they add up.
    """
    class_logits, box_encodings = outputs[fields.CLASS_LOGITS], outputs[fields.BOX_ENCODINGS]
    example_mask = batch[fields.EXAMPLE_MASK]
    _check_shapes(class_logits, box_encodings, targets)
    class_losses = targets.class_weights * masked_loss.masked_classification_loss(
      class_logits,
      targets.class_targets,
      batch[fields.LABELED_CLASSES],
      loss=self.classification_loss,
      mode=self.partial_labels,
    )
    box_losses = targets.box_weights * self._localization_losses(box_encodings, targets, anchors)

    mask, shares, miner = example_mask[:, tf.newaxis], 1.0, self.hard_example_miner
    if isinstance(miner, hard_negatives.BatchHardExampleMiner):
      mask = miner.select(class_losses, targets, example_mask, self.layer_sizes)
      if miner.averages_layers:
        weighing_mask = mask & (targets.class_weights > 0)
        shares = hard_negatives.layer_shares(weighing_mask, targets.positive_mask, self.layer_sizes)
    elif miner is not None:
      decoded_boxes = self.box_coder.decode(box_encodings, anchors)
      mask &= miner.select(class_losses, box_losses, decoded_boxes, targets)

    code_size = box_encodings.shape[-1] if self.normalize_loc_by_codesize else 1
    return {
      'localization_loss': self.localization_weight
      * tf.reduce_sum(tf.where(mask, box_losses, 0.0) * shares)
      / (normalizer * code_size),
      'classification_loss': self.classification_weight
      * tf.reduce_sum(tf.where(mask, class_losses, 0.0) * shares)
      / normalizer,
    }

  def normalizer_part(self, targets: Targets, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the part of the losses' normalizer that the images of a replica have, f32[]."""
    example_mask = batch[fields.EXAMPLE_MASK]
    if self.normalized_by == 'MATCHES':
      return tf.reduce_sum(tf.where(example_mask[:, tf.newaxis], targets.box_weights, 0.0))
    if self.normalized_by == 'IMAGES':
      return tf.reduce_sum(tf.cast(example_mask, tf.float32))
    return tf.constant(1.0 if self.normalized_by == 'REPLICAS' else 0.0)

  def sums(
    self,
    outputs: Mapping[str, tf.Tensor],
    targets: Targets,
    batch: Mapping[str, tf.Tensor],
    anchors: tf.Tensor,
  ) -> dict[str, tf.Tensor]:
    """Computes what an evaluation sums over all of its batches, to divide once at its end.

    loss of a data set = sum of the losses / max(sum of the normalizers, 1), whatever the batches
    are. So where a training's normalizer does not depend on the images, it is their number here;
    and for a miner that looks at whole batches each image is a batch of its own, since its choice
    would depend on what else is in the batch.

    Returns:
      localization_loss, classification_loss and normalizer, f32[] each: sums over the images.
    """
    counting = self
    if self.normalized_by != 'MATCHES':
      counting = dataclasses.replace(self, normalized_by='IMAGES')
    masks = {key: batch[key] for key in (fields.EXAMPLE_MASK, fields.LABELED_CLASSES)}
    if isinstance(self.hard_example_miner, hard_negatives.BatchHardExampleMiner):
      losses = tf.map_fn(
        lambda image: self(
          *tf.nest.map_structure(lambda tensor: tensor[tf.newaxis], image), 1.0, anchors
        ),
        (dict(outputs), targets, masks),
        fn_output_signature=dict.fromkeys(('localization_loss', 'classification_loss'), tf.float32),
      )
      losses = {name: tf.reduce_sum(values) for name, values in losses.items()}
    else:
      losses = self(outputs, targets, masks, 1.0, anchors)
    return {**losses, 'normalizer': counting.normalizer_part(targets, batch)}

  def masked_losses(
    self,
    outputs: Mapping[str, tf.Tensor],
    targets: Targets,
    batch: Mapping[str, tf.Tensor],
  ) -> tf.Tensor:
    """Sums, by class, the losses of the answer "not this class", masked ones and all.

    Args:
      outputs: class_logits f32[B, A, K+1].
      batch: example_mask bool[B], labeled_classes bool[B, K].

    Returns:
      f32[2, K]: sums over the anchors that are not matched to the class, in images that are not
      labeled for it, and in all images. No gradient.
    """
    example_mask, labeled_classes = batch[fields.EXAMPLE_MASK], batch[fields.LABELED_CLASSES]

    def of_image(inputs):
      logits, class_targets, weights = inputs
      losses = self.classification_loss.negative_losses(logits)[:, 1:]
      is_class = class_targets[:, tf.newaxis] == tf.range(1, tf.shape(losses)[1] + 1)
      return tf.reduce_sum(tf.where(is_class, 0.0, losses * weights[:, tf.newaxis]), axis=0)

    # Image by image, so that it takes little memory.
    losses = tf.map_fn(
      of_image,
      (
        tf.stop_gradient(outputs[fields.CLASS_LOGITS]),
        targets.class_targets,
        targets.class_weights,
      ),
      fn_output_signature=tf.TensorSpec(labeled_classes.shape[1:], tf.float32),
    )
    losses = tf.where(example_mask[:, tf.newaxis], losses, 0.0)
    is_masked = ~labeled_classes & (self.partial_labels != 'naive')
    masked = tf.reduce_sum(tf.where(is_masked, losses, 0.0), axis=0)
    return tf.stack([masked, tf.reduce_sum(losses, axis=0)])

  def _localization_losses(self, box_encodings, targets, anchors):
    """f32[B, A], not weighted."""
    wanted = targets.box_targets
    if self.localize_decoded:
      # Where nothing is wanted, nothing is decoded: it may be out of all bounds.
      box_encodings = tf.where(targets.box_weights[..., tf.newaxis] > 0, box_encodings, 0.0)
      box_encodings, wanted = (
        self.box_coder.decode(codes, anchors) for codes in (box_encodings, wanted)
      )
    return self.localization_loss(box_encodings, wanted)


def count_labels(targets: Targets, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
  """Counts, by class, what the labels of the replica's images hold.

  f32[2, K]: images labeled for the class; anchors matched to it.
  """
  labeled_classes = batch[fields.LABELED_CLASSES]
  real = batch[fields.EXAMPLE_MASK][:, tf.newaxis]
  labeled = tf.reduce_sum(tf.cast(labeled_classes & real, tf.float32), axis=0)
  # tf.math.bincount has no deterministic kernel for a GPU.
  matched = tf.boolean_mask(targets.class_targets, real & (targets.class_targets > 0))
  positives = tf.scatter_nd(
    matched[:, tf.newaxis] - 1, tf.ones_like(matched, tf.float32), [labeled_classes.shape[-1]]
  )
  return tf.stack([labeled, positives])


def _check_shapes(class_logits, box_encodings, targets):
  anchors_shape = targets.class_targets.shape
  for name, tensor in (('class_logits', class_logits), ('box_encodings', box_encodings)):
    if tensor.shape.rank != 3 or not tensor.shape[:2].is_compatible_with(anchors_shape):
      raise ValueError(
        f'{name}: expected {anchors_shape} (class_targets) and one dimension more, received '
        f'{tensor.shape}; predictions and targets must be of the same images and anchors.'
      )
