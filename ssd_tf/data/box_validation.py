"""Validates annotated boxes: clips them to the image, drops and counts impossible ones."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ssd_tf.data.annotation import Annotation

# Rounding of pixel / size may exceed 1 by a float32's last digits; that is no clipping to report.
_TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True)
class BoxFindings:
  """A sentence for each box clipped to the image, and one with the reason for each box dropped."""

  clipped: Sequence[str]
  dropped: Sequence[str]


def validate_boxes(annotation: Annotation) -> tuple[Annotation, BoxFindings]:
  """Clips the boxes to the image and drops those that have no area then.

  Args:
    annotation: boxes may reach outside [0, 1], be inverted or NaN.

  Returns:
    The annotation with the boxes kept, and what was found, in pixels. An object's own area is left
    as annotated.

  Source: the Object Detection API's create_coco_tf_record drops boxes that leave the image and
  those of no size; its create_pascal_tf_record writes all of them.
  """
  boxes = np.asarray(annotation.boxes, np.float32).reshape(-1, 4)
  clipped_boxes = np.clip(boxes, 0.0, 1.0)
  finite = np.isfinite(boxes).all(axis=1)
  keep = finite & (clipped_boxes[:, :2] < clipped_boxes[:, 2:]).all(axis=1)
  outside = keep & (np.abs(boxes - clipped_boxes) > _TOLERANCE).any(axis=1)

  def describe(i):
    size = (annotation.height, annotation.width) * 2
    ymin, xmin, ymax, xmax = (f'{c * s:g}' for c, s in zip(boxes[i], size, strict=True))
    return f'{annotation.class_names[i]} xmin {xmin}, ymin {ymin}, xmax {xmax}, ymax {ymax}'

  def reason(i):
    ymin, xmin, ymax, xmax = boxes[i]
    if not finite[i]:
      return 'not finite'
    if ymin > ymax or xmin > xmax:
      return 'inverted'
    return 'no area' if ymin == ymax or xmin == xmax else 'outside the image'

  findings = BoxFindings(
    clipped=[describe(i) for i in np.flatnonzero(outside)],
    dropped=[f'{describe(i)}: {reason(i)}' for i in np.flatnonzero(~keep)],
  )
  clipped = dataclasses.replace(annotation, boxes=clipped_boxes)
  return clipped if keep.all() else clipped.select(keep), findings
