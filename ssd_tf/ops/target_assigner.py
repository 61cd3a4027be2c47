"""Assigns targets to anchors: the class and box that each is trained to predict."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.ops import box_coder as box_coders
from ssd_tf.ops import boxes as box_ops
from ssd_tf.ops import matching, similarity


class Targets(NamedTuple):
  """The training targets of every anchor.

  Attributes:
    class_targets: i32[B, A], 1..K of the matched box; 0 for background and where ignored.
    box_targets: f32[B, A, code size], encodings of the matched box; 0 where there is none.
    class_weights: f32[B, A], weight of the matched box, that of background, 0 where ignored.
    box_weights: f32[B, A], weight of the matched box; 0 where there is none.
    positive_mask: bool[B, A], True for a matched anchor, also when its box weighs 0.
  """

  class_targets: tf.Tensor
  box_targets: tf.Tensor
  class_weights: tf.Tensor
  box_weights: tf.Tensor
  positive_mask: tf.Tensor


_GROUNDTRUTH = (
  fields.GROUNDTRUTH_BOXES,
  fields.GROUNDTRUTH_CLASSES,
  fields.GROUNDTRUTH_WEIGHTS,
  fields.GROUNDTRUTH_MASK,
)
_CROWDS = (fields.GROUNDTRUTH_IS_CROWD, fields.GROUNDTRUTH_GROUP_OF)

# Anchors that lie inside a crowd with this share of their area are ignored.
CROWD_OVERLAP = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetAssigner:
  """Matches anchors to groundtruth and writes down what each has to predict.

  A box of weight 0 forces no anchor, but anchors that overlap it enough match it and weigh 0:
  they are neither positive nor negative.

  A crowd, a box around many objects, is nothing to predict, and what lies in it is no background:
  anchors with half of their area in one are ignored, unless they match an ordinary box. That is
  the rule by which COCO forgives detections on a crowd, and Open Images those on a group, at an
  IoU threshold of 0.5: not counted is the same that is not trained.

  Attributes:
    train_on_crowds: whether boxes around many objects are groundtruth like others.

  Source: the original's core/target_assigner.py, which knows no crowds. It assigns image by image;
  this is one computation for the batch, and [B, N, A] is its largest tensor. Crowds: Lin et al.,
  Microsoft COCO, section 5; the rules of the Open Images Challenge.
  """

  matcher: matching.Matcher
  box_coder: box_coders.BoxCoder
  box_similarity: similarity.Similarity = similarity.IOU
  negative_class_weight: float = 1.0
  train_on_crowds: bool = False

  def __call__(self, batch: Mapping[str, tf.Tensor], anchors: tf.Tensor) -> Targets:
    """Assigns the targets of a batch.

    Args:
      batch: the groundtruth, by the keys of `fields`: boxes f32[B, N, 4], normalized; classes
        i32[B, N], 1..K; weights f32[B, N]; mask bool[B, N], False where the row is padding; and if
        there are any, is_crowd and group_of bool[B, N]. Rows of padding change nothing, whatever
        they hold. Real rows first: what follows the last real row of the batch costs no time.
      anchors: f32[A, 4], normalized.

    Returns:
      The targets; no gradient flows through them.
    """
    boxes, classes, weights, mask, crowd_mask = _drop_trailing_padding(*self._groundtruth(batch))
    crowd_mask &= mask
    mask &= ~crowd_mask

    real_boxes = tf.where(mask[..., None], boxes, 0.0)
    similarities = self.box_similarity.compare(real_boxes, anchors)
    least = self.box_similarity.least
    if least != 0.0:  # Else the rows of padding have it already.
      similarities = tf.where(mask[..., None], similarities, least)
    match = self.matcher.match(
      similarities, row_mask=mask, forcing_mask=mask & (weights > 0), least=least
    )
    ignored_mask = match.ignored_mask | _in_crowd(boxes, crowd_mask, anchors)

    matched_weights = tf.gather(weights, match.rows, batch_dims=1)
    box_targets = self.box_coder.encode(tf.gather(boxes, match.rows, batch_dims=1), anchors)
    background_weights = tf.where(ignored_mask, 0.0, self.negative_class_weight)
    targets = Targets(
      class_targets=tf.where(match.matched_mask, tf.gather(classes, match.rows, batch_dims=1), 0),
      box_targets=tf.where(match.matched_mask[..., None], box_targets, 0.0),
      class_weights=tf.where(match.matched_mask, matched_weights, background_weights),
      box_weights=tf.where(match.matched_mask, matched_weights, 0.0),
      positive_mask=match.matched_mask,
    )
    return Targets(*(tf.stop_gradient(target) for target in targets))

  def _groundtruth(self, batch):
    """Boxes, classes, weights, mask and mask of crowds."""
    rows = [batch[key] for key in _GROUNDTRUTH]
    crowd_masks = [] if self.train_on_crowds else [batch[key] for key in _CROWDS if key in batch]
    no_crowds = tf.zeros_like(rows[-1])
    rows.append(functools.reduce(tf.logical_or, crowd_masks) if crowd_masks else no_crowds)
    _check_groundtruth(*rows)
    return rows


def _in_crowd(boxes, crowd_mask, anchors):
  """bool[B, A]."""

  def overlaps():
    crowds = tf.where(crowd_mask[..., None], boxes, 0.0)
    share = tf.reduce_max(box_ops.pairwise_ioa(anchors, crowds), axis=2)
    return share >= CROWD_OVERLAP

  # Most batches have none.
  shape = [tf.shape(boxes)[0], tf.shape(anchors)[0]]
  return tf.cond(tf.reduce_any(crowd_mask), overlaps, lambda: tf.zeros(shape, tf.bool))


def _check_groundtruth(boxes, classes, weights, mask, crowd_mask):
  shape = box_ops.check_boxes(boxes, 'groundtruth_boxes').shape
  if shape.rank not in (None, 3):
    raise ValueError(f'groundtruth_boxes: expected shape [B, N, 4], received {shape}.')
  others = {'classes': classes, 'weights': weights, 'mask': mask, 'crowd_mask': crowd_mask}
  for name, rows in others.items():
    if not shape[:2].is_compatible_with(rows.shape):
      raise ValueError(
        f'groundtruth_{name}: expected shape {shape[:2]} (groundtruth_boxes has {shape}), '
        f'received {rows.shape}; pad every groundtruth_* to the same number of rows.'
      )


def _drop_trailing_padding(boxes, classes, weights, mask, crowd_mask):
  """Cuts the rows after the batch's last real one; one row of padding stays if none is real."""
  row_numbers = tf.range(1, tf.shape(mask)[1] + 1)
  num_rows = tf.maximum(tf.reduce_max(tf.where(mask, row_numbers, 0)), 1)
  return tuple(
    tf.pad(rows, [[0, 0], [0, 1]] + [[0, 0]] * (rows.shape.rank - 2))[:, :num_rows]
    for rows in (boxes, classes, weights, mask, crowd_mask)
  )
