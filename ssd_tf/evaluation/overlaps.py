"""Computes overlaps of detections and groundtruth boxes, and matches them, in NumPy."""

import numpy as np
from pycocotools import mask


def overlaps(
  boxes: np.ndarray, groundtruth_boxes: np.ndarray, is_group: np.ndarray | None = None
) -> np.ndarray:
  """IoU f64[d,n] of each detection f32[d,4] with each groundtruth box f32[n,4].

  Of a group, bool[n], it is the share of the detection's area that lies inside. None: none is one.
  """
  if not len(boxes) or not len(groundtruth_boxes):
    return np.zeros((len(boxes), len(groundtruth_boxes)))
  if is_group is None:
    is_group = np.zeros(len(groundtruth_boxes), bool)
  corners = (np.asarray(b, np.float64) for b in (boxes, groundtruth_boxes))
  sides = (np.hstack([b[:, :2], b[:, 2:] - b[:, :2]]) for b in corners)
  return mask.iou(*sides, np.asarray(is_group, np.uint8))


def assign(
  overlap: np.ndarray, scores: np.ndarray, preferred: np.ndarray | None = None
) -> np.ndarray:
  """Lets each detection take a box, i64[d]: by falling score, the free one that it overlaps most.

  Of equal scores the first detection comes first, of equal overlaps the last box is taken, as in
  COCO; n where it takes none.

  Args:
    overlap: f64[d,n]; below 0 where the detection cannot take the box.
    preferred: bool[d,n]; of equal overlaps, such a box before the others. None: none is.
  """
  free, num_boxes = overlap.copy(), overlap.shape[1]
  taken = np.full(len(free), num_boxes)
  if not num_boxes:
    return taken
  for row in np.argsort(-np.asarray(scores), kind='stable'):
    best = free[row].max()
    if best < 0:
      continue
    ties = np.flatnonzero(free[row] == best)
    if preferred is not None and preferred[row, ties].any():
      ties = ties[preferred[row, ties]]
    taken[row] = ties[-1]
    free[:, ties[-1]] = -1.0
  return taken
