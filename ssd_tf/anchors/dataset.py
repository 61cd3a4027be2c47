"""Finds anchors for a data set, compares them with the config's, and writes them."""

import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np

from ssd_tf import builders
from ssd_tf.anchors.block import with_anchors
from ssd_tf.anchors.layout import Layout, find_layout
from ssd_tf.anchors.tiling import Tiling, best_ious, matched_threshold, reaches, shape_ious, tile
from ssd_tf.anchors.training_boxes import TrainingBoxes, read_training_boxes
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.errors import InputError
from ssd_tf.groundtruth.description import coco_sizes

_THRESHOLD = 0.5  # Where the matcher has none.


@dataclasses.dataclass(frozen=True)
class Overlaps:
  """How well anchors overlap boxes.

  Attributes:
    mean_iou: of each box with the anchor that overlaps it best, wherever that lies.
    recall: share of boxes whose best IoU is the matched_threshold or more.
    shape_iou: mean IoU with the best anchor's shape, on a common center.
  """

  mean_iou: float
  recall: float
  shape_iou: float


@dataclasses.dataclass(frozen=True)
class Row:
  """A group of boxes, at least one: of all, of a class, or of a COCO size."""

  name: str
  num_boxes: int
  stock: Overlaps
  found: Overlaps


@dataclasses.dataclass(frozen=True)
class DatasetAnchors:
  """Anchors found for a data set.

  Attributes:
    stock: the config's anchors.
    layout: the sizes found.
    found: them laid on the feature maps.
    config: the config with them.
    threshold: matched_threshold, or what stands for it.
    notes: what the user should know, a sentence each.
  """

  boxes: TrainingBoxes
  stock: Tiling
  layout: Layout
  found: Tiling
  config: PipelineConfig
  threshold: float
  notes: Sequence[str]

  def rows(self) -> list[Row]:
    """All boxes, those of each class, those of each COCO size; groups without boxes left out."""
    boxes = self.boxes.boxes
    measured = [
      (best_ious(boxes, tiling), shape_ious(boxes, tiling)) for tiling in (self.stock, self.found)
    ]
    return [
      Row(name, int(mask.sum()), *(self._overlaps(*ious, mask) for ious in measured))
      for name, mask in self._groups()
      if mask.any()
    ]

  def _groups(self) -> Iterator[tuple[str, np.ndarray]]:
    yield 'all', np.ones(len(self.boxes.boxes), bool)
    for class_id, name in self.boxes.names.items():
      yield name, self.boxes.classes == class_id
    for name, mask in coco_sizes(self.boxes.areas).items():
      yield f'{name} (COCO)', mask

  def _overlaps(self, best, shapes, mask):
    matched = reaches(best[mask], self.threshold)
    # float64, or the mean of a million boxes would be off in the third digit.
    return Overlaps(
      *(float(values.mean(dtype=np.float64)) for values in (best[mask], matched, shapes[mask]))
    )


def find_anchors(
  pipeline: Pipeline,
  *,
  num_anchors: int | None = None,
  min_size: float = 0.0,
  fit_positions: bool = True,
  seed: int = 0,
) -> DatasetAnchors:
  """Finds anchors for a config's training records.

  Args:
    num_anchors: number of sizes, of all feature maps together; None: see `layout`.
    min_size: boxes whose shorter side is less, in pixels of the model's input, are left out.
    fit_positions: see `layout.find_layout`.
    seed: of k-means.

  Raises:
    InputError: the config, the records or num_anchors are at fault.
  """
  ssd = pipeline.config.model.ssd
  model = builders.build_model(pipeline.config.model, is_training=False)
  stock = tile(pipeline.config, model.feature_map_sizes)
  boxes = read_training_boxes(pipeline, min_size=min_size)
  head = ssd.box_predictor.WhichOneof('box_predictor_oneof')
  layout = find_layout(
    boxes,
    stock,
    is_shared=head == 'weight_shared_convolutional_box_predictor',
    num_anchors=num_anchors,
    fit_positions=fit_positions,
    seed=seed,
  )
  changed = with_anchors(pipeline.config, layout, stock)
  found = tile(changed, model.feature_map_sizes)
  threshold = matched_threshold(pipeline.config)
  return DatasetAnchors(
    boxes=boxes,
    stock=stock,
    layout=layout,
    found=found,
    config=changed,
    threshold=_THRESHOLD if threshold is None else threshold,
    notes=list(_notes(pipeline.config, stock, found, layout)),
  )


def save_config(anchors: DatasetAnchors, path: str) -> str:
  """Writes the config with the anchors found, without the comments of the one read.

  Args:
    path: the file, or an existing folder.

  Returns:
    The path of the file.
  """
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  return Pipeline(anchors.config, path).save(path)


def check_output(pipeline: Pipeline, path: str | None) -> None:
  """Raises InputError where `save_config` would write over the config that is read."""
  if path and os.path.exists(path) and os.path.samefile(pipeline.path, path):
    raise InputError(
      f'output_config_path: is the config that is read, {pipeline.path}, whose comments would be '
      'lost; give another file'
    )


def _notes(config, stock, found, layout) -> Iterator[str]:
  if matched_threshold(config) is None:
    yield (f'model.ssd.matcher: has no matched_threshold, recall is at an IoU of {_THRESHOLD}.')
  if config.model.ssd.similarity_calculator.WhichOneof('region_similarity') != 'iou_similarity':
    yield 'model.ssd.similarity_calculator: is not iou_similarity; figures here are of IoU.'
  if len(found.anchors) > len(stock.anchors):
    yield (
      f'num_anchors: makes {len(found.anchors)} anchors, more than the {len(stock.anchors)} of the '
      'config; training and detection take longer.'
    )
  if layout.repeated_mask.any():
    maps = ', '.join(str(number + 1) for number in np.unique(layout.maps[layout.repeated_mask]))
    yield (
      f'no size fits feature map {maps}: it repeats another; a lower '
      'model.ssd.feature_extractor.num_layers leaves out the last of them.'
    )
  yield from _checkpoint_notes(config.train_config, stock, found)


def _checkpoint_notes(train_config, stock, found):
  """Heads hold as many filters as there are anchors."""
  kind = train_config.fine_tune_checkpoint_type
  loads_all = train_config.load_all_detection_checkpoint_vars and kind == 'detection'
  if not train_config.fine_tune_checkpoint or (
    kind in ('classification', 'detection') and not loads_all
  ):
    return  # No heads are loaded.
  pairs = zip(stock.per_location, found.per_location, strict=True)
  others = [str(i + 1) for i, (old, new) in enumerate(pairs) if old != new]
  if not others:
    what = 'its heads load, but were trained for other sizes'
  else:
    what = f'box and class heads of another number of anchors (feature map {", ".join(others)}) '
    what += 'are skipped and initialized anew'
    if len(others) < len(found.per_location):
      what += '; the other heads load, but were trained for other sizes'
    if kind == 'full':
      what += '; fine_tune_checkpoint_type "full" refuses that, set it to "fine_tune"'
  yield f'train_config.fine_tune_checkpoint: {what}.'
