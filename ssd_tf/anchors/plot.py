"""Draws boxes and anchors of a data set as one SVG: widths, heights and the IoU that they reach."""

import numpy as np

from ssd_tf import plots
from ssd_tf.anchors.dataset import DatasetAnchors
from ssd_tf.anchors.tiling import best_ious

_STOCK_COLOR = '#8c8c8c'
_FOUND_COLOR = '#b2182b'
_BINS = 60


def draw(anchors: DatasetAnchors, output_path: str) -> None:
  """Draws three panels: the boxes' sizes under the stock anchors, under those found, and the IoUs.

  Raises:
    InputError: the path is no .svg.
  """
  with plots.new_figure(output_path, (13.6, 5.0)) as figure:
    stock, found, curve = figure.subplots(1, 3, width_ratios=[1, 1, 0.8])
    limits = _limits(anchors)
    _draw_sizes(stock, anchors, 'stock', limits)
    _draw_sizes(found, anchors, 'found', limits)
    _draw_recall(curve, anchors)
    handles, labels = found.get_legend_handles_labels()
    figure.legend(
      handles,
      labels,
      loc='outside lower center',
      ncols=len(handles),
      frameon=False,
      title='anchors by feature map (columns x rows); boxes: the darker, the more',
    )


def _limits(anchors):
  """(lowest, highest) side that is shown, pixels."""
  sides = np.concatenate([anchors.boxes.sizes, *anchors.stock.shapes, *anchors.found.shapes])
  return sides.min() / 1.2, sides.max() * 1.2


def _draw_sizes(axes, anchors, name, limits):
  import matplotlib

  tiling = getattr(anchors, name)
  axes.set(
    xscale='log', yscale='log', xlim=limits, ylim=limits, aspect='equal',
    title=f'{name}: {len(tiling.anchors)} anchors',
    xlabel='width, pixels of the model\'s input', ylabel='height, pixels',
  )  # fmt: skip
  axes.grid(visible=True, axis='both')
  _plain_ticks(axes, limits)
  sizes = anchors.boxes.sizes
  edges = np.geomspace(*limits, _BINS + 1)
  counts, _, _ = np.histogram2d(sizes[:, 1], sizes[:, 0], bins=[edges, edges])
  columns, rows = np.nonzero(counts)
  centers = np.sqrt(edges[1:] * edges[:-1])
  # One point for each cell that holds boxes: a million of them would make a file of 100 MB.
  axes.scatter(
    centers[columns], centers[rows], c=np.log1p(counts[columns, rows]), cmap='Greys', vmin=-1.0,
    marker='s', s=11, linewidths=0, zorder=1,
  )  # fmt: skip
  colors = matplotlib.colormaps['plasma'](np.linspace(0.2, 0.9, len(tiling.per_location)))
  for (rows, columns), shapes, color in zip(
    tiling.feature_map_sizes, tiling.shapes, colors, strict=True
  ):
    axes.scatter(
      shapes[:, 1], shapes[:, 0], marker='P', s=70, color=color, edgecolors='white',
      linewidths=0.8, zorder=3, label=f'{columns} x {rows}',
    )  # fmt: skip


def _plain_ticks(axes, limits):
  import matplotlib.ticker

  ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if limits[0] < t < limits[1]]
  for axis in (axes.xaxis, axes.yaxis):
    axis.set_major_locator(matplotlib.ticker.FixedLocator(ticks))
    axis.set_major_formatter(matplotlib.ticker.FormatStrFormatter('%d'))
    axis.set_minor_locator(matplotlib.ticker.NullLocator())


def _draw_recall(axes, anchors):
  """Share of boxes with an anchor, over the IoU that is asked for."""
  thresholds = np.linspace(0, 1, 101)
  for name, tiling, color in (
    ('stock', anchors.stock, _STOCK_COLOR),
    ('found', anchors.found, _FOUND_COLOR),
  ):
    ious = np.sort(best_ious(anchors.boxes.boxes, tiling))
    recall = 1 - np.searchsorted(ious, thresholds, side='left') / len(ious)
    at_threshold = (ious >= np.float32(anchors.threshold)).mean()
    axes.plot(
      thresholds, recall, color=color, linewidth=1.8,
      label=f'{name}: recall {at_threshold:.3f}, mean IoU {ious.mean(dtype=np.float64):.3f}',
    )  # fmt: skip
  axes.axvline(anchors.threshold, color='#999999', linewidth=0.8, linestyle='--')
  axes.annotate(
    f'matched_threshold {anchors.threshold:.3g}', (anchors.threshold, 0.02), xytext=(4, 0),
    textcoords='offset points', fontsize=8, rotation=90, va='bottom',
  )  # fmt: skip
  axes.set(
    xlim=(0, 1), ylim=(0, 1.01), xlabel='IoU with the best anchor', ylabel='share of boxes',
    title='boxes with an anchor of that IoU or more',
  )  # fmt: skip
  axes.legend(frameon=False, loc='upper right', fontsize=8)
