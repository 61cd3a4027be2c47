"""What a detector found on an image."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ssd_tf.evaluation import drawing


@dataclasses.dataclass(frozen=True)
class Detections:
  """The detections on one image, by falling score; d of them.

  Attributes:
    boxes: f64[d,4], in pixels of the image.
    class_ids: i64[d].
    scores: f32[d].
    size: (height, width) of the image.
  """

  boxes: np.ndarray
  class_ids: np.ndarray
  scores: np.ndarray
  size: tuple[int, int]

  @property
  def normalized_boxes(self) -> np.ndarray:
    """f64[d,4], the boxes as fractions of the image's sides."""
    return self.boxes / [*self.size, *self.size]

  def above(self, score_threshold: float) -> 'Detections':
    """Those whose score is the threshold or more."""
    kept = self.scores >= score_threshold
    return Detections(self.boxes[kept], self.class_ids[kept], self.scores[kept], self.size)

  def draw(self, pixels: np.ndarray, names: Mapping[int, str]) -> np.ndarray:
    """Draws them on a copy of the image's pixels, u8[h,w,3]."""
    return drawing.draw_detections(
      pixels, self.normalized_boxes, self.class_ids, self.scores, names
    )

  def as_dict(self, names: Mapping[int, str]) -> dict[str, Any]:
    """The image's size and its detections, as JSON can hold them.

    {height, width, detections: [{class_id, class_name, score, box: [ymin, xmin, ymax, xmax] in
    pixels}]}; a class without a name is called by its id.
    """
    columns = (self.class_ids.tolist(), self.scores.tolist(), self.boxes.tolist())
    detections = [
      {'class_id': i, 'class_name': names.get(i, str(i)), 'score': score, 'box': box}
      for i, score, box in zip(*columns, strict=True)
    ]
    return {'height': self.size[0], 'width': self.size[1], 'detections': detections}
