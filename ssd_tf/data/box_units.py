"""Checks that annotated boxes are in the expected unit: pixels or fractions of the image."""

import numpy as np

from ssd_tf.errors import InputError

# Fractions may exceed 1 by rounding, and by boxes drawn a little beyond the border; pixels do by
# far, in any image of more than a few pixels.
_MAX_FRACTION = 2.0
_ROUNDING = 1e-3  # Of fractions, such as x + width.


def normalize(boxes: np.ndarray, height: int, width: int, where: str) -> np.ndarray:
  """Divides boxes in pixels by the size of their image.

  Args:
    boxes: f64[n,4], [ymin, xmin, ymax, xmax] in pixels.

  Returns:
    f32[n,4], normalized, neither clipped nor checked otherwise.

  Raises:
    InputError: they are fractions: all lie within 0..1, and not all are whole numbers.
  """
  boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
  if not np.array_equal(boxes, np.floor(boxes)):
    require_pixels(boxes, where)
  return (boxes / ([height, width] * 2)).astype(np.float32)


def require_pixels(boxes: np.ndarray, where: str) -> None:
  """Refuses boxes of a whole file if all coordinates lie within 0..1."""
  boxes = np.asarray(boxes, np.float64)
  if boxes.size and boxes.min() >= -_ROUNDING and boxes.max() <= 1 + _ROUNDING:
    raise InputError(
      f'{where}: the coordinates of all {len(boxes)} boxes lie within 0..1, so they seem to be '
      "fractions of the image's size; expected pixels: multiply them by its width and height"
    )


def require_fractions(values: np.ndarray, where: str) -> None:
  """Refuses coordinates that cannot be fractions of an image's size."""
  values = np.asarray(values, np.float64)
  if values.size and values.max() > _MAX_FRACTION:
    raise InputError(
      f'{where}: a coordinate is {values.max():g}, so they seem to be pixels; expected fractions '
      "of the image's size, from 0 to 1: divide them by its width and height"
    )
