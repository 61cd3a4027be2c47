"""An SSD: a network with all that belongs to it."""

import dataclasses
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.ops.objective import Objective
from ssd_tf.ops.post_processor import PostProcessor
from ssd_tf.ops.target_assigner import TargetAssigner, Targets


@dataclasses.dataclass(frozen=True, kw_only=True)
class SsdDetector:
  """A network with all that belongs to it, on batches that are preprocessed.

  What takes images as they come is `ssd_tf.Detector`, in `inference`.

  Attributes:
    model: f32[B,H,W,C] -> {'class_logits': f32[B,A,K+1], 'box_encodings': f32[B,A,4]}.
    anchors: f32[A,4], normalized, in the order of the network's predictions.
    preprocess_image: u8[(B,)h,w,3] -> (f32[(B,)H,W,C], i32[2] size without padding).
  """

  model: keras.Model
  anchors: tf.Tensor
  preprocess_image: Callable
  target_assigner: TargetAssigner
  objective: Objective
  post_processor: PostProcessor

  @property
  def num_classes(self) -> int:
    """K."""
    return self.model.output[fields.CLASS_LOGITS].shape[-1] - 1

  @property
  def image_size(self) -> tuple[int, int]:
    """(H, W) of the network's input."""
    return tuple(self.model.input_shape[1:3])

  def assign_targets(self, batch: Mapping[str, tf.Tensor]) -> Targets:
    """The targets of a batch; see `TargetAssigner`."""
    return self.target_assigner(batch, self.anchors)

  def compute_losses(
    self,
    outputs: Mapping[str, tf.Tensor],
    targets: Targets,
    batch: Mapping[str, tf.Tensor],
    normalizer: tf.Tensor | None = None,
  ) -> dict[str, tf.Tensor]:
    """The losses of a replica's batch; see `Objective`.

    The normalizer is that of the whole global batch, f32[]; None: this batch is the whole one.
    """
    if normalizer is None:
      normalizer = tf.maximum(self.objective.normalizer_part(targets, batch), 1.0)
    return self.objective(outputs, targets, batch, normalizer, self.anchors)

  def sum_losses(
    self, outputs: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]
  ) -> dict[str, tf.Tensor]:
    """A batch's part of an evaluation's losses and of their normalizer; see `Objective.sums`."""
    return self.objective.sums(outputs, self.assign_targets(batch), batch, self.anchors)

  def postprocess(
    self, outputs: Mapping[str, tf.Tensor], true_size: tf.Tensor | None = None
  ) -> dict[str, tf.Tensor]:
    """Detections, normalized to the image without padding.

    Args:
      true_size: i32[B, 2] or i32[2], (height, width) of the part of the input that is not padding;
        None: all of it.
    """
    clip_windows = None
    if true_size is not None:
      share = tf.cast(true_size, tf.float32) / tf.constant(self.image_size, tf.float32)
      clip_windows = tf.concat([tf.zeros_like(share), share], axis=-1)
    return self.post_processor(outputs, self.anchors, clip_windows)
