"""Computes with boxes: f32 [ymin, xmin, ymax, xmax], in [0, 1] unless a name says pixels.

Every function takes any leading dimensions; those of two arguments broadcast against each other.
- `pairwise_`: all boxes of one set with all of another, f32[..., n, 4], f32[..., m, 4] ->
  f32[..., n, m].
- `matched_`: the boxes in the same places of two sets, f32[..., 4] twice -> f32[...].
- A window is a box, f32[..., 4], that other boxes, f32[..., n, 4], are seen against.
"""

import tensorflow as tf


def check_boxes(boxes: tf.Tensor, name: str = 'boxes') -> tf.Tensor:
  """Returns the boxes as a tensor; a ValueError where the last dimension is known and is not 4."""
  boxes = tf.convert_to_tensor(boxes)
  rank = boxes.shape.rank
  if rank == 0 or (rank is not None and boxes.shape[-1] not in (None, 4)):
    raise ValueError(
      f'{name}: expected shape [..., 4] (ymin, xmin, ymax, xmax), received {boxes.shape}; '
      'put the coordinates in the last dimension.'
    )
  return boxes


def area(boxes: tf.Tensor) -> tf.Tensor:
  """Returns the area of each box, f32[...], in the square of its unit; 0 for a row of padding."""
  ymin, xmin, ymax, xmax = tf.unstack(check_boxes(boxes), axis=-1)
  return (ymax - ymin) * (xmax - xmin)


def pairwise_intersection(boxes1: tf.Tensor, boxes2: tf.Tensor) -> tf.Tensor:
  """Returns shared areas; 0 where two boxes are apart or only touch."""
  ymin1, xmin1, ymax1, xmax1 = tf.unstack(check_boxes(boxes1, 'boxes1')[..., :, None, :], axis=-1)
  ymin2, xmin2, ymax2, xmax2 = tf.unstack(check_boxes(boxes2, 'boxes2')[..., None, :, :], axis=-1)
  heights = tf.nn.relu(tf.minimum(ymax1, ymax2) - tf.maximum(ymin1, ymin2))
  widths = tf.nn.relu(tf.minimum(xmax1, xmax2) - tf.maximum(xmin1, xmin2))
  return heights * widths


def pairwise_iou(boxes1: tf.Tensor, boxes2: tf.Tensor) -> tf.Tensor:
  """Returns intersections over unions, in [0, 1]; 0 for two boxes without area."""
  intersection = pairwise_intersection(boxes1, boxes2)
  union = area(boxes1)[..., :, None] + area(boxes2)[..., None, :] - intersection
  return tf.math.divide_no_nan(intersection, union)


def pairwise_ioa(boxes: tf.Tensor, windows: tf.Tensor) -> tf.Tensor:
  """Returns the fraction of each box's own area inside each window; 0 for a box without area."""
  return tf.math.divide_no_nan(pairwise_intersection(boxes, windows), area(boxes)[..., None])


def matched_iou(boxes1: tf.Tensor, boxes2: tf.Tensor) -> tf.Tensor:
  """Returns intersections over unions, in [0, 1]; 0 for two boxes without area."""
  return tf.math.divide_no_nan(*_matched_intersection_and_union(boxes1, boxes2))


def matched_giou(boxes1: tf.Tensor, boxes2: tf.Tensor) -> tf.Tensor:
  """Returns generalized IoU, in [-1, 1]; 0 for two boxes without area on one spot.

  IoU - (hull - union) / hull, the hull being the area of the smallest box around both.
  """
  intersection, union = _matched_intersection_and_union(boxes1, boxes2)
  low = tf.minimum(boxes1[..., :2], boxes2[..., :2])
  high = tf.maximum(boxes1[..., 2:], boxes2[..., 2:])
  height, width = tf.unstack(high - low, axis=-1)
  hull = height * width
  unused = tf.math.divide_no_nan(hull - union, hull)
  return tf.math.divide_no_nan(intersection, union) - unused


def _matched_intersection_and_union(boxes1, boxes2):
  low = tf.maximum(check_boxes(boxes1, 'boxes1')[..., :2], check_boxes(boxes2, 'boxes2')[..., :2])
  high = tf.minimum(boxes1[..., 2:], boxes2[..., 2:])
  height, width = tf.unstack(tf.nn.relu(high - low), axis=-1)
  intersection = height * width
  return intersection, area(boxes1) + area(boxes2) - intersection


def pairwise_squared_distance(boxes1: tf.Tensor, boxes2: tf.Tensor) -> tf.Tensor:
  """Returns the squared distances of boxes as points in 4-D."""
  boxes1, boxes2 = check_boxes(boxes1, 'boxes1'), check_boxes(boxes2, 'boxes2')
  # One coordinate at a time: no tensor of [n, m, 4].
  return tf.add_n(
    [tf.math.squared_difference(boxes1[..., :, None, i], boxes2[..., None, :, i]) for i in range(4)]
  )


def clip_to_window(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
  """Moves every coordinate that lies outside the window to the window's nearest edge.

  A box wholly outside loses its area, and its row stays.
  """
  window = check_boxes(window, 'window')[..., None, :]
  low = tf.concat([window[..., :2], window[..., :2]], axis=-1)
  high = tf.concat([window[..., 2:], window[..., 2:]], axis=-1)
  return tf.maximum(tf.minimum(check_boxes(boxes), high), low)


def change_frame(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
  """Expresses boxes in the frame where the window's corners are (0, 0) and (1, 1); not clipped.

  The window's sides must be positive.
  """
  window = check_boxes(window, 'window')[..., None, :]
  origin, size = window[..., :2], window[..., 2:] - window[..., :2]
  origin, size = tf.concat([origin, origin], axis=-1), tf.concat([size, size], axis=-1)
  return (check_boxes(boxes) - origin) / size


def flip_left_right(boxes: tf.Tensor) -> tf.Tensor:
  """Mirrors normalized boxes about the vertical middle line of the image.

  An all-zero padding row becomes [0, 1, 0, 1].
  """
  ymin, xmin, ymax, xmax = tf.unstack(check_boxes(boxes), axis=-1)
  return tf.stack([ymin, 1.0 - xmax, ymax, 1.0 - xmin], axis=-1)
