"""Holds what a detector found on an image."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import PIL.Image

from ssd_tf.evaluation import drawing


@dataclasses.dataclass(frozen=True)
class Detection:
  """One object that was found.

  Attributes:
    box: (ymin, xmin, ymax, xmax), in pixels of the image.
    score: from 0 to 1.
    class_id: 1..K.
    name: of the class; its id where nothing tells the name.
  """

  box: tuple[float, float, float, float]
  score: float
  class_id: int
  name: str


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
  """The detections on one image, by falling score; d of them. Iterating gives each `Detection`.

  Attributes:
    image: u8[h,w,3], RGB, upright: what was detected on.
    boxes: f64[d,4], [ymin, xmin, ymax, xmax] in pixels of the image.
    scores: f32[d].
    class_ids: i64[d], 1..K.
    class_names: class id -> name, of all classes that have one.
  """

  image: np.ndarray
  boxes: np.ndarray
  scores: np.ndarray
  class_ids: np.ndarray
  class_names: Mapping[int, str]

  def __len__(self) -> int:
    return len(self.scores)

  def __iter__(self) -> Iterator[Detection]:
    columns = (self.boxes.tolist(), self.scores.tolist(), self.class_ids.tolist(), self.names)
    for box, score, class_id, name in zip(*columns, strict=True):
      yield Detection(tuple(box), score, class_id, name)

  @property
  def names(self) -> list[str]:
    """The name of each one's class; its id where nothing tells the name."""
    return [self.class_names.get(i, str(i)) for i in self.class_ids.tolist()]

  @property
  def size(self) -> tuple[int, int]:
    """(height, width) of the image."""
    return self.image.shape[:2]

  @property
  def normalized_boxes(self) -> np.ndarray:
    """f64[d,4], the boxes as fractions of the image's sides."""
    return self.boxes / [*self.size, *self.size]

  def above(self, score_threshold: float) -> 'Detections':
    """Those whose score is the threshold or more."""
    kept = self.scores >= score_threshold
    columns = {name: getattr(self, name)[kept] for name in ('boxes', 'scores', 'class_ids')}
    return dataclasses.replace(self, **columns)

  def draw(self) -> PIL.Image.Image:
    """The image with boxes, names and scores drawn on it."""
    drawn = drawing.draw_detections(
      self.image, self.normalized_boxes, self.class_ids, self.scores, self.class_names
    )
    return PIL.Image.fromarray(drawn)

  def as_dict(self) -> dict[str, Any]:
    """The image's size and its detections, as JSON can hold them.

    {height, width, detections: [{class_id, class_name, score, box: [ymin, xmin, ymax, xmax] in
    pixels}]}; a class without a name is called by its id.
    """
    detections = [
      {'class_id': d.class_id, 'class_name': d.name, 'score': d.score, 'box': list(d.box)}
      for d in self
    ]
    return {'height': self.size[0], 'width': self.size[1], 'detections': detections}
