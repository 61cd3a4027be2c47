"""Formats the table of named weights as text: quality, and the config that each fits."""

import os
from collections.abc import Iterator

from ssd_tf.pretrained import named_weights, zoo_cache
from ssd_tf.pretrained.weights_table import TABLE


def lines() -> Iterator[str]:
  """Yields the lines: a row for each, then what to know of them."""
  rows = [('name', 'COCO AP', 'size', 'config', 'where'), *map(_row, TABLE)]
  rows.append(('imagenet', '-', '14-58 MB', 'MobileNet v1, v2, VGG-16: backbone', "Keras's cache"))
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for row in rows:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    yield '  '.join(cells).rstrip()
  yield ''
  yield 'COCO AP in percent, as published; for the starter none was. All but imagenet are of COCO,'
  yield 'with its 90 class ids. None of zoo:* was ever tried with a real download: tested are the'
  yield "download, with a server of our own, and the loading, with the API's lists of variables."
  yield f'Downloads are kept in {zoo_cache.folder()} ($SSD_TF_CACHE).'
  yield 'A config takes a name in place of a path: train_config.fine_tune_checkpoint: "NAME".'


def _row(weights):
  ap = '-' if weights.published_ap is None else f'{weights.published_ap:g}'
  if not weights.archive:
    size, where = os.path.getsize(named_weights.checkpoint_path(weights.name)), 'in the package'
  else:
    is_cached = zoo_cache.cached_checkpoint(weights) is not None
    size, where = weights.size, 'in the cache' if is_cached else 'to be downloaded'
  text = '?' if size is None else f'{size / 1e6:.0f} MB'
  return weights.name, ap, text, weights.config.removesuffix('.config'), where
