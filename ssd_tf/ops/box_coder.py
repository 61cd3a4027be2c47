"""Encodes boxes as offsets from anchors, and decodes them."""

import abc
import dataclasses
from typing import ClassVar

import tensorflow as tf

from ssd_tf.ops import boxes as box_ops

# Added to every side: a box or an anchor without area has finite encodings.
EPSILON = 1e-8


class _CenterCoder(abc.ABC):
  """Codes a box by the shift of its center and the logarithm of the growth of its extents.

  With center c, extents e, subscript a for the anchor and a scale for each number:
  shift = scale * (c - ca) / ea; growth = scale * log(e / ea).
  """

  code_size: ClassVar[int]

  def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Returns the encodings that `decode` turns back into the boxes.

    Args:
      boxes: f32[..., A, 4], normalized.
      anchors: f32[A, 4], normalized; the a-th box is coded against the a-th anchor.

    Returns:
      f32[..., A, code size]: shifts, then growths.
    """
    centers, extents = self._geometry(box_ops.check_boxes(boxes))
    anchor_centers, anchor_extents = self._geometry(box_ops.check_boxes(anchors, 'anchors'))
    anchor_extents += EPSILON
    shifts = (centers - anchor_centers) / anchor_extents
    growths = tf.math.log((extents + EPSILON) / anchor_extents)
    return tf.concat([shifts, growths], axis=-1) * self._scales

  def decode(self, box_encodings: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Returns the boxes that the encodings stand for.

    Args:
      box_encodings: f32[..., A, code size], as `encode` makes them.
      anchors: f32[A, 4], normalized.

    Returns:
      f32[..., A, 4], normalized, not clipped to the image.
    """
    box_encodings = tf.convert_to_tensor(box_encodings)
    if box_encodings.shape[-1] not in (None, self.code_size):
      raise ValueError(
        f'box_encodings: expected shape [..., {self.code_size}], received {box_encodings.shape}.'
      )
    encodings = box_encodings / self._scales
    anchor_centers, anchor_extents = self._geometry(box_ops.check_boxes(anchors, 'anchors'))
    centers = encodings[..., :2] * anchor_extents + anchor_centers
    half_extents = tf.exp(encodings[..., 2:]) * anchor_extents / 2.0
    return tf.concat([centers - half_extents, centers + half_extents], axis=-1)

  @property
  @abc.abstractmethod
  def _scales(self):
    """f32[code size]."""

  def _geometry(self, boxes):
    """Centers f32[..., 2] and extents f32[..., code size - 2]: here height and width."""
    sizes = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sizes / 2.0, sizes


@dataclasses.dataclass(frozen=True, kw_only=True)
class FasterRCNNBoxCoder(_CenterCoder):
  """The extents are height and width, so the encodings are (ty, tx, th, tw).

  Source: Ren et al., Faster R-CNN, section 3.1.2, equation 2; scales and epsilon as in the
  original's box_coders/faster_rcnn_box_coder.py.
  """

  code_size: ClassVar[int] = 4
  y_scale: float
  x_scale: float
  height_scale: float
  width_scale: float

  @property
  def _scales(self):
    scales = [self.y_scale, self.x_scale, self.height_scale, self.width_scale]
    return tf.constant(scales, tf.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SquareBoxCoder(_CenterCoder):
  """The extent is l = sqrt(h w), the encodings are (ty, tx, tl), and what it decodes is square.

  Source: the original's box_coders/square_box_coder.py.
  """

  code_size: ClassVar[int] = 3
  y_scale: float
  x_scale: float
  length_scale: float

  @property
  def _scales(self):
    return tf.constant([self.y_scale, self.x_scale, self.length_scale], tf.float32)

  def _geometry(self, boxes):
    centers, sizes = super()._geometry(boxes)
    return centers, tf.sqrt(tf.reduce_prod(sizes, axis=-1, keepdims=True))


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


BoxCoder = FasterRCNNBoxCoder | MeanStddevBoxCoder | SquareBoxCoder
