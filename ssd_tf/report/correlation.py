"""Computes how two figures of the classes correlate: line and coefficients."""

import dataclasses

import numpy as np
from scipy import stats

MIN_POINTS = 3


@dataclasses.dataclass(frozen=True)
class Correlation:
  """A line through points, and how well it fits.

  Attributes:
    pearson: r, of the values.
    pearson_p: probability of an |r| as great among independent normal values.
    spearman: rho, of the ranks; ties share their mean rank.
  """

  num_points: int
  slope: float
  intercept: float
  pearson: float
  pearson_p: float
  spearman: float

  def __str__(self):
    p = 'p < 0.001' if self.pearson_p < 0.001 else f'p = {self.pearson_p:.3f}'
    return (
      f'Pearson r = {self.pearson:.2f} ({p}), Spearman \u03c1 = {self.spearman:.2f}, '
      f'n = {self.num_points}'
    )


def correlate(x: np.ndarray, y: np.ndarray) -> Correlation | str:
  """Fits a line to finite f64[n] and measures both coefficients.

  Returns:
    The correlation, or a sentence that says why there is none: fewer than 3 points, or equal values
    on one side.
  """
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  if len(x) < MIN_POINTS:
    classes = f'{len(x)} class' + 'es' * (len(x) != 1)
    return f'{classes}: with fewer than {MIN_POINTS} a correlation coefficient has no meaning'
  for values, what in ((x, 'value on the horizontal axis'), (y, 'AP')):
    if np.ptp(values) == 0:
      return f'all {len(x)} classes have the same {what}: there is no correlation coefficient'
  line = stats.linregress(x, y)
  return Correlation(
    num_points=len(x),
    slope=float(line.slope),
    intercept=float(line.intercept),
    pearson=float(line.rvalue),
    pearson_p=float(line.pvalue),
    spearman=float(stats.spearmanr(x, y).statistic),
  )
