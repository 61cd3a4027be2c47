"""How well anchors cover boxes."""

import numpy as np

_CHUNK = 2**21  # Pairs of a box and an anchor that are compared at a time.


def best_ious(boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
  """Returns the IoU of each box with the anchor that overlaps it most.

  Args:
    boxes: f32[n,4], each with an area; on the scale of the network's input, as anchors are.
    anchors: f32[A,4], at least one, in any order.

  Returns:
    f32[n] in [0, 1]; 0 where no anchor touches the box.
  """
  boxes, anchors = np.asarray(boxes, np.float32), np.asarray(anchors, np.float32)
  found = np.zeros(len(boxes), np.float32)
  rows = max(1, _CHUNK // len(anchors))
  areas = np.prod(anchors[:, 2:] - anchors[:, :2], axis=1)
  for start in range(0, len(boxes), rows):
    part = boxes[start : start + rows]
    # Axis by axis: arrays [rows, A] are quicker than [rows, A, 2].
    shared = np.ones((len(part), len(anchors)), np.float32)
    for low, high in ((0, 2), (1, 3)):
      ends = np.minimum(part[:, high, np.newaxis], anchors[:, high])
      starts = np.maximum(part[:, low, np.newaxis], anchors[:, low])
      shared *= np.maximum(ends - starts, 0)
    union = np.prod(part[:, 2:] - part[:, :2], axis=1)[:, np.newaxis] + areas - shared
    found[start : start + rows] = (shared / union).max(axis=1)
  return found
