"""Names beside the points of a plot, kept apart."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

_RADII = (5.0, 12.0, 20.0, 30.0)  # Points from the mark to its name.
_LEADER_FROM = 12.0  # From this radius on a thin line says whose name it is.
_MARK = 4.0  # Half the side of the square that a mark fills.
_DIRECTIONS = (
  *((1, 0), (-1, 0), (0, 1), (0, -1)),
  *((0.7, 0.7), (-0.7, 0.7), (0.7, -0.7), (-0.7, -0.7)),
)


def literal(name: str) -> str:
  """The name as matplotlib writes it letter by letter: $ would begin mathematics."""
  return name.replace('$', r'\$')


def place_names(
  axes: Axes,
  points: Sequence[tuple[float, float]],
  names: Sequence[str],
  font_size: float,
  obstacles: np.ndarray | Sequence = (),
) -> int:
  """Writes each name near its point, where no other name, no point and no border is in the way.

  Args:
    axes: with final limits, of a figure that will not change its layout any more.
    points: (x, y) in data units.
    names: of the points.
    font_size: in points.
    obstacles: [m,2], further points in data units that no name should cover.

  Returns:
    How many names found no place and are not written.
  """
  figure = axes.figure
  renderer = FigureCanvasAgg(figure).get_renderer()
  unit = figure.dpi / 72
  centers = axes.transData.transform(np.asarray(points, np.float64).reshape(-1, 2))
  taken = [_square(center, _MARK * unit) for center in centers]
  others = axes.transData.transform(np.asarray(obstacles, np.float64).reshape(-1, 2))
  taken += [_square(other, unit) for other in others]
  frame = axes.get_window_extent(renderer)
  left_out = 0
  for i, name in enumerate(names):
    text = axes.annotate(
      literal(name), points[i], (0, 0), textcoords='offset points', fontsize=font_size
    )
    if not _place(text, centers[i], taken, i, frame, renderer, unit):
      text.remove()
      left_out += 1
  return left_out


def _square(center, half):
  return Bbox.from_extents(*(center - half), *(center + half))


def _place(text, center, taken, own, frame, renderer, unit):
  """Moves the text to its first free place, which is added to those taken; False: there is none."""
  box = text.get_window_extent(renderer)
  width, height = box.width, box.height
  for radius in _RADII:
    for dx, dy in _DIRECTIONS:
      # The side of the text that looks at the mark lies on the circle.
      x = center[0] + dx * radius * unit + (np.sign(dx) - 1) / 2 * width
      y = center[1] + dy * radius * unit + (np.sign(dy) - 1) / 2 * height
      place = Bbox.from_bounds(x, y, width, height)
      inside = frame.x0 <= place.x0 and place.x1 <= frame.x1
      inside &= frame.y0 <= place.y0 and place.y1 <= frame.y1
      others = (other for j, other in enumerate(taken) if j != own)
      if inside and not any(place.overlaps(other) for other in others):
        text.set_position(((x - center[0]) / unit, (y - center[1]) / unit))
        if radius >= _LEADER_FROM:
          _draw_leader(text, dx, dy, radius)
        taken.append(place)
        return True
  return False


def _draw_leader(text, dx, dy, radius):
  scale = (radius - 1) / radius
  text.axes.annotate(
    '',
    text.xy,
    (dx * radius * scale, dy * radius * scale),
    textcoords='offset points',
    arrowprops={'arrowstyle': '-', 'color': '#999999', 'linewidth': 0.5, 'shrinkA': 0,
                'shrinkB': 2},
  )  # fmt: skip
