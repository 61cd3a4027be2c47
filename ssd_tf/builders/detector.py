"""A network with all that belongs to it: anchors, targets, losses, detections."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.builders.anchors import count_anchors_per_layer
from ssd_tf.builders.losses import build_losses
from ssd_tf.builders.model import build_anchors, build_model
from ssd_tf.builders.resizers import build_preprocess_image, image_size
from ssd_tf.builders.support import explained, require_supported
from ssd_tf.builders.targets import build_assign_targets, build_box_coder
from ssd_tf.ops import objective
from ssd_tf.ops.box_coder import BoxCoder
from ssd_tf.ops.post_processing import postprocess
from ssd_tf.ops.target_assigner import Targets
from ssd_tf.protos import pipeline_pb2, post_processing_pb2


@dataclasses.dataclass(frozen=True)
class Detector:
  """A network with all that belongs to it.

  Attributes:
    model: f32[B,H,W,C] -> {'class_logits': f32[B,A,K+1], 'box_encodings': f32[B,A,4]}.
    anchors: f32[A,4], normalized.
    num_classes: K.
    image_size: (H, W).
    preprocess_image: u8[(B,)h,w,3] -> (f32[(B,)H,W,C], i32[2] size without padding).
    assign: (anchors; boxes, classes, weights, mask, mask of crowds of a batch's groundtruth) ->
      Targets.
    train_on_crowds: whether boxes around many objects are groundtruth like others.
    normalizer_part: (targets, example_mask) -> f32[].
    losses: (class_logits, box_encodings, targets, anchors=, normalizer=, example_mask=,
      labeled_classes=) -> losses.
    sum_masked: (class_logits, targets, example_mask=, labeled_classes=) -> f32[2, K].
    sum_up: (losses, class_logits, box_encodings, targets, example_mask=, labeled_classes=) -> sums.
    suppress: (class_logits, box_encodings, anchors, clip_windows=) -> detections.
  """

  model: keras.Model
  anchors: tf.Tensor
  num_classes: int
  image_size: tuple[int, int]
  preprocess_image: Callable
  assign: Callable[..., Targets]
  train_on_crowds: bool
  normalizer_part: Callable[..., tf.Tensor]
  losses: Callable[..., dict[str, tf.Tensor]]
  sum_masked: Callable[..., tf.Tensor]
  sum_up: Callable[..., dict[str, tf.Tensor]]
  suppress: Callable[..., dict[str, tf.Tensor]]

  def assign_targets(self, batch: dict[str, tf.Tensor]) -> Targets:
    """The targets of a batch; see `ops.target_assigner`."""
    keys = (
      () if self.train_on_crowds else (fields.GROUNDTRUTH_IS_CROWD, fields.GROUNDTRUTH_GROUP_OF)
    )
    crowd_masks = [batch[key] for key in keys if key in batch]
    return self.assign(
      self.anchors,
      batch[fields.GROUNDTRUTH_BOXES],
      batch[fields.GROUNDTRUTH_CLASSES],
      batch[fields.GROUNDTRUTH_WEIGHTS],
      batch[fields.GROUNDTRUTH_MASK],
      functools.reduce(tf.logical_or, crowd_masks) if crowd_masks else None,
    )

  def num_matches(self, targets: Targets, batch: dict[str, tf.Tensor]) -> tf.Tensor:
    """This replica's part of the losses' normalizer, f32[]."""
    return self.normalizer_part(targets, batch[fields.EXAMPLE_MASK])

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

  def sum_losses(
    self, outputs: dict[str, tf.Tensor], batch: dict[str, tf.Tensor]
  ) -> dict[str, tf.Tensor]:
    """A batch's part of an evaluation's losses and of their normalizer; see `ops.objective`."""
    return self.sum_up(
      functools.partial(self.losses, anchors=self.anchors),
      outputs[fields.CLASS_LOGITS],
      outputs[fields.BOX_ENCODINGS],
      self.assign_targets(batch),
      example_mask=batch[fields.EXAMPLE_MASK],
      labeled_classes=batch[fields.LABELED_CLASSES],
    )

  def compute_batch_losses(
    self, outputs: dict[str, tf.Tensor], batch: dict[str, tf.Tensor]
  ) -> dict[str, tf.Tensor]:
    """The losses of a batch with its own normalizer, as a training step on it has them."""
    targets = self.assign_targets(batch)
    normalizer = tf.maximum(self.num_matches(targets, batch), 1.0)
    return self.compute_losses(outputs, targets, batch, normalizer)

  def postprocess(
    self, outputs: dict[str, tf.Tensor], true_size: tf.Tensor | None = None
  ) -> dict[str, tf.Tensor]:
    """Detections on the scale of the image without padding.

    Args:
      outputs: of the model.
      true_size: i32[B, 2] or i32[2], (height, width) of the part of the input that is not padding;
        None: all of it.

    Returns:
      See `ops.post_processing`.
    """
    clip_windows = None
    if true_size is not None:
      share = tf.cast(true_size, tf.float32) / tf.constant(self.image_size, tf.float32)
      clip_windows = tf.concat([tf.zeros_like(share), share], axis=-1)
    return self.suppress(
      outputs[fields.CLASS_LOGITS],
      outputs[fields.BOX_ENCODINGS],
      self.anchors,
      clip_windows=clip_windows,
    )

  def detect(
    self, outputs: dict[str, tf.Tensor], batch: dict[str, tf.Tensor]
  ) -> dict[str, tf.Tensor]:
    """Detections on a batch of `build_dataset`, on the scale of the images without padding."""
    return self.postprocess(outputs, batch.get(fields.TRUE_SIZE))


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
  require_supported(model_config, 'model')
  ssd = model_config.ssd
  box_coder = build_box_coder(ssd)
  functions = build_losses(ssd, box_coder)
  around_model = {
    'num_classes': ssd.num_classes,
    'image_size': image_size(ssd),
    'preprocess_image': build_preprocess_image(ssd),
    'assign': build_assign_targets(ssd, box_coder),
    'train_on_crowds': ssd.train_on_crowds,
    'normalizer_part': functions.normalizer_part,
    'sum_masked': functions.sum_masked,
    'sum_up': functions.sum_up,
    'suppress': build_suppress(ssd, box_coder),
  }
  # Last, so that faults in all the rest are told at once.
  with explained('model.ssd'):
    model = build_model(model_config, is_training)
    anchors = tf.constant(build_anchors(model_config, model))
  layer_sizes = count_anchors_per_layer(ssd, model.feature_map_sizes)
  losses = functools.partial(functions.compute, layer_sizes=layer_sizes)
  return Detector(model=model, anchors=anchors, losses=losses, **around_model)


def build_suppress(ssd, box_coder: BoxCoder) -> Callable[..., dict[str, tf.Tensor]]:
  """Builds what turns a network's outputs into detections.

  Args:
    ssd: the config's `model.ssd`.
    box_coder: of the same config.

  Returns:
    (class_logits, box_encodings, anchors, clip_windows=) -> detections; see `ops.post_processing`.
  """
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
    max_classes_per_detection=suppression.max_classes_per_detection,
    soft_nms_sigma=0.0 if suppression.use_hard_nms else suppression.soft_nms_sigma,
    change_coordinate_frame=suppression.change_coordinate_frame,
  )
