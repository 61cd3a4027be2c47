"""Formats tables and figures of reports: Markdown, mean and deviation."""

import statistics
from collections.abc import Iterable, Sequence


def table(header: Sequence, rows: Iterable[Sequence]) -> str:
  """Writes a table; a | in a cell, of anything, is escaped, and a line break becomes a space."""
  lines = [header, ['---'] * len(header), *rows]
  return '\n'.join(f'| {" | ".join(map(_cell, line))} |' for line in lines)


def step_name(step: int) -> str:
  """80000 as 80k, as people write it; a step that this would round stays as it is."""
  return f'{step // 1000}k' if step and step % 1000 == 0 else str(step)


def spread(values: Iterable[float], expected: int, number: str = '.3f') -> str:
  """Writes mean ± sample standard deviation.

  Args:
    expected: how many there should be; else their number is added.
    number: how each figure is formatted.

  Returns:
    '0.250 ± 0.014', of one value '0.250', of none '-'.
  """
  values = list(values)
  if not values:
    return '-'
  text = format(statistics.mean(values), number)
  if len(values) > 1:
    text += f' ± {format(statistics.stdev(values), number)}'
  return text if len(values) == expected else f'{text} (n = {len(values)})'


def _cell(value):
  return ' '.join(str(value).split('\n')).replace('|', r'\|')
