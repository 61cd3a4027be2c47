"""Makes the anchor_generator block of a layout, and lists what it changes in a config."""

import os
from collections.abc import Sequence

from google.protobuf import text_format

from ssd_tf.anchors.layout import Layout
from ssd_tf.anchors.tiling import Axis, Tiling
from ssd_tf.config.pipeline import PipelineConfig
from ssd_tf.errors import InputError
from ssd_tf.files.failed_writes import open_for_writing


def with_anchors(config: PipelineConfig, layout: Layout, stock: Tiling) -> PipelineConfig:
  """Returns the config with other anchors: a flexible_grid_anchor_generator that lists all sizes.

  Args:
    config: the whole config.
    layout: the anchors.
    stock: the config's own, whose positions are kept.

  Raises:
    InputError: the stock anchors lie at fractions of a pixel, which the block cannot say.
  """
  changed = type(config)()
  changed.CopyFrom(config)
  generator = changed.model.ssd.anchor_generator
  generator.Clear()
  for number, axes in enumerate(stock.axes):
    grid = generator.flexible_grid_anchor_generator.anchor_grid.add()
    for height, width in layout.sizes[layout.maps == number]:
      grid.base_sizes.append((height * width) ** 0.5)
      grid.aspect_ratios.append(width / height)
    for name, axis in zip(('height', 'width'), axes, strict=True):
      _set_positions(grid, name, axis, f'feature map {number + 1}')
  return changed


def write_block(
  config: PipelineConfig, path: str | os.PathLike, remarks: Sequence[str] = ()
) -> None:
  """Writes the `anchor_generator { ... }` of a config, below remarks as comments."""
  ssd = type(config.model.ssd)(anchor_generator=config.model.ssd.anchor_generator)
  text = text_format.MessageToString(ssd, use_short_repeated_primitives=True)
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  with open_for_writing(path) as file:
    file.write(''.join(f'# {line}\n' for line in remarks) + text)


def _set_positions(grid, name, axis: Axis, place):
  """Sets height_stride and height_offset, or width's, where the grid is not spread evenly."""
  if axis.is_even:
    return
  values = {'offset': axis.first}
  if axis.count > 1:
    values['stride'] = axis.stride
  for key, value in values.items():
    if abs(value - round(value)) > 1e-3 or value < 0:
      raise InputError(
        f'model.ssd.anchor_generator: {place} has a {name} {key} of {value:g} pixels, which '
        'flexible_grid_anchor_generator, made of whole pixels, cannot keep; set its strides and '
        'offsets to whole pixels'
      )
    setattr(grid, f'{name}_{key}', round(value))
