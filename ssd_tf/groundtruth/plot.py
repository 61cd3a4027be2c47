"""Draws a data set's description as one SVG: classes, labeled images, sizes and shapes."""

import numpy as np

from ssd_tf import plots
from ssd_tf.groundtruth import text
from ssd_tf.groundtruth.description import DatasetDescription

_COLOR = '#2166ac'
_PALE = '#92c5de'
_MAX_CLASSES = 40  # Of a bar chart; those with the most boxes.
_MAX_NAMED = 30  # Of a heat map with names.
_MAX_NUMBERED = 12  # Of a heat map with numbers.


def draw(found: DatasetDescription, output_path: str) -> None:
  """Draws eight panels: of the classes, of which labels go together, of boxes and of images.

  Raises:
    InputError: the path is no .svg.
  """
  content = found.as_dict()
  top = max(2.8, 0.15 * min(len(content['classes']), _MAX_CLASSES))
  with plots.new_figure(output_path, (13.6, top + 2.6)) as figure:
    axes = figure.subplots(2, 4, height_ratios=[top, 2.4])
    _draw_classes(axes[0, 0], axes[0, 1], content)
    _draw_matrix(figure, axes[0, 2], content['co_labeled'])
    _draw_image_sizes(axes[0, 3], content['image_sizes'])
    _draw_box_sizes(axes[1, 0], content['box_sizes'])
    _draw_coco_sizes(axes[1, 1], content['coco_sizes'])
    _draw_aspects(axes[1, 2], content['aspect_ratios'])
    _draw_boxes_per_image(axes[1, 3], content['boxes_per_image'])


def _draw_classes(boxes_axes, images_axes, content):
  classes = content['classes']
  shown = list(classes)
  if len(shown) > _MAX_CLASSES:
    shown = sorted(shown, key=lambda name: -classes[name]['boxes'])[:_MAX_CLASSES]
  rest = f'; {len(shown)} of {len(classes)} classes' if len(shown) < len(classes) else ''
  y = np.arange(len(shown))

  def values(key):
    return [classes[name][key] for name in shown]

  boxes_axes.barh(y, values('boxes'), color=_COLOR)
  boxes_axes.set(title='boxes', xlabel=f'{content["num_boxes"]} boxes{rest}')
  images_axes.barh(y, values('labeled_images'), color=_PALE, label='labeled')
  images_axes.barh(y, values('images'), height=0.4, color=_COLOR, label='with a box')
  images_axes.set(title='images', xlabel=f'{content["num_images"]} images{rest}')
  # Above the panel: anywhere inside, it would lie on a bar.
  place = {'loc': 'lower right', 'bbox_to_anchor': (1, 1), 'borderaxespad': 0}
  images_axes.legend(frameon=False, ncols=2, handlelength=1, columnspacing=1, **place)
  for axes in (boxes_axes, images_axes):
    axes.set_yticks(y, list(map(plots.literal, shown)))
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(axis='x')
    axes.grid(visible=False, axis='y')


def _draw_matrix(figure, axes, co_labeled):
  counts = np.array(co_labeled['num_images'])
  names = list(map(plots.literal, co_labeled['classes']))
  image = axes.imshow(counts, cmap='Blues', vmin=0, vmax=max(counts.max(), 1))
  axes.grid(visible=False)
  axes.set_title('images labeled for both classes')
  if len(names) <= _MAX_NAMED:
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
  else:
    axes.set_xlabel('class, in the order of the label map')
  if len(names) <= _MAX_NUMBERED:
    for (row, column), count in np.ndenumerate(counts):
      color = 'white' if count > 0.6 * counts.max() else '#333333'
      axes.text(column, row, count, ha='center', va='center', color=color, fontsize=7)
  else:
    figure.colorbar(image, ax=axes, shrink=0.6)


def _draw_image_sizes(axes, sizes):
  counts = np.array([size['num_images'] for size in sizes])
  widths, heights = ([size[side] for size in sizes] for side in ('width', 'height'))
  areas = 10 + 190 * counts / counts.max()
  axes.scatter(widths, heights, areas, color=_COLOR, alpha=0.5, linewidths=0, clip_on=False)
  axes.set(
    title=f'image sizes: {len(sizes)}',
    xlabel='width, pixels',
    ylabel='height, pixels',
    xlim=(0, 1.1 * max(*widths, 1)),
    ylim=(0, 1.1 * max(*heights, 1)),
  )


def _draw_box_sizes(axes, sizes):
  edges = np.array(sizes['edges'])
  axes.bar(edges[:-1], sizes['boxes'], np.diff(edges), align='edge', color=_COLOR, edgecolor='w')
  axes.set(title='box sizes', xlabel='sqrt(box area / image area)', ylabel='boxes', xlim=(0, 1))


def _draw_coco_sizes(axes, sizes):
  bars = axes.bar(list(sizes), list(sizes.values()), color=_COLOR)
  axes.bar_label(bars)
  axes.margins(y=0.12)
  axes.set(
    title='box sizes by COCO', xlabel='area, limits 32 x 32 and 96 x 96 pixels', ylabel='boxes'
  )


def _draw_aspects(axes, aspects):
  edges = np.log2(aspects['edges'])
  axes.bar(edges[:-1], aspects['boxes'], np.diff(edges), align='edge', color=_COLOR, edgecolor='w')
  whole = np.arange(edges[0], edges[-1] + 1)
  axes.set_xticks(whole, [text.aspect_name(2.0**edge) for edge in whole])
  axes.set(title='box shapes', xlabel='width : height, in pixels', ylabel='boxes')


def _draw_boxes_per_image(axes, per_image):
  counts = np.repeat([*map(int, per_image)], [*per_image.values()])
  # A bar for each number where they are few.
  step = max(1, -(-(counts.max() + 1) // 30))
  edges = np.arange(0, counts.max() + step + 1, step)
  axes.hist(counts, edges - 0.5, color=_COLOR, edgecolor='w')
  axes.set(title='boxes of an image', xlabel='boxes', ylabel='images')
