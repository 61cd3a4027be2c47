"""SVG files that a dark page can hold: where a browser asks for dark, they change their colors."""

import os

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ssd_tf.files.failed_writes import open_for_writing, writing

# Of `plots.STYLE` and of the curves: on light paper -> on dark.
_DARK = {
  '#333333': '#d6d6d6',
  '#999999': '#7d7d7d',
  '#e5e5e5': '#3a3a3a',
  '#2166ac': '#6fb1ea',
  '#d6604d': '#ef8b79',
  '#8c510a': '#d8a25c',
  # Of the precision-recall curves, halfway to white.
  **{to_hex(c): to_hex((np.array(c) + 1) / 2) for c in matplotlib.colormaps['tab10'].colors},
}


def _rules():
  # Matplotlib writes colors into style attributes, which only !important overrules.
  yield '[style*="fill: #ffffff"]{fill:none!important}'
  for light, dark in _DARK.items():
    for key in ('fill', 'stroke'):
      yield f'[style*="{key}: {light}"]{{{key}:{dark}!important}}'
  yield f'text:not([style*="fill"]){{fill:{_DARK["#333333"]}}}'


_STYLE = f'<style>@media (prefers-color-scheme: dark){{{"".join(_rules())}}}</style>'


def save(figure: Figure, path: str) -> None:
  """Writes a figure; the same figure gives the same file, byte for byte.

  Args:
    figure: drawn under `plots.STYLE`.
    path: the file, .svg; its folder is made.
  """
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  with writing(path):
    figure.savefig(path, format='svg', metadata={'Date': None})
  adapt(path)


def adapt(path: str) -> None:
  """Lets an SVG of matplotlib's, drawn under `plots.STYLE`, follow the reader's color scheme.

  Args:
    path: the file, which is written anew; one that was adapted before stays as it is.
  """
  with open(path, encoding='utf-8') as file:
    text = file.read()
  if _STYLE not in text:
    with open_for_writing(path) as file:
      file.write(text.replace('</defs>', f'</defs>\n {_STYLE}', 1))
