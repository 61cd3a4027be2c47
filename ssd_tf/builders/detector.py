"""A network with all that belongs to it: anchors, targets, losses, detections."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.builders.model import build_anchors, build_model
from ssd_tf.builders.resizers import build_preprocess_image, image_size
from ssd_tf.builders.support import chosen
from ssd_tf.errors import InputError
from ssd_tf.ops import losses, masked_loss, objective
from ssd_tf.ops.box_coder import FasterRCNNBoxCoder
from ssd_tf.ops.hard_negatives import HardExampleMiner
from ssd_tf.ops.matching import ArgMaxMatcher
from ssd_tf.ops.post_processing import postprocess
from ssd_tf.ops.target_assigner import Targets, assign_targets
from ssd_tf.protos import losses_pb2, pipeline_pb2, post_processing_pb2


@dataclasses.dataclass(frozen=True)
class Detector:
  """A network with all that belongs to it.

  Attributes:
    model: f32[B,H,W,3] -> {'class_logits': f32[B,A,K+1], 'box_encodings': f32[B,A,4]}.
    anchors: f32[A,4], normalized.
    num_classes: K.
    image_size: (H, W).
    preprocess_image: u8[(B,)h,w,3] -> (f32[(B,)H,W,3], i32[2] size without padding).
    assign: (anchors, boxes, classes, weights, mask of a batch's groundtruth) -> Targets.
    losses: (class_logits, box_encodings, targets, anchors=, normalizer=, example_mask=,
      labeled_classes=) -> losses.
    sum_masked: (class_logits, targets, example_mask=, labeled_classes=) -> f32[2, K].
    suppress: (class_logits, box_encodings, anchors) -> detections.
  """

  model: keras.Model
  anchors: tf.Tensor
  num_classes: int
  image_size: tuple[int, int]
  preprocess_image: Callable
  assign: Callable[..., Targets]
  losses: Callable[..., dict[str, tf.Tensor]]
  sum_masked: Callable[..., tf.Tensor]
  suppress: Callable[..., dict[str, tf.Tensor]]

  def assign_targets(self, batch: dict[str, tf.Tensor]) -> Targets:
    """The targets of a batch; see `ops.target_assigner`."""
    return self.assign(
      self.anchors,
      batch[fields.GROUNDTRUTH_BOXES],
      batch[fields.GROUNDTRUTH_CLASSES],
      batch[fields.GROUNDTRUTH_WEIGHTS],
      batch[fields.GROUNDTRUTH_MASK],
    )

  def num_matches(self, targets: Targets, batch: dict[str, tf.Tensor]) -> tf.Tensor:
    """This replica's part of the losses' normalizer, f32[]."""
    return objective.num_matches(targets, batch[fields.EXAMPLE_MASK])

  def compute_losses(
    self,
    outputs: dict[str, tf.Tensor],
    targets: Targets,
    batch: dict[str, tf.Tensor],
    normalizer: tf.Tensor,
  ) -> dict[str, tf.Tensor]:
    """This replica's localization and classification loss, f32[] each; see `ops.objective`."""
    return self.losses(
      outputs[fields.CLASS_LOGITS],
      outputs[fields.BOX_ENCODINGS],
      targets,
      anchors=self.anchors,
      normalizer=normalizer,
      example_mask=batch[fields.EXAMPLE_MASK],
      labeled_classes=batch[fields.LABELED_CLASSES],
    )

  def count_labels(self, targets: Targets, batch: dict[str, tf.Tensor]) -> tf.Tensor:
    """This replica's labeled images and positives of each class, f32[2, K]; see `ops.objective`."""
    return objective.count_labels(
      targets,
      example_mask=batch[fields.EXAMPLE_MASK],
      labeled_classes=batch[fields.LABELED_CLASSES],
    )

  def masked_losses(
    self, outputs: dict[str, tf.Tensor], targets: Targets, batch: dict[str, tf.Tensor]
  ) -> tf.Tensor:
    """This replica's masked losses and all, of each class, f32[2, K]; see `ops.objective`."""
    return self.sum_masked(
      outputs[fields.CLASS_LOGITS],
      targets,
      example_mask=batch[fields.EXAMPLE_MASK],
      labeled_classes=batch[fields.LABELED_CLASSES],
    )

  def compute_batch_losses(
    self, outputs: dict[str, tf.Tensor], batch: dict[str, tf.Tensor]
  ) -> dict[str, tf.Tensor]:
    """The losses of a batch normalized by its own matches, as an evaluation reports them."""
    targets = self.assign_targets(batch)
    normalizer = tf.maximum(self.num_matches(targets, batch), 1.0)
    return self.compute_losses(outputs, targets, batch, normalizer)

  def postprocess(
    self, outputs: dict[str, tf.Tensor], true_size: tf.Tensor | None = None
  ) -> dict[str, tf.Tensor]:
    """Detections, keys of `fields`, on the scale of the image without padding."""
    del true_size  # Resizing to a fixed shape does not pad.
    return self.suppress(outputs[fields.CLASS_LOGITS], outputs[fields.BOX_ENCODINGS], self.anchors)

  def detect(
    self, outputs: dict[str, tf.Tensor], batch: dict[str, tf.Tensor]
  ) -> dict[str, tf.Tensor]:
    """Detections on a batch of `build_dataset`."""
    del batch
    return self.postprocess(outputs)


def build_detector(model_config: pipeline_pb2.DetectionModel, is_training: bool) -> Detector:
  """Builds a network with all that belongs to it.

  Args:
    model_config: the config's `model`.
    is_training: whether batch norms may be trained.

  Returns:
    The detector.

  Raises:
    InputError: a field is missing or not supported.
  """
  ssd = model_config.ssd
  model = build_model(model_config, is_training)
  box_coder = _box_coder(ssd)
  classification_loss = _classification_loss(ssd)
  return Detector(
    model=model,
    anchors=tf.constant(build_anchors(model_config, model)),
    num_classes=ssd.num_classes,
    image_size=image_size(ssd),
    preprocess_image=build_preprocess_image(ssd),
    assign=functools.partial(assign_targets, matcher=_matcher(ssd), box_coder=box_coder),
    losses=_losses(ssd, box_coder, classification_loss),
    sum_masked=functools.partial(
      objective.masked_losses,
      classification_loss=classification_loss,
      partial_labels=_partial_labels(ssd.loss),
    ),
    suppress=_suppress(ssd, box_coder),
  )


def _box_coder(ssd):
  kind = chosen(ssd.box_coder, 'box_coder_oneof', 'model.ssd.box_coder', ('faster_rcnn_box_coder',))
  values = getattr(ssd.box_coder, kind)
  return FasterRCNNBoxCoder(
    y_scale=values.y_scale,
    x_scale=values.x_scale,
    height_scale=values.height_scale,
    width_scale=values.width_scale,
  )


def _matcher(ssd):
  path = 'model.ssd.matcher'
  values = getattr(ssd.matcher, chosen(ssd.matcher, 'matcher_oneof', path, ('argmax_matcher',)))
  if values.ignore_thresholds:
    raise InputError(
      f'{path}.argmax_matcher.ignore_thresholds: true is not supported; set it to false'
    )
  chosen(
    ssd.similarity_calculator,
    'region_similarity',
    'model.ssd.similarity_calculator',
    ('iou_similarity',),
  )
  return ArgMaxMatcher(
    matched_threshold=values.matched_threshold,
    unmatched_threshold=values.unmatched_threshold,
    negatives_lower_than_unmatched=values.negatives_lower_than_unmatched,
    force_match_for_each_row=values.force_match_for_each_row,
  )


def _losses(ssd, box_coder, classification_loss):
  loss = ssd.loss
  mode = _partial_labels(loss)
  if mode == 'masked_but_background' and loss.classification_loss.HasField('weighted_softmax'):
    raise InputError(
      'model.ssd.loss.partial_labels: MASKED_BUT_BACKGROUND is for the sigmoid losses, whose '
      'background column stands apart; take MASKED or NAIVE with weighted_softmax'
    )
  if loss.HasField('hard_example_miner') and loss.classification_loss.HasField(
    'weighted_sigmoid_focal'
  ):
    raise InputError(
      'model.ssd.loss: hard_example_miner and weighted_sigmoid_focal both make up for the many '
      'negatives, and do not go together; take one of them out'
    )
  chosen(
    loss.localization_loss,
    'localization_loss',
    'model.ssd.loss.localization_loss',
    ('weighted_smooth_l1',),
  )
  return functools.partial(
    objective.ssd_losses,
    box_coder=box_coder,
    classification_loss=classification_loss,
    partial_labels=mode,
    localization_loss=functools.partial(
      losses.smooth_l1, delta=loss.localization_loss.weighted_smooth_l1.delta
    ),
    hard_example_miner=_hard_example_miner(loss) if loss.HasField('hard_example_miner') else None,
    classification_weight=loss.classification_weight,
    localization_weight=loss.localization_weight,
    normalize_by_num_matches=ssd.normalize_loss_by_num_matches,
    normalize_loc_by_codesize=ssd.normalize_loc_loss_by_codesize,
  )


def _partial_labels(loss):
  return losses_pb2.Loss.PartialLabels.Name(loss.partial_labels).lower()


def _classification_loss(ssd):
  classification_loss = ssd.loss.classification_loss
  kind = chosen(
    classification_loss,
    'classification_loss',
    'model.ssd.loss.classification_loss',
    ('weighted_sigmoid', 'weighted_sigmoid_focal', 'weighted_softmax'),
  )
  values = getattr(classification_loss, kind)
  background_as_zeros = ssd.encode_background_as_zeros
  if kind == 'weighted_softmax':
    if background_as_zeros:
      raise InputError(
        'model.ssd.encode_background_as_zeros: expected false with '
        'model.ssd.loss.classification_loss.weighted_softmax, received true: background would '
        'cost nothing and every anchor would become an object. Set it to false.'
      )
    return masked_loss.SoftmaxLoss(logit_scale=values.logit_scale)
  if kind == 'weighted_sigmoid':
    return masked_loss.SigmoidLoss(background_as_zeros=background_as_zeros)
  return masked_loss.SigmoidLoss(
    gamma=values.gamma,
    alpha=values.alpha if values.HasField('alpha') else None,
    background_as_zeros=background_as_zeros,
  )


def _hard_example_miner(loss):
  values = loss.hard_example_miner
  return HardExampleMiner(
    num_hard_examples=values.num_hard_examples or None,
    iou_threshold=values.iou_threshold,
    loss_type=losses_pb2.HardExampleMiner.LossType.Name(values.loss_type),
    classification_weight=loss.classification_weight,
    localization_weight=loss.localization_weight,
    max_negatives_per_positive=values.max_negatives_per_positive or None,
    min_negatives_per_image=values.min_negatives_per_image,
  )


def _suppress(ssd, box_coder):
  post_processing = ssd.post_processing
  suppression = post_processing.batch_non_max_suppression
  converters = post_processing_pb2.PostProcessing.ScoreConverter
  return functools.partial(
    postprocess,
    box_coder=box_coder,
    score_converter=converters.Name(post_processing.score_converter),
    logit_scale=post_processing.logit_scale,
    score_threshold=suppression.score_threshold,
    iou_threshold=suppression.iou_threshold,
    max_detections_per_class=suppression.max_detections_per_class,
    max_total_detections=suppression.max_total_detections,
    use_class_agnostic_nms=suppression.use_class_agnostic_nms,
    soft_nms_sigma=suppression.soft_nms_sigma,
  )
