"""Formats a data set's description as text for a terminal."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ssd_tf.errors import listed

_BAR = 40  # The longest, in letters.
_MAX_CLASSES = 16  # Of a matrix that fits a terminal.
_MAX_LISTED = 5


def describe(content: Mapping[str, Any]) -> str:
  """Describes a data set by `DatasetDescription.as_dict`, without the warnings."""
  lines = [f'{content["num_images"]} images, {content["num_boxes"]} boxes']
  if content['box_sources']:
    lines.append('boxes by source: ' + _pairs(content['box_sources']))
  lines += _classes(content['classes'])
  lines += _label_sets(content['label_sets'])
  lines += _matrix(content['co_labeled'])
  lines += _sizes(content)
  return '\n'.join(lines)


def aspect_name(edge: float) -> str:
  """An aspect ratio as people write it: '1:8' for 0.125, '2.8:1' for 2.83."""
  return f'{edge:.2g}:1' if edge >= 1 else f'1:{1 / edge:.2g}'


def _classes(classes):
  width = max(map(len, ('class', *classes)))
  lines = ['', f'{"id":>4} {"class":{width}} {"boxes":>9} {"images":>9} {"labeled images":>15}']
  for name, row in classes.items():
    lines.append(
      f'{row["id"]:4} {name:{width}} {row["boxes"]:9} {row["images"]:9} {row["labeled_images"]:15}'
    )
  return lines


def _label_sets(label_sets):
  lines = ['', f'sets of labeled classes: {len(label_sets)}']
  for entry in label_sets[:_MAX_LISTED]:
    names = listed(entry['classes'], _MAX_CLASSES) or 'none'
    lines.append(f'  {entry["num_images"]} images: {names}')
  if len(label_sets) > _MAX_LISTED:
    lines.append(f'  and {len(label_sets) - _MAX_LISTED} more')
  return lines


def _matrix(co_labeled):
  names = co_labeled['classes']
  if len(names) > _MAX_CLASSES:
    return ['', f'images labeled for two classes at once: {len(names)} classes, see JSON or SVG']
  title = max(map(len, names))
  rows = co_labeled['num_images']
  # Names of columns are cut, those of rows are not.
  width = max(6, *(len(str(value)) for row in rows for value in row))
  head = ' '.join(f'{name[:width]:>{width}}' for name in names)
  lines = ['', 'images labeled for two classes at once:', f'  {"":{title}} {head}']
  for name, row in zip(names, rows, strict=True):
    lines.append(f'  {name:{title}} ' + ' '.join(f'{value:{width}}' for value in row))
  return lines


def _sizes(content):
  edges, aspects = content['box_sizes']['edges'], content['aspect_ratios']['edges']
  per_image = {int(n): count for n, count in content['boxes_per_image'].items()}
  counts = np.repeat([*per_image], [*per_image.values()])
  lines = ['', 'boxes by sqrt(box area / image area):']
  size_names = [f'{low:.2f} - {high:.2f}' for low, high in zip(edges, edges[1:], strict=False)]
  lines += _bars(size_names, content['box_sizes']['boxes'])
  lines += ['', f'boxes by COCO size: {_pairs(content["coco_sizes"])}']
  lines += ['', 'boxes by width : height, in pixels:']
  names = [aspect_name(edge) for edge in aspects]
  lines += _bars(
    [f'{low} - {high}' for low, high in zip(names, names[1:], strict=False)],
    content['aspect_ratios']['boxes'],
  )
  lines += [
    '',
    f'boxes of an image: {counts.min()} to {counts.max()}, mean {counts.mean():.2f}, median '
    f'{np.median(counts):g}; images without boxes: {per_image.get(0, 0)}',
    f'image sizes (width x height): {len(content["image_sizes"])}',
  ]
  lines += [
    f'  {size["width"]} x {size["height"]}: {size["num_images"]} images'
    for size in content['image_sizes'][:_MAX_LISTED]
  ]
  if len(content['image_sizes']) > _MAX_LISTED:
    for side in ('width', 'height'):
      values = [size[side] for size in content['image_sizes']]
      lines.append(f'  {side} {min(values)} to {max(values)}')
  return lines


def _bars(names, counts):
  """A line for each bin, from the first that holds something to the last."""
  filled = np.flatnonzero(counts)
  if not len(filled):
    return ['  none']
  most, width = max(counts), max(map(len, names))
  return [
    f'  {names[i]:>{width}} {counts[i]:9} {"#" * -(-counts[i] * _BAR // most)}'.rstrip()
    for i in range(filled[0], filled[-1] + 1)
  ]


def _pairs(counts):
  return ', '.join(f'{name} {count}' for name, count in counts.items())
