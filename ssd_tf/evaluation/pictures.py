"""Draws detections of an evaluation beside groundtruth, for TensorBoard and as files."""

import dataclasses
import os
import re
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from PIL import Image

from ssd_tf import fields
from ssd_tf.errors import InputError
from ssd_tf.evaluation import drawing
from ssd_tf.files.failed_writes import explain, writing


@dataclasses.dataclass(frozen=True)
class Pictures:
  """What is drawn of the first images of an evaluation.

  Attributes:
    groundtruth_color: of groundtruth boxes on the detections' side too; '' for none there.
    name_by_source_id: whether the files' names end in the image's source_id.
  """

  names: Mapping[int, str]
  max_images: int = 10
  min_score_threshold: float = 0.5
  max_boxes: int = 20
  show_scores: bool = True
  show_names: bool = True
  groundtruth_color: str = ''
  export_dir: str = ''
  name_by_source_id: bool = False

  def write(
    self, index: int, example: Mapping[str, np.ndarray], detections: Mapping[str, np.ndarray]
  ) -> None:
    """Draws one image, writes it to the default summary writer, and to the export folder.

    Args:
      index: which of the images it is, from 0.
      example: image f32[H,W,C] as the model gets it, without padding; original_size, source_id, and
        its groundtruth, normalized to that image.
      detections: keys of `fields`, by falling score, normalized to that image.
    """
    count = int(detections[fields.NUM_DETECTIONS])
    drawn = drawing.side_by_side(
      _as_people_know_it(example[fields.IMAGE], example[fields.ORIGINAL_SIZE]),
      {**detections, fields.NUM_DETECTIONS: min(count, self.max_boxes)},
      example,
      self.names,
      score_threshold=self.min_score_threshold,
      show_scores=self.show_scores,
      show_names=self.show_names,
      groundtruth_color=self.groundtruth_color,
    )
    try:
      tf.summary.image(f'eval_side_by_side_{index}_0', drawn[np.newaxis])
    except tf.errors.OutOfRangeError as error:  # A limit of file sizes; in a loop, the data's end.
      raise InputError(explain(error) or str(error)) from error
    if self.export_dir:
      os.makedirs(self.export_dir, exist_ok=True)
      name = self._file_name(index, example[fields.SOURCE_ID])
      with writing(path := os.path.join(self.export_dir, name)):
        Image.fromarray(drawn).save(path)

  def _file_name(self, index, source_id):
    if isinstance(source_id, bytes):
      source_id = source_id.decode('utf-8', 'replace')
    # A source_id may be a path; as a file's name it must not lead out of the folder.
    suffix = re.sub(r'[^\w.-]+', '_', str(source_id)) if self.name_by_source_id else ''
    return f'export-image-{index}{"-" * bool(suffix)}{suffix}.png'


def _as_people_know_it(image, original_size):
  """u8[h,w,3], of the original's shape: the model's input is often squeezed to a square."""
  image = (image - image.min()) / max(float(np.ptp(image)), 1e-6) * 255
  if image.shape[-1] == 1:
    image = np.repeat(image, 3, axis=-1)
  scale = max(image.shape[:2]) / max(original_size)
  size = [max(1, round(int(side) * scale)) for side in original_size]
  return tf.cast(tf.image.resize(image, size), tf.uint8).numpy()
