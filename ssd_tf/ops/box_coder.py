"""Boxes as offsets from anchors, and back."""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from ssd_tf.ops import boxes as box_ops

# Added to every side: a box or an anchor without area has finite encodings.
EPSILON = 1e-8


@dataclasses.dataclass(frozen=True, kw_only=True)
class FasterRCNNBoxCoder:
  """Codes a box by the shift of its centre and the logarithm of its sides' growth.

  With centre (y, x), sides (h, w) and subscript a for the anchor:
  ty = y_scale * (y - ya) / ha; tx = x_scale * (x - xa) / wa;
  th = height_scale * log(h / ha); tw = width_scale * log(w / wa).

  Source: Ren et al., Faster R-CNN, section 3.1.2, equation 2; scales and epsilon as in the
  original's box_coders/faster_rcnn_box_coder.py.
  """

  code_size: ClassVar[int] = 4
  y_scale: float
  x_scale: float
  height_scale: float
  width_scale: float

  def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Returns the encodings that `decode` turns back into the boxes.

    Args:
      boxes: f32[..., A, 4], normalized.
      anchors: f32[A, 4], normalized; the a-th box is coded against the a-th anchor.

    Returns:
      f32[..., A, 4]: (ty, tx, th, tw).
    """
    centers, sizes = _centers_and_sizes(box_ops.check_boxes(boxes))
    anchor_centers, anchor_sizes = _centers_and_sizes(box_ops.check_boxes(anchors, 'anchors'))
    anchor_sizes += EPSILON
    shifts = (centers - anchor_centers) / anchor_sizes
    growths = tf.math.log((sizes + EPSILON) / anchor_sizes)
    return tf.concat([shifts, growths], axis=-1) * self._scales

  def decode(self, box_encodings: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Returns the boxes that the encodings stand for.

    Args:
      box_encodings: f32[..., A, 4]: (ty, tx, th, tw).
      anchors: f32[A, 4], normalized.

    Returns:
      f32[..., A, 4], normalized, not clipped to the image.
    """
    encodings = box_ops.check_boxes(box_encodings, 'box_encodings') / self._scales
    anchor_centers, anchor_sizes = _centers_and_sizes(box_ops.check_boxes(anchors, 'anchors'))
    centers = encodings[..., :2] * anchor_sizes + anchor_centers
    half_sizes = tf.exp(encodings[..., 2:]) * anchor_sizes / 2.0
    return tf.concat([centers - half_sizes, centers + half_sizes], axis=-1)

  @property
  def _scales(self) -> tf.Tensor:
    scales = [self.y_scale, self.x_scale, self.height_scale, self.width_scale]
    return tf.constant(scales, tf.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanStddevBoxCoder:
  """Codes a box by the shift of its corners, (corner - corner of the anchor) / stddev.

  Source: Erhan et al., Scalable Object Detection using Deep Neural Networks; the original's
  box_coders/mean_stddev_box_coder.py.
  """

  code_size: ClassVar[int] = 4
  stddev: float

  def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """See `FasterRCNNBoxCoder.encode`; the encodings are (ymin, xmin, ymax, xmax)."""
    return (box_ops.check_boxes(boxes) - box_ops.check_boxes(anchors, 'anchors')) / self.stddev

  def decode(self, box_encodings: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """See `FasterRCNNBoxCoder.decode`."""
    encodings = box_ops.check_boxes(box_encodings, 'box_encodings')
    return encodings * self.stddev + box_ops.check_boxes(anchors, 'anchors')


@dataclasses.dataclass(frozen=True, kw_only=True)
class SquareBoxCoder:
  """Codes a box by the shift of its centre and the growth of its side; what it decodes is square.

  With l = sqrt(h w): ty = y_scale * (y - ya) / la; tx = x_scale * (x - xa) / la;
  tl = length_scale * log(l / la).

  Source: the original's box_coders/square_box_coder.py.
  """

  code_size: ClassVar[int] = 3
  y_scale: float
  x_scale: float
  length_scale: float

  def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """See `FasterRCNNBoxCoder.encode`; the encodings are f32[..., A, 3], (ty, tx, tl)."""
    centers, lengths = _centers_and_lengths(box_ops.check_boxes(boxes))
    anchor_centers, anchor_lengths = _centers_and_lengths(box_ops.check_boxes(anchors, 'anchors'))
    anchor_lengths += EPSILON
    shifts = (centers - anchor_centers) / anchor_lengths
    growths = tf.math.log((lengths + EPSILON) / anchor_lengths)
    return tf.concat([shifts, growths], axis=-1) * self._scales

  def decode(self, box_encodings: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """See `FasterRCNNBoxCoder.decode`; the encodings are f32[..., A, 3], (ty, tx, tl)."""
    box_encodings = tf.convert_to_tensor(box_encodings)
    if box_encodings.shape[-1] not in (None, self.code_size):
      raise ValueError(
        f'box_encodings: expected shape [..., 3] (ty, tx, tl), received {box_encodings.shape}.'
      )
    encodings = box_encodings / self._scales
    anchor_centers, anchor_lengths = _centers_and_lengths(box_ops.check_boxes(anchors, 'anchors'))
    centers = encodings[..., :2] * anchor_lengths + anchor_centers
    half_lengths = tf.exp(encodings[..., 2:]) * anchor_lengths / 2.0
    return tf.concat([centers - half_lengths, centers + half_lengths], axis=-1)

  @property
  def _scales(self) -> tf.Tensor:
    return tf.constant([self.y_scale, self.x_scale, self.length_scale], tf.float32)


BoxCoder = FasterRCNNBoxCoder | MeanStddevBoxCoder | SquareBoxCoder


def _centers_and_lengths(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Of squares as large as the boxes."""
  centers, sizes = _centers_and_sizes(boxes)
  return centers, tf.sqrt(tf.reduce_prod(sizes, axis=-1, keepdims=True))


def _centers_and_sizes(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  sizes = boxes[..., 2:] - boxes[..., :2]
  return boxes[..., :2] + sizes / 2.0, sizes
