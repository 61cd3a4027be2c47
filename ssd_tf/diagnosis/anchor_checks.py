"""Checks whether the anchors cover the training's groundtruth as the network sees it."""

from collections.abc import Iterator

import numpy as np

from ssd_tf.anchors import training_boxes
from ssd_tf.anchors.tiling import best_ious, matched_threshold, reaches, tile
from ssd_tf.diagnosis.finding import Finding, Severity
from ssd_tf.diagnosis.project import Project
from ssd_tf.groundtruth.description import coco_sizes

_MAX_BOXES = 5_000
_MIN_BOXES = 10  # Of a class or size, for a share that says something.
# Shares of boxes without an anchor over the threshold that are worth a warning: of all boxes, and
# of a class or size. Where every box gets its best anchor all the same, and where it does not.
_LIMITS = {True: (0.5, 0.9), False: (0.05, 0.2)}
_MAX_SMALLER_THAN_CELL = 0.1
_REMEDY = (
  'Use anchors of the sizes of these boxes: tools/cluster_anchors.py finds them and writes an '
  'anchor_generator; or lower model.ssd.matcher.argmax_matcher.matched_threshold, or enlarge '
  'model.ssd.image_resizer.'
)


def check(project: Project) -> Iterator[Finding]:
  """Coverage over the matcher's threshold, then boxes smaller than a cell."""
  tables = {field: project.table(field) for field in project.training_fields}
  if not tables:
    return  # The config is refused for it.
  found = training_boxes.select(tables, project.pipeline)
  boxes, classes = found.boxes, found.classes
  if not len(boxes):
    return  # The checks of the data tell of it.
  ssd = project.config.model.ssd
  tiling = tile(project.config, project.start.model.feature_map_sizes)
  if len(boxes) > _MAX_BOXES:
    rows = np.linspace(0, len(boxes) - 1, _MAX_BOXES).astype(int)
    boxes, classes = boxes[rows], classes[rows]
  matcher = ssd.matcher.argmax_matcher
  threshold = matched_threshold(project.config)
  if threshold is not None and ssd.similarity_calculator.HasField('iou_similarity'):
    yield from check_coverage(
      best_ious(boxes, tiling),
      threshold,
      groups={
        **_by_class(classes, project.pipeline.class_names),
        **_by_size(boxes, tiling.input_size),
      },
      is_forced=matcher.force_match_for_each_row or matcher.bipartite_first,
    )
  yield from check_cells(boxes, tiling.feature_map_sizes[0], tiling.input_size)


def check_coverage(
  ious: np.ndarray, threshold: float, groups: dict[str, np.ndarray], is_forced: bool
) -> Iterator[Finding]:
  """Whether boxes have an anchor that reaches the threshold.

  Args:
    ious: f32[n], of each box with its best anchor.
    groups: name -> bool[n], the boxes in it.
    is_forced: whether a box gets its best anchor even below the threshold.
  """
  uncovered = ~reaches(ious, threshold)
  share = float(uncovered.mean())
  shares = {
    name: float(uncovered[rows].mean()) for name, rows in groups.items() if rows.sum() >= _MIN_BOXES
  }
  of_all, of_group = _LIMITS[is_forced]
  worst = sorted(shares.items(), key=lambda item: -item[1])
  is_bad = share > of_all or any(value > of_group for value in shares.values())
  named = ', '.join(f'{name} {value:.0%}' for name, value in worst[:8])
  consequence = (
    'each of them trains by its one best anchor'
    if is_forced
    else 'they train nothing (model.ssd.matcher.argmax_matcher.force_match_for_each_row is false)'
  )
  severity = Severity.WARNING if is_bad else Severity.NOTE
  if share:
    told = (
      f'{uncovered.sum()} of {len(ious)} groundtruth boxes ({share:.1%}) have no anchor that '
      f'reaches the matched_threshold {threshold:g}, and {consequence}; the mean best IoU is '
      f'{ious.mean():.2f}. By class and size: {named or "too few boxes of each"}.'
    )
  else:
    told = (
      f'Each of the {len(ious)} groundtruth boxes has an anchor that reaches the matched_threshold '
      f'{threshold:g}; the mean best IoU is {ious.mean():.2f}.'
    )
  yield Finding(
    'anchor coverage',
    Severity.ERROR if share > 0.5 and not is_forced else severity,
    told,
    _REMEDY if is_bad else '',
    {
      'uncovered': int(uncovered.sum()),
      'boxes': len(ious),
      'share': share,
      'threshold': threshold,
      'mean_best_iou': float(ious.mean()),
      'shares': shares,
    },
  )


def check_cells(
  boxes: np.ndarray, feature_map_size: tuple[int, int], image_size: tuple[int, int]
) -> Iterator[Finding]:
  """Whether boxes f32[n,4], on the scale of the input, are smaller than a cell.

  Both sizes are (height, width): of the first feature map, and of the input in pixels.
  """
  cell = np.array(image_size) / np.array(feature_map_size)
  sides = (boxes[:, 2:] - boxes[:, :2]) * np.array(image_size)
  small = (sides < cell - 1e-3).all(axis=1)
  share = float(small.mean())
  if share <= _MAX_SMALLER_THAN_CELL:
    return
  yield Finding.warning(
    'finest cell',
    f'{small.sum()} of {len(boxes)} groundtruth boxes ({share:.1%}) are smaller than a cell of the '
    f'first feature map, {cell[0]:.4g} x {cell[1]:.4g} pixels of the input: neighbors share the '
    'same features.',
    'Enlarge model.ssd.image_resizer, cut images into tiles, or take a feature extractor with a '
    'finer first map (an fpn with min_level 3).',
    {'smaller': int(small.sum()), 'boxes': len(boxes), 'share': share, 'cell': cell.tolist()},
  )


def _by_class(classes, names):
  return {
    repr(names.get(class_id, f'class {class_id}')): classes == class_id
    for class_id in np.unique(classes).tolist()
  }


def _by_size(boxes, image_size):
  sides = (boxes[:, 2:] - boxes[:, :2]) * np.array(image_size)
  sizes = coco_sizes(sides.prod(axis=1))
  return {f'{name} (in the input)': mask for name, mask in sizes.items()}
