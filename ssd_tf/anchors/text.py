"""Describes the anchors found for a data set as text for a terminal."""

from collections.abc import Iterator

import numpy as np

from ssd_tf.anchors.dataset import DatasetAnchors


def describe(anchors: DatasetAnchors) -> str:
  """Describes anchors and how well they overlap the boxes, beside those of the config."""
  return '\n'.join(
    [*_boxes(anchors), '', *_overlaps(anchors), '', *_maps(anchors), *_notes(anchors)]
  )


def remarks(anchors: DatasetAnchors) -> list[str]:
  """What the block's file says on top: sizes by feature map, and what they are good for."""
  first = anchors.rows()[0]
  height, width = anchors.boxes.input_size
  lines = [
    f'Anchors for {first.num_boxes} boxes at {width}x{height} pixels (width x height), by '
    'tools/cluster_anchors.py: goes into model.ssd.',
    f'Mean best IoU {first.found.mean_iou:.3f}, recall at {anchors.threshold:g} '
    f'{first.found.recall:.3f}; the anchors before: {first.stock.mean_iou:.3f}, '
    f'{first.stock.recall:.3f}. Width x height at a location, pixels:',
  ]
  return lines + [f'  feature map {i}: {sizes}' for i, sizes in enumerate(_sizes(anchors), start=1)]


def _boxes(anchors) -> Iterator[str]:
  boxes = anchors.boxes
  height, width = boxes.input_size
  others = ', '.join(f'{count} {why}' for why, count in boxes.left_out.items())
  yield (
    f'{len(boxes.boxes)} boxes in {boxes.num_images} training images, at {width}x{height} pixels '
    f'(width x height){f"; left out: {others}" if others else ""}'
  )


def _overlaps(anchors) -> Iterator[str]:
  """A table: a row for each group of boxes."""
  rows = anchors.rows()
  name_width = max(len(row.name) for row in rows)
  yield (
    f'{"":{name_width}} {"":8}   {"mean best IoU":15}   '
    f'{f"recall at IoU {anchors.threshold:.3g}":15}   mean IoU of shapes alone*'
  )
  yield f'{"boxes":{name_width}} {"number":>8}' + f'   {"stock":>7} {"found":>7}' * 3
  for row in rows:
    pairs = (
      f'   {getattr(row.stock, name):7.3f} {getattr(row.found, name):7.3f}'
      for name in ('mean_iou', 'recall', 'shape_iou')
    )
    yield f'{row.name:{name_width}} {row.num_boxes:8}{"".join(pairs)}'
  yield '* as if every box had an anchor on its very center: what clustering alone can reach'


def _maps(anchors) -> Iterator[str]:
  stock, found = anchors.stock, anchors.found
  yield (
    f'anchors: stock {len(stock.anchors)}, {sum(stock.per_location)} sizes; found '
    f'{len(found.anchors)}, {sum(found.per_location)} sizes'
  )
  yield 'feature map  columns x rows  stock  found  found, width x height in pixels'
  sizes = _sizes(anchors)
  for i, (rows, columns) in enumerate(stock.feature_map_sizes):
    grid = f'{columns} x {rows}'
    counts = f'{stock.per_location[i]:5}  {found.per_location[i]:5}'
    yield f'{i + 1:11}  {grid:>14}  {counts}  {sizes[i]}'


def _sizes(anchors):
  """A text for each feature map."""
  layout = anchors.layout
  texts = []
  for number in range(len(anchors.stock.per_location)):
    here = np.flatnonzero(layout.maps == number)
    texts.append(
      ', '.join(
        f'{layout.sizes[i, 1]:.1f}x{layout.sizes[i, 0]:.1f}'
        f'{" (repeated)" if layout.repeated_mask[i] else ""}'
        for i in here
      )
    )
  return texts


def _notes(anchors) -> Iterator[str]:
  for note in anchors.notes:
    yield f'note: {note}'
