"""Defines the table of a data set's groundtruth that everything that looks at a data set reads.

table = reading.read_reader_table(pipeline, field)
table.boxes[table.usable]                       # f32[n,4], of all images
table.sizes[table.image_index]                  # (height, width) of each box's image
np.bincount(table.model_class_ids[table.usable])
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class GroundtruthTable:
  """I images with n boxes, in the records' order.

  Attributes:
    num_records: of all files, read or not.
    is_complete: whether all of them were read.
    paths: I file names.
    record_numbers: i64[I], of the record in its file, from 0.
    positions: i64[I], of the record among those of all files, from 0.
    source_ids: I of them, image/source_id or else image/filename; '' where there is neither.
    image_hashes: i64[I], of the encoded images; the same image has the same in one process.
    sizes: i64[I,2], (height, width) by the record, else by the image's header; zeros where neither
      tells.
    header_sizes: i64[I,2], (height, width) by the image's header, which is what a decoder makes of
      it; zeros where it does not tell.
    labeled: I sets of the model's class ids that the image is labeled for.
    says_labeled: bool[I], whether the record itself says what it is labeled for.
    image_index: i32[n], row of the box's image.
    class_ids: i64[n], of the records; 0 where they have a text only that the label map lacks.
    class_texts: n of them; '' where the records have none.
    model_class_ids: i32[n], of the model; 0 for a dropped class and for an id that has none there.
    boxes: f32[n,4], normalized, as in the records.
    annotated_areas: f32[n], px^2; nan where the record has none.
    is_crowd: bool[n], as group_of and difficult.
    weights: f32[n].
    box_sources: n of who made the box; '' where the records do not say.
    is_of_records: whether the paths are of records, and not of the images of another format.
  """

  num_records: int
  is_complete: bool
  paths: Sequence[str]
  record_numbers: np.ndarray
  positions: np.ndarray
  source_ids: Sequence[str]
  image_hashes: np.ndarray
  sizes: np.ndarray
  header_sizes: np.ndarray
  labeled: Sequence[frozenset[int]]
  says_labeled: np.ndarray
  image_index: np.ndarray
  class_ids: np.ndarray
  class_texts: Sequence[str]
  model_class_ids: np.ndarray
  boxes: np.ndarray
  annotated_areas: np.ndarray
  is_crowd: np.ndarray
  group_of: np.ndarray
  difficult: np.ndarray
  weights: np.ndarray
  box_sources: Sequence[str]
  is_of_records: bool = True

  @property
  def num_images(self) -> int:
    """I."""
    return len(self.paths)

  @property
  def part(self) -> str:
    """What a sentence about its images adds: nothing where all records were read."""
    return '' if self.is_complete else ' looked at'

  @functools.cached_property
  def image_starts(self) -> np.ndarray:
    """i64[I+1]; the boxes of image i are the rows image_starts[i] to image_starts[i + 1] - 1."""
    counts = np.bincount(self.image_index, minlength=self.num_images)
    return np.concatenate([[0], np.cumsum(counts)])

  @functools.cached_property
  def sides(self) -> np.ndarray:
    """f64[n,2], (height, width) of the boxes, normalized."""
    boxes = self.boxes.astype(np.float64)
    with np.errstate(invalid='ignore'):  # Boxes need not be finite.
      return boxes[:, 2:] - boxes[:, :2]

  @functools.cached_property
  def has_area(self) -> np.ndarray:
    """bool[n], of finite boxes that have a height and a width."""
    return np.isfinite(self.boxes).all(axis=1) & (self.sides > 0).all(axis=1)

  @functools.cached_property
  def usable(self) -> np.ndarray:
    """bool[n], of finite boxes that have an area and a class of the model."""
    return self.has_area & (self.model_class_ids > 0)

  @functools.cached_property
  def areas(self) -> np.ndarray:
    """f64[n], px^2, as annotated, else of the box."""
    with np.errstate(invalid='ignore'):
      of_boxes = (self.sides * self.sizes[self.image_index]).prod(axis=1)
    annotated = self.annotated_areas.astype(np.float64)
    return np.where(np.isnan(annotated), of_boxes, annotated)

  def sampled(self, sample_1_of_n: int) -> np.ndarray:
    """bool[I], the images that a reader takes with this sample_1_of_n_examples."""
    return self.positions % max(1, sample_1_of_n) == 0

  def place(self, image: int) -> tuple[str, int | None, str]:
    """(file, number of the record in it or None, source_id) of an image, for a message."""
    number = int(self.record_numbers[image]) if self.is_of_records else None
    return self.paths[image], number, self.source_ids[image]
