"""Defines the style of every plot, and writes plots as SVG files."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ssd_tf.errors import InputError
from ssd_tf.files.failed_writes import writing

if TYPE_CHECKING:  # Matplotlib takes a second, which --help need not wait for.
  from matplotlib.figure import Figure

_TEXT_COLOR = '#333333'

# The same numbers give the same file, byte for byte; letters stay letters.
_STYLE = {
  'svg.hashsalt': 'ssd_tf',
  'svg.fonttype': 'none',
  'font.family': 'sans-serif',
  'font.size': 9,
  'text.color': _TEXT_COLOR,
  'axes.labelcolor': _TEXT_COLOR,
  'axes.edgecolor': '#999999',
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.titlesize': 10,
  'axes.titlelocation': 'left',
  'axes.linewidth': 0.8,
  'axes.grid': True,
  'axes.grid.axis': 'y',
  'axes.axisbelow': True,
  'grid.color': '#e5e5e5',
  'grid.linewidth': 0.8,
  'xtick.color': _TEXT_COLOR,
  'ytick.color': _TEXT_COLOR,
  'xtick.major.size': 3,
  'ytick.major.size': 0,
}


def check_output_path(path: str, flag: str = 'output_path') -> None:
  """Refuses a path that is no .svg."""
  if not path.endswith('.svg'):
    raise InputError(f'{flag} {path!r}: expected a file name that ends in .svg')


@contextlib.contextmanager
def new_figure(path: str, size: tuple[float, float], **style) -> Iterator['Figure']:
  """Gives an empty figure to draw on, and writes it afterwards.

  Args:
    path: the file, .svg; its folder is made.
    size: width and height, inches.
    **style: changes to the style of every plot, with _ for the dots.

  Raises:
    InputError: the path is no .svg.
  """
  import matplotlib
  from matplotlib.figure import Figure

  check_output_path(path)
  changes = {name.replace('_', '.'): value for name, value in style.items()}
  with matplotlib.rc_context({**_STYLE, **changes}):
    figure = Figure(figsize=size, layout='constrained')
    yield figure
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    with writing(path):
      figure.savefig(path, format='svg', metadata={'Date': None})


def literal(name: str) -> str:
  """The name as matplotlib writes it letter by letter: $ would begin mathematics."""
  return name.replace('$', r'\$')
